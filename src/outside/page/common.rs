//! A page that is the same for everybody but for one value, such as the token of the form: rendered once, with a gap for the
//! value.

use crate::domain::error::Error;
use crate::outside::cgi::Response;

/// Stand-ins for the value. They have only letters that no escaping changes, and nothing else on a page contains them.
const STAND_INS: [&str; 2] = ["StandInForTheOneValueThatDiffers-A", "StandInForTheOneValueThatDiffers-B"];

/// The text of such a page around each place of the value.
#[derive(Debug)]
pub(super) struct Common(Vec<String>);

impl Common {
    /// Renders the page without any visitor's value. `None` if a template does more with the value than write it.
    pub(super) fn of(render: impl Fn(&str) -> Result<String, Error>) -> Result<Option<Common>, Error> {
        let [first, second] = STAND_INS.map(|value| Ok::<_, Error>(Common::around(&render(value)?, value)));
        let (first, second) = (first?, second?);
        Ok((first.0 == second.0).then_some(first))
    }

    /// The page with a stand-in for the value.
    pub(super) fn text(&self) -> String {
        self.with(STAND_INS[0])
    }

    /// The page of [`Common::text`].
    pub(super) fn of_text(text: &str) -> Common {
        Common::around(text, STAND_INS[0])
    }

    fn around(html: &str, value: &str) -> Common {
        Common(html.split(value).map(str::to_owned).collect())
    }

    /// The page with this value, which consists of letters, digits, `-` and `_`. The headers of the answer will fit behind it.
    pub(super) fn with(&self, value: &str) -> String {
        let length: usize = self.0.iter().map(|part| part.len() + value.len()).sum();
        let mut page = String::with_capacity(length + Response::ROOM);
        for (number, part) in self.0.iter().enumerate() {
            page += if number > 0 { value } else { "" };
            page += part;
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(render: impl Fn(&str) -> String) -> Option<Common> {
        Common::of(|value| Ok(render(value))).unwrap()
    }

    #[test]
    fn the_value_is_put_wherever_it_stood() {
        let page = |value: &str| format!("<a>{value}</a>{value}<b>");
        assert_eq!(common(page).unwrap().with("x-1"), page("x-1"));
        assert_eq!(common(|_| "no token".into()).unwrap().with("x"), "no token");
    }

    #[test]
    fn a_page_that_does_more_with_the_value_is_rendered_each_time() {
        assert!(common(|value| value.to_lowercase()).is_none());
        assert!(common(|value| value[value.len() - 1..].to_owned()).is_none());
    }
}

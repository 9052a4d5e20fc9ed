//! The CGI variables of one request.

/// Names and values in the order in which they came. A request has some thirty, so looking at each is quicker than hashing all of
/// them. The last one of a name counts.
#[derive(Debug, Clone, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    pub(crate) fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.find(|variable| variable == name)
    }

    /// The value of an HTTP header, e.g. `accept-language`, which is in the variable `HTTP_ACCEPT_LANGUAGE` (RFC 3875, 4.1.18).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let is_as_long = |variable: &str| variable.len() == "HTTP_".len() + name.len();
        self.find(|variable| is_as_long(variable) && variable.strip_prefix("HTTP_").is_some_and(|end| is_header(end, name)))
    }

    fn find(&self, is_meant: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| is_meant(name)).map(|(_, value)| value.as_str())
    }

    /// Bytes of all names and values together.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn is_header(variable: &str, header: &str) -> bool {
    let as_in_variable = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
    variable.bytes().eq(header.bytes().map(as_in_variable))
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Variables {
        Variables(Vec::from_iter(variables))
    }
}

impl<const COUNT: usize> From<[(String, String); COUNT]> for Variables {
    fn from(variables: [(String, String); COUNT]) -> Variables {
        Variables(variables.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_however_it_is_spelled_and_nothing_else_is() {
        let of = |name: &str| Variables::from([(name.to_owned(), "x".to_owned())]);
        for name in ["x-forwarded-for", "X-Forwarded-For", "x_forwarded_for"] {
            assert_eq!(of("HTTP_X_FORWARDED_FOR").header(name), Some("x"), "{name}");
        }
        for name in ["HTTP_X_FORWARDED", "HTTP_X_FORWARDED_FOR2", "X_FORWARDED_FOR", "HTTP_x_forwarded_for", "HTTPS_X_FORWARDED_FOR", ""] {
            assert_eq!(of(name).header("x-forwarded-for"), None, "{name}");
        }
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let variables: Variables = ["first", "last"].map(|value| ("REMOTE_ADDR".to_owned(), value.to_owned())).into();
        assert_eq!(variables.get("REMOTE_ADDR"), Some("last"));
    }
}

//! A browser without scripts and cookies: loads pages and submits their forms.

use super::http;
use scraper::{ElementRef, Html, Selector};
use url::Url;

/// Requests to one site; redirects are not followed.
#[derive(Debug, Clone)]
pub struct Browser {
    base: String,
    agent: ureq::Agent,
    headers: Vec<(String, String)>,
}

impl Browser {
    /// `base` is the address of the site, such as `http://127.0.0.1:8080/`.
    pub fn new(base: &str) -> Browser {
        Browser { base: base.trim_end_matches('/').to_owned(), agent: http::agent(60), headers: Vec::new() }
    }

    /// A browser that trusts this certificate, in PEM, and no other.
    pub fn trusting(base: &str, certificate: &str) -> Browser {
        Browser { agent: http::trusting_agent(60, certificate), ..Browser::new(base) }
    }

    /// The same browser with a further header in each request.
    pub fn with_header(mut self, name: &str, value: &str) -> Browser {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same browser for a visitor who prefers this language.
    pub fn with_language(self, tag: &str) -> Browser {
        self.with_header("Accept-Language", tag)
    }

    /// `to` is a whole URL, or the part after the host, passed on unchanged: `//verify.php?t=x` keeps both slashes.
    pub fn get(&self, to: &str) -> Page {
        self.request("GET", to, "", b"")
    }

    /// Posts the fields of a form.
    pub fn post(&self, to: &str, fields: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.request("POST", to, "application/x-www-form-urlencoded", body.as_bytes())
    }

    /// Submits a form.
    pub fn submit(&self, form: &Form) -> Page {
        self.try_submit(form).unwrap_or_else(|cause| panic!("{cause}"))
    }

    /// Submits a form; an error if there is no answer.
    pub fn try_submit(&self, form: &Form) -> Result<Page, String> {
        match form.method.as_str() {
            "POST" => self.try_request("POST", &form.action, "application/x-www-form-urlencoded", form.body().as_bytes()),
            _ => {
                let mut action = Url::parse(&form.action).expect("a form's action is an address");
                action.query_pairs_mut().clear().extend_pairs(&form.fields);
                self.try_request("GET", action.as_str(), "", b"")
            }
        }
    }

    /// Any request; with an empty content type neither type nor body is sent.
    pub fn request(&self, method: &str, to: &str, content_type: &str, body: &[u8]) -> Page {
        self.try_request(method, to, content_type, body).unwrap_or_else(|cause| panic!("{cause}"))
    }

    /// Any request; an error if the answer is missing or incomplete.
    pub fn try_request(&self, method: &str, to: &str, content_type: &str, body: &[u8]) -> Result<Page, String> {
        let url = if to.starts_with("http") { to.to_owned() } else { format!("{}{to}", self.base) };
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = match content_type {
            "" => self.agent.run(request.body(()).unwrap()),
            _ => self.agent.run(request.header("Content-Type", content_type).body(body).unwrap()),
        };
        answer.and_then(|answer| Page::read(url.clone(), answer)).map_err(|cause| format!("{method} {url}: {cause}"))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Page {
    pub url: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Page {
    fn read(url: String, mut answer: ureq::http::Response<ureq::Body>) -> Result<Page, ureq::Error> {
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = answer.body_mut().with_config().limit(100_000_000).read_to_vec()?;
        Ok(Page { url, status: answer.status().as_u16(), headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// The value of a header, if it is present.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn html(&self) -> Html {
        Html::parse_document(&self.body)
    }

    /// The text of each element that matches a CSS selector, with white space collapsed.
    pub fn texts(&self, selector: &str) -> Vec<String> {
        let html = self.html();
        html.select(&parse(selector)).map(|element| fold(&element.text().collect::<String>())).collect()
    }

    /// The visible text of the whole page, with white space collapsed.
    pub fn text(&self) -> String {
        self.texts("body").join(" ")
    }

    /// All forms of the page.
    pub fn forms(&self) -> Vec<Form> {
        self.html().select(&parse("form")).map(|element| Form::read(&self.url, element)).collect()
    }

    /// The form with the hidden field `action` of this value; panics if there is none.
    pub fn form_to(&self, action: &str) -> Form {
        let is_it = |form: &Form| form.fields.contains(&("action".to_owned(), action.to_owned()));
        self.forms().into_iter().find(is_it).unwrap_or_else(|| panic!("no form to {action} in the answer of {}:\n{}", self.url, self.body))
    }

    /// The page's form: the first that posts, or the first of any kind.
    pub fn form(&self) -> Form {
        let forms = self.forms();
        let posting = forms.iter().find(|form| form.method == "POST").or(forms.first());
        posting.cloned().unwrap_or_else(|| panic!("no form in the answer of {} ({}):\n{}", self.url, self.status, self.body))
    }
}

/// A form with the values it would send.
#[derive(Debug, Clone)]
pub struct Form {
    /// A whole URL.
    pub action: String,
    pub method: String,
    pub fields: Vec<(String, String)>,
    /// Named buttons; only the pressed one is sent.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    fn read(page: &str, form: ElementRef) -> Form {
        let action = form.attr("action").unwrap_or("");
        let base = Url::parse(page).expect("a page has an address");
        let method = form.attr("method").unwrap_or("GET").to_uppercase();
        let mut read = Form { action: base.join(action).expect("an address").into(), method, fields: Vec::new(), buttons: Vec::new() };
        for element in form.select(&parse("input, textarea, select, button")) {
            read.add(element);
        }
        read
    }

    fn add(&mut self, element: ElementRef) {
        let Some(name) = element.attr("name") else { return };
        let field = |value: String| (name.to_owned(), value);
        let value = element.attr("value").unwrap_or("").to_owned();
        match (element.value().name(), element.attr("type").unwrap_or("")) {
            ("button", _) | ("input", "submit" | "image") => self.buttons.push(field(value)),
            ("input", "checkbox" | "radio") if element.attr("checked").is_none() => {}
            // HTML ignores a line break directly after the tag.
            ("textarea", _) => self.fields.push(field(element.text().collect::<String>().trim_start_matches('\n').to_owned())),
            ("select", _) => self.fields.push(field(chosen(element))),
            _ => self.fields.push(field(value)),
        }
    }

    /// The body that a browser would POST.
    pub fn body(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    /// The current value of a field; panics if there is no such field.
    pub fn value(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(key, _)| key == name);
        &found.unwrap_or_else(|| panic!("the form has no field {name}: {:?}", self.names())).1
    }

    /// Types into a field; panics if there is no such field.
    pub fn fill(mut self, name: &str, value: &str) -> Form {
        let names = self.names();
        let found = self.fields.iter_mut().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("the form has no field {name}: {names:?}")).1 = value.to_owned();
        self
    }

    /// Sets a field whether or not the form has it, such as a checkbox.
    pub fn put(mut self, name: &str, value: &str) -> Form {
        self.fields.retain(|(key, _)| key != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Chooses the button to press; panics if there is no such button.
    pub fn press(mut self, name: &str, value: &str) -> Form {
        let button = (name.to_owned(), value.to_owned());
        assert!(self.buttons.contains(&button), "the form has no button {name}={value}: {:?}", self.buttons);
        let buttons = &self.buttons;
        self.fields.retain(|field| !buttons.contains(field));
        self.put(name, value)
    }

    fn names(&self) -> Vec<String> {
        self.fields.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// The value of a `select` that the page preselects.
fn chosen(select: ElementRef) -> String {
    let options = parse("option");
    let mut all = select.select(&options);
    let option = select.select(&options).find(|option| option.attr("selected").is_some()).or_else(|| all.next());
    let text = |option: ElementRef| option.text().collect::<String>();
    option.map(|option| option.attr("value").map_or_else(|| text(option), str::to_owned)).unwrap_or_default()
}

fn parse(selector: &str) -> Selector {
    Selector::parse(selector).unwrap_or_else(|cause| panic!("{selector} is no CSS selector: {cause}"))
}

fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

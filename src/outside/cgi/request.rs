//! One request as CGI (RFC 3875) describes it.

use super::{Header, Variables};
use crate::domain::error::Error;
use crate::domain::text_key::{Key, error as text};
use serde::de::DeserializeOwned;
use std::collections::HashSet;

/// The method of a request. HEAD counts as GET: the gateway leaves out the body of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Options,
    /// Any other method; programs answer 405.
    Other,
}

/// One request: the CGI variables and the body. Both are within the limits of the gateway.
#[derive(Debug, Clone, Default)]
pub struct Request {
    variables: Variables,
    body: Vec<u8>,
}

impl Request {
    pub fn new(variables: Variables, body: Vec<u8>) -> Request {
        Request { variables, body }
    }

    pub fn method(&self) -> Method {
        match self.variable("REQUEST_METHOD").unwrap_or("") {
            "GET" | "HEAD" => Method::Get,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        }
    }

    /// Whether the answer is sent without its body.
    pub(crate) fn is_head(&self) -> bool {
        self.variable("REQUEST_METHOD") == Some("HEAD")
    }

    /// A CGI variable such as `REMOTE_ADDR` or `PATH_INFO`. Code that decides on a variable must treat `None` as
    /// "denied", because a visitor can make variables disappear (see the module `variables`).
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name)
    }

    /// An HTTP header. A missing header must never grant anything.
    pub fn header(&self, header: Header) -> Option<&str> {
        self.variables.get(header.variable()).filter(|value| !value.is_empty())
    }

    pub(crate) fn set_body(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The query string as a serde struct; unknown parameters are ignored.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(self.variable("QUERY_STRING").unwrap_or("").as_bytes())
    }

    /// The body of a form as a serde struct; unknown fields are ignored. 415 for any other content type.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let content_type = self.variable("CONTENT_TYPE").unwrap_or("");
        let essence = content_type.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Error::unsupported_media_type());
        }
        decode(&self.body)
    }
}

/// `serde_urlencoded` replaces invalid UTF-8 silently; here it is an error, so that no name is stored mangled.
fn decode<T: DeserializeOwned>(encoded: &[u8]) -> Result<T, Error> {
    if percent_encoding::percent_decode(encoded).decode_utf8().is_err() {
        return Err(Error::bad_encoding());
    }
    serde_urlencoded::from_bytes(encoded).or_else(|cause| {
        decode_without_repetitions(encoded)
            .map_err(|text| Error { text, ..Error::bad_request(format!("the form cannot be read: {cause}")) })
    })
}

/// A field sent twice with the same value counts once, because some browsers send all inputs of the same name. With two
/// different values it is an error with its own text, whose key is returned.
fn decode_without_repetitions<T: DeserializeOwned>(encoded: &[u8]) -> Result<T, Key> {
    let mut fields: Vec<(String, String)> = serde_urlencoded::from_bytes(encoded).map_err(|_| text::BAD_REQUEST)?;
    let mut seen = HashSet::new();
    fields.retain(|field| seen.insert(field.clone()));
    let names: HashSet<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let why_not = if names.len() < fields.len() { text::FIELD_TWICE } else { text::BAD_REQUEST };
    let encoded = serde_urlencoded::to_string(&fields).map_err(|_| why_not)?;
    serde_urlencoded::from_str(&encoded).map_err(|_| why_not)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Name {
        name: String,
    }

    fn post(content_type: &str, body: &str) -> Request {
        let variables = [("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", content_type)];
        Request::new(variables.map(|(k, v)| (k.into(), v.into())).into(), body.into())
    }

    #[test]
    fn a_form_is_read_with_its_umlauts_and_unknown_fields_are_ignored() {
        let request = post("application/x-www-form-urlencoded; charset=utf-8", "name=J%C3%BCrgen+M&other=1");
        assert_eq!(request.form::<Name>().unwrap().name, "Jürgen M");
    }

    #[test]
    fn broken_utf8_is_refused_and_not_mangled() {
        assert_eq!(post("application/x-www-form-urlencoded", "name=J%FCrgen").form::<Name>().unwrap_err().text, text::BAD_ENCODING);
    }

    #[test]
    fn another_content_type_is_415() {
        assert_eq!(post("text/plain", "name=x").form::<Name>().unwrap_err().status, 415);
    }

    #[test]
    fn a_field_sent_twice_counts_once_and_with_two_values_it_is_named_as_what_it_is() {
        let form = |body| post("application/x-www-form-urlencoded", body).form::<Name>();
        assert_eq!(form("name=x&other=1&name=x&other=2").unwrap().name, "x");
        let error = form("name=x&name=y").unwrap_err();
        assert_eq!((error.status, error.text), (400, text::FIELD_TWICE));
        assert!(error.cause.contains("`name`"), "{}", error.cause);
        assert_eq!(form("other=x").unwrap_err().text, text::BAD_REQUEST);
    }
}

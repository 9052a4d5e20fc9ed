//! What a program says when it cannot do what was asked: one sentence for the visitor, one for the sysadmin.
//!
//! Each module has an error type of its own where somebody decides on it (`store::Error`, `matrix::Error`,
//! `mail::Error`, ...). Where a request ends, all of them become an [`Error`]: the key of a text in
//! `templates/locales` with a status for the visitor, and the cause for the log. The cause never reaches the visitor.

use super::text_key::{Key, error as text};
use std::fmt;

/// The end of a request that could not be served.
#[derive(Debug)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// The visitor's sentence, below `[error]` in `templates/locales`.
    pub text: Key,
    /// The sysadmin's sentence: what was tried, what came back, which key in the configuration to look at.
    /// Empty where the log has nothing to learn from it.
    pub cause: String,
    /// The methods for the header `Allow`, with status 405.
    pub allow: Option<&'static str>,
    /// Seconds for the header `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Error {
    fn new(status: u16, text: Key, cause: impl Into<String>) -> Error {
        Error { status, text, cause: cause.into(), allow: None, retry_after: None }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(cause: impl Into<String>) -> Error {
        Error::new(400, text::BAD_REQUEST, cause)
    }

    /// 400: the text is not UTF-8.
    pub fn bad_encoding() -> Error {
        Error::new(400, text::BAD_ENCODING, "")
    }

    /// 403: not from here.
    pub fn forbidden(cause: impl Into<String>) -> Error {
        Error::new(403, text::FORBIDDEN, cause)
    }

    /// 405; `allow` lists what the program takes, e.g. `"GET, HEAD, POST"`.
    pub fn method_not_allowed(allow: &'static str) -> Error {
        Error { allow: Some(allow), ..Error::new(405, text::METHOD_NOT_ALLOWED, "") }
    }

    /// 413: the body is larger than `limits.body_bytes`.
    pub fn too_large() -> Error {
        Error::new(413, text::TOO_LARGE, "")
    }

    /// 415: not the content type of a form.
    pub fn unsupported_media_type() -> Error {
        Error::new(415, text::UNSUPPORTED_MEDIA_TYPE, "")
    }

    /// 500: something that should not happen, or the configuration is wrong.
    pub fn internal(cause: impl Into<String>) -> Error {
        Error::new(500, text::INTERNAL, cause)
    }

    /// 503: the request of this link came with another secret key than we have, and waits for the sysadmin.
    pub fn other_key(cause: impl Into<String>) -> Error {
        Error { retry_after: Some(3600), ..Error::new(503, text::OTHER_KEY, cause) }
    }

    /// 503 with `Retry-After`: too much at once, or the database is away.
    pub fn unavailable(cause: impl Into<String>) -> Error {
        Error { retry_after: Some(10), ..Error::new(503, text::UNAVAILABLE, cause) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, if self.cause.is_empty() { self.text.name() } else { &self.cause })
    }
}

impl std::error::Error for Error {}

//! The error that ends a request: one message for the visitor, one for the sysadmin.
//!
//! A module has its own error type if a caller decides on it (`store::Error`, `matrix::Error`, `mail::Error`, ...). At the end
//! of a request all of them become an [`Error`]: for the visitor a status and the key of a text in `templates/locales`, for the
//! log the cause. The visitor never sees the cause.

use super::text_key::{Key, error as text};
use std::fmt;

/// Why a request could not be served.
#[derive(Debug)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// The visitor's message, a key below `[error]` in `templates/locales`.
    pub text: Key,
    /// The sysadmin's message: what was tried, what came back, which configuration key to look at. Empty if there is nothing to
    /// log.
    pub cause: String,
    /// The methods for the `Allow` header, with status 405.
    pub allow: Option<&'static str>,
    /// Seconds for the `Retry-After` header.
    pub retry_after: Option<u32>,
}

impl Error {
    fn new(status: u16, text: Key, cause: impl Into<String>) -> Error {
        Error { status, text, cause: cause.into(), allow: None, retry_after: None }
    }

    /// 400: the request is malformed.
    pub fn bad_request(cause: impl Into<String>) -> Error {
        Error::new(400, text::BAD_REQUEST, cause)
    }

    /// 400: the text is not UTF-8.
    pub(crate) fn bad_encoding() -> Error {
        Error::new(400, text::BAD_ENCODING, "")
    }

    /// 403: the caller is not allowed.
    pub fn forbidden(cause: impl Into<String>) -> Error {
        Error::new(403, text::FORBIDDEN, cause)
    }

    /// 405; `allow` lists the accepted methods, e.g. `"GET, HEAD, POST"`.
    pub fn method_not_allowed(allow: &'static str) -> Error {
        Error { allow: Some(allow), ..Error::new(405, text::METHOD_NOT_ALLOWED, "") }
    }

    /// 413: the body is larger than `limits.body_bytes`.
    pub(crate) fn too_large() -> Error {
        Error::new(413, text::TOO_LARGE, "")
    }

    /// 415: the content type is not that of a form.
    pub(crate) fn unsupported_media_type() -> Error {
        Error::new(415, text::UNSUPPORTED_MEDIA_TYPE, "")
    }

    /// 500: something that should not happen, or a wrong configuration.
    pub fn internal(cause: impl Into<String>) -> Error {
        Error::new(500, text::INTERNAL, cause)
    }

    /// 503: the request behind this link was filed with another secret key and waits for the sysadmin.
    pub(crate) fn other_key(cause: impl Into<String>) -> Error {
        Error { retry_after: Some(3600), ..Error::new(503, text::OTHER_KEY, cause) }
    }

    /// 503 with `Retry-After`: too many requests at once, or the database is not available.
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

//! One answer, complete in memory before its first byte is sent.

use crate::domain::error::Error;
use std::borrow::Cow;
use std::fmt::Write;

/// What no answer of ours has more of, so that room for its headers is allocated once.
const USUAL_HEADERS: usize = 16;

/// Status, headers and body. `Content-Length` and `Status` are added when the answer is written.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Vec<u8>,
    leaves_work: bool,
}

impl Response {
    /// Bytes in which the status and the headers of usual answers fit.
    pub const ROOM: usize = 1024;

    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        let mut headers = Vec::with_capacity(USUAL_HEADERS);
        headers.push(("Content-Type", content_type.into()));
        Response { status, headers, body: body.into(), leaves_work: false }
    }

    pub fn html(status: u16, body: String) -> Response {
        Response::new(status, "text/html; charset=utf-8", body)
    }

    pub fn text(status: u16, body: &str) -> Response {
        Response::new(status, "text/plain; charset=utf-8", body)
    }

    /// An answer with a JSON object.
    pub fn json(status: u16, body: &impl serde::Serialize) -> Response {
        let body = serde_json::to_vec(body).unwrap_or_else(|_| b"{}".to_vec());
        Response::new(status, "application/json", body)
    }

    /// The shortest answer to an error, where no site and no template is at hand: its status in plain text.
    pub fn bare(error: &Error) -> Response {
        Response::text(error.status, &format!("{} {}\n", error.status, reason(error.status))).for_error(error)
    }

    /// Adds the headers that an error requires, unless they are present.
    pub(crate) fn for_error(self, error: &Error) -> Response {
        let allow = error.allow.map(|methods| ("Allow", Cow::from(methods)));
        let retry_after = error.retry_after.map(|seconds| ("Retry-After", Cow::from(seconds.to_string())));
        allow.into_iter().chain(retry_after).fold(self, |response, (name, value)| response.default_header(name, value))
    }

    /// Adds a header unless one of this name is present.
    pub(crate) fn default_header(self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        match self.headers.iter().any(|(present, _)| present.eq_ignore_ascii_case(name)) {
            true => self,
            false => self.header(name, value),
        }
    }

    /// Adds a header. The value is cut at a line break, which would start a second header.
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        let mut value = value.into();
        if let Some(end) = value.bytes().position(|byte| matches!(byte, b'\r' | b'\n')) {
            value.to_mut().truncate(end);
        }
        self.headers.push((name, value));
        self
    }

    /// The gateway is to do the program's work after the answer once this answer is out.
    pub(crate) fn with_work_left(self) -> Response {
        Response { leaves_work: true, ..self }
    }

    pub(crate) fn leaves_work(&self) -> bool {
        self.leaves_work
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The answer in CGI's format (RFC 3875 section 6); `is_head` leaves out the body but keeps its length. A body with
    /// [`Response::ROOM`] behind it stays in its memory, if the headers fit.
    pub fn into_bytes(self, is_head: bool) -> Vec<u8> {
        // RFC 9110 section 8.6: answers with these statuses have no length.
        let has_body = self.status != 204 && self.status != 304;
        let sent = if has_body && !is_head { self.body.len() } else { 0 };
        let has_room = self.body.capacity() - self.body.len() >= Response::ROOM;
        let mut head = String::with_capacity(if has_room { Response::ROOM } else { Response::ROOM + sent });
        // Cannot fail: the answer is in memory.
        let _ = write!(head, "Status: {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            [name, ": ", value, "\r\n"].iter().for_each(|part| head.push_str(part));
        }
        if has_body {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head += "\r\n";
        if sent == 0 || !has_room {
            let mut bytes = head.into_bytes();
            bytes.extend_from_slice(&self.body[..sent]);
            return bytes;
        }
        let mut bytes = self.body;
        bytes.resize(sent + head.len(), 0);
        bytes.copy_within(..sent, head.len());
        bytes[..head.len()].copy_from_slice(head.as_bytes());
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_keeps_the_length_and_drops_the_body() {
        let response = Response::html(200, "<p>ä</p>".into());
        assert!(response.clone().into_bytes(false).ends_with("Content-Length: 9\r\n\r\n<p>ä</p>".as_bytes()));
        assert!(response.into_bytes(true).ends_with(b"Content-Length: 9\r\n\r\n"));
    }

    #[test]
    fn a_body_with_room_behind_it_is_sent_like_any_other() {
        let roomy = |text: &str| {
            let mut body = Vec::with_capacity(text.len() + Response::ROOM);
            body.extend_from_slice(text.as_bytes());
            body
        };
        for (text, is_head) in [("", false), ("x", false), ("<p>ä</p>", false), ("<p>ä</p>", true)] {
            let [one, other] = [roomy(text), text.into()].map(|body| Response::new(200, "text/html", body).into_bytes(is_head));
            assert_eq!(one, other);
            assert!(one.ends_with(if is_head { "\r\n\r\n" } else { text }.as_bytes()));
        }
        let body = roomy(&"x".repeat(100_000));
        let place = body.as_ptr();
        let bytes = Response::new(200, "text/html", body).into_bytes(false);
        assert_eq!(bytes.as_ptr(), place, "it is not copied elsewhere");
    }

    #[test]
    fn a_bare_answer_has_what_its_status_demands_once() {
        let bare = Response::bare(&Error::unavailable("database")).for_error(&Error::unavailable(""));
        let text = String::from_utf8(bare.into_bytes(false)).unwrap();
        assert_eq!(text.matches("Retry-After: 10\r\n").count(), 1, "{text}");
        assert!(text.ends_with("\r\n\r\n503 Service Unavailable\n") && !text.contains("database"), "{text}");
    }

    #[test]
    fn no_content_has_no_length() {
        assert!(!String::from_utf8(Response::text(204, "").into_bytes(false)).unwrap().contains("Content-Length"));
    }

    #[test]
    fn no_value_can_add_a_header() {
        let response = Response::text(200, "").header("X-Name", "a\r\nSet-Cookie: b");
        assert!(!String::from_utf8(response.into_bytes(false)).unwrap().contains("Set-Cookie"));
    }
}

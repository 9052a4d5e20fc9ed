//! One answer, complete in memory before the first byte leaves.

/// Status, headers and body. `Content-Length` and `Status` are added on the way out.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Response {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, headers: vec![("Content-Type", content_type.into())], body: body.into() }
    }

    pub fn html(status: u16, body: String) -> Response {
        Response::new(status, "text/html; charset=utf-8", body)
    }

    pub fn text(status: u16, body: &str) -> Response {
        Response::new(status, "text/plain; charset=utf-8", body)
    }

    /// A JSON object; the contracts never want anything else.
    pub fn json(status: u16, body: &impl serde::Serialize) -> Response {
        let body = serde_json::to_vec(body).unwrap_or_else(|_| b"{}".to_vec());
        Response::new(status, "application/json", body)
    }

    /// Adds a header. A value with a line break would be a second header: it is cut there.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        let mut value: String = value.into();
        value.truncate(value.find(['\r', '\n']).unwrap_or(value.len()));
        self.headers.push((name, value));
        self
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The answer as CGI wants it (RFC 3875 section 6); `head` leaves the body out and keeps its length.
    pub fn to_bytes(&self, head: bool) -> Vec<u8> {
        let mut bytes = format!("Status: {} {}\r\n", self.status, reason(self.status)).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        if !head {
            bytes.extend_from_slice(&self.body);
        }
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
        assert!(response.to_bytes(false).ends_with("Content-Length: 9\r\n\r\n<p>ä</p>".as_bytes()));
        assert!(response.to_bytes(true).ends_with(b"Content-Length: 9\r\n\r\n"));
    }

    #[test]
    fn no_value_can_add_a_header() {
        let response = Response::text(200, "").header("X-Name", "a\r\nSet-Cookie: b");
        assert!(!String::from_utf8(response.to_bytes(false)).unwrap().contains("Set-Cookie"));
    }
}

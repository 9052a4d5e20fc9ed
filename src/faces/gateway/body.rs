//! The body of a request, read once and within its limit.

use crate::domain::error::Error;
use std::io::Read;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Plain CGI: by `CONTENT_LENGTH` alone. Standard input need not end there, and without the variable there is no body (RFC
    /// 3875 section 4.2).
    Counted,
    /// FastCGI: the stream ends, even if a web server passes on a chunked body without `CONTENT_LENGTH`. The same holds for plain
    /// CGI if the web server says that the body was chunked ([`Framing::of_plain_cgi`]).
    Ended,
}

impl Framing {
    /// The framing of a plain CGI request with these two variables.
    ///
    /// Apache (mod_cgi, mod_cgid) decodes the chunks, sends no length, and closes standard input after the body; other web servers
    /// send the length. Web servers answer 501 to codings that they do not know (RFC 9112 section 6.1).
    pub(crate) fn of_plain_cgi(content_length: Option<&str>, transfer_encoding: Option<&str>) -> Framing {
        let is_chunked = transfer_encoding.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
        match content_length {
            None | Some("") if is_chunked => Framing::Ended,
            _ => Framing::Counted,
        }
    }
}

/// Bytes for which room is made on the word of the web server alone, enough for a large address book. Until something is written
/// into it, this is no memory but a range of addresses.
const MOST_FORESEEN: u64 = 1024 * 1024;

/// Reads the body that `content_length` announces: 413 if it is larger than `limit` bytes, 400 if its length differs from the
/// announced one. Never reads more than one byte past the limit or the announced length.
pub fn read(stream: &mut dyn Read, framing: Framing, content_length: Option<&str>, limit: u64) -> Result<Vec<u8>, Error> {
    let announced = length(content_length)?;
    if announced.is_some_and(|length| length > limit) {
        return Err(Error::too_large());
    }
    let wanted = match framing {
        Framing::Counted => announced.unwrap_or(0),
        Framing::Ended => announced.unwrap_or(limit) + 1,
    };
    let mut body = Vec::with_capacity(announced.unwrap_or(0).min(MOST_FORESEEN) as usize);
    stream.take(wanted).read_to_end(&mut body).map_err(|cause| Error::bad_request(format!("the body broke off: {cause}")))?;
    match announced {
        Some(length) if body.len() as u64 != length => Err(Error::bad_request("the body is not as long as CONTENT_LENGTH says")),
        None if body.len() as u64 > limit => Err(Error::too_large()),
        _ => Ok(body),
    }
}

/// The number in `CONTENT_LENGTH`. Digits only, as `u64::from_str` would accept a sign. A number too large for 64 bits counts
/// as a large number.
pub fn length(content_length: Option<&str>) -> Result<Option<u64>, Error> {
    match content_length {
        None | Some("") => Ok(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(digits.parse().unwrap_or(u64::MAX))),
        Some(_) => Err(Error::bad_request("CONTENT_LENGTH is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(framing: Framing, content_length: Option<&str>, sent: &str) -> Result<usize, u16> {
        read(&mut sent.as_bytes(), framing, content_length, 10).map(|body| body.len()).map_err(|error| error.status)
    }

    #[test]
    fn a_body_is_taken_up_to_the_limit_and_not_a_byte_further() {
        assert_eq!(outcome(Framing::Counted, Some("10"), "0123456789"), Ok(10));
        assert_eq!(outcome(Framing::Counted, Some("11"), "0123456789a"), Err(413));
        assert_eq!(outcome(Framing::Ended, None, "0123456789"), Ok(10));
        assert_eq!(outcome(Framing::Ended, None, "0123456789a"), Err(413));
        assert_eq!(outcome(Framing::Ended, Some("99999999999999999999999"), ""), Err(413));
    }

    #[test]
    fn a_length_that_lies_or_is_no_number_is_400() {
        for lie in ["3", "5", "-4", "+4", "four", "4 "] {
            assert_eq!(outcome(Framing::Ended, Some(lie), "four"), Err(400), "{lie}");
        }
        assert_eq!(outcome(Framing::Counted, Some("5"), "four"), Err(400));
    }

    #[test]
    fn a_body_in_chunks_is_read_to_its_end_only_where_nobody_counted_it() {
        assert_eq!(Framing::of_plain_cgi(None, Some("chunked")), Framing::Ended);
        assert_eq!(Framing::of_plain_cgi(Some(""), Some("Chunked ")), Framing::Ended);
        for (length, coding) in [(Some("4"), Some("chunked")), (None, None), (None, Some("gzip")), (None, Some("gzip, chunked"))] {
            assert_eq!(Framing::of_plain_cgi(length, coding), Framing::Counted, "{length:?} {coding:?}");
        }
    }

    #[test]
    fn plain_cgi_takes_the_announced_bytes_and_leaves_the_rest() {
        assert_eq!(outcome(Framing::Counted, Some("3"), "four"), Ok(3));
        assert_eq!(outcome(Framing::Counted, None, "four"), Ok(0));
        assert_eq!(outcome(Framing::Counted, Some(""), "four"), Ok(0));
    }
}

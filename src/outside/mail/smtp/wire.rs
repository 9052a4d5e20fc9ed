//! The wire of an SMTP conversation (RFC 5321): lines sent and replies received, each within its time limit.
//!
//! Only the code of a reply counts; its text may be missing (RFC 5321, 4.2). A mail accepted with a bare `250` must not be sent
//! again.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest reply that is read, in bytes; Postfix has the same limit.
const LONGEST_REPLY: usize = 100_000;

/// Why a step of the conversation failed.
#[derive(Debug)]
pub enum Trouble {
    /// The server refused, for now (4yz) or permanently (5yz).
    Refused(Reply),
    /// The connection could not be made, broke, or was silent for too long.
    Broken(io::Error),
    /// The server sent something unexpected, or does not offer what is needed.
    Unfit(String),
}

impl Trouble {
    /// The reply with which the server refused.
    pub fn refusal(&self) -> Option<&Reply> {
        match self {
            Trouble::Refused(reply) => Some(reply),
            Trouble::Broken(_) | Trouble::Unfit(_) => None,
        }
    }

    /// Linux reports a read time-out as "would block".
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Trouble::Broken(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Refused(reply) => write!(f, "{} {}", reply.code, reply.text()),
            Trouble::Broken(cause) => cause.fmt(f),
            Trouble::Unfit(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(cause: io::Error) -> Trouble {
        Trouble::Broken(cause)
    }
}

/// A mail server's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, the first from 2 to 5.
    pub code: u16,
    /// The text after the code in each line; empty if there is none.
    lines: Vec<String>,
}

impl Reply {
    /// All lines as one text. An enhanced status code (RFC 2034), which servers repeat in each line, appears once.
    pub fn text(&self) -> String {
        let Some((first, rest)) = self.lines.split_first() else { return String::new() };
        let status = first.split(' ').next().filter(|word| word.matches('.').count() == 2).unwrap_or("");
        let more = rest.iter().map(|line| line.strip_prefix(status).unwrap_or(line).trim_start());
        std::iter::once(first.as_str()).chain(more).collect::<Vec<_>>().join(" ")
    }

    /// The lines after the first: the extensions in an answer to EHLO.
    fn offers(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().skip(1).map(|line| line.trim())
    }

    /// The reply if its code begins with `digit`.
    pub(crate) fn wanting(self, digit: u16) -> Result<Reply, Trouble> {
        match self.code / 100 {
            class if class == digit => Ok(self),
            4 | 5 => Err(Trouble::Refused(self)),
            _ => Err(Trouble::Unfit(format!("an answer that does not fit: {} {}", self.code, self.text()))),
        }
    }
}

/// A connection to a mail server.
pub(crate) struct Wire {
    stream: Stream,
    /// Bytes read that belong to the next reply.
    ahead: Vec<u8>,
    /// For connecting and for each reply.
    timeout: Duration,
    /// The answer to EHLO.
    greeting: Option<Reply>,
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Connects to the first of the host's addresses that accepts the connection, without waiting for the greeting.
    pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Wire, Trouble> {
        let mut failed = io::Error::new(ErrorKind::NotFound, "the name of the host leads to no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Ok(Wire { stream: Stream::Clear(stream), ahead: Vec::new(), timeout, greeting: None }),
                Err(cause) => failed = cause,
            }
        }
        Err(failed.into())
    }

    /// Switches to TLS. The certificate is checked when the next reply is read.
    pub fn encrypted(self, host: &str, config: ClientConfig) -> Result<Wire, Trouble> {
        // Such text was sent in clear, but would be taken for the server's encrypted reply.
        if !self.ahead.is_empty() {
            return Err(Trouble::Unfit("words behind the answer to STARTTLS".into()));
        }
        let Stream::Clear(stream) = self.stream else { return Err(Trouble::Unfit("TLS within TLS".into())) };
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| Trouble::Unfit("the host's name is none that a certificate has".into()))?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(|cause| Trouble::Unfit(cause.to_string()))?;
        Ok(Wire { stream: Stream::Tls(Box::new(StreamOwned::new(session, stream))), greeting: None, ..self })
    }

    /// Waits for the server's greeting.
    pub fn welcome(&mut self) -> Result<(), Trouble> {
        self.reply(Instant::now() + self.timeout)?.wanting(2).map(drop)
    }

    /// Sends the greeting and keeps the server's list of extensions.
    pub(crate) fn greet(&mut self, name: &str) -> Result<(), Trouble> {
        self.greeting = Some(self.command(&format!("EHLO {name}"), 2)?);
        Ok(())
    }

    /// Whether the server offers this extension.
    pub(crate) fn offers(&self, keyword: &str) -> bool {
        self.greeting.iter().flat_map(Reply::offers).any(|line| line.eq_ignore_ascii_case(keyword))
    }

    /// Whether the server offers this way to log in. `AUTH=` is a spelling from before RFC 4954.
    pub(crate) fn offers_login_by(&self, mechanism: &str) -> bool {
        let lines = self.greeting.iter().flat_map(Reply::offers);
        let ways = lines.filter_map(|line| {
            line.get(..5).filter(|start| ["AUTH ", "AUTH="].iter().any(|known| start.eq_ignore_ascii_case(known))).map(|_| &line[5..])
        });
        ways.flat_map(str::split_whitespace).any(|way| way.eq_ignore_ascii_case(mechanism))
    }

    /// Sends a line and waits for a reply whose code begins with `digit`.
    pub fn command(&mut self, line: &str, digit: u16) -> Result<Reply, Trouble> {
        self.command_either(line)?.wanting(digit)
    }

    /// Sends a line and waits for a reply with any code.
    pub(crate) fn command_either(&mut self, line: &str) -> Result<Reply, Trouble> {
        let deadline = Instant::now() + self.timeout;
        self.send(format!("{line}\r\n").as_bytes(), deadline)?;
        self.reply(deadline)
    }

    /// Sends a mail, whose lines end with CR LF, after DATA.
    pub fn content(&mut self, mail: &[u8]) -> Result<(), Trouble> {
        self.send(&ended(mail), Instant::now() + self.timeout)?;
        self.reply(Instant::now() + self.timeout)?.wanting(2).map(drop)
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            self.stream.wait_until(deadline)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(written) => bytes = &bytes[written..],
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(self.stream.flush()?)
    }

    fn reply(&mut self, deadline: Instant) -> Result<Reply, Trouble> {
        let (mut lines, mut length) = (Vec::new(), 0);
        let mut code = None;
        loop {
            let line = self.line(deadline)?;
            length += line.len();
            let parsed = parse(&line).filter(|parsed| length <= LONGEST_REPLY && *code.get_or_insert(parsed.0) == parsed.0);
            let Some((code, is_last, text)) = parsed else {
                return Err(Trouble::Unfit(format!("no answer of a mail server: {}", line.trim_end())));
            };
            lines.push(text.to_owned());
            if is_last {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// The next line, including its end.
    fn line(&mut self, deadline: Instant) -> Result<String, Trouble> {
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                return Ok(String::from_utf8_lossy(&self.ahead.drain(..=end).collect::<Vec<_>>()).into_owned());
            }
            if self.ahead.len() > LONGEST_REPLY {
                return Err(Trouble::Unfit("an answer without an end".into()));
            }
            self.stream.wait_until(deadline)?;
            let mut read = [0; 4096];
            match self.stream.read(&mut read) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server hung up").into()),
                Ok(length) => self.ahead.extend_from_slice(&read[..length]),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause.into()),
            }
        }
    }
}

impl Stream {
    /// Sets the time limit of the next read or write.
    fn wait_until(&self, deadline: Instant) -> io::Result<()> {
        let socket = match self {
            Stream::Clear(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        socket.set_write_timeout(Some(left))
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(stream) => stream.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Clear(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// The code of a line, whether it is the last one, and its text: `250-text` continues, `250 text` and a bare `250` do not.
fn parse(line: &str) -> Option<(u16, bool, &str)> {
    let line = line.trim_end_matches(['\r', '\n']);
    let digits = line.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let code = digits.parse().ok().filter(|code| (200..600).contains(code))?;
    let rest = &line[3..];
    match rest.chars().next() {
        None => Some((code, true, "")),
        Some(' ') => Some((code, true, &rest[1..])),
        Some('-') => Some((code, false, &rest[1..])),
        Some(_) => None,
    }
}

/// Doubles the dot at the beginning of a line, and appends the dot that ends a mail (RFC 5321, 4.5.2).
fn ended(mail: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(mail.len() + mail.len() / 64 + 8);
    let mut begins = true;
    for &byte in mail {
        if begins && byte == b'.' {
            content.push(b'.');
        }
        content.push(byte);
        begins = byte == b'\n';
    }
    if !content.ends_with(b"\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(b".\r\n");
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_reply_is_read_by_its_code() {
        for (line, read) in [
            ("250 OK\r\n", Some((250, true, "OK"))),
            ("250-SIZE 10\r\n", Some((250, false, "SIZE 10"))),
            ("250\r\n", Some((250, true, ""))),
            ("250 \r\n", Some((250, true, ""))),
            ("250-\r\n", Some((250, false, ""))),
            ("250\n", Some((250, true, ""))),
            ("354\r\n", Some((354, true, ""))),
            ("550 \u{fffd}\r\n", Some((550, true, "\u{fffd}"))),
            ("2500 OK\r\n", None),
            ("25\r\n", None),
            ("150 OK\r\n", None),
            ("999 what\r\n", None),
            ("HTTP/1.1 400 Bad Request\r\n", None),
            ("ü50\r\n", None),
            ("\r\n", None),
        ] {
            assert_eq!(parse(line), read, "{line:?}");
        }
    }

    #[test]
    fn an_enhanced_status_code_is_told_once() {
        let reply = |lines: &[&str]| Reply { code: 550, lines: lines.iter().map(|&line| line.to_owned()).collect() }.text();
        assert_eq!(reply(&["5.7.25 no PTR record,", "5.7.25 nothing is taken"]), "5.7.25 no PTR record, nothing is taken");
        assert_eq!(reply(&["no", "thanks"]), "no thanks");
        assert_eq!(reply(&["", ""]), " ");
        assert_eq!(reply(&[""]), "");
    }

    #[test]
    fn a_dot_at_the_beginning_of_a_line_does_not_end_a_mail() {
        assert_eq!(ended(b".a\r\n.\r\nb.\r\n"), b"..a\r\n..\r\nb.\r\n.\r\n");
        assert_eq!(ended(b"a"), b"a\r\n.\r\n");
        assert_eq!(ended(b""), b"\r\n.\r\n");
    }
}

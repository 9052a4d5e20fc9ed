//! A FastCGI web server, record by record, so that each record can be wrong.

use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

pub const BEGIN: u8 = 1;
pub const PARAMS: u8 = 4;
pub const STDIN: u8 = 5;
const END: u8 = 3;
const STDOUT: u8 = 6;

pub struct Connection {
    pub stream: UnixStream,
}

/// The parameters of nginx's `fastcgi_params` in its order, without those that no test uses.
pub fn params<'a>(method: &'a str, query: &'a str) -> Vec<(&'a str, &'a [u8])> {
    let all = [
        ("QUERY_STRING", query),
        ("REQUEST_METHOD", method),
        ("SCRIPT_NAME", "/echo"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "192.0.2.1"),
        ("REMOTE_USER", ""),
        ("SERVER_NAME", "localhost"),
    ];
    all.into_iter().map(|(name, value)| (name, value.as_bytes())).collect()
}

impl Connection {
    pub fn open(path: &Path) -> Connection {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        Connection { stream }
    }

    /// `None` if the queue of the socket is full.
    pub fn try_open(path: &Path) -> Option<Connection> {
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None).unwrap();
        net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).ok()?;
        Some(Connection { stream: socket.into() })
    }

    pub fn record(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let length = (content.len() as u16).to_be_bytes();
        let mut record = vec![1, kind, 0, 1, length[0], length[1], 0, 0];
        record.extend_from_slice(content);
        self.stream.write_all(&record)
    }

    pub fn begin(&mut self) -> io::Result<()> {
        self.record(BEGIN, &[0, 1, 0, 0, 0, 0, 0, 0])
    }

    pub fn begin_and_keep(&mut self) -> io::Result<()> {
        self.record(BEGIN, &[0, 1, 1, 0, 0, 0, 0, 0])
    }

    pub fn params(&mut self, params: &[(&str, &[u8])]) -> io::Result<()> {
        let mut content = Vec::new();
        for (name, value) in params {
            content.extend(pair_length(name.len()).into_iter().chain(pair_length(value.len())));
            content.extend(name.bytes().chain(value.iter().copied()));
        }
        for chunk in content.chunks(60_000) {
            self.record(PARAMS, chunk)?;
        }
        self.record(PARAMS, &[])
    }

    pub fn body(&mut self, body: &[u8]) -> io::Result<()> {
        for chunk in body.chunks(60_000) {
            self.record(STDIN, chunk)?;
        }
        self.record(STDIN, &[])
    }

    /// The standard output of the next request up to its end, or up to where the connection broke.
    pub fn answer(&mut self) -> String {
        let mut out = Vec::new();
        while let Ok((kind, content)) = self.read_record() {
            match kind {
                STDOUT => out.extend(content),
                END => break,
                _ => {}
            }
        }
        String::from_utf8(out).unwrap()
    }

    /// Waits until the program has ended the connection; false if it sends something else.
    pub fn is_at_its_end(&mut self) -> bool {
        self.read_record().is_err_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
    }

    fn read_record(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header)?;
        let mut content = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]])) + usize::from(header[6])];
        self.stream.read_exact(&mut content)?;
        content.truncate(content.len() - usize::from(header[6]));
        Ok((header[1], content))
    }

    /// Sends a whole request and reads its answer; a program that answers early may have stopped reading.
    pub fn ask(&mut self, params: &[(&str, &[u8])], body: &[u8]) -> String {
        let _ = self.begin().and_then(|()| self.params(params)).and_then(|()| self.body(body));
        self.answer()
    }

    pub fn get(&mut self, query: &str) -> String {
        self.ask(&params("GET", query), b"")
    }

    pub fn post(&mut self, content_length: &str, body: &[u8]) -> String {
        let mut params = params("POST", "");
        params.push(("CONTENT_LENGTH", content_length.as_bytes()));
        self.ask(&params, body)
    }
}

fn pair_length(length: usize) -> Vec<u8> {
    if length < 128 { vec![length as u8] } else { (length as u32 | 0x8000_0000).to_be_bytes().into() }
}

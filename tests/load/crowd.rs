//! Many visitors in one thread: each sends one request and reads its answer to the end.

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit};
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// Descriptors that this process needs for other things, and that an nginx worker with the same limit needs for upstream
/// connections.
const RESERVED: u64 = 6000;

/// The answer to one visitor.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `None`: the connection broke, or there was no answer in time.
    pub status: Option<u16>,
    pub text: String,
    pub after: Duration,
}

impl Answer {
    pub fn has(&self, line: &str) -> bool {
        self.text.to_lowercase().contains(&line.to_lowercase())
    }

    /// A 503 that says when to come back.
    pub fn is_honest_refusal(&self) -> bool {
        matches!(self.status, Some(503 | 429)) && self.has("\r\nretry-after: ")
    }
}

/// One request: these bytes to this port of loopback.
#[derive(Debug, Clone)]
pub struct Asked {
    pub port: u16,
    pub bytes: Vec<u8>,
}

impl Asked {
    pub fn get(port: u16, path: &str) -> Asked {
        Asked { port, bytes: format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").into_bytes() }
    }

    pub fn post(port: u16, path: &str, content_type: &str, body: &str) -> Asked {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept-Language: en\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
        );
        Asked { port, bytes: format!("{head}{body}").into_bytes() }
    }
}

/// The number of connections that this process may hold.
pub fn most_at_once() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
    rustix::process::getrlimit(Resource::Nofile).current.map_or(100_000, |most| most.saturating_sub(RESERVED)) as usize
}

struct Visitor {
    stream: TcpStream,
    written: usize,
    read: Vec<u8>,
    since: Instant,
}

/// Sends all requests, as many at once as descriptors allow; each has `patience`. The answers are in the order of the requests.
pub fn ask(all: &[Asked], patience: Duration) -> Vec<Answer> {
    let most = most_at_once();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let mut answers: Vec<Option<Answer>> = vec![None; all.len()];
    let mut visitors: Vec<Option<Visitor>> = Vec::with_capacity(all.len());
    let (mut open, mut oldest) = (0, 0);
    while answers.iter().skip(oldest).any(Option::is_none) {
        while visitors.len() < all.len() && open < most {
            let index = visitors.len();
            let visitor = Visitor { stream: connect(all[index].port), written: 0, read: Vec::new(), since: Instant::now() };
            epoll::add(&poll, &visitor.stream, EventData::new_u64(index as u64), EventFlags::IN | EventFlags::OUT | EventFlags::ET)
                .unwrap();
            visitors.push(Some(visitor));
            open += 1;
        }
        for index in ready(&poll) {
            let Some(visitor) = &mut visitors[index] else { continue };
            if let Some(answer) = visitor.go_on(&all[index].bytes) {
                answers[index] = Some(answer);
                visitors[index] = None;
                open -= 1;
            }
        }
        while oldest < visitors.len() && visitors[oldest].as_ref().is_none_or(|visitor| visitor.since.elapsed() > patience) {
            if let Some(visitor) = visitors[oldest].take() {
                answers[oldest] = Some(visitor.answer(None));
                open -= 1;
            }
            oldest += 1;
        }
    }
    answers.into_iter().flatten().collect()
}

fn ready(poll: &rustix::fd::OwnedFd) -> Vec<usize> {
    let mut events = [MaybeUninit::<epoll::Event>::uninit(); 1024];
    let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    match epoll::wait(poll, &mut events, Some(&wait)) {
        Ok((ready, _)) => ready.iter().map(|event| event.data.u64() as usize).collect(),
        Err(Errno::INTR) => Vec::new(),
        Err(cause) => panic!("epoll: {cause}"),
    }
}

/// Starts a connection: if the server's queue is full the kernel tries again, as for any visitor.
fn connect(port: u16) -> TcpStream {
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
        .unwrap_or_else(|cause| panic!("one more socket: {cause}"));
    match net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(cause) => panic!("cannot connect: {cause}"),
    }
    TcpStream::from(socket)
}

impl Visitor {
    /// Continues without waiting; returns the answer once it is complete.
    fn go_on(&mut self, bytes: &[u8]) -> Option<Answer> {
        while self.written < bytes.len() {
            match self.stream.write(&bytes[self.written..]) {
                Ok(count) => self.written += count,
                Err(cause) if is_not_yet(&cause) => break,
                // The server's answer may still be readable after it closed the connection.
                Err(_) => self.written = bytes.len(),
            }
        }
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Some(self.answer(status(&self.read))),
                Ok(count) => self.read.extend_from_slice(&piece[..count]),
                Err(cause) if is_not_yet(&cause) => return None,
                Err(_) => return Some(self.answer(status(&self.read))),
            }
        }
    }

    fn answer(&self, status: Option<u16>) -> Answer {
        Answer { status, text: String::from_utf8_lossy(&self.read).into_owned(), after: self.since.elapsed() }
    }
}

fn is_not_yet(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
}

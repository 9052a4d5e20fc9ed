//! Malformed records end their connection, and nothing else.

use crate::generate::damaged;
use crate::promises::{Scratch, World};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const BEGIN: u8 = 1;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;

/// The program `register` on a socket.
struct Server {
    program: Child,
    socket: PathBuf,
    _world: World,
    _scratch: Scratch,
}

/// The name of the file decides which program it is.
fn link_or_copy(program: &Path, place: &Path) {
    std::fs::hard_link(program, place).or_else(|_| std::fs::copy(program, place).map(drop)).expect("a program in the folder");
}

impl Server {
    fn start() -> Server {
        let (world, scratch) = (World::new(), Scratch::new());
        let socket = scratch.0.join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let register = scratch.0.join("register");
        // The copy that `tests/run` made may be in the same file system.
        let built = std::env::var_os("TEST_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_matrix-register-bot").into(), PathBuf::from);
        link_or_copy(&built, &register);
        let program = Command::new(register)
            .env("MATRIX_REGISTER_BOT_CONFIG", world.config_path())
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Server { program, socket, _world: world, _scratch: scratch }
    }

    /// Sends bytes on a new connection and waits for its end.
    fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut connection = UnixStream::connect(&self.socket).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The program may close the connection before everything is written or read.
        let _ = connection.write_all(bytes);
        let _ = connection.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        if let Err(cause) = connection.read_to_end(&mut answer) {
            assert_ne!(cause.kind(), std::io::ErrorKind::WouldBlock, "the connection hangs");
        }
        answer
    }

    fn workers(&self) -> String {
        let id = self.program.id();
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.program);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.program.wait();
    }
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
}

/// A request for the form as nginx sends it.
fn good_request() -> Vec<u8> {
    let variables = [
        ("QUERY_STRING", "lang=de"),
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", "/register"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "192.0.2.1"),
        ("SERVER_NAME", "register.example.org"),
    ];
    let pair = |(name, value): (&str, &str)| [&[name.len() as u8, value.len() as u8], name.as_bytes(), value.as_bytes()].concat();
    let params: Vec<u8> = variables.into_iter().flat_map(pair).collect();
    [record(BEGIN, &[0, 1, 0, 0, 0, 0, 0, 0]), record(PARAMS, &params), record(PARAMS, b""), record(STDIN, b"")].concat()
}

fn is_the_form(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).contains("Status: 200 OK")
}

#[test]
fn no_record_ends_the_program_or_another_connection() {
    let server = Server::start();
    assert!(is_the_form(&server.send(&good_request())));
    let workers = server.workers();
    proptest!(|(records in damaged(Just(good_request()), vec(any::<u8>(), 0..40)))| {
        server.send(&records);
    });
    assert!(is_the_form(&server.send(&good_request())));
    assert_eq!(server.workers(), workers, "the worker is still the same");
}

#[test]
fn every_connection_of_the_fuzzers_corpus_ends_and_the_next_is_served() {
    let server = Server::start();
    let workers = {
        assert!(is_the_form(&server.send(&good_request())));
        server.workers()
    };
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/fastcgi");
    for input in std::fs::read_dir(corpus).unwrap() {
        let answer = server.send(&std::fs::read(input.unwrap().path()).unwrap());
        assert!(!String::from_utf8_lossy(&answer).contains("Status: 5"));
    }
    assert!(is_the_form(&server.send(&good_request())));
    assert_eq!(server.workers(), workers, "the worker is still the same");
}

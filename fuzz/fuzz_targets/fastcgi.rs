//! FastCGI records from libFuzzer: a worker of `register` within this process, and a connection for each input.
//!
//! The crate panics on malformed records, and libFuzzer's panic hook would end the process. The worker's hook
//! (`outside::panics`) runs first and passes on only panics that are neither the crate's nor caught by us. Those are findings,
//! and so are a 500 and a connection that hangs.
#![no_main]

#[path = "../../tests/properties/promises/mod.rs"]
mod promises;

use matrix_register_bot::faces::gateway::{self, Fail, PaceOf, Program};
use matrix_register_bot::outside::cgi::Response;
use matrix_register_bot::domain::config::CONFIG_VARIABLE;
use matrix_register_bot::faces::pages::register;
use promises::{Scratch, World};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

static SOCKET: LazyLock<PathBuf> = LazyLock::new(|| {
    let (world, scratch) = (World::new(), Scratch::new());
    let socket = scratch.0.join("socket");
    let listener = UnixListener::bind(&socket).expect("the folder is ours");
    rustix::stdio::dup2_stdin(&listener).expect("there is a standard input");
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string()).unwrap_or_default();
    // SAFETY: no other thread of this program runs yet, and libFuzzer's thread does not read the environment.
    unsafe {
        std::env::set_var(CONFIG_VARIABLE, world.config_path());
        std::env::set_var("MATRIX_REGISTER_BOT_WORKER_OF", parent);
    }
    // Both live as long as the process.
    std::mem::forget((world, scratch));
    let serve = || {
        let (pace, fail): (PaceOf, Fail) = (gateway::by_method, |_, _, error| Response::bare(error));
        gateway::serve(Program { name: "register", body_limit: |_| 64 * 1024, pace, fail, respond: register::show })
    };
    // A panic in an unnamed thread counts as a broken connection.
    std::thread::Builder::new().name("worker".into()).spawn(serve).expect("a thread can be started");
    socket
});

fn send(records: &[u8]) -> Vec<u8> {
    let mut connection = UnixStream::connect(&*SOCKET).expect("the worker listens");
    connection.set_read_timeout(Some(Duration::from_secs(10))).expect("it is not zero");
    // The worker may close the connection before everything is written or read.
    let _ = connection.write_all(records);
    let _ = connection.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(cause) = connection.read_to_end(&mut answer) {
        assert_ne!(cause.kind(), ErrorKind::WouldBlock, "the connection hangs");
    }
    answer
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let answer = send(data);
    assert!(!answer.windows(9).any(|nine| nine == b"Status: 5"), "{}", String::from_utf8_lossy(&answer));
});

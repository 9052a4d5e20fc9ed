//! The gateway to the web server: one `main` for all programs, as plain CGI or as FastCGI.
//!
//! The type of file descriptor 0 tells how a program was started:
//!
//! * plain CGI (fcgiwrap, mod_cgid, lighttpd): one request, answered by this process (`plain`);
//! * FastCGI (a listening socket: spawn-fcgi, systemd socket units, mod_fcgid): this process starts a worker of the same
//!   program and supervises it (`supervisor`); the worker serves until SIGTERM or SIGINT (`fastcgi`).
//!
//! Either way a request goes through `program`, which checks its variables (`variables`), opens its site (`configurations`,
//! `sites`), reads its body (`body`), waits for its turn (`gate`), and turns a panic into a 500 ([`crate::outside::panics`]).
//!
//! | limit | where | answer |
//! |---|---|---|
//! | variables: 64 KiB together | `variables::MAX_BYTES` | 431 |
//! | body | `limits.body_bytes`, `internal.body_bytes` | 413 |
//! | running requests | `limits.concurrent_requests`; three quarters of that for those that may wait for a peer | waits 10 s, then 503 |
//! | waiting requests | 256 (`gate::WAITING_ROOM`) that may wait for a peer, and 256 that only read | 503 at once |
//! | requests in progress, those that are still being received included | 640, and the backlog of the socket | wait in the backlog |
//! | connections, idle ones included | 1280, briefly up to 2048 descriptors, and the backlog of the socket | wait in the backlog |
//! | end of running requests after SIGTERM, and of kept connections after an upgrade | 30 s | |

mod body;
mod configurations;
mod fastcgi;
mod gate;
mod plain;
mod program;
mod shell;
mod sites;
mod supervisor;
mod variables;

pub(crate) use gate::Pace;
pub use program::{Afterwards, BodyLimit, Fail, PaceOf, Program, Respond};

use crate::outside::cgi::{Method, Request};
use crate::outside::site::Site;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Serves a program as plain CGI, or as FastCGI if file descriptor 0 is a listening socket.
///
/// `fail` answers a request that ended with an error, possibly before its site was opened (`None`); the simplest such answer is
/// [`crate::outside::cgi::Response::bare`]. The headers that [`crate::domain::error::Error`] requires are added here, and its
/// cause is logged here.
pub fn serve(program: Program) -> ExitCode {
    if !is_listening_socket() {
        return shell::explain(program.name).unwrap_or_else(|| plain::run(program));
    }
    match supervisor::is_worker() {
        true => fastcgi::run(program, fastcgi::Orders { stop: flag_of(&[SIGTERM]), retire: flag_of(&[SIGINT]) }),
        false => {
            // The supervisor's pause has to be interrupted, and nothing more.
            flag_of(&[SIGCHLD]);
            supervisor::run(program.name, &flag_of(&[SIGTERM, SIGINT]))
        }
    }
}

/// The pace of a public program: a request that changes something may wait for the homeserver or the mail server.
pub fn by_method(request: &Request) -> Pace {
    match request.method() {
        Method::Get | Method::Options => Pace::Reads,
        Method::Post | Method::Other => Pace::MayWait,
    }
}

/// The answer of [`serve`] to one plain CGI request, within this process, e.g. for tests that make many requests.
pub fn answer(
    program: &'static str,
    (body_limit, fail, respond): (BodyLimit, Fail, Respond),
    environment: impl Iterator<Item = (OsString, OsString)>,
    body: &mut dyn Read,
) -> Vec<u8> {
    plain::answer(Program { name: program, body_limit, pace: by_method, fail, respond, afterwards: nothing }, environment, body)
}

/// For programs whose answers leave no work.
pub fn nothing(_: &Site) {}

fn is_listening_socket() -> bool {
    rustix::net::sockopt::socket_acceptconn(std::io::stdin()).unwrap_or(false)
}

/// Set by any of these signals.
fn flag_of(signals: &[i32]) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in signals {
        // Fails only for signals that cannot be caught; these can.
        let _ = signal_hook::flag::register(*signal, flag.clone());
    }
    flag
}

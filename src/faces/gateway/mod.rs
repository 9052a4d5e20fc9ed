//! The gateway to the web server: one `main` for all programs, as plain CGI or as FastCGI.
//!
//! A program is started in one of two ways, told apart by what file descriptor 0 is:
//!
//! * plain CGI (fcgiwrap, mod_cgid, lighttpd): one request, answered by this process (`plain`);
//! * FastCGI (a listening socket: spawn-fcgi, systemd socket units, mod_fcgid): this process starts a worker of itself and
//!   looks after it (`supervisor`); the worker serves until SIGTERM or SIGINT (`fastcgi`).
//!
//! Either way a request goes through `program`: its variables are complete and within their limit (`variables`), its
//! site is open (`configurations`, `sites`), its body within its limit (`body`), it is its turn (`gate`), a panic is a 500 ([`crate::outside::panics`]).
//!
//! | limit | where | answer |
//! |---|---|---|
//! | variables: 64 KiB together | `variables::MAX_BYTES` | 431 |
//! | body | `limits.body_bytes`, `internal.body_bytes` | 413 |
//! | requests at work | `limits.concurrent_requests` | waits 10 s, then 503 |
//! | requests that wait | 256 (`gate::WAITING_ROOM`) | 503 at once |
//! | connections | 640, for a moment up to 1536 descriptors, and the backlog of the socket | wait in the backlog |
//! | end of running requests after SIGTERM | 30 s | |

mod body;
mod configurations;
mod fastcgi;
mod gate;
mod plain;
mod program;
mod sites;
mod supervisor;
mod variables;

pub use program::{BodyLimit, Fail, Respond};

use program::Program;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Serves `respond` as plain CGI, or as FastCGI where file descriptor 0 is a listening socket.
///
/// `body_limit` is in bytes. `fail` makes the answer to a request that ended with an error, be it before a site was there (`None`);
/// [`Response::bare`] is the least it can do. What [`crate::domain::error::Error`] demands of the headers is added here, and its
/// cause is logged here.
pub fn serve(program: &'static str, body_limit: BodyLimit, fail: Fail, respond: Respond) -> ExitCode {
    let program = Program { name: program, body_limit, fail, respond };
    if !is_listening_socket() {
        return plain::run(program);
    }
    let stop = stop_flag();
    match supervisor::is_worker() {
        true => fastcgi::run(program, &stop),
        false => supervisor::run(program.name, &stop),
    }
}

/// What [`serve`] answers to one plain CGI request, within this process: for whoever wants to try many.
pub fn answer(
    program: &'static str,
    (body_limit, fail, respond): (BodyLimit, Fail, Respond),
    environment: impl Iterator<Item = (OsString, OsString)>,
    body: &mut dyn Read,
) -> Vec<u8> {
    plain::answer(Program { name: program, body_limit, fail, respond }, environment, body)
}

fn is_listening_socket() -> bool {
    rustix::net::sockopt::socket_acceptconn(std::io::stdin()).unwrap_or(false)
}

/// Set by SIGTERM and SIGINT. SIGCHLD only has to interrupt the supervisor's pause; its flag is not looked at.
fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for (signal, flag) in [(SIGTERM, stop.clone()), (SIGINT, stop.clone()), (SIGCHLD, Arc::default())] {
        // Refused for signals that cannot be caught, which these are not.
        let _ = signal_hook::flag::register(signal, flag);
    }
    stop
}

//! Plain CGI (RFC 3875): the request is in the environment and on standard input, the answer goes to standard output.

use super::body::Framing;
use super::gate::Gate;
use super::program::{Incoming, Program};
use super::sites::Sites;
use super::{panics, variables};
use std::io::{self, Write};
use std::process::ExitCode;

/// Answers the one request. The process ends well whatever the status is: the failure was reported.
pub fn run(program: Program) -> ExitCode {
    panics::keep_quiet();
    let incoming =
        Incoming { variables: variables::from_environment(std::env::vars_os()), body: &mut io::stdin().lock(), framing: Framing::Counted };
    let answer = program.answer(incoming, &Sites::new(program.name), &Gate::default());
    let mut out = io::stdout().lock();
    match out.write_all(&answer).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads any more; the web server knows.
        Err(_) => ExitCode::FAILURE,
    }
}

//! Plain CGI (RFC 3875): the request is in the environment and on standard input, the answer goes to standard output.
//!
//! Work that an answer leaves is done by another process of the same program. The web server would wait for this one to end, and
//! so would the visitor, and some servers kill it as soon as they have the answer.

use super::body::{self, Framing};
use super::configurations::Configurations;
use super::gate::Gate;
use super::program::{Answer, Incoming, Program};
use super::sites::Sites;
use super::variables;
use crate::domain::config::{LogLevel, LogTarget};
use crate::outside::{log, panics};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// Bytes of a refused body that are read and discarded: more than web servers let through.
const MAX_DISCARDED: u64 = 128 * 1024 * 1024;

/// Set for the process that does the work left by an answer. No header of a visitor becomes a variable of this name.
const WORK_LEFT: &str = "MATRIX_REGISTER_BOT_WORK_LEFT";

/// Answers the one request. The exit status does not depend on the status of the answer, because errors are logged.
pub fn run(program: Program) -> ExitCode {
    panics::keep_quiet();
    log::speak_as(program.name);
    log::behind_a_web_server();
    if std::env::var_os(WORK_LEFT).is_some() {
        return work(program);
    }
    let mut body = announced_body();
    let sites = Sites::new(Configurations::of(std::env::vars_os()));
    let answer = whole_answer(program, &sites, std::env::vars_os(), &mut body);
    sites.end_with_the_process();
    // Before the answer is written, because lighttpd kills this process as soon as it has the last byte.
    if answer.work_left.is_some()
        && let Err(cause) = leave_work()
    {
        log::warn("work_left_to_cron", None, &format!("no other process of this program can be started: {cause}"));
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(&answer.bytes).and_then(|()| out.flush());
    // fcgiwrap turns the answer into a 502 if the body was not read.
    let _ = io::copy(&mut body, &mut io::sink());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // The web server has closed the connection.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Starts the process that does what this answer leaves. It gets nothing of the web server's: no stream and no signal.
fn leave_work() -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command.env(WORK_LEFT, "1").process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(|_| ())
}

/// Does what the answer of another process left.
fn work(program: Program) -> ExitCode {
    let sites = Sites::new(Configurations::of(std::env::vars_os()));
    let site = program.site_of(variables::from_environment(std::env::vars_os()), &sites);
    // Nobody reads the standard error of this process.
    log::start(LogTarget::Syslog, site.as_ref().map_or_else(|_| LogLevel::default(), |site| site.config.log_level));
    match site {
        Ok(site) => {
            program.work_afterwards(&site);
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::warn("work_left_to_cron", None, &error.cause);
            ExitCode::FAILURE
        }
    }
}

/// Turns the environment and the body into the bytes of the answer.
pub fn answer(program: Program, environment: impl Iterator<Item = (OsString, OsString)>, body: &mut dyn Read) -> Vec<u8> {
    let environment: Vec<(OsString, OsString)> = environment.collect();
    let sites = Sites::new(Configurations::of(environment.iter().cloned()));
    whole_answer(program, &sites, environment.into_iter(), body).bytes
}

fn whole_answer(program: Program, sites: &Sites, environment: impl Iterator<Item = (OsString, OsString)>, body: &mut dyn Read) -> Answer {
    let environment: Vec<(OsString, OsString)> = environment.collect();
    let value = |name: &str| environment.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.to_str());
    let framing = Framing::of_plain_cgi(value("CONTENT_LENGTH"), value("HTTP_TRANSFER_ENCODING"));
    let incoming = Incoming { variables: variables::from_environment(environment.into_iter()), body, framing };
    program.answer(incoming, sites, &Gate::default())
}

/// Standard input up to the announced length, because it need not end there.
fn announced_body() -> impl Read {
    let [announced, coding] = ["CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"].map(|name| std::env::var(name).ok());
    let length = match Framing::of_plain_cgi(announced.as_deref(), coding.as_deref()) {
        Framing::Counted => body::length(announced.as_deref()).ok().flatten().unwrap_or(0),
        Framing::Ended => MAX_DISCARDED,
    };
    io::stdin().lock().take(length.min(MAX_DISCARDED))
}

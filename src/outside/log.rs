//! Log lines for the sysadmin: standard error, or syslog.
//!
//! A line starts with a word that occurs once in the source (`confirmed`, `room_message_failed`, ...), then says which
//! registration, then why. Passwords, tokens and full addresses are never arguments; nothing makes a second line, hides a
//! part of its own or turns its direction.

use crate::domain::characters;
use crate::domain::config::LogTarget;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static LOG: OnceLock<(&'static str, LogTarget)> = OnceLock::new();
static WARNINGS_ONLY: AtomicBool = AtomicBool::new(false);
static HELD_BACK: OnceLock<&'static [&'static str]> = OnceLock::new();

/// Syslog's numbers.
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// Says who speaks and where to; the first call counts.
pub fn start(program: &'static str, target: LogTarget) {
    let _ = LOG.set((program, target));
}

/// Keeps what went well from standard error: cron mails every line there.
pub fn warnings_only() {
    WARNINGS_ONLY.store(true, Ordering::Relaxed);
}

/// Keeps these words from standard error: cron tells of them in its own way.
pub fn hold_back(events: &'static [&'static str]) {
    let _ = HELD_BACK.set(events);
}

/// Something happened as it should.
pub fn info(event: &str, registration: Option<i64>, detail: &str) {
    write(INFO, event, registration, detail);
}

/// Something has to be looked at.
pub fn warn(event: &str, registration: Option<i64>, detail: &str) {
    write(WARNING, event, registration, detail);
}

fn write(severity: u8, event: &str, registration: Option<i64>, detail: &str) {
    let (program, target) = LOG.get().copied().unwrap_or(("matrix-register-bot", LogTarget::Stderr));
    let mut line = event.to_owned();
    if let Some(id) = registration {
        line += &format!(" registration={id}");
    }
    if !detail.is_empty() {
        line += ": ";
        line.extend(characters::one_line(detail).chars().take(2000));
    }
    match target {
        LogTarget::Stderr if severity > WARNING && WARNINGS_ONLY.load(Ordering::Relaxed) => {}
        LogTarget::Stderr if HELD_BACK.get().is_some_and(|held_back| held_back.contains(&event)) => {}
        LogTarget::Stderr => to_stderr(program, &line),
        LogTarget::Syslog => to_syslog(severity, program, &line),
    }
}

/// RFC 3164 as `/dev/log` takes it: facility 3 (daemon); a missing syslog falls back to standard error.
fn to_syslog(severity: u8, program: &str, line: &str) {
    let message = format!("<{}>matrix-register-bot/{program}[{}]: {line}", 3 * 8 + severity, std::process::id());
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(message.as_bytes(), "/dev/log"));
    if sent.is_err() {
        to_stderr(program, line);
    }
}

/// `eprintln!` panics where nobody reads standard error any more; a log line is no reason to end.
fn to_stderr(program: &str, line: &str) {
    let _ = writeln!(std::io::stderr(), "matrix-register-bot {program} {line}");
}

//! Log lines for the sysadmin: standard error, or syslog.
//!
//! A line starts with a word that occurs once in the source (`confirmed`, `room_message_failed`, ...), followed by the
//! registration and the cause. Passwords, tokens and full addresses are never arguments. No argument can start a second line,
//! hide part of its own, or change its direction.
//!
//! Under a web server a program's standard error is usually the web server's error log. There every line counts as an error, and
//! nginx adds the request, including its link. So by default only warnings go there. The journal, which is recognised by
//! `JOURNAL_STREAM` (systemd.exec(5)), gets everything with its severity.

use crate::domain::characters;
use crate::domain::config::{LogLevel, LogTarget};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static PROGRAM: OnceLock<&'static str> = OnceLock::new();
static SETTINGS: OnceLock<(LogTarget, LogLevel)> = OnceLock::new();
static BEHIND_WEB_SERVER: AtomicBool = AtomicBool::new(false);
static WARNINGS_ONLY: AtomicBool = AtomicBool::new(false);
static SUCCESSES_TO_SYSLOG: AtomicBool = AtomicBool::new(false);
static HELD_BACK: OnceLock<&'static [&'static str]> = OnceLock::new();

/// Syslog's severities.
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// The longest line, in bytes. A packet of RFC 3164 has at most 1024, and a single write to a pipe stays in one piece up to 4096.
const LONGEST_LINE: usize = 900;
/// The longest line in a web server's error log: fcgiwrap forwards standard error in pieces of at most 504 bytes, and nginx logs
/// each piece as a line of its own.
const LONGEST_LINE_BEHIND_WEB_SERVER: usize = 500;
/// A shortened line may be this much shorter at each cut, so that the cut is between words.
const LONGEST_WORD: usize = 60;

/// Sets the name of the program; only the first call has an effect.
pub fn speak_as(program: &'static str) {
    let _ = PROGRAM.set(program);
}

/// Sets where lines go, and how many; only the first call has an effect.
pub fn start(target: LogTarget, level: LogLevel) {
    let _ = SETTINGS.set((target, level));
}

/// From now on, standard error counts as a web server's error log unless it is the journal.
pub(crate) fn behind_a_web_server() {
    BEHIND_WEB_SERVER.store(true, Ordering::Relaxed);
}

/// Keeps successes from standard error whatever the configuration says: cron mails every line there.
pub fn warnings_only() {
    WARNINGS_ONLY.store(true, Ordering::Relaxed);
}

/// Sends successes to syslog whatever the configuration says, and warnings to standard error: what somebody does in a shell has to be
/// found later. Without a syslog, successes are not logged.
pub fn successes_to_syslog() {
    SUCCESSES_TO_SYSLOG.store(true, Ordering::Relaxed);
}

/// Keeps these events from standard error, because cron reports them in its own way.
pub fn hold_back(events: &'static [&'static str]) {
    let _ = HELD_BACK.set(events);
}

/// Logs a success.
pub fn info(event: &str, registration: Option<i64>, detail: &str) {
    write(INFO, event, registration, detail);
}

/// Logs something that needs attention.
pub fn warn(event: &str, registration: Option<i64>, detail: &str) {
    write(WARNING, event, registration, detail);
}

fn write(severity: u8, event: &str, registration: Option<i64>, detail: &str) {
    let (configured, level) = SETTINGS.get().copied().unwrap_or_default();
    let only_to_syslog = severity > WARNING && configured == LogTarget::Stderr && SUCCESSES_TO_SYSLOG.load(Ordering::Relaxed);
    let target = if only_to_syslog { LogTarget::Syslog } else { configured };
    if severity > WARNING && !only_to_syslog && !takes_everything(target, level) {
        return;
    }
    let mut line = event.to_owned();
    if let Some(id) = registration {
        line += &format!(" registration={id}");
    }
    if !detail.is_empty() {
        line += ": ";
        line += &characters::one_line(detail);
    }
    let program = PROGRAM.get().copied().unwrap_or("?");
    match target {
        LogTarget::Stderr if HELD_BACK.get().is_some_and(|held_back| held_back.contains(&event)) => {}
        LogTarget::Stderr => to_stderr(severity, program, &line),
        LogTarget::Syslog if to_syslog(severity, program, &line) || only_to_syslog => {}
        LogTarget::Syslog => to_stderr(severity, program, &line),
    }
}

/// Whether successes are logged too.
fn takes_everything(target: LogTarget, level: LogLevel) -> bool {
    let is_open = match level {
        LogLevel::Info => true,
        LogLevel::Warning => false,
        LogLevel::Auto => target == LogTarget::Syslog || !is_error_log_of_web_server(),
    };
    is_open && (target == LogTarget::Syslog || !WARNINGS_ONLY.load(Ordering::Relaxed))
}

/// Whether standard error counts as a web server's error log.
fn is_error_log_of_web_server() -> bool {
    BEHIND_WEB_SERVER.load(Ordering::Relaxed) && !is_journal()
}

/// Whether standard error is the journal: systemd sets the variable to device and inode of the service's stream. A child process
/// may inherit the variable but have a different standard error.
fn is_journal() -> bool {
    static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
    *IS_JOURNAL.get_or_init(|| {
        let named = std::env::var("JOURNAL_STREAM").ok();
        let found = rustix::fs::fstat(std::io::stderr()).ok().map(|stream| format!("{}:{}", stream.st_dev, stream.st_ino));
        named.is_some() && named == found
    })
}

/// RFC 3164 as `/dev/log` takes it: facility 3 (daemon). `false`: there is no syslog.
fn to_syslog(severity: u8, program: &str, line: &str) -> bool {
    let start = format!("<{}>matrix-register-bot/{program}[{}]: ", 3 * 8 + severity, std::process::id());
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(shortened(start + line, LONGEST_LINE).as_bytes(), "/dev/log"));
    sent.is_ok()
}

/// Writes the line at once, so that lines of several programs do not mix. Failures are ignored: `eprintln!` would panic if nobody
/// reads standard error any more. The journal takes the severity from the prefix of sd-daemon(3).
fn to_stderr(severity: u8, program: &str, line: &str) {
    let severity = if is_journal() { format!("<{severity}>") } else { String::new() };
    let longest = if is_error_log_of_web_server() { LONGEST_LINE_BEHIND_WEB_SERVER } else { LONGEST_LINE };
    let line = shortened(format!("{severity}matrix-register-bot {program} {line}"), longest);
    let _ = std::io::stderr().write_all((line + "\n").as_bytes());
}

/// The line with at most `longest` bytes, line end included. Words are removed from the middle: the beginning says what happened,
/// and the end what to do.
fn shortened(line: String, longest: usize) -> String {
    const GAP: &str = " ... ";
    if line.len() < longest {
        return line;
    }
    let tail = longest / 3;
    let (mut head_end, mut tail_start) = (longest - tail - GAP.len() - 1, line.len() - tail);
    while !line.is_char_boundary(head_end) {
        head_end -= 1;
    }
    while !line.is_char_boundary(tail_start) {
        tail_start += 1;
    }
    let (head, tail) = (&line[..head_end], &line[tail_start..]);
    let head = head.rfind(' ').filter(|end| head.len() - end <= LONGEST_WORD).map_or(head, |end| &head[..end]);
    let tail = tail.find(' ').filter(|start| *start <= LONGEST_WORD).map_or(tail, |start| &tail[start + 1..]);
    format!("{head}{GAP}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_beginning_and_end_in_whole_words_below_what_web_servers_and_syslog_keep() {
        let fits = "x".repeat(499);
        assert_eq!(shortened(fits.clone(), 500), fits);
        for longest in [LONGEST_LINE, LONGEST_LINE_BEHIND_WEB_SERVER] {
            let words = shortened(format!("request_failed: {}; see the key database", "twelve bytes ".repeat(500)), longest);
            assert!(words.len() < longest && words.len() > longest - 2 * LONGEST_WORD, "{}", words.len());
            assert!(words.starts_with("request_failed: twelve") && words.ends_with("; see the key database"), "{words}");
            let whole = ["request_failed:", "twelve", "bytes", "...", ";", "see", "the", "key", "database"];
            assert!(words.split(' ').all(|word| whole.contains(&word)), "{words}");
            for long in ["x".repeat(5000), "ü€😀".repeat(5000), format!("word {}", "ü".repeat(5000))] {
                let line = shortened(long.clone(), longest);
                assert!(line.len() < longest && line.len() > longest - 2 * LONGEST_WORD, "{}", line.len());
                let (head, tail) = line.split_once(" ... ").unwrap();
                assert!(long.starts_with(head) && long.ends_with(tail));
            }
        }
    }
}

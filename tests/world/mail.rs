//! A real SMTP server that stores its mails, and the mails as a reader sees them.

use super::folder::{TempFolder, installed};
use super::process::{Process, guarded};
use mailparse::{MailHeaderMap, ParsedMail};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// An SMTP server on loopback; each mail becomes a file `NNNN-recipient.eml`.
#[derive(Debug)]
pub struct MailCatcher {
    pub port: u16,
    server: Server,
    folder: TempFolder,
}

/// What ends the server when it is dropped.
#[derive(Debug)]
enum Server {
    Process(Process),
    /// A fork of the process that `tests/run` starts, which is faster; it lives as long as this connection.
    Forked(UnixStream),
}

impl Server {
    /// Starts it with these options of `mail_catcher.py`. Returns what it says first, one line.
    fn start(options: &[&str]) -> (Server, String) {
        let forking = std::env::var_os("TEST_MAIL_CATCHERS").filter(|socket| Path::new(socket).exists());
        let (server, output): (_, Box<dyn Read>) = match forking {
            Some(socket) => {
                let mut connection = UnixStream::connect(&socket).unwrap_or_else(|cause| panic!("{}: {cause}", socket.display()));
                writeln!(connection, "{}", serde_json::json!(options)).expect("the mail catchers take options");
                let output = connection.try_clone().expect("a connection can be cloned");
                (Server::Forked(connection), Box::new(output))
            }
            None => {
                let mut command = guarded(mail_python());
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world/mail_catcher.py")).args(options);
                command.stdin(Stdio::null()).stdout(Stdio::piped());
                let mut process = Process::start("the mail catcher", command, None);
                let output = process.child().stdout.take().expect("the output is piped");
                (Server::Process(process), Box::new(output))
            }
        };
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        (server, line)
    }

    fn stop(&mut self) {
        match self {
            Server::Process(process) => process.stop(),
            Server::Forked(connection) => {
                let _ = connection.shutdown(Shutdown::Write);
                // Closed by the other side when nobody listens any more.
                let _ = connection.read(&mut [0]);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl MailCatcher {
    pub fn start() -> MailCatcher {
        MailCatcher::start_with(&[])
    }

    /// Starts it with further options of `mail_catcher.py`.
    pub fn start_with(options: &[&str]) -> MailCatcher {
        let folder = TempFolder::new("mails");
        let path = folder.path().to_str().expect("temporary paths are UTF-8");
        let (server, line) = Server::start(&[&["--folder", path], options].concat());
        let answer: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let port = answer["port"].as_u64().unwrap_or_else(|| panic!("the mail catcher did not start (it said {line:?})"));
        MailCatcher { port: port as u16, server, folder }
    }

    /// The folder with the mails.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the server, so that connections are refused. The mails stay until this value is dropped.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// All mails to one address, oldest first.
    pub fn mails(&self, recipient: &str) -> Vec<Mail> {
        let suffix = format!("-{recipient}.eml");
        self.files().iter().filter(|path| path.to_string_lossy().ends_with(&suffix)).map(|path| Mail::read(path)).collect()
    }

    /// All mails, oldest first.
    pub fn all(&self) -> Vec<Mail> {
        self.files().iter().map(|path| Mail::read(path)).collect()
    }

    /// The number of mails received.
    pub fn count(&self) -> usize {
        self.files().len()
    }

    /// The mails to one address, once there are `count`; panics after 30 seconds.
    pub fn wait_for(&self, recipient: &str, count: usize) -> Vec<Mail> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let mails = self.mails(recipient);
            if mails.len() >= count {
                return mails;
            }
            assert!(Instant::now() < end, "{} instead of {count} mails to {recipient}; there are: {:#?}", mails.len(), self.files());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).expect("the mail folder can be read");
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
        files.sort();
        files
    }
}

/// The Python with the SMTP library; `tests/world/install` sets it up.
fn mail_python() -> PathBuf {
    installed("mail/bin/python")
}

/// A mail, decoded.
#[derive(Debug, Clone)]
pub struct Mail {
    pub headers: Vec<(String, String)>,
    /// The plain text part; empty if there is none.
    pub text: String,
    /// The HTML part; empty if there is none.
    pub html: String,
    /// All bytes as received.
    pub raw: Vec<u8>,
}

impl Mail {
    pub fn read(path: &Path) -> Mail {
        let raw = fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
        let parsed = mailparse::parse_mail(&raw).unwrap_or_else(|cause| panic!("{} is no mail: {cause}", path.display()));
        let headers = parsed.headers.iter().map(|header| (header.get_key(), header.get_value())).collect();
        let (text, html) = (part(&parsed, "text/plain"), part(&parsed, "text/html"));
        Mail { headers, text, html, raw }
    }

    /// The decoded value of a header; panics if it is missing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        &found.unwrap_or_else(|| panic!("the mail has no header {name}: {:#?}", self.headers)).1
    }

    pub fn subject(&self) -> &str {
        self.header("Subject")
    }

    /// The first link in the text part.
    pub fn link(&self) -> String {
        first_link(&self.text).unwrap_or_else(|| panic!("no link in the mail:\n{}", self.text))
    }
}

/// The decoded body of the first part with a given type.
fn part(mail: &ParsedMail, kind: &str) -> String {
    let found = mail.parts().find(|part| part.ctype.mimetype == kind && part.headers.get_first_value("Content-Disposition").is_none());
    found.and_then(|part| part.get_body().ok()).unwrap_or_default().replace("\r\n", "\n")
}

/// The first http or https URL in a text.
pub fn first_link(text: &str) -> Option<String> {
    let starts = ["http://", "https://"].into_iter().filter_map(|scheme| text.find(scheme));
    let rest = &text[starts.min()?..];
    let end = rest.find(|c: char| c.is_whitespace() || "<>\"')".contains(c)).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

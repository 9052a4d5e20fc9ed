//! Folders, certificates, mail servers and homeservers for the tests of this binary.

use matrix_register_bot::domain::config::Config;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that is removed at the end of the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("outside-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A configuration with these tables, in `folder`.
pub fn config(folder: &Path, homeserver_url: &str, more_top: &str, tables: &str) -> Config {
    let mail = if tables.contains("[mail]") { "" } else { "[mail]\nfrom = \"register@example.test\"\ntransport = \"file\"\n" };
    let room = if tables.contains("[room]") { "" } else { "[room]\nid = \"!nowhere:example.test\"\n" };
    let text = format!(
        "server_name = \"example.test\"\nhomeserver_url = \"{homeserver_url}\"\npublic_url = \"https://register.example.test/\"\noperation_mode = \"local\"\n{more_top}\n{room}{mail}{tables}"
    );
    Config::parse(&text, folder.to_path_buf()).unwrap_or_else(|cause| panic!("{cause}\n{text}"))
}

pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|cause| panic!("{program}: {cause}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate for 127.0.0.1 and localhost that it signed.
pub struct Certificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    pub fn make(folder: &Folder) -> Certificates {
        let path = |name: &str| folder.join(name);
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let authority = ["req", "-x509", "-subj", "/CN=Test authority", "-keyout", &text("ca.key"), "-out", &text("ca.pem")];
        run("openssl", &[&authority[..], &new_key[..]].concat());
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        let (ca, ca_key, key, pem) = (text("ca.pem"), text("ca.key"), text("server.key"), text("server.pem"));
        let server =
            ["req", "-x509", "-subj", "/CN=localhost", "-CA", &ca, "-CAkey", &ca_key, "-keyout", &key, "-out", &pem, "-addext", names];
        run("openssl", &[&server[..], &["-addext", "basicConstraints=critical,CA:FALSE"], &new_key[..]].concat());
        Certificates { authority: path("ca.pem"), certificate: path("server.pem"), key: path("server.key") }
    }
}

/// `tests/world/mail_catcher.py`, a real SMTP server.
pub struct MailCatcher {
    child: Child,
    pub port: u16,
    pub mails: PathBuf,
}

impl MailCatcher {
    pub fn start(folder: &Folder, options: &[&str]) -> MailCatcher {
        let mails = folder.join("caught");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/mail_catcher.py");
        let mut child = Command::new("python3")
            .args([script, "--folder", mails.to_str().unwrap()])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed for the mail tests");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).expect("the mail catcher says its port");
        MailCatcher { child, port: started["port"].as_u64().unwrap() as u16, mails }
    }

    /// The mails received so far, in order.
    pub fn caught(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(&self.mails).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }
}

impl Drop for MailCatcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on which nobody listens.
pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

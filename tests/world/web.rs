//! Real web servers in front of a site, configured by the samples in `public/` and `internal/`.

mod apache;
mod nginx;

use super::process::{Process, guarded, log_to};
use super::{SiteFolder, TempFolder};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A web server and the way in which it runs the programs.
#[allow(clippy::enum_variant_names)] // they all serve CGI programs; the servers differ
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// nginx; fcgiwrap starts a process for each request.
    NginxCgi,
    /// nginx; each program runs all the time under spawn-fcgi.
    NginxFastCgi,
    /// Apache; mod_cgid starts a process for each request.
    ApacheCgi,
}

impl Host {
    /// For promises that must hold behind each of them.
    pub const ALL: [Host; 3] = [Host::NginxCgi, Host::NginxFastCgi, Host::ApacheCgi];
}

/// A running web server with its helpers, on the two ports of its site: one for the world, with the pages and the
/// homeserver behind `/_matrix`, and one for the programs in `internal/`, if the site has them.
#[derive(Debug)]
pub struct WebServer {
    port: u16,
    internal_port: u16,
    // The server itself is first, and ends first: it must not find its helpers gone.
    processes: Vec<Process>,
    folder: TempFolder,
}

impl WebServer {
    pub fn start(site: &SiteFolder, host: Host) -> WebServer {
        let mut server =
            WebServer { port: site.port, internal_port: site.internal_port, processes: Vec::new(), folder: TempFolder::new("web") };
        match host {
            Host::NginxCgi => nginx::start_cgi(&mut server, site),
            Host::NginxFastCgi => nginx::start_fastcgi(&mut server, site),
            Host::ApacheCgi => apache::start(&mut server, site),
        }
        server
    }

    /// Where the server listens, with a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Where Synapse and the identity servers ask, with a slash at the end.
    pub fn internal_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.internal_port)
    }

    /// What the web server and the programs complained about so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.join("error.log")
    }

    /// The process ids of all servers, the web server first.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }

    /// Starts what the web server leans on: several at once, and all of them listen when this returns.
    fn start_helpers(&mut self, helpers: Vec<(String, Command, PathBuf)>) {
        let log = self.log_path();
        let mut started = Vec::new();
        for (name, mut command, socket) in helpers {
            log_to(&mut command, &log);
            started.push((Process::start(&name, command, Some(&log)), socket));
        }
        for (mut process, socket) in started {
            process.wait_until(10, || socket.exists());
            self.processes.push(process);
        }
    }

    fn start_server(&mut self, name: &str, mut command: Command) {
        let log = self.log_path();
        log_to(&mut command, &log);
        let mut process = Process::start(name, command, Some(&log));
        let port = self.port;
        process.wait_until(10, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        self.processes.insert(0, process);
    }
}

/// Does the site have the programs that Synapse and the identity servers ask?
fn has_internal(site: &SiteFolder) -> bool {
    !site.programs_in("internal").is_empty()
}

/// A sample from the project with its example values replaced; fails where one is not in it.
fn sample(name: &str, replacements: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut text = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    for (example, real) in replacements {
        assert!(text.contains(example), "{name} does not contain {example}");
        text = text.replace(example, real);
    }
    text
}

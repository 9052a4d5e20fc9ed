//! Real web servers in front of a site, configured with the lines in `docs/hosts`.

mod apache;
mod lighttpd;
mod nginx;
mod page;
mod sockets;
mod tls;

use super::process::{Process, guarded, log_to, running_below};
use super::{Browser, Engine, SiteFolder, TempFolder};
pub use nginx::frame as nginx_frame;
use page::{Page, Snippets};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
pub use tls::self_signed;

/// A web server and how it runs the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// nginx; fcgiwrap starts a process for each request.
    NginxCgi,
    /// nginx; each program keeps running under spawn-fcgi.
    NginxFastCgi,
    /// nginx; each program keeps running on a socket that existed before it, as with systemd.
    NginxSystemd,
    /// Apache; mod_cgid starts a process for each request.
    ApacheCgi,
    /// Apache; mod_fcgid starts the programs and keeps them.
    ApacheFcgid,
    /// Apache; mod_proxy_fcgi connects to programs on sockets.
    ApacheProxyFcgi,
    /// lighttpd; mod_cgi starts a process for each request.
    LighttpdCgi,
    /// lighttpd; mod_fastcgi starts the programs and keeps them.
    LighttpdFastCgi,
}

impl Host {
    /// For promises that must hold with each of them.
    pub const ALL: [Host; 8] = [
        Host::NginxCgi,
        Host::NginxFastCgi,
        Host::NginxSystemd,
        Host::ApacheCgi,
        Host::ApacheFcgid,
        Host::ApacheProxyFcgi,
        Host::LighttpdCgi,
        Host::LighttpdFastCgi,
    ];

    /// The hosts for a story that is told on every database and in both modes: all of them with SQLite; with a server, one half in
    /// this mode and the other half in the other. So each host meets each database, and each of both meets each mode.
    pub fn in_mode(mode: &str, engine: Engine) -> impl Iterator<Item = Host> {
        let half = usize::from((mode == "local") == (engine == Engine::Postgres));
        Host::ALL.into_iter().enumerate().filter(move |(number, _)| engine == Engine::Sqlite || number % 2 == half).map(|(_, host)| host)
    }

    /// The hosts that start a process for each request.
    pub const PLAIN_CGI: [Host; 3] = [Host::NginxCgi, Host::ApacheCgi, Host::LighttpdCgi];

    /// The hosts that keep the programs running.
    pub const FASTCGI: [Host; 5] =
        [Host::NginxFastCgi, Host::NginxSystemd, Host::ApacheFcgid, Host::ApacheProxyFcgi, Host::LighttpdFastCgi];
}

/// A running web server with its helpers, on the two ports of its site: one for the public, with the pages and the homeserver
/// behind `/_matrix`, and one for the programs in `internal/`, if the site has them.
#[derive(Debug)]
pub struct WebServer {
    url: String,
    port: u16,
    internal_port: u16,
    /// The certificate that a visitor must trust, if a proxy is in front.
    certificate: Option<String>,
    /// The parts of `docs/hosts/hardening.md` that are added; may be empty.
    hardening: &'static [&'static str],
    /// Environment variables of the programs.
    variables: Vec<(String, String)>,
    // The server itself comes first and is stopped first, so that it never misses its helpers.
    processes: Vec<Process>,
    activated: Option<sockets::Activated>,
    folder: TempFolder,
    site: PathBuf,
}

impl WebServer {
    pub fn start(site: &SiteFolder, host: Host) -> WebServer {
        WebServer::start_with(site, host, &[])
    }

    /// Adds the lines of `docs/hosts/hardening.md`; for nginx and Apache.
    pub fn start_hardened(site: &SiteFolder, host: Host) -> WebServer {
        WebServer::launch(site, host, &["server"], &[])
    }

    /// The same, with the limit for a single visitor.
    pub fn start_with_limit_for_one_visitor(site: &SiteFolder, host: Host) -> WebServer {
        WebServer::launch(site, host, &["server", "one visitor"], &[])
    }

    /// Sets variables in the environment of fcgiwrap or spawn-fcgi, which start the programs.
    pub fn start_with(site: &SiteFolder, host: Host, variables: &[(&str, &str)]) -> WebServer {
        WebServer::launch(site, host, &[], variables)
    }

    /// `hardening`: the parts of `docs/hosts/hardening.md` to add.
    fn launch(site: &SiteFolder, host: Host, hardening: &'static [&'static str], variables: &[(&str, &str)]) -> WebServer {
        let mut server = WebServer {
            url: site.public_url(),
            port: site.port,
            internal_port: site.internal_port,
            certificate: None,
            hardening,
            variables: variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            processes: Vec::new(),
            activated: None,
            folder: TempFolder::new("web"),
            site: site.path().to_owned(),
        };
        match host {
            Host::NginxCgi => nginx::start_cgi(&mut server, site),
            Host::NginxFastCgi => nginx::start_fastcgi(&mut server, site, sockets::start_by_spawn_fcgi),
            Host::NginxSystemd => nginx::start_fastcgi(&mut server, site, sockets::start_like_systemd),
            Host::ApacheCgi => apache::start(&mut server, site, apache::Way::Cgid),
            Host::ApacheFcgid => apache::start(&mut server, site, apache::Way::Fcgid),
            Host::ApacheProxyFcgi => apache::start(&mut server, site, apache::Way::ProxyFcgi),
            Host::LighttpdCgi => lighttpd::start(&mut server, site, lighttpd::Way::Cgi),
            Host::LighttpdFastCgi => lighttpd::start(&mut server, site, lighttpd::Way::FastCgi),
        }
        if let Some(port) = site.tls_port {
            tls::start(&mut server, port);
        }
        server
    }

    /// The URL of the pages, with a slash at the end.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// A browser for the site.
    pub fn browser(&self) -> Browser {
        match &self.certificate {
            Some(certificate) => Browser::trusting(&self.url, certificate),
            None => Browser::new(&self.url),
        }
    }

    /// The URL for Synapse and identity servers, with a slash at the end.
    pub fn internal_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.internal_port)
    }

    /// The errors of the web server and the programs so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.join("error.log")
    }

    /// The server's access log, as configured by `docs/hosts/hardening.md`.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.folder.join("register.log")).unwrap_or_default()
    }

    /// The process ids of all servers, the web server first.
    pub fn pids(&self) -> Vec<u32> {
        let started = self.activated.iter().flat_map(|activated| activated.processes().iter().map(Process::pid).collect::<Vec<_>>());
        self.processes.iter().map(Process::pid).chain(started).collect()
    }

    /// Simulates a crash of the machine: SIGKILL to all servers and to the programs that they run.
    pub fn kill(mut self) {
        self.processes.iter_mut().for_each(Process::kill_all);
        if let Some(activated) = &mut self.activated {
            activated.end();
            activated.processes().iter_mut().for_each(Process::kill_all);
        }
    }

    /// Starts the helpers of the web server at once; all of them are listening when this returns.
    fn start_helpers(&mut self, helpers: Vec<(String, Command, PathBuf)>) {
        let log = self.log_path();
        let mut started = Vec::new();
        for (name, mut command, socket) in helpers {
            log_to(&mut command, &log);
            command.envs(self.variables.iter().map(|(name, value)| (name, value)));
            started.push((Process::start(&name, command, Some(&log)), socket));
        }
        for (mut process, socket) in started {
            process.wait_until(10, || is_listening(&socket));
            self.processes.push(process);
        }
    }

    fn start_server(&mut self, name: &str, mut command: Command, port: u16) {
        let log = self.log_path();
        log_to(&mut command, &log);
        let mut process = Process::start(name, command, Some(&log));
        process.wait_until(10, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        self.processes.insert(0, process);
    }
}

/// Whether connections to a unix socket are taken; its file exists a moment earlier. Not tried out, because a program logs a
/// connection without a request.
fn is_listening(socket: &Path) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    // Num RefCount Protocol Flags Type St Inode Path; the flag is SO_ACCEPTCON.
    let mut lines = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.any(|fields| fields.get(3) == Some(&"00010000") && fields.get(7).is_some_and(|path| Path::new(path) == socket))
}

impl Drop for WebServer {
    /// If the test failed, its output gets what the web server and the programs logged. CGI programs go on working after their answers,
    /// and would open a database that has been removed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the log of the web server and the programs ----\n{}", self.log());
        }
        self.processes.clear();
        self.activated = None;
        let end = Instant::now() + Duration::from_secs(10);
        while !running_below(&self.site).is_empty() {
            if Instant::now() > end {
                eprintln!("still running: {:?}", running_below(&self.site));
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// `docs/hosts/hardening.md` with the values for this server.
fn hardening_page(server: &WebServer) -> Page {
    let log = server.folder.join("register.log");
    Page::read("hardening", &[("/var/log/nginx/register.log", text(&log)), ("/var/log/apache2/register.log", text(&log))])
}

/// Whether the site has programs for Synapse and identity servers.
fn has_internal(site: &SiteFolder) -> bool {
    !site.programs_in("internal").is_empty()
}

/// The user who runs the programs if root starts a server that drops its privileges, as on Debian.
const USER: &str = "www-data";

/// Gives [`USER`] access to the files that the programs write. The programs themselves are not changed, as they may be links to
/// the built ones. Only for root; other users run the servers as themselves.
fn hand_over(server: &WebServer, site: &SiteFolder) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let data = site.database_path().parent().expect("a file is in a folder").to_owned();
    let written = fs::read_dir(&data).unwrap().flatten().map(|entry| entry.path());
    let ours = fs::read_dir(server.folder.path()).unwrap().flatten().map(|entry| entry.path());
    let places = [site.path().to_owned(), data, site.config_path(), server.folder.path().to_owned()];
    let state = Some(site.path().join("config.json")).filter(|path| path.exists());
    let done = Command::new("chown").arg(USER).args(places.into_iter().chain(written).chain(ours).chain(state)).status();
    assert!(done.is_ok_and(|status| status.success()), "cannot give the site to {USER}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

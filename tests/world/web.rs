//! Real web servers in front of a site, configured by the samples in `public/`.

use super::process::{Process, guarded, log_to};
use super::{SiteFolder, TempFolder};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// A web server and the way in which it runs the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// nginx; fcgiwrap starts a process for each request.
    NginxCgi,
    /// nginx; each program runs all the time under spawn-fcgi.
    NginxFastCgi,
}

impl Host {
    /// For promises that must hold behind each of them.
    pub const ALL: [Host; 2] = [Host::NginxCgi, Host::NginxFastCgi];
}

/// A running web server with its helpers, on the port of its site.
#[derive(Debug)]
pub struct WebServer {
    port: u16,
    // nginx ends first: it must not find its helpers gone.
    processes: Vec<Process>,
    folder: TempFolder,
}

impl WebServer {
    pub fn start(site: &SiteFolder, host: Host) -> WebServer {
        let mut server = WebServer { port: site.port, processes: Vec::new(), folder: TempFolder::new("web") };
        let locations = match host {
            Host::NginxCgi => server.start_fcgiwrap(site),
            Host::NginxFastCgi => server.start_programs(site),
        };
        server.start_nginx(&locations);
        server
    }

    /// Where the server listens, with a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// What nginx and the programs complained about so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.join("error.log")
    }

    /// The process ids of all servers, nginx first.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }

    fn start_fcgiwrap(&mut self, site: &SiteFolder) -> String {
        let socket = self.folder.join("fcgiwrap.socket");
        // fcgiwrap ends without its workers; the shell ends the whole group.
        let mut command = guarded("sh");
        command.args(["-c", "trap 'trap - TERM; kill 0' TERM; fcgiwrap -f -c 4 -s \"unix:$0\" & wait"]).arg(&socket);
        self.start_helper("fcgiwrap", command, &socket);
        sample("public/nginx-cgi.conf", &[("/srv/matrix-register-bot", site.path()), ("/run/fcgiwrap.socket", &socket)])
    }

    fn start_programs(&mut self, site: &SiteFolder) -> String {
        for name in site.programs_in("public") {
            let socket = self.folder.join(format!("{name}.socket"));
            let mut command = guarded("spawn-fcgi");
            command.args(["-n", "-s"]).arg(&socket).arg("--").arg(site.program(&name));
            self.start_helper(&name, command, &socket);
        }
        sample("public/nginx-fastcgi.conf", &[("/srv/matrix-register-bot", site.path()), ("/run/matrix-register-bot", self.folder.path())])
    }

    fn start_helper(&mut self, name: &str, mut command: std::process::Command, socket: &Path) {
        let log = self.log_path();
        log_to(&mut command, &log);
        let mut process = Process::start(name, command, Some(&log));
        process.wait_until(10, || socket.exists());
        self.processes.push(process);
    }

    fn start_nginx(&mut self, locations: &str) {
        let folder = self.folder.path();
        fs::copy("/etc/nginx/fastcgi_params", folder.join("fastcgi_params"))
            .unwrap_or_else(|cause| panic!("/etc/nginx/fastcgi_params: {cause}; run tests/world/install"));
        fs::write(folder.join("locations.conf"), locations).unwrap();
        fs::write(folder.join("nginx.conf"), nginx_frame(self.port)).unwrap();
        let mut command = guarded("nginx");
        command.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(folder);
        let log = self.log_path();
        log_to(&mut command, &log);
        let mut process = Process::start("nginx", command, Some(&log));
        let port = self.port;
        process.wait_until(10, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        self.processes.insert(0, process);
    }
}

/// A sample from the project with its example paths replaced; fails where a path is not in it.
fn sample(name: &str, replacements: &[(&str, &Path)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut text = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    for (example, real) in replacements {
        assert!(text.contains(example), "{name} does not contain {example}");
        text = text.replace(example, &real.to_string_lossy());
    }
    text
}

/// What surrounds the sample on a sysadmin's machine; all paths are relative to the folder.
fn nginx_frame(port: u16) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .into_iter()
        .map(|kind| format!("    {kind}_temp_path temp_{kind};\n"))
        .collect();
    format!(
        "{user}\ndaemon off;\nworker_processes 2;\npid nginx.pid;\nerror_log error.log notice;\nevents {{}}\nhttp {{\n\
         \x20   access_log access.log;\n{temporary}\
         \x20   server {{\n        listen 127.0.0.1:{port};\n        include locations.conf;\n    }}\n}}\n"
    )
}

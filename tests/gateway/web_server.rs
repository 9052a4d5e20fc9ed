//! Real web servers: nginx with spawn-fcgi, and with fcgiwrap. Skipped if they are not installed.

use crate::program::{Folder, eventually, field, signal, wait};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// nginx and the process that it uses, in a temporary folder.
struct Site {
    folder: Folder,
    port: u16,
    children: Vec<Child>,
}

pub fn spawn(folder: &Folder, command: &mut Command) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.path("log")).unwrap();
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn nginx_config(folder: &Folder, port: u16, is_cgi: bool) -> String {
    let root = folder.0.display();
    let socket = format!("unix:{root}/socket");
    let script = if is_cgi { format!("fastcgi_param SCRIPT_FILENAME {root}/public/echo;") } else { String::new() };
    let location = format!("location / {{ include /etc/nginx/fastcgi_params; {script} fastcgi_pass {socket}; }}");
    nginx_frame(&folder.0, port, "", &location)
}

/// The configuration around the lines for `http` and for the server.
pub fn nginx_frame(root: &Path, port: u16, http: &str, server: &str) -> String {
    let root = root.display();
    // This directive came with a security fix; older versions accept as many headers as fit into their buffers.
    let max_headers = if nginx_knows("max_headers") { "max_headers 20000;" } else { "" };
    format!(
        "user root; daemon off; master_process off; pid {root}/pid; error_log {root}/nginx.log;
        events {{ worker_connections 600; }}
        http {{
          {max_headers} access_log off; client_body_temp_path {root}/body; fastcgi_temp_path {root}/fastcgi; proxy_temp_path {root}/proxy;
          uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi; client_max_body_size 100m;
          {http} server {{ listen 127.0.0.1:{port}; server_name localhost; {server} }}
        }}"
    )
}

fn nginx_knows(directive: &str) -> bool {
    let nginx = fs::read("/usr/sbin/nginx").unwrap();
    nginx.windows(directive.len()).any(|bytes| bytes == directive.as_bytes())
}

/// The unmodified answer to a request.
pub fn request(port: u16, line: &[u8], headers: &[u8], body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    // An early answer may end the sending.
    let _ = stream.write_all(&[line, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", headers, b"\r\n", body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

impl Site {
    /// `None` if a program is missing.
    fn start(is_cgi: bool) -> Option<Site> {
        let behind = if is_cgi { "/usr/sbin/fcgiwrap" } else { "/usr/bin/spawn-fcgi" };
        if ["/usr/sbin/nginx", "/etc/nginx/fastcgi_params", behind].iter().any(|path| !Path::new(path).exists()) {
            eprintln!("skipped: nginx, spawn-fcgi or fcgiwrap is not installed");
            return None;
        }
        let folder = Folder::new();
        let (socket, echo) = (folder.path("socket"), folder.echo());
        let backend = match is_cgi {
            true => spawn(&folder, Command::new(behind).arg("-s").arg(format!("unix:{}", socket.display()))),
            false => spawn(&folder, Command::new(behind).arg("-n").arg("-s").arg(&socket).arg("--").arg(echo)),
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(folder.path("nginx.conf"), nginx_config(&folder, port, is_cgi)).unwrap();
        let nginx = spawn(&folder, Command::new("/usr/sbin/nginx").arg("-p").arg(&folder.0).arg("-c").arg(folder.path("nginx.conf")));
        let site = Site { folder, port, children: vec![nginx, backend] };
        assert!(eventually(10, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "nginx does not listen");
        assert!(eventually(10, || site.get("/").starts_with("HTTP/1.1 200 ")), "{}", site.get("/"));
        Some(site)
    }

    fn request(&self, line: &[u8], headers: &[u8], body: &[u8]) -> String {
        request(self.port, line, headers, body)
    }

    fn get(&self, url: &str) -> String {
        self.request(format!("GET {url}").as_bytes(), b"", b"")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in &mut self.children {
            signal("TERM", child.id());
            wait(child);
        }
    }
}

fn get_head_and_post(site: &Site) {
    let answer = site.get("/?sleep=1");
    assert!(answer.contains("\r\nContent-Length: ") && answer.contains("method=GET address=127.0.0.1 "), "{answer}");
    let head = site.request(b"HEAD /", b"", b"");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nContent-Length: ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(site.request(b"POST /", b"Content-Length: 6\r\n", b"abcdef").contains("bytes=6 sum=597 "));
    assert!(site.request(b"POST /", b"Transfer-Encoding: chunked\r\n", b"6\r\nabcdef\r\n0\r\n\r\n").contains("bytes=6 "));
    assert!(site.request(b"DELETE /", b"", b"").starts_with("HTTP/1.1 405 "));
    let large = [b'x'; 70_000];
    let refused = site.request(b"POST /", b"Content-Length: 70000\r\n", &large);
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
}

#[test]
fn nginx_and_fcgiwrap_run_it_as_plain_cgi() {
    let Some(site) = Site::start(true) else { return };
    get_head_and_post(&site);
    assert!(site.request(b"GET /?\xff", b"", b"").starts_with("HTTP/1.1 400 "));
    assert!(site.request(b"GET /", b"Proxy: http://evil.example/\r\n", b"").starts_with("HTTP/1.1 400 "));
}

#[test]
fn nginx_and_spawn_fcgi_run_it_as_fastcgi() {
    let Some(site) = Site::start(false) else { return };
    get_head_and_post(&site);
    let answer = site.get("/?fill=300000");
    assert_eq!(field(&answer, "filling").len(), 300_000);
}

#[test]
fn a_visitor_who_hides_variables_behind_raw_bytes_gets_400() {
    let Some(site) = Site::start(false) else { return };
    assert!(site.request(b"GET /?\xff", b"", b"").starts_with("HTTP/1.1 400 "));
    assert!(site.request(b"GET /%ff", b"", b"").starts_with("HTTP/1.1 400 "));
    // User "\xfe", password "": nginx decodes this as $remote_user even if no password was asked for.
    let user = site.request(b"GET /", b"Authorization: Basic /jo=\r\n", b"");
    assert!(user.starts_with("HTTP/1.1 400 "), "{user}");
}

#[test]
fn as_many_headers_as_nginx_lets_in_neither_kill_nor_refuse() {
    let Some(site) = Site::start(false) else { return };
    let worker = field(&site.get("/"), "pid").to_owned();
    let start = Instant::now();
    // nginx sends at most 65,535 bytes of parameters; each of these takes 8 (since version 1.23 they are joined).
    let answer = site.request(b"GET /", "a:\n".repeat(8_000).as_bytes(), b"");
    println!("8,000 headers: {:?}", start.elapsed());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(field(&site.get("/"), "pid"), worker);
}

#[test]
fn a_body_of_50_megabytes_is_refused_and_takes_no_memory() {
    let Some(site) = Site::start(false) else { return };
    let worker = field(&site.get("/"), "pid").to_owned();
    let answer = site.request(b"POST /", b"Content-Length: 50000000\r\n", &vec![b'x'; 50_000_000]);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak: {kilobytes} kB");
    assert!(kilobytes < 40_000, "{kilobytes} kB");
}

#[test]
fn two_hundred_visitors_at_once_are_served_through_nginx() {
    let Some(site) = Site::start(false) else { return };
    let answers: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..200).map(|_| scope.spawn(|| site.get("/?sleep=10"))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")));
    assert_eq!(field(&site.get("/"), "most"), "8");
}

#[test]
fn spawn_fcgi_ends_it_with_sigterm_after_the_last_request() {
    let Some(mut site) = Site::start(false) else { return };
    std::thread::scope(|scope| {
        let request = scope.spawn({
            let site = &site;
            move || site.get("/?sleep=1000")
        });
        assert!(eventually(20, || site.folder.log().contains("sleeping")), "{}", site.folder.log());
        signal("TERM", site.children[1].id());
        assert!(request.join().unwrap().starts_with("HTTP/1.1 200 "));
    });
    assert_eq!(wait(&mut site.children[1]).code(), Some(0));
}

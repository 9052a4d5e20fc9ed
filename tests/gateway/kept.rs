//! Connections that a web server keeps open between requests, with the configuration of `docs/hosts`.

use crate::client::{Connection, params};
use crate::program::{Folder, Server, eventually, field, signal, wait};
use crate::web_server::{nginx_frame, request, spawn};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// An answer on a connection that stays open.
fn ask_and_keep(connection: &mut Connection) -> String {
    connection.begin_and_keep().unwrap();
    connection.params(&params("GET", "")).unwrap();
    connection.body(b"").unwrap();
    connection.answer()
}

#[test]
fn a_worker_that_retires_serves_the_kept_connections_and_ends_each_after_an_answer() {
    let server = Server::start(Folder::new());
    let mut kept: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    let old = field(&ask_and_keep(&mut kept[0]), "pid").to_owned();
    kept.iter_mut().for_each(|connection| assert_eq!(field(&ask_and_keep(connection), "pid"), old));
    server.folder.install();
    assert!(eventually(15, || server.log().contains("upgraded")), "{}", server.log());
    assert!(eventually(5, || field(&server.get(""), "pid") != old));
    // Longer than a worker that is told to stop would wait.
    thread::sleep(Duration::from_secs(3));
    for connection in &mut kept {
        assert_eq!(field(&ask_and_keep(connection), "pid"), old);
        assert!(connection.is_at_its_end(), "the old worker ends the connection");
    }
    drop(kept);
    assert!(eventually(5, || !Path::new(&format!("/proc/{old}")).exists()), "nothing holds up its end");
    assert!(!server.log().contains("connection_broken"), "{}", server.log());
}

#[test]
fn idle_connections_of_a_hundred_web_server_workers_cost_little_and_stop_nobody() {
    let server = Server::start(Folder::new());
    let worker = field(&server.get(""), "pid").to_owned();
    let kilobytes = || {
        let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    let before = kilobytes();
    let mut kept: Vec<Connection> = (0..800).map(|_| server.connect()).collect();
    kept.iter_mut().for_each(|connection| assert_eq!(field(&ask_and_keep(connection), "pid"), worker));
    let each = (kilobytes() - before) / kept.len();
    println!("{each} kB for each connection");
    assert!(each < 160, "{each} kB for each connection");
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(field(&server.get(""), "pid"), worker);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// A web server that keeps connections to the program, which runs on a socket as under systemd.
struct Site {
    server: Server,
    web: Child,
    port: u16,
}

fn of_hosts(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/hosts/{page}.md"))).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn started(server: Server, web: Child, port: u16) -> Site {
    let site = Site { server, web, port };
    assert!(eventually(10, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "the web server does not listen");
    assert!(eventually(10, || is_ok(&site.ask(0))), "{}", site.ask(0));
    site
}

fn nginx() -> Option<Site> {
    if !Path::new("/usr/sbin/nginx").exists() {
        eprintln!("skipped: nginx is not installed");
        return None;
    }
    let (server, port) = (Server::start(Folder::new()), free_port());
    let (page, root) = (of_hosts("nginx-systemd"), server.folder.0.clone());
    let socket = server.folder.path("socket").display().to_string();
    let upstream = page.split_once("```nginx\n").and_then(|(_, rest)| rest.split_once("\n}\n")).unwrap().0;
    let upstream = upstream.replace("/run/matrix-register-bot/register.socket", &socket) + "}";
    let pages = page.split_once("## The pages\n").unwrap().1;
    let lines: Vec<&str> =
        pages.lines().filter(|line| line.contains("fastcgi_keep_conn") || line.contains("fastcgi_next")).take(2).collect();
    assert_eq!(lines.len(), 2, "the page keeps connections, and says what is repeated");
    let location = format!(
        "location / {{ set $program socket; include /etc/nginx/fastcgi_params; fastcgi_pass unix:{}/$program; {} }}",
        root.display(),
        lines.join(" ")
    );
    let config = nginx_frame(&root, port, &upstream, &location);
    fs::write(server.folder.path("nginx.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    let web = spawn(&server.folder, command.arg("-p").arg(&root).arg("-c").arg(server.folder.path("nginx.conf")));
    Some(started(server, web, port))
}

fn apache() -> Option<Site> {
    if !Path::new("/usr/sbin/apache2").exists() {
        eprintln!("skipped: Apache is not installed");
        return None;
    }
    let (server, port) = (Server::start(Folder::new()), free_port());
    let page = of_hosts("apache-proxy-fcgi");
    let kept = page.lines().find(|line| line.starts_with("<Proxy \"fcgi://register/\"")).unwrap();
    let handler = page.lines().find(|line| line.contains("register.socket|")).unwrap().trim();
    let handler = handler.replace("/run/matrix-register-bot/register.socket", server.folder.path("socket").to_str().unwrap());
    let modules = ["mpm_event", "authz_core", "proxy", "proxy_fcgi"];
    let modules: String = modules.iter().map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")).collect();
    let (root, user) =
        (server.folder.0.display(), if rustix::process::geteuid().is_root() { "User www-data\nGroup www-data\n" } else { "" });
    let config = format!(
        "ServerRoot \"{root}\"\nServerName 127.0.0.1\nPidFile apache.pid\nErrorLog apache.log\n{modules}{user}DefaultRuntimeDir \"{root}\"\n\
         StartServers 1\nListen 127.0.0.1:{port}\nDocumentRoot \"{root}\"\n<Location \"/\">\nRequire all granted\n{handler}\n</Location>\n{kept}\n</Proxy>\n"
    );
    fs::write(server.folder.path("apache.conf"), config).unwrap();
    let open = Command::new("chmod").arg("a+rwX").args([&server.folder.0, &server.folder.path("socket")]).status();
    assert!(open.unwrap().success());
    let mut command = Command::new("/usr/sbin/apache2");
    let web = spawn(&server.folder, command.args(["-D", "FOREGROUND", "-f"]).arg(server.folder.path("apache.conf")));
    Some(started(server, web, port))
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ") && answer.contains("pid=")
}

impl Site {
    /// Every other request is a form.
    fn ask(&self, number: usize) -> String {
        match number % 2 {
            0 => request(self.port, b"GET /?sleep=1", b"", b""),
            _ => request(self.port, b"POST /", b"Content-Length: 6\r\n", b"abcdef"),
        }
    }

    /// What the web server and the programs say about failures.
    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.server.folder.path(name)).unwrap_or_default();
        let all = format!("{}{}{}", read("nginx.log"), read("apache.log"), self.server.log());
        all.lines().filter(|line| *line != "sleeping").collect::<Vec<_>>().join("\n")
    }

    fn worker(&self) -> String {
        let mut answer = String::new();
        assert!(eventually(10, || {
            answer = self.ask(0);
            is_ok(&answer)
        }));
        field(&answer, "pid").to_owned()
    }

    /// The number of requests that fail under constant load while `happens` does, and for a while afterwards.
    fn failures_while(&self, happens: impl FnOnce()) -> usize {
        let (is_over, asked, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let goes_on = |more: usize| {
            let enough = asked.load(Ordering::SeqCst) + more;
            assert!(eventually(30, || asked.load(Ordering::SeqCst) >= enough), "the site does not answer");
        };
        thread::scope(|scope| {
            for client in 0..4 {
                let (is_over, asked, failed) = (&is_over, &asked, &failed);
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        let answer = self.ask(client + asked.fetch_add(1, Ordering::SeqCst));
                        if !is_ok(&answer) {
                            println!("{answer}");
                            failed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                goes_on(200);
                happens();
                goes_on(400);
            }));
            is_over.store(true, Ordering::SeqCst);
            run.unwrap();
        });
        println!("{} requests, {} failed", asked.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
        failed.into_inner()
    }

    fn upgrade(&self) {
        let old = self.worker();
        self.server.folder.install();
        assert!(eventually(20, || self.server.log().contains("upgraded")), "{}", self.server.log());
        assert!(eventually(10, || self.worker() != old), "the new worker answers");
    }

    fn crash(&self) {
        for _ in 0..3 {
            let old = self.worker();
            signal("KILL", old.parse().unwrap());
            assert!(eventually(10, || self.worker() != old), "another worker answers");
        }
    }

    fn change_configuration(&self) {
        for name in ["one.example", "two.example"] {
            self.server.folder.write_config("config.toml", name, "");
            assert!(eventually(10, || self.ask(0).contains(&format!("site={name} "))));
        }
    }

    fn keeps_connections(&self) {
        let connections = || fs::read_dir(format!("/proc/{}/task", self.worker())).unwrap().count();
        assert!(connections() > 1, "a connection is still there after the answer");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        signal("TERM", self.web.id());
        wait(&mut self.web);
    }
}

/// A crash costs a request that was on a new connection, as nginx repeats only those on kept ones.
#[test]
fn nginx_loses_no_request_in_an_upgrade_or_a_change_of_the_configuration_and_hardly_any_in_a_crash() {
    let Some(site) = nginx() else { return };
    site.keeps_connections();
    assert_eq!(site.failures_while(|| site.upgrade()), 0, "{}", site.log());
    let lost = site.failures_while(|| site.crash());
    assert!(lost <= 4, "{lost} requests of 15 that three crashes may hit: {}", site.log());
    assert_eq!(site.failures_while(|| site.change_configuration()), 0, "{}", site.log());
}

/// Apache does not repeat a request, so a crash costs the requests that are being answered. An upgrade may cost one that Apache sends
/// in the instant in which the retiring worker ends the connection; on a busy machine, 3 of 48 upgrades did.
#[test]
fn apache_loses_no_request_in_a_change_of_the_configuration_and_hardly_any_in_an_upgrade() {
    let Some(site) = apache() else { return };
    site.keeps_connections();
    let lost = site.failures_while(|| site.upgrade());
    assert!(lost <= 1, "{lost} requests: {}", site.log());
    assert_eq!(site.failures_while(|| site.change_configuration()), 0, "{}", site.log());
    let lost = site.failures_while(|| site.crash());
    assert!(lost <= 3 * 5, "{lost} requests: those of four clients and ours, in each of three crashes");
}

//! Connections that a web server keeps open between requests, with the configuration of `docs/hosts`.

use crate::client::{Connection, params};
use crate::program::{Folder, Server, eventually, field, signal, wait};
use crate::web_server::{nginx_frame, request, spawn};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
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

/// Requests at a time.
const CLIENTS: usize = 8;

/// How many crashes a test makes; `KILLS=100` is for measurements.
fn kills(normally: usize) -> usize {
    std::env::var("KILLS").map_or(normally, |number| number.parse().unwrap())
}

/// A web server that keeps connections to the program, which runs on a socket as under systemd.
struct Site {
    server: Server,
    web: Child,
    port: u16,
    /// Of the program.
    path: &'static str,
}

fn of_hosts(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/hosts/{page}.md"))).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn started(server: Server, web: Child, port: u16, path: &'static str) -> Site {
    let site = Site { server, web, port, path };
    assert!(eventually(10, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "the web server does not listen");
    assert!(eventually(10, || is_ok(&site.ask(0))), "{}", site.ask(0));
    site
}

/// The configuration below a heading of the page.
fn lines<'a>(page: &'a str, heading: &str) -> &'a str {
    let below = page.split_once(&format!("\n## {heading}\n")).unwrap().1;
    below.split_once("```nginx\n").and_then(|(_, lines)| lines.split_once("\n```")).unwrap().0
}

/// nginx with the lines for the pages, and with those that keep connections or without them.
fn nginx(is_keeping: bool) -> Option<Site> {
    nginx_with("The pages", "/register", is_keeping)
}

/// nginx with the lines below a heading, in which `path` leads to the program.
fn nginx_with(heading: &str, path: &'static str, is_keeping: bool) -> Option<Site> {
    if !Path::new("/usr/sbin/nginx").exists() {
        eprintln!("skipped: nginx is not installed");
        return None;
    }
    let (server, port) = (Server::start(Folder::new()), free_port());
    let (page, root) = (of_hosts("nginx-systemd"), server.folder.0.clone());
    let here = |heading: &str| lines(&page, heading).replace("/run/matrix-register-bot", root.to_str().unwrap());
    let connections = if is_keeping { here("Connections to the programs") } else { String::new() };
    for name in ["register", "login", "room_events", "intercept_change_password"] {
        symlink("socket", server.folder.path(&format!("{name}.socket"))).unwrap();
    }
    symlink("/etc/nginx/fastcgi_params", server.folder.path("fastcgi_params")).unwrap();
    let own_port = format!("127.0.0.1:{port}");
    let lines = here(heading).replace("127.0.0.1:8080", &own_port);
    let config = match lines.contains(&own_port) {
        true => nginx_frame(&root, free_port(), &format!("{connections}\n{lines}\n"), ""),
        false => nginx_frame(&root, port, &connections, &lines),
    };
    fs::write(server.folder.path("nginx.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    let web = spawn(&server.folder, command.arg("-p").arg(&root).arg("-c").arg(server.folder.path("nginx.conf")));
    Some(started(server, web, port, path))
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
    Some(started(server, web, port, "/"))
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ") && answer.contains("pid=")
}

/// Requests of several clients, each one after the other.
#[derive(Default)]
struct Load {
    answered: [AtomicUsize; CLIENTS],
    failed: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    /// Waits until each client has had so many more answers.
    fn everybody_is_answered(&self, times: usize) {
        let now = || self.answered.iter().map(|answered| answered.load(Ordering::SeqCst));
        let enough: Vec<usize> = now().map(|answered| answered + times).collect();
        assert!(eventually(30, || now().zip(&enough).all(|(answered, enough)| answered >= *enough)), "the site does not answer");
    }
}

impl Site {
    /// Every other request is a form.
    fn ask(&self, number: usize) -> String {
        match number % 2 {
            0 => request(self.port, format!("GET {}?sleep=1", self.path).as_bytes(), b"", b""),
            _ => request(self.port, format!("POST {}", self.path).as_bytes(), b"Content-Length: 6\r\n", b"abcdef"),
        }
    }

    /// What the web server and the programs say about failures.
    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.server.folder.path(name)).unwrap_or_default();
        let all = format!("{}{}{}", read("nginx.log"), read("apache.log"), self.server.log());
        all.lines().filter(|line| *line != "sleeping").collect::<Vec<_>>().join("\n")
    }

    /// The number of requests with `sleep=` that have reached a program.
    fn sleepers(&self) -> usize {
        self.server.log().lines().filter(|line| *line == "sleeping").count()
    }

    fn worker(&self) -> String {
        let mut answer = String::new();
        assert!(eventually(10, || {
            answer = self.ask(0);
            is_ok(&answer)
        }));
        field(&answer, "pid").to_owned()
    }

    /// The number of requests that fail under constant load while `happens` does, and for a while before and afterwards.
    fn failures_while(&self, happens: impl FnOnce(&Load)) -> usize {
        let load = Load::default();
        thread::scope(|scope| {
            load.answered.iter().enumerate().for_each(|(client, answered)| {
                let load = &load;
                scope.spawn(move || {
                    while !load.is_over.load(Ordering::SeqCst) {
                        let answer = self.ask(client + answered.load(Ordering::SeqCst));
                        if !is_ok(&answer) {
                            println!("{answer}");
                            load.failed.fetch_add(1, Ordering::SeqCst);
                        }
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            });
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                load.everybody_is_answered(25);
                happens(&load);
                load.everybody_is_answered(50);
            }));
            load.is_over.store(true, Ordering::SeqCst);
            run.unwrap();
        });
        let asked: usize = load.answered.iter().map(|answered| answered.load(Ordering::SeqCst)).sum();
        println!("{asked} requests, {} failed", load.failed.load(Ordering::SeqCst));
        load.failed.into_inner()
    }

    fn upgrade(&self) {
        let old = self.worker();
        self.server.folder.install();
        assert!(eventually(20, || self.server.log().contains("upgraded")), "{}", self.server.log());
        assert!(eventually(10, || self.worker() != old), "the new worker answers");
    }

    /// No request meets two crashes.
    fn crash(&self, times: usize, load: &Load) {
        for _ in 0..times {
            let old = self.worker();
            signal("KILL", old.parse().unwrap());
            assert!(eventually(10, || self.worker() != old), "another worker answers");
            load.everybody_is_answered(2);
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

#[test]
fn nginx_loses_no_request_in_an_upgrade_a_crash_or_a_change_of_the_configuration() {
    let Some(site) = nginx(true) else { return };
    site.keeps_connections();
    assert_eq!(site.failures_while(|_| site.upgrade()), 0, "{}", site.log());
    assert_eq!(site.failures_while(|load| site.crash(kills(10), load)), 0, "{}", site.log());
    assert_eq!(site.failures_while(|_| site.change_configuration()), 0, "{}", site.log());
}

#[test]
fn nginx_loses_no_request_in_a_crash_without_kept_connections_either() {
    let Some(site) = nginx(false) else { return };
    assert_eq!(site.failures_while(|load| site.crash(kills(5), load)), 0, "{}", site.log());
}

/// The answer to a request during which the worker crashes, the process of that worker, and how often a worker had the request.
fn cut_off(site: &Site) -> (String, String, usize) {
    let (old, before) = (site.worker(), site.sleepers());
    let answer = thread::scope(|scope| {
        let line = format!("POST {}?sleep=2500", site.path);
        let asked = scope
            .spawn(move || request(site.port, line.as_bytes(), b"X-Forwarded-For: seen\r\nContent-Length: 60000\r\n", &[b'x'; 60_000]));
        assert!(eventually(10, || site.sleepers() == before + 1), "{}", site.log());
        signal("KILL", old.parse().unwrap());
        asked.join().unwrap()
    });
    (answer, old, site.sleepers() - before)
}

#[test]
fn a_request_that_a_crash_cut_off_behind_nginx_is_answered_whole_by_the_next_worker() {
    let internal = "What Synapse and identity servers ask";
    for (heading, path, is_keeping) in [
        ("The pages", "/register", true),
        ("The pages", "/", false),
        ("The pages in a subfolder", "/signup/register", true),
        (internal, "/internal/login", true),
        (internal, "/internal/room_events/_matrix/app/v1/transactions/1", false),
    ] {
        let Some(site) = nginx_with(heading, path, is_keeping) else { return };
        let (answer, old, times) = cut_off(&site);
        assert!(is_ok(&answer) && field(&answer, "pid") != old, "{path}: {answer}");
        assert!(answer.contains("method=POST address=127.0.0.1 bytes=60000 sum=7200000 ") && answer.contains("header=seen"), "{answer}");
        assert_eq!(times, 2, "{path}");
    }
}

#[test]
fn a_password_change_that_a_crash_cut_off_behind_nginx_is_not_sent_again() {
    for (heading, path) in [
        ("Password changes", "/_matrix/client/v3/account/password"),
        ("What Synapse and identity servers ask", "/internal/intercept_change_password"),
    ] {
        let Some(site) = nginx_with(heading, path, true) else { return };
        let (answer, _, times) = cut_off(&site);
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("M_UNKNOWN"), "{path}: {answer}");
        assert_eq!(times, 1, "{path}");
    }
}

#[test]
fn what_a_program_answers_itself_is_not_asked_again_behind_nginx() {
    let Some(site) = nginx(true) else { return };
    for status in ["500", "502", "503", "504"] {
        let before = site.sleepers();
        let answer = request(site.port, format!("GET /register?sleep=1&status={status}").as_bytes(), b"", b"");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("pid="), "{answer}");
        assert_eq!(site.sleepers(), before + 1);
    }
}

#[test]
fn without_the_program_nginx_asks_at_once_to_come_back() {
    let Some(mut site) = nginx(true) else { return };
    site.server.terminate();
    site.server.wait();
    let begun = Instant::now();
    let answer = site.ask(0);
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 10\r\n") && answer.contains("Please try again"),
        "{answer}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Apache does not repeat a request, so a crash costs the requests that are being answered. An upgrade may cost one that Apache sends
/// in the instant in which the retiring worker ends the connection; on a busy machine, 3 of 48 upgrades did.
#[test]
fn apache_loses_no_request_in_a_change_of_the_configuration_and_hardly_any_in_an_upgrade() {
    let Some(site) = apache() else { return };
    site.keeps_connections();
    let lost = site.failures_while(|_| site.upgrade());
    assert!(lost <= 1, "{lost} requests: {}", site.log());
    assert_eq!(site.failures_while(|_| site.change_configuration()), 0, "{}", site.log());
    let lost = site.failures_while(|load| site.crash(3, load));
    // Who asks again at once may meet another connection that the crash has broken.
    assert!(lost <= 3 * 2 * CLIENTS, "{lost} requests: those of all clients, in each of three crashes");
}

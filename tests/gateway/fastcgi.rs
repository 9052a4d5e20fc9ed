//! FastCGI, record by record over a unix socket.

use crate::client::{BEGIN, Connection, PARAMS, STDIN, params};
use crate::program::{Folder, Server, eventually, field, signal};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn server() -> Server {
    Server::start(Folder::new())
}

fn threads_of(process: &str) -> usize {
    std::fs::read_dir(format!("/proc/{process}/task")).unwrap().count()
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("Status: 200 OK\r\n")
}

#[test]
fn get_head_and_post_are_answered() {
    let server = server();
    assert!(server.get("").contains("method=GET address=192.0.2.1 bytes=0 "));
    let head = server.connect().ask(&params("HEAD", ""), b"");
    assert!(is_ok(&head) && head.contains("Content-Length: ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(server.connect().post("6", b"abcdef").contains("bytes=6 sum=597 "));
    assert!(server.connect().post("", b"abcdef").contains("bytes=6 "), "a chunked body has no length");
}

#[test]
fn an_answer_larger_than_a_record_arrives_whole() {
    let server = server();
    for bytes in [65_000, 65_535, 65_536, 200_000] {
        let answer = server.get(&format!("fill={bytes}"));
        assert_eq!(field(&answer, "filling").len(), bytes);
    }
}

#[test]
fn a_connection_that_is_kept_serves_several_requests() {
    let server = server();
    let mut connection = server.connect();
    for _ in 0..3 {
        connection.begin_and_keep().unwrap();
        connection.params(&params("GET", "")).unwrap();
        connection.body(b"").unwrap();
        assert!(is_ok(&connection.answer()));
    }
}

#[test]
fn the_body_has_a_limit_whatever_its_announced_length_says() {
    let server = server();
    assert!(server.connect().post("65536", &[b'x'; 65_536]).contains("bytes=65536 "));
    assert!(server.connect().post("65537", &[b'x'; 65_537]).starts_with("Status: 413 "));
    assert!(server.connect().post("", &vec![b'x'; 1_000_000]).starts_with("Status: 413 "));
    for lie in ["5", "7", "-6", "six"] {
        assert!(server.connect().post(lie, b"abcdef").starts_with("Status: 400 "), "{lie}");
    }
}

#[test]
fn a_parameter_that_is_not_utf8_fails_closed_wherever_nginx_would_send_it() {
    let server = server();
    for spoiled in ["QUERY_STRING", "SCRIPT_NAME", "REMOTE_ADDR", "REMOTE_USER"] {
        let mut params = params("GET", "");
        params.iter_mut().filter(|(name, _)| *name == spoiled).for_each(|(_, value)| *value = b"\xff");
        assert!(server.connect().ask(&params, b"").starts_with("Status: 400 "), "{spoiled}");
    }
    let mut behind = params("GET", "");
    behind.extend([("HTTP_X_SPOILED", &b"\xff"[..]), ("HTTP_X_TEST", b"seen")]);
    assert!(server.connect().ask(&behind, b"").contains("header=none"), "headers behind are lost, which is documented");
}

#[test]
fn no_method_is_400() {
    let params: Vec<_> = params("GET", "").into_iter().filter(|(name, _)| *name != "REQUEST_METHOD").collect();
    assert!(server().connect().ask(&params, b"").starts_with("Status: 400 "));
}

#[test]
fn headers_beyond_64_kib_are_431() {
    let mut params = params("GET", "");
    params.push(("HTTP_X_TEST", &[b'x'; 70_000]));
    assert!(server().connect().ask(&params, b"").starts_with("Status: 431 Request Header Fields Too Large\r\n"));
}

#[test]
fn malformed_records_end_their_connection_and_nothing_else() {
    let server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    for garbage in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        &[0; 100],
        &[1, BEGIN, 0, 1, 0, 1, 0, 0, 9],
        &[1, 7, 0, 1, 0, 0, 0, 0],
        &[1, PARAMS, 0, 1, 255, 255, 0, 0, 1],
    ] {
        let mut connection = server.connect();
        connection.stream.write_all(garbage).unwrap();
        connection.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(connection.answer(), "");
    }
    assert_eq!(field(&server.get(""), "pid"), worker);
    assert!(eventually(5, || server.log().contains("connection_broken")), "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_parameter_that_claims_two_gigabytes_ends_its_connection_and_nothing_else() {
    let server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    let mut connection = server.connect();
    connection.begin().unwrap();
    connection.record(PARAMS, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'a']).unwrap();
    connection.record(PARAMS, &[]).unwrap();
    assert_eq!(connection.answer(), "");
    assert_eq!(field(&server.get(""), "pid"), worker);
}

#[test]
fn more_parameters_than_any_web_server_sends_are_survived() {
    let server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    let mut params = params("GET", "");
    params.extend((0..11_000).map(|_| ("HTTP_A", &b""[..])));
    let start = Instant::now();
    assert!(is_ok(&server.connect().ask(&params, b"")));
    println!("11,000 parameters: {:?}", start.elapsed());
    assert_eq!(field(&server.get(""), "pid"), worker);
}

#[test]
fn a_worker_that_dies_of_a_stack_overflow_is_replaced_and_the_socket_stays() {
    let server = Server::start_with(Folder::new(), &[("RUST_MIN_STACK", "262144")]);
    let worker = field(&server.get(""), "pid").to_owned();
    let mut many = params("GET", "");
    many.extend((0..11_000).map(|_| ("HTTP_A", &b""[..])));
    assert_eq!(server.connect().ask(&many, b""), "", "the stack was meant to be too small");
    let answer = server.get("");
    assert!(is_ok(&answer) && field(&answer, "pid") != worker);
    assert!(server.log().contains("worker_ended"), "{}", server.log());
}

#[test]
fn a_panic_in_one_request_is_a_500_and_the_next_one_is_served() {
    let server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    let answer = server.get("panic=hunter2");
    assert!(answer.starts_with("Status: 500 ") && !answer.contains("hunter2"), "{answer}");
    assert_eq!(field(&server.get(""), "pid"), worker);
    assert!(server.log().contains("panicked at examples/echo.rs:") && !server.log().contains("hunter2"), "{}", server.log());
}

#[test]
fn a_slow_client_keeps_nobody_waiting() {
    let server = server();
    let slow: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = server.connect();
            connection.begin().unwrap();
            let mut params = params("POST", "");
            params.push(("CONTENT_LENGTH", b"1000"));
            connection.params(&params).unwrap();
            connection.record(STDIN, b"a").unwrap();
            connection
        })
        .collect();
    let start = Instant::now();
    assert!(is_ok(&server.get("")));
    assert!(start.elapsed() < Duration::from_secs(2));
    drop(slow);
}

#[test]
fn idle_connections_beyond_the_bound_make_wait_until_some_of_them_leave() {
    let server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    let mut idle: Vec<Connection> = (0..1400).map(|_| server.connect()).collect();
    // The bound is applied to a count that is some milliseconds old.
    let is_settled = || {
        let before = threads_of(&worker);
        thread::sleep(Duration::from_millis(100));
        before > 1200 && threads_of(&worker) == before
    };
    assert!(eventually(20, is_settled), "{}", threads_of(&worker));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get(""));
        assert!(!eventually(0.3, || waiting.is_finished()), "the bound lets nobody in");
        idle.truncate(700);
        assert_eq!(field(&waiting.join().unwrap(), "pid"), worker);
    });
}

#[test]
fn a_rush_of_connections_finds_a_bound_and_leaves_a_worker_that_serves() {
    let server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    let (start, mut rush, mut most) = (Instant::now(), Vec::new(), 0);
    let threads = || threads_of(&worker);
    while start.elapsed() < Duration::from_secs(2) {
        match Connection::try_open(&server.folder.path("socket")) {
            Some(connection) if rush.len() < 6000 => rush.push(connection),
            // The queue of the socket is full.
            _ => thread::sleep(Duration::from_millis(1)),
        }
        most = most.max(if rush.len() % 50 == 0 { threads() } else { 0 });
    }
    println!("{} connections, {most} threads at most", rush.len());
    assert!(rush.len() > 1280 && most < 2200, "{} connections, {most} threads", rush.len());
    drop(rush);
    assert!(is_ok(&server.get("")));
    assert!(eventually(20, || threads() < 20), "{}", threads());
    assert_eq!(field(&server.get(""), "pid"), worker);
}

#[test]
fn two_hundred_requests_at_once_are_all_served_and_eight_at_a_time() {
    let server = server();
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| served.fetch_add(usize::from(is_ok(&server.get("sleep=20"))), Ordering::SeqCst));
        }
    });
    assert_eq!(served.into_inner(), 200);
    assert_eq!(field(&server.get(""), "most"), "8");
}

#[test]
fn what_only_reads_gets_through_while_every_other_place_waits_for_a_peer() {
    let server = server();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..30).map(|_| scope.spawn(|| server.connect().ask(&params("POST", "sleep=2000"), b""))).collect();
        assert!(eventually(10, || field(&server.get(""), "most").parse::<u64>().unwrap() >= 7));
        for _ in 0..20 {
            let start = Instant::now();
            assert!(is_ok(&server.get("")));
            assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
        }
        let served = waiting.into_iter().map(|thread| thread.join().unwrap()).filter(|answer| is_ok(answer)).count();
        assert!(served >= 24, "six at a time: {served}");
    });
}

#[test]
fn who_waits_too_long_for_a_turn_is_told_to_come_back() {
    let folder = Folder::new();
    folder.write_config("config.toml", "example.org", "concurrent_requests = 1");
    let server = Server::start(folder);
    thread::scope(|scope| {
        let long = scope.spawn(|| server.get("sleep=12000"));
        server.wait_until_sleeping();
        let answer = server.get("");
        assert!(answer.starts_with("Status: 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
        assert!(is_ok(&long.join().unwrap()));
    });
}

#[test]
fn who_finds_too_many_waiting_is_told_at_once_and_the_log_counts_them_in_one_line() {
    let folder = Folder::new();
    folder.write_config("config.toml", "example.org", "concurrent_requests = 1");
    let server = Server::start(folder);
    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..280 {
            scope.spawn(|| refused.fetch_add(usize::from(!is_ok(&server.get("sleep=6000"))), Ordering::SeqCst));
        }
        assert!(eventually(5, || refused.load(Ordering::SeqCst) > 0), "256 may wait");
        let start = Instant::now();
        let answers: Vec<String> = (0..40).map(|_| server.get("")).collect();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert!(answers.iter().all(|answer| answer.starts_with("Status: 503 ") && answer.contains("\r\nRetry-After: ")));
    });
    assert!(eventually(15, || server.log().contains("turned_away")), "{}", server.log());
    assert!(server.log().matches("turned_away").count() <= 4 && !server.log().contains("request_failed"), "{}", server.log());
}

#[test]
fn sigterm_lets_a_running_request_end_and_exits_with_0() {
    let mut server = server();
    let path = server.folder.path("socket");
    let request = thread::spawn(move || Connection::open(&path).get("sleep=1500"));
    server.wait_until_sleeping();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(is_ok(&request.join().unwrap()));
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let mut server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    let before = threads_of(&worker);
    let idle: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
    assert!(eventually(5, || threads_of(&worker) >= before + 9), "{}", threads_of(&worker));
    let start = Instant::now();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(idle);
}

#[test]
fn a_worker_ends_with_its_supervisor() {
    let mut server = server();
    let worker = field(&server.get(""), "pid").to_owned();
    signal("KILL", server.pid());
    server.wait();
    assert!(eventually(5, || !std::path::Path::new(&format!("/proc/{worker}")).exists()));
}

#[test]
fn an_upgrade_takes_over_without_a_failed_request() {
    let server = server();
    let first = field(&server.get(""), "pid").to_owned();
    let is_there = || std::path::Path::new(&format!("/proc/{first}")).exists();
    let (done, served, failed) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            let (done, served, failed, server) = (done.clone(), &served, &failed, &server);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let counter = if is_ok(&server.get("sleep=2")) { served } else { failed };
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        server.folder.install();
        let is_new = eventually(15, || field(&server.get(""), "pid") != first && server.log().contains("upgraded"));
        let is_over = eventually(20, || !is_there());
        let enough = served.load(Ordering::SeqCst) + 100;
        let goes_on = eventually(20, || served.load(Ordering::SeqCst) + failed.load(Ordering::SeqCst) >= enough);
        done.store(true, Ordering::SeqCst);
        assert!(is_new && is_over && goes_on, "{is_new} {is_over} {goes_on} {}", server.log());
    });
    assert_eq!(failed.into_inner(), 0);
}

#[test]
fn an_upgrade_that_does_not_run_is_refused_and_the_old_program_goes_on() {
    let server = server();
    let first = field(&server.get(""), "pid").to_owned();
    let broken = server.folder.path("public/.broken");
    assert!(std::process::Command::new("cp").args(["-L", "/bin/false"]).arg(&broken).status().unwrap().success());
    std::fs::rename(&broken, server.folder.echo()).unwrap();
    assert!(eventually(10, || server.log().contains("upgrade_refused")), "{}", server.log());
    assert_eq!(field(&server.get(""), "pid"), first);
    std::fs::remove_file(server.folder.echo()).unwrap();
    // The supervisor looks once a second, and acts on what it saw twice.
    let is_upgraded = eventually(2.5, || field(&server.get(""), "pid") != first);
    assert!(!is_upgraded, "a missing file is none");
}

#[test]
fn an_edited_configuration_takes_effect_and_a_broken_one_is_logged_once() {
    let server = server();
    assert!(server.get("").contains("site=example.org "));
    // Young files are read at each request.
    let age = || std::fs::metadata(server.folder.path("config.toml")).unwrap().modified().unwrap().elapsed().unwrap();
    assert!(eventually(10, || age() > Duration::from_secs(3)));
    assert!(server.get("").contains("site=example.org "));
    server.folder.write_config("config.toml", "edited.example", "");
    assert!(server.get("").contains("site=edited.example "));
    std::fs::write(server.folder.path("config.toml"), "server_nam = 1").unwrap();
    assert!(server.get("").contains("site=edited.example "), "perhaps the file is just being written");
    assert!(eventually(10, || server.get("").starts_with("Status: 500 ")));
    assert!(server.get("").starts_with("Status: 500 "));
    assert_eq!(server.log().matches("configuration_refused").count(), 1, "{}", server.log());
    server.folder.write_config("config.toml", "mended.example", "");
    assert!(server.get("").contains("site=mended.example "));
    std::fs::write(server.folder.path("config.toml"), "server_nam = 1").unwrap();
    assert!(eventually(10, || age() > Duration::from_secs(4)));
    assert!(server.get("").starts_with("Status: 500 "), "also the first request after a while is not answered by the settings of before");
}

/// The answer to a request that names this configuration.
fn ask_for(server: &Server, configuration: &str) -> String {
    let mut params = vec![("MATRIX_REGISTER_BOT_CONFIG", configuration.as_bytes())];
    params.extend(crate::client::params("GET", ""));
    server.connect().ask(&params, b"")
}

/// A server with these paths in its environment's list, relative to its folder.
fn server_that_lists(names: &[&str]) -> Server {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("sites")).unwrap();
    let listed: Vec<String> = names.iter().map(|name| folder.path(name).to_str().unwrap().to_owned()).collect();
    Server::start_with(folder, &[("MATRIX_REGISTER_BOT_CONFIGS", &listed.join(":"))])
}

#[test]
fn a_request_does_not_choose_its_configuration() {
    let server = server();
    server.folder.write_config("b.toml", "b.example", "");
    let path = server.folder.path("b.toml");
    for _ in 0..3 {
        let answer = ask_for(&server, path.to_str().unwrap());
        assert!(answer.contains("site=example.org "), "{answer}");
    }
    assert_eq!(server.log().matches("configuration_ignored").count(), 1, "{}", server.log());
    for number in 0..40 {
        assert!(ask_for(&server, &format!("/nowhere/{number}.toml")).contains("site=example.org "));
    }
    assert!(server.log().matches("configuration_ignored").count() <= 16, "the log cannot be filled: {}", server.log());
    // The process's own configuration may be named.
    assert!(ask_for(&server, server.folder.path("config.toml").to_str().unwrap()).contains("site=example.org "));
}

#[test]
fn one_process_serves_the_sites_that_its_environment_lists() {
    let server = server_that_lists(&["sites", "b.toml"]);
    server.folder.write_config("b.toml", "b.example", "");
    server.folder.write_config("sites/c.toml", "c.example", "");
    for _ in 0..2 {
        for (name, site) in [("b.toml", "b.example"), ("sites/c.toml", "c.example"), ("sites/../sites/c.toml", "c.example")] {
            let answer = ask_for(&server, server.folder.path(name).to_str().unwrap());
            assert!(answer.contains(&format!("site={site} ")), "{name}: {answer}\n{}", server.log());
        }
        assert!(server.get("").contains("site=example.org "));
        assert!(ask_for(&server, "").contains("site=example.org "), "an empty parameter names nothing");
    }
}

#[test]
fn nothing_beside_a_listed_folder_can_be_named() {
    let server = server_that_lists(&["sites"]);
    let folder = &server.folder;
    folder.write_config("sites/good.toml", "good.example", "");
    for name in ["evil.toml", "sites/evil.txt", "sites/open.toml"] {
        folder.write_config(name, "evil.example", "");
    }
    std::fs::create_dir(folder.path("sites-of-others")).unwrap();
    folder.write_config("sites-of-others/evil.toml", "evil.example", "");
    std::os::unix::fs::symlink(folder.path("evil.toml"), folder.path("sites/link.toml")).unwrap();
    std::os::unix::fs::symlink(folder.path("sites-of-others"), folder.path("sites/folder")).unwrap();
    set_mode(&folder.path("sites/open.toml"), 0o666);
    let mut names = vec![
        "evil.toml",
        "sites/evil.txt",
        "sites/open.toml",
        "sites/link.toml",
        "sites/folder/evil.toml",
        "sites/../evil.toml",
        "sites-of-others/evil.toml",
        "sites/missing.toml",
        "sites",
    ];
    if rustix::process::geteuid().is_root() {
        folder.write_config("sites/foreign.toml", "evil.example", "");
        std::os::unix::fs::chown(folder.path("sites/foreign.toml"), Some(65_534), None).unwrap();
        names.push("sites/foreign.toml");
    }
    for name in names {
        let answer = ask_for(&server, folder.path(name).to_str().unwrap());
        assert!(answer.starts_with("Status: 500 "), "{name}: {answer}");
    }
    for name in ["sites/good.toml", "good.toml", "/etc/passwd", "/proc/self/environ", "/dev/stdin"] {
        assert!(ask_for(&server, name).starts_with("Status: 500 "), "{name}");
    }
    assert!(ask_for(&server, folder.path("sites/good.toml").to_str().unwrap()).contains("site=good.example "), "{}", server.log());
    // Everybody who may write to the folder can put a file there.
    set_mode(&folder.path("sites"), 0o777);
    assert!(ask_for(&server, folder.path("sites/good.toml").to_str().unwrap()).starts_with("Status: 500 "));
    assert!(server.log().contains("configuration_not_allowed") && !server.log().contains("evil.example"), "{}", server.log());
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn two_processes_share_a_socket() {
    let folder = Folder::new();
    let listener = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
    let mut second = Server::spawn(&folder, listener.try_clone().unwrap().into(), &[]);
    let mut first = Server::spawn(&folder, listener.into(), &[]);
    let answers: Vec<String> = thread::scope(|scope| {
        let ask = || Connection::open(&folder.path("socket")).get("sleep=50");
        let asked: Vec<_> = (0..60).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut pids: Vec<&str> = answers.iter().map(|answer| field(answer, "pid")).collect();
    pids.sort_unstable();
    pids.dedup();
    println!("served by {} workers", pids.len());
    for child in [&mut first, &mut second] {
        signal("TERM", child.id());
        assert_eq!(crate::program::wait(child).code(), Some(0));
    }
}

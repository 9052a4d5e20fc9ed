//! Visitors who send one byte per second, in the head or the body of a request: everybody else must still be served.

use crate::crowd::{self, Asked};
use crate::world::{Host, SiteFolder, WebServer, built_programs};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Slow visitors, until this value is dropped.
struct SlowCrowd {
    done: Arc<AtomicBool>,
    dripping: Option<JoinHandle<()>>,
}

impl SlowCrowd {
    /// Half of them are slow in the head, half in the body.
    fn start(port: u16, count: usize) -> SlowCrowd {
        let mut streams: Vec<TcpStream> = (0..count).map(|number| begin(port, number % 2 == 0)).collect();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let dripping = thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                // The server may have closed some connections.
                streams.iter_mut().for_each(|stream| _ = stream.write_all(b"x"));
                thread::sleep(Duration::from_secs(1));
            }
        });
        SlowCrowd { done, dripping: Some(dripping) }
    }
}

impl Drop for SlowCrowd {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.dripping.take().map(JoinHandle::join);
    }
}

fn begin(port: u16, in_head: bool) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let start = match in_head {
        true => "GET /register HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        false => {
            "POST /register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n"
        }
    };
    stream.write_all(start.as_bytes()).unwrap();
    stream
}

/// Requests the form again and again for `seconds` while `count` visitors are slow.
fn nobody_else_waits(host: Host, count: usize, seconds: u64) {
    crowd::most_at_once();
    let site = SiteFolder::new(&built_programs!()).create();
    let web = WebServer::start_hardened(&site, host);
    let ask = || crowd::ask(&[Asked::get(site.port, "/register")], Duration::from_secs(30)).remove(0);
    assert_eq!(ask().status, Some(200), "{}", web.log());
    let slow = SlowCrowd::start(site.port, count);
    let (start, mut longest, mut asked) = (Instant::now(), Duration::ZERO, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let answer = ask();
        assert_eq!(answer.status, Some(200), "{host:?}, number {asked}: {}\n{}", answer.text, web.log());
        longest = longest.max(answer.after);
        asked += 1;
        thread::sleep(Duration::from_millis(20));
    }
    println!("{host:?}, {count} slow visitors: {asked} others in {seconds} s, the longest waited {longest:.1?}");
    // The slow visitors continue for minutes.
    assert!(longest < Duration::from_secs(8), "{host:?}: {longest:?}");
    drop(slow);
}

#[test]
fn fifty_slow_visitors_keep_nobody_waiting_under_nginx() {
    nobody_else_waits(Host::NginxFastCgi, 50, 4);
}

#[test]
fn fifty_slow_visitors_keep_nobody_waiting_under_apache() {
    nobody_else_waits(Host::ApacheProxyFcgi, 50, 4);
}

#[test]
#[ignore = "a great many of them, for a minute: make load"]
fn a_great_many_slow_visitors_keep_nobody_waiting_under_nginx() {
    nobody_else_waits(Host::NginxFastCgi, 2000, 60);
    nobody_else_waits(Host::NginxCgi, 2000, 60);
}

#[test]
#[ignore = "as many as Apache has room for, for a minute: make load"]
fn as_many_slow_visitors_as_apache_has_room_for_keep_nobody_waiting() {
    nobody_else_waits(Host::ApacheProxyFcgi, 300, 60);
    nobody_else_waits(Host::ApacheFcgid, 300, 60);
    nobody_else_waits(Host::ApacheCgi, 300, 60);
}

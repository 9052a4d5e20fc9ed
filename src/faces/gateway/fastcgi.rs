//! FastCGI through the `fastcgi` crate: accepts on fd 0, serves each connection in a thread, stops cleanly.
//!
//! The crate's loop is made for a process without limits. This module works around the following:
//!
//! * It accepts forever. So fd 0 is made non-blocking and polled here, and the crate's loop runs only while connections are
//!   pending. The loop ends with a panic if none is left (`EAGAIN`) or if no descriptor is free (`EMFILE`), which would
//!   otherwise end the process. On Linux accepted sockets do not inherit the mode.
//! * It starts a thread per connection, for as long as the web server keeps the connection. No more are accepted while
//!   [`REQUESTS`] are in progress or [`CONNECTIONS`] are open, counted every [`BETWEEN_COUNTS`]; but while connections keep coming,
//!   the loop continues. [`DESCRIPTORS`] stops it. `limits.concurrent_requests` limits the work further. A waiting thread costs
//!   some 50 kB.
//! * It keeps a connection for as long as the web server wants. A worker that retires ends each connection after an answer
//!   ([`leave`]), which is when the web server expects it least to break off: what it sends next, it sends to the new worker.
//! * It reads without a time limit. On TCP, [`SILENCE`] is set on the listening socket and inherited. Unix sockets inherit no
//!   limit; only the web server, or somebody whom the sysadmin trusts as much, can connect to those.
//! * It panics on malformed records, in the connection's thread, which ends only that connection. Within a body this counts as
//!   a body that broke off ([`Body`]).
//! * It reads parameters recursively, using 260 to 350 bytes of stack for each. [`super::supervisor`] sets the stack size and
//!   starts a new worker if a stack overflows nevertheless.
//! * `Stdout::write` makes one record per call, so an answer is written in one call; the crate splits answers over 65,535 bytes
//!   correctly.
//! * A parameter that is not UTF-8 hides all later ones: see [`super::variables`].

use super::body::Framing;
use super::configurations::Configurations;
use super::gate::Gate;
use super::program::{Incoming, Program};
use super::sites::Sites;
use super::variables;
use crate::outside::log;
use crate::outside::panics::{self, Panic};
use crate::outside::site::Site;
use crate::outside::store;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::process::{Resource, Rlimit};
use std::io::{self, Read, Write, stdin};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Requests in progress at which no more connections are accepted.
///
/// More than may wait for their turn ([`super::gate::WAITING_ROOM`]), so that further requests get an immediate 503; and more
/// than the workers of an Apache with default settings (400), which passes on slow bodies as they trickle in.
const REQUESTS: usize = 640;

/// Open connections at which no more are accepted, idle ones included: as many as 160 workers of nginx keep with the
/// configuration of `docs/hosts`, or three times the threads of an Apache with default settings.
const CONNECTIONS: usize = 1280;

/// Counting connections lists all threads of the process, so it is done no more often than this.
const BETWEEN_COUNTS: Duration = Duration::from_millis(5);

/// Limit on the worker's descriptors, if it may have so many: enough for the connections that the crate accepts beyond
/// [`CONNECTIONS`] at a time, and for the files and databases of running requests. A request that finds none free is answered
/// with 503.
const DESCRIPTORS: u64 = 2048;

/// Time between two log lines about requests that were turned away.
const BETWEEN_REPORTS: Duration = Duration::from_secs(10);

/// Bytes of stack for a connection's thread, because the crate recurses; only virtual memory until used.
///
/// Measured: a request with 40,000 parameters survives. nginx sends at most 65,535 bytes of parameters, so 8,191 of the
/// smallest. Rust's default of 2 MiB overflows at 6,000 to 8,000, which a visitor could reach through a default nginx without
/// `max_headers`. Apache accepts 100 headers. A larger stack would not help: the crate's time is quadratic (0.1 s for 8,000
/// parameters, 4 to 9 s for 40,000, 7 minutes for 200,000), so a new worker is better.
pub(crate) const STACK_BYTES: usize = 16 * 1024 * 1024;

/// How long a TCP connection may be silent in the middle of a request.
const SILENCE: Duration = Duration::from_secs(60);

/// How long running requests may continue after the order to stop, and kept connections after the order to retire. Longer than
/// the web servers keep an idle connection with the configuration of `docs/hosts`.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// How long a connection without a request may stay open after the order to stop. A connection accepted a moment ago sends its
/// request at once; one that the web server keeps open (`fastcgi_keep_conn`) does not.
const LINGER: Duration = Duration::from_secs(2);

/// The orders to a worker, each set by a signal.
pub struct Orders {
    /// SIGTERM: the program ends. The web server has to do without it, so idle connections do not count.
    pub stop: Arc<AtomicBool>,
    /// SIGINT: another worker has taken over, so there is time to serve the kept connections until they end.
    pub retire: Arc<AtomicBool>,
}

impl Orders {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.retire.load(Ordering::Relaxed)
    }
}

/// Serves until it is ordered to stop, then lets running requests finish.
pub fn run(program: Program, orders: Orders) -> ExitCode {
    panics::keep_quiet();
    panics::expect_broken_connections();
    log::speak_as(program.name);
    log::behind_a_web_server();
    if let Err(cause) = prepare() {
        log::warn("socket_unusable", None, &format!("fd 0 cannot be set up for FastCGI: {cause}"));
        return ExitCode::FAILURE;
    }
    let sites = Sites::new(Configurations::of(std::env::vars_os()));
    let worker = Arc::new(Worker { program, sites, gate: Gate::default(), busy: AtomicUsize::new(0), orders });
    let mut reported = None;
    let mut had_room = None;
    while !worker.orders.is_over() {
        if had_room.is_none_or(|at: Instant| at.elapsed() >= BETWEEN_COUNTS) {
            had_room = worker.has_room().then(Instant::now);
        }
        if had_room.is_none() {
            std::thread::sleep(Duration::from_millis(10));
        } else if is_pending() {
            accept(&worker);
        }
        report_broken_connections();
        if reported.is_none_or(|last: Instant| last.elapsed() >= BETWEEN_REPORTS) && worker.report_turned_away() {
            reported = Some(Instant::now());
        }
    }
    finish(&worker);
    worker.report_turned_away();
    ExitCode::SUCCESS
}

fn prepare() -> io::Result<()> {
    let given = rustix::process::getrlimit(Resource::Nofile);
    let most = given.maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: given.maximum })?;
    rustix::io::ioctl_fionbio(stdin(), true)?;
    sockopt::set_socket_timeout(stdin(), Timeout::Recv, Some(SILENCE))?;
    sockopt::set_socket_timeout(stdin(), Timeout::Send, Some(SILENCE))?;
    Ok(())
}

/// Waits up to half a second for a connection; a signal ends the wait.
fn is_pending() -> bool {
    let socket = stdin();
    let mut listening = [PollFd::new(&socket, PollFlags::IN)];
    rustix::event::poll(&mut listening, Some(&Timespec { tv_sec: 0, tv_nsec: 500_000_000 })).is_ok_and(|ready| ready > 0)
}

/// Lets the crate accept the pending connections.
fn accept(worker: &Arc<Worker>) {
    let worker = worker.clone();
    let Err(panic) = panics::guard(move || fastcgi::run_raw(move |request| handle(&worker, request), 0)) else {
        return;
    };
    if !is_nothing_pending(&panic) {
        log::warn("accept_failed", None, panic.message());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The crate's panic message is the text of the system error.
fn is_nothing_pending(panic: &Panic) -> bool {
    [Errno::AGAIN, Errno::INTR, Errno::CONNABORTED].iter().any(|errno| panic.message() == io::Error::from(*errno).to_string())
}

struct Worker {
    program: Program,
    sites: Sites,
    gate: Gate,
    /// Requests that are not answered yet.
    busy: AtomicUsize,
    orders: Orders,
}

impl Worker {
    fn has_room(&self) -> bool {
        self.busy.load(Ordering::SeqCst) < REQUESTS && self.connections() < CONNECTIONS
    }

    /// The number of connections, counted by their threads: the crate does not count them, and some have no request yet.
    fn connections(&self) -> usize {
        let others = 1 + store::threads();
        let threads = std::fs::read_dir("/proc/self/task").map(|threads| threads.count().saturating_sub(others));
        threads.unwrap_or_else(|_| self.busy.load(Ordering::SeqCst))
    }

    /// Returns whether there was something to report.
    fn report_turned_away(&self) -> bool {
        let turned_away = self.gate.take_turned_away();
        if turned_away > 0 {
            let what = "requests were answered 503, as others were before them: limits.concurrent_requests";
            log::warn("turned_away", None, &format!("{turned_away} {what}"));
        }
        turned_away > 0
    }
}

fn handle(worker: &Arc<Worker>, mut request: fastcgi::Request) {
    let busy = Busy::with(worker);
    let mut work_left = None;
    if !request.is_aborted() {
        let variables = variables::from_fastcgi(request.params());
        let incoming = Incoming { variables, body: &mut Body(request.stdin()), framing: Framing::Ended };
        let answer = worker.program.answer(incoming, &worker.sites, &worker.gate);
        // The only error here is that the visitor has gone, which is not worth logging.
        let _ = request.stdout().write_all(&answer.bytes);
        work_left = answer.work_left;
    }
    if worker.orders.is_over() {
        leave((request, start_work(busy, work_left)));
    }
    // The answer ends before the work begins, so that its time says nothing about the work.
    drop(request);
    start_work(busy, work_left);
}

/// Ends this connection's thread, and thereby the connection, between two requests. The crate offers no other way. Nothing is
/// reported, because this is no panic of ours.
///
/// The answer's end is sent while the thread unwinds, so that the connection ends directly after it: Apache, which repeats nothing,
/// would use a connection again that is still open when the next request comes.
fn leave(_answered: (fastcgi::Request, Option<Busy>)) -> ! {
    std::panic::resume_unwind(Box::new("the worker retires"))
}

/// Does what an answer left, in a thread of its own, because the next request on this connection must not wait for it. The request
/// counts until then; it is returned if no work is left.
fn start_work(busy: Busy, work_left: Option<Arc<Site>>) -> Option<Busy> {
    let Some(site) = work_left else { return Some(busy) };
    let work = move || busy.0.program.work_afterwards(&site);
    if let Err(cause) = std::thread::Builder::new().name("work left".into()).spawn(work) {
        log::warn("work_left_to_cron", None, &format!("no thread can be started: {cause}"));
    }
    None
}

/// Counts a request until it ends, in whatever way.
struct Busy(Arc<Worker>);

impl Busy {
    fn with(worker: &Arc<Worker>) -> Busy {
        worker.busy.fetch_add(1, Ordering::SeqCst);
        Busy(worker.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body as the crate reads it; its panics become errors.
struct Body<R>(R);

impl<R: Read> Read for Body<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        panics::guard(|| self.0.read(into)).unwrap_or_else(|_| Err(io::Error::other("what came is no record of FastCGI, or half of one")))
    }
}

/// Waits until the web server has ended its connections. After the order to stop, those without a request do not count for longer
/// than [`LINGER`].
fn finish(worker: &Worker) {
    let start = Instant::now();
    let mut stopped = None;
    while worker.connections() > 0 && start.elapsed() < GRACE {
        if worker.orders.stop.load(Ordering::Relaxed) {
            let since = *stopped.get_or_insert_with(Instant::now);
            if worker.busy.load(Ordering::SeqCst) == 0 && since.elapsed() > LINGER {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn report_broken_connections() {
    let broken = panics::take_broken_connections();
    if broken > 0 {
        log::warn("connection_broken", None, &format!("{broken} connections broke off in a record, or did not speak FastCGI"));
    }
}

//! The process that a spawner starts for FastCGI: it starts a worker of the same program and replaces it when necessary.
//!
//! The worker serves requests ([`super::fastcgi`]). The supervisor handles none, so nothing that a visitor sends reaches it.
//! Reasons for two processes:
//!
//! * A stack overflow or a failed allocation ends a process, and nothing can catch it. Here it ends the worker, and the next
//!   one starts at once on the same socket and serves the connections in its backlog.
//! * The stack size of threads comes from the environment (`RUST_MIN_STACK`), which a program cannot set for itself.
//! * After an upgrade the new worker serves before the old one stops accepting, so no request is lost or delayed. The old one
//!   goes on serving the connections that the web server keeps, until they end or its grace period does. If the new program does
//!   not run, the old worker continues.
//!
//! Several supervisors may share a socket (`spawn-fcgi -F 2`). After an upgrade the supervisor itself still runs the old
//! program.

use super::fastcgi::{GRACE, STACK_BYTES};
use crate::outside::log;
use rustix::event::Timespec;
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Set for workers to the process id of their supervisor.
const WORKER_VARIABLE: &str = "MATRIX_REGISTER_BOT_WORKER_OF";

/// A worker that lives this long has started successfully.
const PROBATION: Duration = Duration::from_secs(1);

/// Whether this process is a worker of its parent process; a worker ends with its supervisor.
pub fn is_worker() -> bool {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    let is_worker = parent.is_some() && std::env::var(WORKER_VARIABLE).ok() == parent;
    if is_worker {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    }
    is_worker
}

/// Keeps a worker running until `stop` is set, then waits until its requests have finished.
pub fn run(program: &'static str, stop: &AtomicBool) -> ExitCode {
    log::speak_as(program);
    let mut supervisor = match Supervisor::start() {
        Ok(supervisor) => supervisor,
        Err(cause) => {
            log::warn("worker_not_started", None, &cause.to_string());
            return ExitCode::FAILURE;
        }
    };
    while !stop.load(Ordering::Relaxed) {
        supervisor.look_after_worker();
        supervisor.look_for_upgrade();
        pause(Duration::from_millis(250));
    }
    supervisor.end();
    ExitCode::SUCCESS
}

/// Sleeps for `duration` or until a signal arrives.
fn pause(duration: Duration) {
    let _ = rustix::event::poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: duration.subsec_nanos().into() }));
}

struct Supervisor {
    executable: Executable,
    worker: Worker,
    /// Started from a new file and still on probation.
    successor: Option<Worker>,
    /// Workers that were told to stop and are finishing their requests.
    retired: Vec<Worker>,
}

impl Supervisor {
    fn start() -> io::Result<Supervisor> {
        let executable = Executable::of_this_process()?;
        let worker = Worker::start(&executable.path)?;
        Ok(Supervisor { executable, worker, successor: None, retired: Vec::new() })
    }

    /// Starts a new worker if the current one has ended, at most once per [`PROBATION`].
    fn look_after_worker(&mut self) {
        self.retired.retain_mut(|worker| !worker.has_ended());
        if !self.worker.has_ended() || self.worker.since.elapsed() < PROBATION {
            return;
        }
        log::warn("worker_ended", None, &format!("the worker ended by itself ({}); starting another", self.worker.outcome()));
        match Worker::start(&self.executable.path) {
            Ok(worker) => self.worker = worker,
            // The file may be missing during an upgrade.
            Err(cause) => {
                log::warn("worker_not_restarted", None, &format!("{}: {cause}", self.executable.path.display()));
                self.worker.since = Instant::now();
            }
        }
    }

    /// Starts the new program beside the old one, and hands over once it has lived for [`PROBATION`].
    fn look_for_upgrade(&mut self) {
        let Some(mut new) = self.successor.take() else {
            return self.try_upgrade();
        };
        if new.has_ended() {
            log::warn("upgrade_refused", None, &format!("the new program ended ({}); the old one goes on", new.outcome()));
        } else if new.since.elapsed() < PROBATION {
            self.successor = Some(new);
        } else {
            log::info("upgraded", None, &format!("worker {} takes over from {}", new.child.id(), self.worker.child.id()));
            let old = std::mem::replace(&mut self.worker, new);
            // Earlier versions of the program know no difference between the two signals.
            self.retired.push(old.retire(Signal::INT));
        }
    }

    fn try_upgrade(&mut self) {
        if !self.executable.is_replaced() {
            return;
        }
        match Worker::start(&self.executable.path) {
            Ok(worker) => self.successor = Some(worker),
            Err(cause) => log::warn("upgrade_failed", None, &format!("the new program does not start: {cause}")),
        }
    }

    /// Tells all workers to stop, and waits for them.
    fn end(self) {
        let workers = self.retired.into_iter().chain(self.successor).chain([self.worker]);
        let mut ending: Vec<Worker> = workers.map(|worker| worker.retire(Signal::TERM)).collect();
        while !ending.is_empty() {
            ending.retain_mut(|worker| !worker.has_ended());
            pause(Duration::from_millis(10));
        }
    }
}

struct Worker {
    child: Child,
    /// When the worker was started, or told to stop.
    since: Instant,
    is_retired: bool,
}

impl Worker {
    fn start(path: &Path) -> io::Result<Worker> {
        let mut command = Command::new(path);
        command.args(std::env::args_os().skip(1)).env(WORKER_VARIABLE, std::process::id().to_string());
        if std::env::var_os("RUST_MIN_STACK").is_none() {
            command.env("RUST_MIN_STACK", STACK_BYTES.to_string());
        }
        Ok(Worker { child: command.spawn()?, since: Instant::now(), is_retired: false })
    }

    /// Tells the worker to end, in the way that [`super::fastcgi::Orders`] explains.
    fn retire(mut self, signal: Signal) -> Worker {
        // The worker is not reaped yet, so its process id cannot belong to another process.
        if !self.has_ended()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
        Worker { since: Instant::now(), is_retired: true, ..self }
    }

    /// Whether the worker has ended. Kills one that does not stop within its grace period.
    fn has_ended(&mut self) -> bool {
        if self.is_retired && self.since.elapsed() > GRACE + PROBATION {
            let _ = self.child.kill();
        }
        self.child.try_wait().map_or(true, |status| status.is_some())
    }

    fn outcome(&mut self) -> String {
        self.child.try_wait().ok().flatten().map_or_else(|| "unknown".into(), |status| status.to_string())
    }
}

/// The program's file, and its identity at the last check.
struct Executable {
    path: PathBuf,
    seen: Option<Identity>,
    running: Option<Identity>,
    looked: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Executable {
    /// The path by which the program was called, which may be a link that an upgrade changes; or the path of the file, if it
    /// was called without a path.
    fn of_this_process() -> io::Result<Executable> {
        let file = std::env::current_exe()?;
        let running = Identity::of(&file);
        let called = std::env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let called = called.and_then(|path| std::path::absolute(path).ok()).filter(|path| Identity::of(path) == running);
        Ok(Executable { path: called.unwrap_or(file), seen: running, running, looked: Instant::now() })
    }

    /// Checks once a second. True once for each new file, after two checks in a row saw the same file, so that it is complete.
    /// A missing file does not count.
    fn is_replaced(&mut self) -> bool {
        if self.looked.elapsed() < Duration::from_secs(1) {
            return false;
        }
        self.looked = Instant::now();
        let now = Identity::of(&self.path);
        let is_replaced = now.is_some() && now == self.seen && now != self.running;
        self.seen = now;
        if is_replaced {
            self.running = now;
        }
        is_replaced
    }
}

impl Identity {
    fn of(path: &Path) -> Option<Identity> {
        let file = std::fs::metadata(path).ok()?;
        Some(Identity { device: file.dev(), inode: file.ino(), size: file.size(), modified: (file.mtime(), file.mtime_nsec()) })
    }
}

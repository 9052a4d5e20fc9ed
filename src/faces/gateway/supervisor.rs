//! The process that a spawner starts for FastCGI: it starts a worker of the same program, and a new one when that is called for.
//!
//! The worker serves ([`super::fastcgi`]); this one handles no request, so nothing that a visitor sends reaches it. Why two:
//!
//! * a stack overflow or an allocation that fails ends a process whatever it catches; here it is the worker's, and the next
//!   one starts at once, on the same socket: who waited in its backlog is served;
//! * the size of the threads' stacks is read from the environment (`RUST_MIN_STACK`), which a program cannot set for itself;
//! * after an upgrade the new worker serves before the old one stops accepting, so no request is lost or waits; and where
//!   the new program does not run, the old one just goes on.
//!
//! Several supervisors may share a socket (`spawn-fcgi -F 2`). The supervisor itself stays the old program after an upgrade.

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

/// Set for workers, to the process id of their supervisor.
const WORKER_VARIABLE: &str = "MATRIX_REGISTER_BOT_WORKER_OF";

/// A worker that lives this long has started well.
const PROBATION: Duration = Duration::from_secs(1);

/// Whether this process is the worker of the one that started it; such a one ends with its supervisor.
pub fn is_worker() -> bool {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    let is_worker = parent.is_some() && std::env::var(WORKER_VARIABLE).ok() == parent;
    if is_worker {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    }
    is_worker
}

/// Keeps a worker running until `stop` is set; then waits until its requests have ended.
pub fn run(program: &'static str, stop: &AtomicBool) -> ExitCode {
    log::start(program, crate::domain::config::LogTarget::default());
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

/// A signal ends the pause.
fn pause(duration: Duration) {
    let _ = rustix::event::poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: duration.subsec_nanos().into() }));
}

struct Supervisor {
    executable: Executable,
    worker: Worker,
    /// Started from a new file and not trusted yet.
    successor: Option<Worker>,
    /// Told to stop; they end their requests.
    retired: Vec<Worker>,
}

impl Supervisor {
    fn start() -> io::Result<Supervisor> {
        let executable = Executable::of_this_process()?;
        let worker = Worker::start(&executable.path)?;
        Ok(Supervisor { executable, worker, successor: None, retired: Vec::new() })
    }

    /// Starts another worker where one ended by itself; not more often than every [`PROBATION`].
    fn look_after_worker(&mut self) {
        self.retired.retain_mut(|worker| !worker.has_ended());
        if !self.worker.has_ended() || self.worker.since.elapsed() < PROBATION {
            return;
        }
        log::warn("worker_ended", None, &format!("the worker ended by itself ({}); starting another", self.worker.outcome()));
        match Worker::start(&self.executable.path) {
            Ok(worker) => self.worker = worker,
            // The file may be missing in the middle of an upgrade.
            Err(cause) => {
                log::warn("worker_not_restarted", None, &format!("{}: {cause}", self.executable.path.display()));
                self.worker.since = Instant::now();
            }
        }
    }

    /// Starts the new program beside the old; hands over once it has lived for [`PROBATION`].
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
            self.retired.push(old.retire());
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

    /// Tells all workers to stop and waits for them.
    fn end(self) {
        let workers = self.retired.into_iter().chain(self.successor).chain([self.worker]);
        let mut ending: Vec<Worker> = workers.map(Worker::retire).collect();
        while !ending.is_empty() {
            ending.retain_mut(|worker| !worker.has_ended());
            pause(Duration::from_millis(10));
        }
    }
}

struct Worker {
    child: Child,
    /// When it was started, or told to stop.
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

    fn retire(mut self) -> Worker {
        // Not reaped yet, so the number cannot have become another process's.
        if !self.has_ended()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        Worker { since: Instant::now(), is_retired: true, ..self }
    }

    /// Kills one that was told to stop and does not within its grace.
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

/// The file of the program, and which one it was when somebody looked last.
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
    /// The path as it was called where that is a path (it may be a link that an upgrade changes), else the file's.
    fn of_this_process() -> io::Result<Executable> {
        let file = std::env::current_exe()?;
        let running = Identity::of(&file);
        let called = std::env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let called = called.and_then(|path| std::path::absolute(path).ok()).filter(|path| Identity::of(path) == running);
        Ok(Executable { path: called.unwrap_or(file), seen: running, running, looked: Instant::now() })
    }

    /// Looks once a second; true once for each new file, when it was the same at two looks (so it is complete). A file that
    /// is missing for the moment is none.
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

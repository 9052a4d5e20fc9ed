//! Servers as child processes: stopped by their process id, and by the kernel if the test itself is killed.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts a command that `guarded` prepared. If the server fails, the content of `log` is shown.
    pub fn start(name: &str, mut command: Command, log: Option<&Path>) -> Process {
        // In its own process group, so that Ctrl-C reaches only the demo, which stops its servers in order.
        command.process_group(0);
        let child = spawn(command).unwrap_or_else(|cause| panic!("cannot start {name}: {cause}; run tests/world/install"));
        Process { name: name.to_owned(), child, log: log.map(Path::to_path_buf) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child process, for its pipes if `guarded` asked for some.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `ready` holds; panics with the log if the server ends before, or takes longer.
    pub fn wait_until(&mut self, seconds: u64, mut ready: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended before it was ready ({status}); is it there? run tests/world/install; {}", self.name, self.log_tail());
            }
            if Instant::now() > end {
                panic!("{} was not ready after {seconds} s; {}", self.name, self.log_tail());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks the server to stop, and kills it after ten seconds. Dropping does the same.
    pub fn stop(&mut self) {
        self.stop_by(Signal::TERM);
    }

    /// The same with another signal.
    pub fn stop_by(&mut self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.child.id() as i32).filter(|_| self.is_running()) else {
            return;
        };
        let _ = kill_process(pid, signal);
        let end = Instant::now() + Duration::from_secs(10);
        while self.is_running() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        // Kills the server if it hangs, and helpers that it left behind.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.child.wait();
        // A killed program finishes what the kernel does for it, such as making a folder.
        let end = Instant::now() + Duration::from_secs(10);
        while in_group(self.pid()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal to the server and to all processes that it started. The server comes first, so that it starts no more of
    /// them once it is paused or dead.
    pub fn signal_all(&mut self, signal: Signal) {
        let family = self.family();
        for pid in &family {
            let _ = Pid::from_raw(*pid as i32).map(|pid| kill_process(pid, signal));
        }
    }

    /// Kills the server and all processes that it started, as if the machine had crashed: nothing is cleaned up.
    pub fn kill_all(&mut self) {
        self.signal_all(Signal::STOP);
        let family = self.family();
        self.signal_all(Signal::KILL);
        let _ = self.child.wait();
        let end = Instant::now() + Duration::from_secs(10);
        while family.iter().any(|pid| parent(*pid).is_some()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process ids of the server and of its descendants, parents first.
    fn family(&mut self) -> Vec<u32> {
        if !self.is_running() {
            return Vec::new();
        }
        let all: Vec<_> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
        let mut family = vec![self.pid()];
        let mut next = 0;
        while let Some(pid) = family.get(next).copied() {
            family.extend(all.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
            next += 1;
        }
        family
    }

    fn log_tail(&self) -> String {
        let Some(log) = &self.log else {
            return "it keeps no log".to_owned();
        };
        let text = fs::read(log).unwrap_or_default();
        let start = text.len().saturating_sub(2000);
        format!("the end of {}:\n{}", log.display(), String::from_utf8_lossy(&text[start..]))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The parent of a running process; `None` if the process has ended, even if it is still a zombie.
fn parent(pid: u32) -> Option<u32> {
    Some(parent_and_group(pid)?.0)
}

/// The parent and the process group of a running process.
fn parent_and_group(pid: u32) -> Option<(u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the state may contain spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next().filter(|state| *state != "Z" && *state != "X");
    state.and(Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)))
}

/// Whether a process of this group is still running.
fn in_group(group: u32) -> bool {
    pids().any(|pid| parent_and_group(pid).is_some_and(|(_, of)| of == group))
}

/// The process ids of the machine.
fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes whose executable lies below a folder: process id, parent's id, executable.
pub fn running_below(folder: &Path) -> Vec<(u32, u32, PathBuf)> {
    let process = |pid: u32| {
        let program = fs::read_link(format!("/proc/{pid}/exe")).ok().filter(|program| program.starts_with(folder))?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent, program))
    };
    pids().filter_map(process).collect()
}

/// A command that gets SIGTERM when this process dies. Its environment is empty, so servers see neither secrets nor settings of
/// the user who runs the tests.
pub fn guarded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command.env_clear();
    // Debian installs servers in /usr/sbin, which is not on every user's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
    for name in ["HOME", "TMPDIR", "TZ", "XDG_CACHE_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Appends the output of a server, both streams, to a file.
pub fn log_to(command: &mut Command, log: &Path) {
    let open = || fs::OpenOptions::new().create(true).append(true).open(log);
    let (out, err) = open().and_then(|out| Ok((out, open()?))).unwrap_or_else(|cause| panic!("{}: {cause}", log.display()));
    command.stdin(std::process::Stdio::null()).stdout(out).stderr(err);
}

struct Order {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

/// Starts all children from one thread that lives as long as the process. The kernel sends the "parent died" signal when the
/// *thread* that started a child ends, and test threads end all the time.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for mut order in orders {
                let _ = order.answer.send(order.command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::sync_channel(1);
    SPAWNER.lock().unwrap().send(Order { command, answer }).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

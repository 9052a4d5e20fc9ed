//! FastCGI programs, each on a socket named after it.

use super::{Process, SiteFolder, WebServer, guarded, log_to};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::{self, Permissions};
use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Starts the programs as in docs/hosts/nginx-spawn-fcgi.md, except for the user.
pub fn start_by_spawn_fcgi(server: &mut WebServer, site: &SiteFolder) {
    let helper = |name: String| {
        let socket = server.folder.join(format!("{name}.socket"));
        let mut command = guarded("spawn-fcgi");
        command.args(["-n", "-s"]).arg(&socket).arg("--").arg(site.program(&name));
        (name, command, socket)
    };
    let helpers = names(site).into_iter().map(helper).collect();
    server.start_helpers(helpers);
}

/// Starts the programs as systemd does with `Accept=no` and `StandardInput=socket`: the socket exists first, and becomes the
/// standard input of a program that is started for the first connection.
pub fn start_like_systemd(server: &mut WebServer, site: &SiteFolder) {
    let waiting = names(site).into_iter().map(|name| {
        let socket = server.folder.join(format!("{name}.socket"));
        let listener = UnixListener::bind(&socket).unwrap_or_else(|cause| panic!("{}: {cause}", socket.display()));
        // The folder keeps others out; Apache's workers do not run as root.
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
        let log = server.log_path();
        let mut command = guarded(site.program(&name));
        log_to(&mut command, &log);
        command.envs(server.variables.iter().map(|(name, value)| (name, value)));
        Waiting { name, listener, command, log }
    });
    server.activated = Some(Activated::start(waiting.collect()));
}

/// A program that nobody has asked for yet.
struct Waiting {
    name: String,
    listener: UnixListener,
    command: Command,
    log: PathBuf,
}

impl Waiting {
    fn start(mut self) -> Process {
        self.command.stdin(OwnedFd::from(self.listener));
        Process::start(&self.name, self.command, Some(&self.log))
    }
}

/// Programs that are started when somebody connects to their sockets. Dropping this value stops them.
#[derive(Debug)]
pub struct Activated {
    running: Arc<Mutex<Vec<Process>>>,
    /// Ends the thread when it is closed.
    end: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Activated {
    fn start(waiting: Vec<Waiting>) -> Activated {
        let running = Arc::new(Mutex::new(Vec::new()));
        let (ended, end) = std::io::pipe().expect("a pipe");
        let thread = std::thread::spawn({
            let running = running.clone();
            move || activate(waiting, &ended, &running)
        });
        Activated { running, end: Some(end), thread: Some(thread) }
    }

    /// The running programs.
    pub fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts no more programs.
    pub fn end(&mut self) {
        drop(self.end.take());
        self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts each program at the first connection to its socket.
fn activate(mut waiting: Vec<Waiting>, ended: &PipeReader, running: &Mutex<Vec<Process>>) {
    loop {
        let mut events: Vec<_> = waiting.iter().map(|program| PollFd::new(&program.listener, PollFlags::IN)).collect();
        events.push(PollFd::new(ended, PollFlags::IN));
        if poll(&mut events, None).is_err() {
            continue;
        }
        let mut happened: Vec<bool> = events.iter().map(|event| !event.revents().is_empty()).collect();
        if happened.pop() == Some(true) {
            return;
        }
        let asked: Vec<usize> = (0..waiting.len()).rev().filter(|number| happened[*number]).collect();
        for number in asked {
            let process = waiting.remove(number).start();
            running.lock().unwrap_or_else(PoisonError::into_inner).push(process);
        }
    }
}

fn names(site: &SiteFolder) -> Vec<String> {
    [site.programs_in("public"), site.programs_in("internal")].concat()
}

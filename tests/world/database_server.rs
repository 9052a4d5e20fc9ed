//! A PostgreSQL or MariaDB of one test, which may be stopped, killed and halted without harm to others.

use super::database::{Database, Engine, Server};
use super::folder::{TempFolder, free_port};
use super::process::{Process, guarded, log_to};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server with a data folder of its own, which waits for the disk as real ones do. Dropping it ends it.
#[derive(Debug)]
pub struct OwnServer {
    pub server: Server,
    command: Vec<String>,
    process: Option<Process>,
    data: PathBuf,
    folder: TempFolder,
}

impl OwnServer {
    /// Starts one; not for SQLite, which has no server.
    pub fn start(engine: Engine) -> OwnServer {
        OwnServer::start_on(engine, |_| ())
    }

    /// The same; `place` may put something else where the data is, before the server runs.
    pub fn start_on(engine: Engine, place: impl FnOnce(&Path)) -> OwnServer {
        let mut own = OwnServer::prepare(engine, &[]);
        place(&own.data);
        own.start_again();
        own
    }

    /// Its folder and command, not started yet. `options` are those of `start-databases prepare`.
    pub(super) fn prepare(engine: Engine, options: &[&str]) -> OwnServer {
        let folder = TempFolder::new(engine.name());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world/start-databases");
        let mut command = Command::new(script);
        command.args(["prepare", engine.name()]).arg(folder.path()).args(["--port", &free_port().to_string()]).args(options);
        let output = command.output().unwrap_or_else(|cause| panic!("cannot run start-databases: {cause}"));
        let reason = String::from_utf8_lossy(&output.stderr);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{reason}"));
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned();
        let port = answer["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        let (socket, ca) = (text("socket").into(), text("ca").into());
        let server = Server { engine, port, socket, user: text("user"), password: text("password"), ca };
        let words = answer["command"].as_array().into_iter().flatten();
        let command = words.map(|word| word.as_str().expect("words").to_owned()).collect();
        OwnServer { server, command, process: None, data: text("data").into(), folder }
    }

    /// Starts it after `stop` or `kill`: the same data, the same port and socket. Returns when it answers.
    pub fn start_again(&mut self) {
        self.launch(&[]);
        let server = self.server.clone();
        self.wait_until(60, || server.answers());
    }

    /// Starts the program with further options, and does not wait for it.
    pub(super) fn launch(&mut self, options: &[String]) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = guarded(&self.command[0]);
        command.args(&self.command[1..]).args(options);
        command.env("LC_ALL", "C.UTF-8").current_dir(self.folder.path());
        let log = self.log();
        log_to(&mut command, &log);
        self.process = Some(Process::start(self.server.engine.name(), command, Some(&log)));
    }

    pub(super) fn wait_until(&mut self, seconds: u64, ready: impl FnMut() -> bool) {
        self.process.as_mut().expect("it was started").wait_until(seconds, ready);
    }

    /// Runs a program that came with the server, as the user of the server.
    pub(super) fn run_beside(&self, program: &str, arguments: &[&str]) {
        let own = self.command.iter().position(|word| word.ends_with("/postgres")).expect("the server is in its command");
        let program = Path::new(&self.command[own]).with_file_name(program);
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..own]).arg(program).args(arguments).env("PGPASSWORD", &self.server.password).current_dir("/");
        let output = command.output().expect("setpriv runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A new database of this server.
    pub fn database(&self) -> Database {
        Database::on_own(self.server.clone())
    }

    /// An orderly end; open connections are closed.
    pub fn stop(&mut self) {
        let signal = if self.server.engine == Engine::Postgres { Signal::INT } else { Signal::TERM };
        if let Some(mut process) = self.process.take() {
            process.stop_by(signal);
        }
    }

    /// A crash: SIGKILL to all its processes at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill_all();
        }
    }

    /// Halts all its processes: it accepts connections, as the kernel does that, and never answers.
    pub fn pause(&mut self) {
        self.process.as_mut().expect("it runs").signal_all(Signal::STOP);
    }

    /// Lets it go on after `pause`.
    pub fn resume(&mut self) {
        self.process.as_mut().expect("it runs").signal_all(Signal::CONT);
    }

    /// Where its files lie, to search them.
    pub fn data_folder(&self) -> &Path {
        &self.data
    }

    /// What the server said.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // Nobody needs the data any more. PostgreSQL gives its shared memory back at once on SIGQUIT.
        if let Some(mut process) = self.process.take() {
            process.signal_all(Signal::CONT);
            process.stop_by(if self.server.engine == Engine::Postgres { Signal::QUIT } else { Signal::KILL });
        }
        self.remove_shared_memory();
    }
}

impl OwnServer {
    /// A PostgreSQL that was killed leaves a few bytes of it, for its next start to find; here there is none.
    fn remove_shared_memory(&self) {
        let lock = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        // The seventh line has its key and its number.
        if let Some(number) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["--shmem-id", number]).output();
        }
    }
}

//! A PostgreSQL or MariaDB for one test, which may stop, kill and pause it without affecting others.

use super::database::{Database, Engine, Server};
use super::folder::{TempFolder, free_port};
use super::process::{Process, guarded, log_to};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server with its own data folder that syncs to disk like a production server. Dropping it stops the server.
#[derive(Debug)]
pub struct OwnServer {
    pub server: Server,
    command: Vec<String>,
    process: Option<Process>,
    data: PathBuf,
    folder: TempFolder,
}

impl OwnServer {
    /// Starts a server; not for SQLite, which has none.
    pub fn start(engine: Engine) -> OwnServer {
        OwnServer::start_on(engine, |_| ())
    }

    /// Starts a server; `place` may put something else in place of the data folder before.
    pub fn start_on(engine: Engine, place: impl FnOnce(&Path)) -> OwnServer {
        let mut own = OwnServer::prepare(engine, &[]);
        place(&own.data);
        own.start_again();
        own
    }

    /// Prepares folder and command without starting the server. `options` are those of `start-databases prepare`.
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

    /// Starts the server after `stop` or `kill` with the same data, port and socket. Returns when it answers.
    pub fn start_again(&mut self) {
        self.launch(&[]);
        let server = self.server.clone();
        self.wait_until(60, || server.listens() && server.answers());
    }

    /// Starts the program with further options, without waiting for it.
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

    /// Runs a program of the server's installation, as the user of the server.
    pub(super) fn run_beside(&self, program: &str, arguments: &[&str]) {
        let own = self.command.iter().position(|word| word.ends_with("/postgres")).expect("the server is in its command");
        let program = Path::new(&self.command[own]).with_file_name(program);
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..own]).arg(program).args(arguments).env("PGPASSWORD", &self.server.password).current_dir("/");
        let output = command.output().expect("setpriv runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A new database on this server.
    pub fn database(&self) -> Database {
        Database::on_own(self.server.clone())
    }

    /// Shuts the server down in order; open connections are closed.
    pub fn stop(&mut self) {
        let signal = if self.server.engine == Engine::Postgres { Signal::INT } else { Signal::TERM };
        if let Some(mut process) = self.process.take() {
            process.stop_by(signal);
        }
    }

    /// Simulates a crash: SIGKILL to all its processes at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill_all();
        }
    }

    /// Pauses all its processes: the kernel still accepts connections, but nothing answers.
    pub fn pause(&mut self) {
        self.process.as_mut().expect("it runs").signal_all(Signal::STOP);
    }

    /// Resumes the server after `pause`.
    pub fn resume(&mut self) {
        self.process.as_mut().expect("it runs").signal_all(Signal::CONT);
    }

    /// The folder with its files, for searching them.
    pub fn data_folder(&self) -> &Path {
        &self.data
    }

    /// The path of the server's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // The data is not needed any more. On SIGQUIT PostgreSQL releases its shared memory at once.
        if let Some(mut process) = self.process.take() {
            process.signal_all(Signal::CONT);
            process.stop_by(if self.server.engine == Engine::Postgres { Signal::QUIT } else { Signal::KILL });
        }
        self.remove_shared_memory();
    }
}

impl OwnServer {
    /// A killed PostgreSQL leaves a few bytes of shared memory for its next start to find; here there is no next start.
    fn remove_shared_memory(&self) {
        let lock = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        // The seventh line contains key and id of the shared memory.
        if let Some(number) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["--shmem-id", number]).output();
        }
    }
}

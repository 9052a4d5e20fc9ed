//! A temporary folder with a configuration and the built program, and the program running on a socket.

use crate::client::Connection;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// `cargo test --test gateway` alone does not build examples, and there is no `CARGO_BIN_EXE_` for them.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(folder) = std::env::var_os("TEST_EXAMPLES") {
            return Path::new(&folder).join("echo");
        }
        let this = std::env::current_exe().unwrap();
        let target = this.ancestors().nth(3).unwrap().to_owned();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--offline", "--profile", "test", "--example", "echo", "--target-dir"]).arg(&target);
        // These are set for tests. A build would take them for a change and compile half of the dependencies again.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_this_package(name)) {
            cargo.env_remove(name);
        }
        assert!(cargo.status().unwrap().success(), "the example does not build");
        target.join("debug/examples/echo")
    })
}

fn is_of_this_package(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}

/// `ROOT/config.toml` and `ROOT/public/echo`, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gateway-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(folder.0.join("public")).unwrap();
        folder.write_config("config.toml", "example.org", "concurrent_requests = 8");
        folder.install();
        folder
    }

    /// What the program has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn echo(&self) -> PathBuf {
        self.path("public/echo")
    }

    /// Puts the whole file in place at once, like `mv`. Another process copies it, because a child started by a parallel test
    /// would inherit the open file, which could then not be executed (`ETXTBSY`).
    pub fn install(&self) {
        assert!(Command::new("cp").arg(built()).arg(self.path("public/.new")).status().unwrap().success());
        fs::rename(self.path("public/.new"), self.echo()).unwrap();
    }

    pub fn write_config(&self, name: &str, server_name: &str, limits: &str) {
        let sample = include_str!("../../config.sample.toml").replace("\"example.org\"", &format!("{server_name:?}"));
        assert!(sample.contains("[limits]"));
        fs::write(self.path(name), sample.replace("[limits]", &format!("[limits]\n{limits}"))).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program as FastCGI on the unix socket `ROOT/socket`.
pub struct Server {
    pub folder: Folder,
    child: Child,
}

impl Server {
    pub fn start(folder: Folder) -> Server {
        Server::start_with(folder, &[])
    }

    pub fn start_with(folder: Folder, environment: &[(&str, &str)]) -> Server {
        let listener = UnixListener::bind(folder.path("socket")).unwrap();
        let child = Server::spawn(&folder, OwnedFd::from(listener), environment);
        Server { folder, child }
    }

    pub fn spawn(folder: &Folder, listener: OwnedFd, environment: &[(&str, &str)]) -> Child {
        let log = fs::File::options().create(true).append(true).open(folder.path("log")).unwrap();
        let mut command = Command::new(folder.echo());
        command.env_clear().envs(environment.iter().copied());
        command.stdin(Stdio::from(listener)).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.folder.path("socket"))
    }

    /// The answer to one GET.
    pub fn get(&self, query: &str) -> String {
        self.connect().get(query)
    }

    pub fn log(&self) -> String {
        self.folder.log()
    }

    /// Waits until a request with `sleep=` has reached the program.
    pub fn wait_until_sleeping(&self) {
        assert!(eventually(20, || self.log().contains("sleeping")), "{}", self.log());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn terminate(&self) {
        signal("TERM", self.pid());
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.terminate();
            self.wait();
        }
    }
}

pub fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null()).status();
}

/// Waits up to 40 s, which is longer than the program may take to end.
pub fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(40) {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("the program did not end");
}

/// Repeats the check for up to `seconds`.
pub fn eventually(seconds: impl Into<f64>, mut is_so: impl FnMut() -> bool) -> bool {
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds.into()));
    while start.elapsed() < limit {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// The value of `name=` in an answer of the program.
pub fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let start = answer.find(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {answer}")) + name.len() + 1;
    answer[start..].split_whitespace().next().unwrap_or("")
}

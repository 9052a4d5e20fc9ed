//! What a large address book costs in memory.

use crate::client::{Connection, params};
use crate::program::Folder;
use matrix_register_bot::domain::config::DatabaseUrl;
use matrix_register_bot::outside::store::{Access, Store};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const ADDRESSES: usize = 10_000;

/// Fills the database that the folder's `config.toml` names with an account for each address.
fn add_accounts(folder: &Folder) {
    let file = folder.path("accounts.sqlite");
    drop(Store::open(&DatabaseUrl::Sqlite(file.clone()), Access::Write).unwrap());
    let sql = "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
               INSERT INTO logins (localpart, active, first_name, last_name, password_hash, email, email_folded, created_at, changed_at)
               SELECT 'user' || n, 1, '', '', '*', 'user' || n || '@example.org', 'user' || n || '@example.org', 0, 0 FROM numbers";
    rusqlite::Connection::open(&file).unwrap().execute(sql, [ADDRESSES as i64]).unwrap();
    let config = format!(
        "server_name = \"example.org\"\ndatabase = \"sqlite:{}\"\nhomeserver_url = \"http://127.0.0.1:9\"\npublic_url = \"https://register.example.org/\"\n\
         operation_mode = \"local\"\n[room]\nid = \"!room\"\n[mail]\nfrom = \"a@example.org\"\ntransport = \"file\"\n",
        file.display()
    );
    fs::write(folder.path("config.toml"), config).unwrap();
}

/// A worker of `identity_bulk`, without a supervisor.
struct Worker(Child);

impl Worker {
    fn start(folder: &Folder) -> Worker {
        fs::create_dir(folder.path("internal")).unwrap();
        symlink(env!("CARGO_BIN_EXE_matrix-register-bot"), folder.path("internal/identity_bulk")).unwrap();
        let listener = UnixListener::bind(folder.path("socket")).unwrap();
        let mut command = Command::new(folder.path("internal/identity_bulk"));
        command.env_clear().env("MATRIX_REGISTER_BOT_WORKER_OF", std::process::id().to_string());
        command.env("MATRIX_REGISTER_BOT_CONFIG", folder.path("config.toml"));
        Worker(command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).spawn().unwrap())
    }

    /// The most memory that it had so far.
    fn peak_kilobytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the length of request and answer in kilobytes.
fn look_up(connection: &mut Connection, addresses: usize) -> usize {
    let entries: Vec<String> =
        (0..addresses).map(|number| format!(r#"{{"medium":"email","address":"User{number}@example.org"}}"#)).collect();
    let body = format!(r#"{{"lookup":[{}]}}"#, entries.join(","));
    let length = body.len().to_string();
    let mut params = params("POST", "");
    params.retain(|(name, _)| *name != "REMOTE_ADDR");
    params.extend([("REMOTE_ADDR", &b"127.0.0.1"[..]), ("CONTENT_LENGTH", length.as_bytes())]);
    connection.begin_and_keep().and_then(|()| connection.params(&params)).and_then(|()| connection.body(body.as_bytes())).unwrap();
    let answer = connection.answer();
    assert_eq!(answer.matches("localpart").count(), addresses, "{}", &answer[..answer.len().min(1000)]);
    (body.len() + answer.len()) / 1024
}

#[test]
fn ten_thousand_addresses_take_little_more_memory_than_their_text() {
    let folder = Folder::new();
    add_accounts(&folder);
    // A configuration that is younger than two seconds is not kept, so another connection to the database might be opened.
    thread::sleep(Duration::from_secs(4));
    let worker = Worker::start(&folder);
    let mut connection = Connection::open(&folder.path("socket"));
    look_up(&mut connection, 1);
    let before = worker.peak_kilobytes();
    let text = (0..4).map(|_| look_up(&mut connection, ADDRESSES)).max().unwrap();
    let taken = worker.peak_kilobytes() - before;
    println!("{taken} kB for {text} kB of request and answer");
    assert!(taken < 3 * text, "{taken} kB for {text} kB of request and answer");
}

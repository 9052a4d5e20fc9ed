//! A real client library: `client.mjs` runs matrix-js-sdk.

use crate::world::installed;
use crate::world::process::{Process, guarded};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};

/// A client of a homeserver at one URL.
pub struct Client {
    process: RefCell<Process>,
    output: RefCell<BufReader<ChildStdout>>,
}

/// The library's report.
#[derive(Debug)]
pub struct Report(Value);

impl Client {
    pub fn new(base: &str) -> Client {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/accounts/client.mjs");
        let newer = library().join("node/bin/node");
        let mut command = guarded(if newer.exists() { newer.as_path() } else { Path::new("node") });
        command.arg(script).arg(library()).arg(base.trim_end_matches('/'));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start("the client library", command, None);
        let output = process.child().stdout.take().expect("the output is piped");
        Client { process: RefCell::new(process), output: RefCell::new(BufReader::new(output)) }
    }

    /// Logs in with a username or a Matrix id.
    pub fn log_in(&self, user: &str, password: &str) -> Report {
        self.run(&json!({"identifier": by_name(user), "password": password}))
    }

    pub fn log_in_by_mail(&self, address: &str, password: &str) -> Report {
        let identifier = json!({"type": "m.id.thirdparty", "medium": "email", "address": address});
        self.run(&json!({"identifier": identifier, "password": password}))
    }

    /// Logs in and calls the library's `setPassword`.
    pub fn change(&self, user: &str, password: &str, change: Value) -> Report {
        self.run(&json!({"identifier": by_name(user), "password": password, "change": change}))
    }

    fn run(&self, order: &Value) -> Report {
        let mut process = self.process.borrow_mut();
        writeln!(process.child().stdin.as_mut().expect("the input is piped"), "{order}").unwrap();
        // The library also prints to standard output.
        for line in self.output.borrow_mut().by_ref().lines() {
            if let Some(answer) = line.unwrap().strip_prefix("answer: ") {
                return Report(serde_json::from_str(answer).unwrap());
            }
        }
        panic!("the client library ended; its reason stands above");
    }
}

fn by_name(user: &str) -> Value {
    json!({"type": "m.id.user", "user": user})
}

fn library() -> PathBuf {
    installed("client")
}

impl Report {
    /// The Matrix id of the user who logged in; `Err` with status, code and message of the refusal.
    pub fn user(&self) -> Result<&str, String> {
        match &self.0["login"]["ok"]["user_id"] {
            Value::String(user_id) => Ok(user_id),
            _ => Err(refusal(&self.0["login"])),
        }
    }

    pub fn display_name(&self) -> &str {
        self.0["profile"]["displayname"].as_str().unwrap_or_default()
    }

    /// The addresses in `GET /account/3pid`.
    pub fn addresses(&self) -> Vec<&str> {
        let list = self.0["threepids"].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter(|entry| entry["medium"] == "email").filter_map(|entry| entry["address"].as_str()).collect()
    }

    /// Whether the password was changed; `Err` as the library reports it.
    pub fn changed(&self) -> Result<(), String> {
        match self.0["change"].get("ok") {
            Some(empty) if *empty == json!({}) => Ok(()),
            _ => Err(refusal(&self.0["change"])),
        }
    }

    /// Whether the session in which the password was changed still works.
    pub fn goes_on(&self) -> bool {
        self.0["after"]["ok"]["user_id"].is_string()
    }
}

fn refusal(outcome: &Value) -> String {
    let text = |name: &str| outcome[name].as_str().unwrap_or("-").to_owned();
    format!("{} {}: {}", outcome["status"], text("errcode"), text("error"))
}

//! matrix-authentication-service, as a stand-in with a real Synapse behind (`mas_stand_in.py`): what it does was observed with the
//! real one, which cannot be installed everywhere.

use super::http;
use super::synapse::{Account, Synapse};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};

/// What `mas_stand_in.py` writes, and what `make mas-check` reads.
#[derive(Debug, Clone, Deserialize)]
struct Written {
    admin_url: String,
    homeserver_url: String,
    server_name: String,
    room: String,
    stand_in: String,
    synapse_folder: PathBuf,
    synapse_url: String,
    users: HashMap<String, WrittenAccount>,
}

#[derive(Debug, Clone, Deserialize)]
struct WrittenAccount {
    user_id: String,
    localpart: String,
    password: String,
    access_token: String,
}

/// One test's part of the stand-in: a client of its own, with its own settings and faults.
#[derive(Debug)]
pub struct Mas {
    pub admin_url: String,
    pub client_id: String,
    pub client_secret: String,
    /// What clients see: logins are MAS's, the rest is Synapse's.
    pub synapse: Synapse,
    /// The data folder of that Synapse.
    pub synapse_folder: PathBuf,
    /// Its own address, at which nobody can log in.
    pub synapse_url: String,
    stand_in: String,
    /// The stand-in, if it is this test's own.
    _own: Option<OwnStandIn>,
}

impl Mas {
    /// What the stand-in writes about the one that all tests share, or that this process starts.
    pub fn world_file() -> PathBuf {
        static PATH: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("TEST_MAS_WORLD") {
            Some(path) => path.into(),
            None => {
                static RUNNING: Mutex<Vec<OwnStandIn>> = Mutex::new(Vec::new());
                let own = OwnStandIn::start(&[]);
                let path = own.path.clone();
                RUNNING.lock().unwrap().push(own);
                path
            }
        });
        PATH.clone()
    }

    /// A real one; only the site's configuration is made of it.
    pub fn given(admin_url: &str, client_id: &str, client_secret: &str, synapse: &Synapse) -> Mas {
        Mas {
            admin_url: admin_url.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            synapse: synapse.clone(),
            synapse_folder: PathBuf::new(),
            synapse_url: String::new(),
            stand_in: String::new(),
            _own: None,
        }
    }

    /// A new client of the stand-in that all tests share, or that this process starts.
    pub fn start() -> Mas {
        Mas::client_of(&Mas::world_file())
    }

    /// A client of a stand-in of this test's own, whose Synapse has further options of `start-synapse`.
    pub fn start_own(options: &str) -> Mas {
        let own = OwnStandIn::start(&["--synapse", options]);
        let client = Mas::client_of(&own.path);
        Mas { _own: Some(own), ..client }
    }

    fn client_of(path: &Path) -> Mas {
        let text = std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
        let written: Written = serde_json::from_str(&text).expect("mas_stand_in.py writes JSON");
        let account = |name: &str| {
            let WrittenAccount { user_id, localpart, password, access_token } = written.users[name].clone();
            Account { localpart, user_id, password, token: access_token }
        };
        let synapse = Synapse {
            base_url: written.homeserver_url.trim_end_matches('/').to_owned(),
            server_name: written.server_name.clone(),
            shared_secret: String::new(),
            room: written.room.clone(),
            admin: account("admin"),
            bot: account("register_bot"),
            alice: account("alice"),
            bob: account("bob"),
        };
        let client = arrange(&written.stand_in, "POST", "clients", Some(json!({})));
        Mas {
            admin_url: written.admin_url,
            client_id: client["client_id"].as_str().unwrap().to_owned(),
            client_secret: client["client_secret"].as_str().unwrap().to_owned(),
            synapse,
            synapse_folder: written.synapse_folder,
            synapse_url: written.synapse_url,
            stand_in: written.stand_in,
            _own: None,
        }
    }

    /// Changes settings of MAS for this client; `mas_stand_in.py` names them.
    pub fn set(&self, mut settings: Value) {
        settings["client"] = json!(self.client_id);
        arrange(&self.stand_in, "POST", "settings", Some(settings));
    }

    /// The next `times` calls of `at` meet with this fault; 0: all, until [`Mas::calm`].
    pub fn fail(&self, at: &str, fault: &str, times: u32) {
        let fault = json!({"client": self.client_id, "at": at, "fault": fault, "times": times});
        arrange(&self.stand_in, "POST", "faults", Some(fault));
    }

    /// No more faults.
    pub fn calm(&self) {
        arrange(&self.stand_in, "POST", "calm", Some(json!({"client": self.client_id})));
    }

    /// Makes an account that no request of ours made: of kind `mas`, `used`, `synapse`, or `reserved` with an address.
    pub fn somebody(&self, name: &str, kind: &str, more: Value) {
        let mut body = json!({"client": self.client_id, "name": name, "kind": kind});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        arrange(&self.stand_in, "POST", "somebody", Some(body));
    }

    /// The account in MAS: user, addresses, whether there is a password; `Null` if there is none.
    pub fn user(&self, name: &str) -> Value {
        arrange(&self.stand_in, "GET", &format!("users?name={name}"), None)
    }

    /// What this client asked, as `METHOD path`, with the statuses and bodies of the admin API.
    pub fn calls(&self) -> Vec<(String, u16, String)> {
        let calls = arrange(&self.stand_in, "GET", &format!("calls?client={}", self.client_id), None);
        let read = |call: &Value| {
            let text = |place: usize| call[place].as_str().unwrap_or_default().to_owned();
            (format!("{} {}", text(0), text(1)), call[2].as_u64().unwrap_or(0) as u16, text(3))
        };
        calls.as_array().into_iter().flatten().map(read).collect()
    }

    /// Somebody else adds an address to an account.
    pub fn somebody_binds(&self, name: &str, address: &str) {
        arrange(&self.stand_in, "POST", "bind", Some(json!({"name": name, "email": address})));
    }

    /// The token of a new personal session.
    pub fn personal_session(&self, name: &str, scope: &str) -> String {
        let made = arrange(&self.stand_in, "POST", "session", Some(json!({"name": name, "scope": scope})));
        made["access_token"].as_str().unwrap().to_owned()
    }

    /// How many tokens for the admin API were made and revoked.
    pub fn tokens(&self) -> (u64, u64) {
        let tokens = arrange(&self.stand_in, "GET", &format!("tokens?client={}", self.client_id), None);
        (tokens["made"].as_u64().unwrap(), tokens["revoked"].as_u64().unwrap())
    }

    /// MAS's limit on logins, for everybody.
    pub fn limit_logins(&self, on: bool) {
        arrange(&self.stand_in, "POST", "limit", Some(json!({"on": on})));
    }
}

fn arrange(stand_in: &str, method: &str, what: &str, body: Option<Value>) -> Value {
    let url = format!("{stand_in}{what}");
    match http::json(&http::agent(30), method, &url, None, body.as_ref()) {
        Ok((200, answer)) => answer,
        other => panic!("the stand-in for MAS: {method} {url}: {other:?}"),
    }
}

/// The stand-in and its Synapse. They end when this value is dropped or this process dies.
#[derive(Debug)]
struct OwnStandIn {
    /// What it writes.
    path: PathBuf,
    child: Child,
}

impl OwnStandIn {
    fn start(options: &[&str]) -> OwnStandIn {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world/mas_stand_in.py");
        // It runs until our end of its standard input closes.
        let wait = ["--", "sh", "-c", "echo $TEST_MAS_WORLD; exec cat"];
        let mut command = Command::new(script);
        command.arg("run").args(options).args(wait).stdin(Stdio::piped()).stdout(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().unwrap_or_else(|cause| panic!("cannot start the stand-in for MAS: {cause}"));
        let mut line = String::new();
        let output = child.stdout.take().expect("the output is piped");
        let _ = BufReader::new(output).read_line(&mut line);
        assert!(!line.trim().is_empty(), "the stand-in for MAS did not start; its reason stands above");
        OwnStandIn { path: line.trim().into(), child }
    }
}

impl Drop for OwnStandIn {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

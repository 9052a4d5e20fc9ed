//! The real homeserver: the one that all tests share in `make test`, or a test's own.

use super::http;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha1::Sha1;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A user of the homeserver.
#[derive(Debug, Clone)]
pub struct Account {
    pub localpart: String,
    pub user_id: String,
    pub password: String,
    pub token: String,
}

/// A message in a room.
#[derive(Debug, Clone)]
pub struct Message {
    pub event_id: String,
    pub sender: String,
    /// The plain text.
    pub body: String,
    /// The HTML; empty if there is none.
    pub html: String,
    /// The whole event.
    pub event: Value,
}

impl Message {
    /// The first link in the plain text.
    pub fn link(&self) -> String {
        super::mail::first_link(&self.body).unwrap_or_else(|| panic!("no link in the message: {}", self.body))
    }
}

/// A homeserver with an administrator, the bot, alice (who approves), bob, and a room with bot and alice.
#[derive(Debug, Clone)]
pub struct Synapse {
    pub base_url: String,
    pub server_name: String,
    pub shared_secret: String,
    pub room: String,
    pub admin: Account,
    pub bot: Account,
    pub alice: Account,
    pub bob: Account,
}

impl Synapse {
    /// The homeserver that `tests/world/start-synapse run -- cargo test` started for all tests.
    pub fn shared() -> Synapse {
        Synapse::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Synapse {
        let get = |name: &str| {
            variable(name).unwrap_or_else(|| panic!("{name} is not set: run `make test`, or tests/world/start-synapse run -- cargo test"))
        };
        let account = |key: &str| {
            let user_id = get(&format!("MX_{key}_USER"));
            let localpart = user_id[1..].split(':').next().unwrap_or_default().to_owned();
            Account { localpart, user_id, password: get(&format!("MX_{key}_PASSWORD")), token: get(&format!("MX_{key}_TOKEN")) }
        };
        Synapse {
            base_url: get("MX_BASE_URL"),
            server_name: get("MX_SERVER_NAME"),
            shared_secret: get("MX_SHARED_SECRET"),
            room: get("MX_ROOM"),
            admin: account("ADMIN"),
            bot: account("BOT"),
            alice: account("ALICE"),
            bob: account("BOB"),
        }
    }

    /// The full Matrix id of a name on this server.
    pub fn user_id(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.server_name)
    }

    /// Sends a request to the homeserver; panics only if there is no answer.
    pub fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.base_url);
        http::json(&http::agent(30), method, &url, token, body.as_ref()).unwrap_or_else(|cause| panic!("Synapse: {cause}"))
    }

    fn need(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Value {
        match self.call(method, path, token, body) {
            (200, answer) => answer,
            (status, answer) => panic!("Synapse: {method} {path}: {status} {answer}"),
        }
    }

    /// Logs in as a client does. Returns the access token, or the error code and text.
    pub fn login(&self, localpart: &str, password: &str) -> Result<String, String> {
        let identifier = json!({"type": "m.id.user", "user": localpart});
        let body = json!({"type": "m.login.password", "identifier": identifier, "password": password});
        match self.call("POST", "/_matrix/client/v3/login", None, Some(body)) {
            (200, answer) => Ok(answer["access_token"].as_str().expect("an access token").to_owned()),
            (status, answer) => Err(format!("{status} {}: {}", text(&answer["errcode"]), text(&answer["error"]))),
        }
    }

    /// Creates an account with the shared secret.
    pub fn register(&self, localpart: &str, password: &str) -> Account {
        let path = "/_synapse/admin/v1/register";
        let nonce = text(&self.need("GET", path, None, None)["nonce"]);
        let mut mac = Hmac::<Sha1>::new_from_slice(self.shared_secret.as_bytes()).unwrap();
        mac.update(format!("{nonce}\0{localpart}\0{password}\0notadmin").as_bytes());
        let mac = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
        let body = json!({"nonce": nonce, "username": localpart, "password": password, "admin": false, "mac": mac});
        let answer = self.need("POST", path, None, Some(body));
        Account {
            localpart: localpart.to_owned(),
            user_id: text(&answer["user_id"]),
            password: password.to_owned(),
            token: text(&answer["access_token"]),
        }
    }

    /// The display name; `None` if the account does not exist or has none.
    pub fn display_name(&self, localpart: &str) -> Option<String> {
        let path = format!("/_matrix/client/v3/profile/{}/displayname", quote(&self.user_id(localpart)));
        let (status, answer) = self.call("GET", &path, Some(&self.alice.token), None);
        (status == 200).then(|| answer["displayname"].as_str().map(str::to_owned)).flatten()
    }

    /// Whether the account exists.
    pub fn exists(&self, localpart: &str) -> bool {
        let path = format!("/_synapse/admin/v2/users/{}", quote(&self.user_id(localpart)));
        self.call("GET", &path, Some(&self.admin.token), None).0 == 200
    }

    /// A new room with bot and alice.
    pub fn create_room(&self) -> String {
        let room = self.create_room_of(&self.bot, &[&self.alice]);
        self.join(&room, &self.alice);
        room
    }

    /// A private room; the guests are invited, and join only with `join`.
    pub fn create_room_of(&self, owner: &Account, guests: &[&Account]) -> String {
        let invite: Vec<_> = guests.iter().map(|guest| &guest.user_id).collect();
        let body = json!({"preset": "private_chat", "invite": invite});
        text(&self.need("POST", "/_matrix/client/v3/createRoom", Some(&owner.token), Some(body))["room_id"])
    }

    pub fn invite(&self, room: &str, host: &Account, guest: &Account) {
        let path = format!("/_matrix/client/v3/rooms/{}/invite", quote(room));
        self.need("POST", &path, Some(&host.token), Some(json!({"user_id": guest.user_id})));
    }

    pub fn join(&self, room: &str, guest: &Account) {
        self.need("POST", &format!("/_matrix/client/v3/join/{}", quote(room)), Some(&guest.token), Some(json!({})));
    }

    /// Reacts to an event. Returns the id of the reaction.
    pub fn react(&self, room: &str, who: &Account, event_id: &str, key: &str) -> String {
        let relates_to = json!({"rel_type": "m.annotation", "event_id": event_id, "key": key});
        self.send(room, who, "m.reaction", json!({"m.relates_to": relates_to}))
    }

    /// Sends an event of any type. Returns its id.
    pub fn send(&self, room: &str, who: &Account, kind: &str, content: Value) -> String {
        let path = format!("/_matrix/client/v3/rooms/{}/send/{kind}/{}", quote(room), super::fresh("txn"));
        text(&self.need("PUT", &path, Some(&who.token), Some(content))["event_id"])
    }

    /// The reactions to an event that are there, as pairs of sender and key, the oldest first.
    pub fn reactions(&self, room: &str, event_id: &str) -> Vec<(String, String)> {
        let path =
            format!("/_matrix/client/v1/rooms/{}/relations/{}/m.annotation/m.reaction?dir=f&limit=100", quote(room), quote(event_id));
        let page = self.need("GET", &path, Some(&self.alice.token), None);
        let events = page["chunk"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| (text(&event["sender"]), text(&event["content"]["m.relates_to"]["key"]))).collect()
    }

    /// Takes an event of one's own back.
    pub fn redact(&self, room: &str, who: &Account, event_id: &str) {
        let path = format!("/_matrix/client/v3/rooms/{}/redact/{}/{}", quote(room), quote(event_id), super::fresh("txn"));
        self.need("PUT", &path, Some(&who.token), Some(json!({})));
    }

    pub fn leave(&self, room: &str, who: &Account) {
        self.need("POST", &format!("/_matrix/client/v3/rooms/{}/leave", quote(room)), Some(&who.token), Some(json!({})));
    }

    /// `action` is `kick` or `ban`.
    pub fn remove(&self, room: &str, by: &Account, who: &Account, action: &str) {
        let path = format!("/_matrix/client/v3/rooms/{}/{action}", quote(room));
        self.need("POST", &path, Some(&by.token), Some(json!({"user_id": who.user_id})));
    }

    /// Replaces the room by a new one. Returns the id of the new one, in which nobody is but `by`.
    pub fn upgrade(&self, room: &str, by: &Account) -> String {
        let path = format!("/_matrix/client/v3/rooms/{}/upgrade", quote(room));
        text(&self.need("POST", &path, Some(&by.token), Some(json!({"new_version": "10"})))["replacement_room"])
    }

    /// Sets a state event without a state key.
    pub fn set_state(&self, room: &str, by: &Account, kind: &str, content: Value) {
        self.need("PUT", &format!("/_matrix/client/v3/rooms/{}/state/{kind}/", quote(room)), Some(&by.token), Some(content));
    }

    /// Changes a member's power level in the room.
    pub fn give_power(&self, room: &str, by: &Account, who: &Account, power: i64) {
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.power_levels/", quote(room));
        let mut levels = self.need("GET", &path, Some(&by.token), None);
        levels["users"][&who.user_id] = json!(power);
        self.need("PUT", &path, Some(&by.token), Some(levels));
    }

    /// A message as alice's client shows it: the text of its newest edit.
    pub fn shown(&self, room: &str, event_id: &str) -> String {
        let path = format!("/_matrix/client/v3/rooms/{}/event/{}", quote(room), quote(event_id));
        let event = self.need("GET", &path, Some(&self.alice.token), None);
        match event["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"].as_str() {
            Some(edited) => edited.to_owned(),
            None => text(&event["content"]["body"]),
        }
    }

    /// The content of an event; of a redacted one nothing is left.
    pub fn content(&self, room: &str, event_id: &str) -> Value {
        let path = format!("/_matrix/client/v3/rooms/{}/event/{}", quote(room), quote(event_id));
        self.need("GET", &path, Some(&self.alice.token), None)["content"].clone()
    }

    /// Waits until the account's homeserver has the event: other homeservers send theirs.
    pub fn wait_for_event(&self, room: &str, who: &Account, event_id: &str) {
        let path = format!("/_matrix/client/v3/rooms/{}/event/{}", quote(room), quote(event_id));
        let end = Instant::now() + Duration::from_secs(30);
        while self.call("GET", &path, Some(&who.token), None).0 != 200 {
            assert!(Instant::now() < end, "{event_id} does not come");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The edits of a message, oldest first.
    pub fn edits(&self, room: &str, event_id: &str) -> Vec<Value> {
        let path = format!("/_matrix/client/v1/rooms/{}/relations/{}/m.replace?dir=f&limit=100", quote(room), quote(event_id));
        self.need("GET", &path, Some(&self.alice.token), None)["chunk"].as_array().cloned().unwrap_or_default()
    }

    /// All messages of a room as alice sees them, oldest first, without edits.
    pub fn messages(&self, room: &str) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=500{from}", quote(room));
            let page = self.need("GET", &path, Some(&self.alice.token), None);
            let events = page["chunk"].as_array().cloned().unwrap_or_default();
            let is_message =
                |event: &Value| event["type"] == "m.room.message" && event["content"]["m.relates_to"]["rel_type"] != "m.replace";
            messages.extend(events.into_iter().filter(is_message).map(message));
            match page["end"].as_str() {
                Some(end) => from = format!("&from={}", quote(end)),
                None => break,
            }
        }
        messages.reverse();
        messages
    }

    /// The messages of a room, once there are `count`; panics after 30 seconds.
    pub fn wait_for_messages(&self, room: &str, count: usize) -> Vec<Message> {
        let start = Instant::now();
        loop {
            let messages = self.messages(room);
            if messages.len() >= count {
                return messages;
            }
            assert!(start.elapsed() < PATIENCE, "{} instead of {count} messages in the room: {messages:#?}", messages.len());
            thread::sleep(pause(start));
        }
    }
}

/// How long is waited for an event.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before the homeserver is asked again, which costs it 10 ms: the longer, the longer it has been already.
pub fn pause(start: Instant) -> Duration {
    (start.elapsed() / 4).clamp(Duration::from_millis(50), Duration::from_millis(500))
}

fn message(event: Value) -> Message {
    Message {
        event_id: text(&event["event_id"]),
        sender: text(&event["sender"]),
        body: text(&event["content"]["body"]),
        html: text(&event["content"]["formatted_body"]),
        event,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn quote(part: &str) -> String {
    utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()
}

/// A separate homeserver, for the demo and for tests that need another configuration.
#[derive(Debug)]
pub struct OwnSynapse {
    pub synapse: Synapse,
    /// Its data folder.
    folder: PathBuf,
    child: Child,
}

impl OwnSynapse {
    /// Starts a homeserver with further options of `start-synapse`, such as `["--rest-endpoint", "http://127.0.0.1:8080"]`.
    pub fn start(options: &[&str]) -> OwnSynapse {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world/start-synapse");
        // It runs until our end of its standard input closes: when this value is dropped or this process dies.
        let wait = ["--", "sh", "-c", "env | grep ^MX_; echo; exec cat"];
        let mut command = Command::new(script);
        command.arg("run").args(options).args(wait).stdin(Stdio::piped()).stdout(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().unwrap_or_else(|cause| panic!("cannot start Synapse: {cause}; run tests/world/install"));
        let variables = read_variables(&mut child);
        let folder = PathBuf::from(variables.get("MX_DIR").expect("start-synapse names the folder"));
        OwnSynapse { synapse: Synapse::from_variables(|name| variables.get(name).cloned()), folder, child }
    }

    /// The number that a query of its database returns.
    pub fn number(&self, select: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.folder.join("homeserver.db")).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        connection.query_row(select, [], |row| row.get(0)).unwrap_or_else(|cause| panic!("{select}: {cause}"))
    }

    /// Runs statements in its database.
    pub fn sql(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.folder.join("homeserver.db")).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        connection.execute_batch(sql).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Reads lines `NAME=value` up to an empty one.
fn read_variables(child: &mut Child) -> HashMap<String, String> {
    let output = child.stdout.take().expect("the output is piped");
    let lines = BufReader::new(output).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let variables: HashMap<_, _> =
        lines.filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
    assert!(!variables.is_empty(), "Synapse did not start; its reason stands above");
    variables
}

impl Drop for OwnSynapse {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

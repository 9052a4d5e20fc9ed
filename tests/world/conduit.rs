//! Homeservers that register people with a token: a stand-in for Conduit (`conduit_stand_in.py`), a real Synapse, or whatever
//! `TOKEN_WORLD` names for `make token-check`.

use super::folder::TempFolder;
use super::http;
use super::process::{Process, guarded};
use super::synapse::{Account, OwnSynapse, Synapse};
use super::{SiteBuilder, fresh};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/conduit_stand_in.py");

/// A homeserver, as its clients see it, and its registration token.
#[derive(Debug, Clone)]
pub struct TokenHomeserver {
    /// Only the Client-Server API, and no shared secret.
    pub clients: Synapse,
    pub token: String,
}

impl TokenHomeserver {
    /// The settings of a site that makes accounts there with the token.
    pub fn connect(&self, site: SiteBuilder) -> SiteBuilder {
        site.mode("registration_token").unset("registration_shared_secret").set("registration_token.token", self.token.as_str())
    }

    /// Registers somebody as the specification says. Returns the account with an access token.
    pub fn register(&self, localpart: &str, password: &str) -> Account {
        let register = |auth: Option<Value>| {
            let mut body = json!({"username": localpart, "password": password, "inhibit_login": true});
            auth.into_iter().for_each(|auth| body["auth"] = auth);
            self.clients.call("POST", "/_matrix/client/v3/register", None, Some(body))
        };
        let (_, wanted) = register(None);
        let session = &wanted["session"];
        let (status, answer) = register(Some(json!({"type": "m.login.registration_token", "token": self.token, "session": session})));
        if status == 401 && answer["errcode"].is_null() {
            assert_eq!(register(Some(json!({"type": "m.login.dummy", "session": session}))).0, 200);
        } else {
            assert_eq!(status, 200, "POST /register with the token: {answer}");
        }
        let token = self.clients.login(localpart, password).unwrap_or_else(|cause| panic!("{localpart} cannot log in: {cause}"));
        Account { localpart: localpart.into(), user_id: self.clients.user_id(localpart), password: password.into(), token }
    }

    /// The settings of a site whose bot makes its own account, and is invited to the room.
    pub fn with_new_bot(&self, site: SiteBuilder) -> SiteBuilder {
        let bot = fresh("doorman");
        let guest = Account { user_id: self.clients.user_id(&bot), ..self.clients.alice.clone() };
        self.clients.invite(&self.clients.room, &self.clients.alice, &guest);
        site.unset("room.access_token").set("room.bot_localpart", bot)
    }

    /// The display name that everybody on the homeserver sees.
    pub fn display_name(&self, localpart: &str) -> String {
        let path = format!("/_matrix/client/v3/profile/{}", self.clients.user_id(localpart).replace('@', "%40").replace(':', "%3A"));
        let (_, answer) = self.clients.call("GET", &path, Some(&self.clients.alice.token), None);
        answer["displayname"].as_str().unwrap_or_default().to_owned()
    }

    /// The devices of somebody who can log in: that login's, and those that were left.
    pub fn devices(&self, token: &str) -> Vec<String> {
        let (status, answer) = self.clients.call("GET", "/_matrix/client/v3/devices", Some(token), None);
        assert_eq!(status, 200, "{answer}");
        let devices = answer["devices"].as_array().cloned().unwrap_or_default();
        devices.iter().map(|device| device["device_id"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A homeserver that exists already: what `TOKEN_WORLD` says. A moderator and a room are made there.
    pub fn of_world(world: &Value) -> TokenHomeserver {
        let text = |key: &str| {
            let found = world[key].as_str();
            found
                .unwrap_or_else(|| panic!("the file of TOKEN_WORLD needs {key:?}; docs/homeservers.md has an example"))
                .trim_end_matches('/')
                .to_owned()
        };
        let nobody = Account { localpart: String::new(), user_id: String::new(), password: String::new(), token: String::new() };
        let clients = Synapse {
            base_url: text("homeserver_url"),
            server_name: text("server_name"),
            shared_secret: String::new(),
            room: String::new(),
            admin: nobody.clone(),
            bot: nobody.clone(),
            alice: nobody.clone(),
            bob: nobody,
        };
        let mut home = TokenHomeserver { clients, token: text("registration_token") };
        let moderator = fresh("moderator");
        home.clients.alice = home.register(&moderator, "a moderator of token-check, 1");
        home.clients.room = home.clients.create_room_of(&home.clients.alice, &[]);
        home
    }
}

/// A running stand-in; it ends when this value is dropped.
pub struct Conduit {
    pub home: TokenHomeserver,
    server: Process,
    state: TempFolder,
}

impl Conduit {
    pub fn start() -> Conduit {
        let state = TempFolder::new("conduit");
        let (server, said) = start(state.path(), 0);
        let base_url = format!("http://127.0.0.1:{}", said["port"]);
        let account = |name: &str| Account {
            localpart: name.to_owned(),
            user_id: format!("@{name}:example.test"),
            password: format!("pw-{name}"),
            token: said["tokens"][name].as_str().unwrap_or_default().to_owned(),
        };
        let clients = Synapse {
            base_url,
            server_name: "example.test".into(),
            shared_secret: String::new(),
            room: said["room"].as_str().unwrap().into(),
            admin: account("bob"),
            bot: account("register_bot"),
            alice: account("alice"),
            bob: account("bob"),
        };
        Conduit { home: TokenHomeserver { clients, token: said["token"].as_str().unwrap().into() }, server, state }
    }

    /// Turns switches of the stand-in.
    pub fn set(&self, switches: Value) {
        assert_eq!(self.home.clients.call("PUT", "/stand_in", None, Some(switches)).0, 200);
    }

    /// What it has: accounts, devices, requests.
    pub fn shows(&self) -> Value {
        self.home.clients.call("GET", "/stand_in", None, None).1
    }

    /// The devices of an account, without a login.
    pub fn devices(&self, localpart: &str) -> Vec<Value> {
        self.shows()["devices"][localpart].as_array().cloned().unwrap_or_default()
    }

    /// Whether there is such an account.
    pub fn has(&self, localpart: &str) -> bool {
        !self.shows()["names"][localpart].is_null()
    }

    /// Kills it and starts it again with the same data, on the same port.
    pub fn restart(&mut self) {
        let port = self.home.clients.base_url.rsplit(':').next().unwrap().parse().unwrap();
        self.server.stop();
        self.server = start(self.state.path(), port).0;
    }
}

fn start(folder: &Path, port: u16) -> (Process, Value) {
    let mut command = guarded("python3");
    command.arg(SCRIPT).arg("--state").arg(folder.join("state.json")).args(["--port", &port.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Process::start("the stand-in for Conduit", command, None);
    let mut line = String::new();
    let _ = BufReader::new(server.child().stdout.take().expect("the output is piped")).read_line(&mut line);
    let said = serde_json::from_str(&line).unwrap_or_else(|cause| panic!("the stand-in for Conduit said {line:?}: {cause}"));
    (server, said)
}

/// A real Synapse that registers people with a token only.
pub struct TokenSynapse {
    pub own: OwnSynapse,
    pub home: TokenHomeserver,
}

impl TokenSynapse {
    /// With further options of `start-synapse`.
    pub fn start(options: &[&str]) -> TokenSynapse {
        let open = ["--set", "enable_registration=true", "--set", "registration_requires_token=true"];
        let own = OwnSynapse::start(&[&open[..], options].concat());
        let token = "signup-Secret_1";
        let path = "/_synapse/admin/v1/registration_tokens/new";
        let (status, answer) = own.synapse.call("POST", path, Some(&own.synapse.admin.token), Some(json!({"token": token})));
        assert_eq!(status, 200, "{answer}");
        TokenSynapse { home: TokenHomeserver { clients: own.synapse.clone(), token: token.into() }, own }
    }
}

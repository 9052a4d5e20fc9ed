//! The dialogue of a password change, one request at a time: the bot answers as the real Synapse does. Each request goes to
//! both, for an account that has the same password in both.

use crate::Table;
use crate::homeserver::shared_site;
use crate::table::{address_of, fresh, now};
use crate::world::{Account, Browser, Database, Engine, Host, Page, SiteFolder, Synapse, WebServer, on_every_database};
use serde_json::{Value, json};

const PATH: &str = "/_matrix/client/v3/account/password";
const OLD: &str = "the old password";
const NEW: &str = "the new password";

struct Both {
    synapse: Synapse,
    web: WebServer,
    table: Table,
    user: Account,
    _site: SiteFolder,
    _database: Database,
}

impl Both {
    fn start() -> Both {
        Both::on(Engine::Sqlite)
    }

    fn on(engine: Engine) -> Both {
        let database = Database::new(engine);
        let (synapse, site) = shared_site(|site| site.database(&database));
        let table = Table::of(&site);
        let user = account(&synapse, &table);
        let web = WebServer::start(&site, Host::NginxSystemd);
        Both { synapse, web, table, user, _site: site, _database: database }
    }

    fn bot(&self) -> Browser {
        Browser::new(&self.web.url())
    }

    fn real(&self) -> Browser {
        Browser::new(&self.synapse.base_url)
    }

    /// Sends the same request to both with the user's token: our answer, and Synapse's.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> [Page; 2] {
        let bearer = format!("Bearer {}", self.user.token);
        let content_type = if method == "POST" { "application/json" } else { "" };
        [self.bot(), self.real()].map(|server| server.with_header("Authorization", &bearer).request(method, path, content_type, body))
    }

    fn post(&self, body: &Value) -> [(u16, Value); 2] {
        self.ask("POST", PATH, body.to_string().as_bytes()).map(|page| masked(&page))
    }
}

/// An account with the old password in Synapse and in our table.
fn account(synapse: &Synapse, table: &Table) -> Account {
    let name = fresh("eve");
    table.add(&name, OLD);
    synapse.register(&name, OLD)
}

/// Status and body, with the session id masked.
fn masked(page: &Page) -> (u16, Value) {
    let mut body: Value = serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{}: {} {}", page.url, page.status, page.body));
    if let Some(session) = body.get_mut("session") {
        assert!(session.as_str().is_some_and(|session| session.len() > 10), "{session}");
        *session = json!("a session");
    }
    (page.status, body)
}

fn errcode(page: &Page) -> (u16, Value) {
    let (status, body) = masked(page);
    (status, body["errcode"].clone())
}

fn by_id(user: &str, password: &str) -> Value {
    json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password})
}

#[test]
fn what_is_missing_or_wrong_is_answered_in_synapses_words() {
    let both = Both::start();
    let other = account(&both.synapse, &both.table);
    let (name, mxid) = (&both.user.localpart, &both.user.user_id);
    for body in [
        json!({"new_password": NEW, "logout_devices": true}),
        json!({"new_password": NEW, "auth": null}),
        json!({}),
        json!({"new_password": NEW, "auth": by_id(name, "wrong")}),
        json!({"new_password": NEW, "auth": by_id(mxid, "wrong")}),
        json!({"new_password": NEW, "auth": {"type": "m.login.password", "user": name, "password": "wrong"}}),
        json!({"auth": by_id(name, "wrong")}),
        json!({"new_password": NEW, "auth": by_id(&other.localpart, OLD)}),
        json!({"new_password": NEW, "auth": {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}}}),
        json!({"new_password": NEW, "auth": {"type": "m.login.password", "password": OLD}}),
    ] {
        let [ours, real] = both.post(&body);
        assert_eq!(ours, real, "{body}");
    }
    assert!(both.table.has_password(name, OLD) && both.table.has_password(&other.localpart, OLD), "nothing was changed");
}

#[test]
fn what_cannot_be_understood_has_synapses_status_and_code() {
    let both = Both::start();
    let name = &both.user.localpart;
    let unknown =
        json!({"new_password": NEW, "auth": {"type": "m.login.password", "session": "nosuchsession", "user": name, "password": OLD}});
    let bodies = [
        json!({"new_password": NEW, "auth": "a string"}).to_string(),
        json!({"new_password": 7}).to_string(),
        json!({"new_password": "x".repeat(513)}).to_string(),
        unknown.to_string(),
        String::new(),
        "{".to_owned(),
        "not JSON".to_owned(),
        "[]".to_owned(),
        "\"text\"".to_owned(),
    ];
    for body in bodies {
        let [ours, real] = both.ask("POST", PATH, body.as_bytes());
        assert_eq!(errcode(&ours), errcode(&real), "{body}: {} instead of {}", ours.body, real.body);
    }
    for method in ["GET", "PUT", "DELETE"] {
        let [ours, real] = both.ask(method, PATH, b"");
        assert_eq!((errcode(&ours), ours.status), (errcode(&real), 405), "{method}");
        assert_eq!(ours.header("allow"), Some("POST, OPTIONS"));
    }
    for path in ["/_matrix/client/v1/account/password", "/_matrix/client/v3/account/password/", "/_matrix/client/api/v1/account/password"] {
        let [ours, real] = both.ask("POST", path, b"{}");
        assert_eq!((masked(&ours), ours.status), (masked(&real), 404), "{path} is Synapse's own");
    }
    assert!(both.table.has_password(name, OLD));
}

#[test]
fn a_token_that_synapse_does_not_know_changes_nothing() {
    let both = Both::start();
    let name = &both.user.localpart;
    let body = json!({"new_password": NEW, "auth": by_id(name, OLD)}).to_string();
    for token in ["syt_unknown", "x", "syt_%C3%BC"] {
        let ask = |server: Browser| {
            masked(&server.with_header("Authorization", &format!("Bearer {token}")).request(
                "POST",
                PATH,
                "application/json",
                body.as_bytes(),
            ))
        };
        let (ours, real) = (ask(both.bot()), ask(both.real()));
        assert_eq!((ours.0, &ours.1), (401, &real.1), "{token}");
    }
    assert!(both.table.has_password(name, OLD));
}

#[test]
fn a_token_that_cannot_be_one_is_refused_and_no_outage() {
    let both = Both::start();
    let body = json!({"new_password": NEW, "auth": by_id(&both.user.localpart, OLD)}).to_string();
    for (header, query) in [("Bearer a b", ""), ("", "?access_token=%C3%BC"), ("", "?access_token=a%0Ab"), ("", "?access_token=a%20b")] {
        let server = if header.is_empty() { both.bot() } else { both.bot().with_header("Authorization", header) };
        let page = server.request("POST", &format!("{PATH}{query}"), "application/json", body.as_bytes());
        assert_eq!(page.status, 401, "{header}{query}: {}", page.body);
    }
}

/// After a hard logout a client may delete the keys of its user's messages.
#[test]
fn a_token_that_has_run_out_is_a_soft_logout_here_too() {
    let both = Both::start();
    let ends_at = now() * 1000 + 1500;
    let login = format!("/_synapse/admin/v1/users/{}/login", both.user.user_id);
    let (status, answer) = both.synapse.call("POST", &login, Some(&both.synapse.admin.token), Some(json!({"valid_until_ms": ends_at})));
    assert_eq!(status, 200, "{answer}");
    while now() * 1000 <= ends_at {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let body = json!({"new_password": NEW, "auth": by_id(&both.user.localpart, OLD)}).to_string();
    let [ours, real] = [both.bot(), both.real()]
        .map(|server| masked(&server.with_header("Authorization", &bearer).request("POST", PATH, "application/json", body.as_bytes())));
    assert_eq!(ours, real);
    assert_eq!((ours.0, &ours.1["soft_logout"]), (401, &json!(true)));
}

#[test]
fn nobodys_own_name_becomes_the_password_with_an_access_token_or_without() {
    let both = Both::start();
    let name = fresh("maximilian");
    both.table.add(&name, OLD);
    let body = json!({"new_password": name.to_uppercase(), "auth": by_id(&name, OLD)}).to_string();
    let page = both.bot().request("POST", PATH, "application/json", body.as_bytes());
    assert_eq!(errcode(&page), (400, json!("M_WEAK_PASSWORD")));
    assert!(both.table.has_password(&name, OLD));
}

#[test]
fn an_empty_auth_is_no_auth() {
    let [ours, real] = Both::start().post(&json!({"new_password": NEW, "auth": {}}));
    assert_eq!(ours, real);
}

on_every_database! { every_way_to_name_oneself_works_on_every_path_with_and_without_a_session }

fn every_way_to_name_oneself_works_on_every_path_with_and_without_a_session(engine: Engine) {
    let both = Both::on(engine);
    let (name, mxid) = (&both.user.localpart, &both.user.user_id);
    let session = serde_json::from_str::<Value>(&both.ask("POST", PATH, b"{}")[0].body).unwrap()["session"].clone();
    let ways = [
        json!({"identifier": {"type": "m.id.user", "user": name}}),
        json!({"identifier": {"type": "m.id.user", "user": mxid}}),
        json!({"identifier": {"type": "m.id.user", "user": name.to_uppercase()}}),
        json!({"identifier": {"type": "m.id.user", "user": format!("\u{feff}{name}\u{200b}")}}),
        json!({"identifier": {"type": "m.id.user", "user": mxid}, "user": mxid}),
        json!({"user": name}),
        json!({"user": mxid, "session": session}),
        json!({"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": address_of(name).to_uppercase()}}),
        json!({"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": format!("{}\u{200e}", address_of(name))}}),
    ];
    let mut password = OLD.to_owned();
    for (number, way) in ways.into_iter().enumerate() {
        let version = ["v3", "r0", "unstable"][number % 3];
        let next = format!("password number {number}");
        let mut auth = way.clone();
        auth["type"] = "m.login.password".into();
        auth["password"] = password.into();
        let body = json!({"auth": auth, "new_password": next, "logout_devices": false}).to_string();
        let page = both.ask_bot(&format!("/_matrix/client/{version}/account/password"), &body);
        assert_eq!(masked(&page), (200, json!({})), "{version} {way}: {}", both.web.log());
        assert!(both.table.has_password(name, &next));
        password = next;
    }
    // Synapse also accepts the token in the query.
    let body = json!({"auth": by_id(name, &password), "new_password": NEW}).to_string();
    let page = both.bot().request("POST", &format!("{PATH}?access_token={}", both.user.token), "application/json", body.as_bytes());
    assert_eq!(masked(&page), (200, json!({})));
}

impl Both {
    fn ask_bot(&self, path: &str, body: &str) -> Page {
        let bearer = format!("Bearer {}", self.user.token);
        self.bot().with_header("Authorization", &bearer).request("POST", path, "application/json", body.as_bytes())
    }
}

#[test]
fn a_session_is_good_for_its_owner_only() {
    let both = Both::start();
    let other = account(&both.synapse, &both.table);
    let session = serde_json::from_str::<Value>(&both.ask("POST", PATH, b"{}")[0].body).unwrap()["session"].clone();
    let mut auth = by_id(&other.localpart, OLD);
    auth["session"] = session;
    let body = json!({"auth": auth, "new_password": NEW}).to_string();
    let page = both.bot().with_header("Authorization", &format!("Bearer {}", other.token)).request(
        "POST",
        PATH,
        "application/json",
        body.as_bytes(),
    );
    assert_eq!(errcode(&page), (400, json!("M_UNKNOWN")));
    assert!(both.table.has_password(&other.localpart, OLD));
}

/// Differences to Synapse: its internal error, and passwords that our own rules refuse.
#[test]
fn a_change_without_a_new_password_or_with_a_weak_one_says_what_is_wrong() {
    let both = Both::start();
    let name = &both.user.localpart;
    for (new, status, code) in [
        (Value::Null, 400, "M_MISSING_PARAM"),
        (json!(""), 400, "M_PASSWORD_TOO_SHORT"),
        (json!("ninechars"), 400, "M_PASSWORD_TOO_SHORT"),
        (json!(address_of(name)), 400, "M_WEAK_PASSWORD"),
        (json!("with a \u{0} in it"), 400, "M_BAD_JSON"),
    ] {
        let page = both.ask_bot(PATH, &json!({"auth": by_id(name, OLD), "new_password": new}).to_string());
        assert_eq!(errcode(&page), (status, json!(code)), "{new}");
    }
    // A user of another server, and a stage that we do not offer.
    let elsewhere = json!({"auth": by_id(&format!("@{name}:other.test"), OLD), "new_password": NEW});
    assert_eq!(both.ask_bot(PATH, &elsewhere.to_string()).status, 401);
    let dummy = json!({"auth": {"type": "m.login.dummy"}, "new_password": NEW});
    assert_eq!(both.ask_bot(PATH, &dummy.to_string()).status, 401);
    assert!(both.table.has_password(name, OLD));
}

#[test]
fn web_clients_on_other_hosts_get_the_headers_that_synapse_sends() {
    let both = Both::start();
    let names =
        ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers", "access-control-expose-headers"];
    let preflight = |server: Browser| {
        let server = server.with_header("Origin", "https://client.example.org").with_header("Access-Control-Request-Method", "POST");
        server.with_header("Access-Control-Request-Headers", "authorization,content-type").request("OPTIONS", PATH, "", b"")
    };
    let (ours, real) = (preflight(both.bot()), preflight(both.real()));
    assert_eq!((ours.status, ours.body.as_str(), real.status), (204, "", 204));
    let refused = both.ask("POST", PATH, b"not JSON");
    let asked = both.ask("POST", PATH, b"{}");
    for [ours, real] in [[ours, real], refused, asked] {
        for name in names {
            assert_eq!(ours.header(name), real.header(name), "{name} with {}", ours.status);
        }
        if ours.status != 204 {
            assert_eq!(
                (ours.header("content-type"), ours.header("cache-control")),
                (real.header("content-type"), real.header("cache-control"))
            );
        }
    }
    let too_long = both.ask_bot(PATH, &format!("{{\"new_password\": \"{}\"}}", "x".repeat(100_000)));
    assert_eq!((errcode(&too_long), too_long.header("access-control-allow-origin")), ((413, json!("M_TOO_LARGE")), Some("*")));
}

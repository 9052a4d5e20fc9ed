//! The internal programs, one request at a time.
//!
//! The requests are byte for byte those of mxisd, ma1sd and Synapse's password module; the answers are compared as JSON values.

use matrix_register_bot::domain::config::Config;
use matrix_register_bot::domain::error::Error;
use matrix_register_bot::outside::cgi::{Request, Response};
use matrix_register_bot::outside::site::Site;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use world::{Database, Engine, TempFolder, free_port, on_every_database, programs_of};

#[path = "../world/mod.rs"]
mod world;

mod accounts;
mod directory_search;
mod identity;
mod login;
mod metrics;
mod password_change;
mod profile;
mod repeated;
mod room_events;

type Program = fn(&Site, &Request) -> Result<Response, Error>;

/// A site in local mode with its own database.
struct World {
    site: Site,
    database: Database,
    _folder: TempFolder,
}

impl World {
    fn on(engine: Engine) -> World {
        World::with(engine, "")
    }

    /// `more` is appended to the configuration.
    fn with(engine: Engine, more: &str) -> World {
        let database = Database::new(engine);
        World::at(&database.url(), database, more)
    }

    fn at(url: &str, database: Database, more: &str) -> World {
        let folder = TempFolder::new("internal");
        let text = format!(
            "server_name = \"example.org\"\ndatabase = \"{url}\"\nhomeserver_url = \"http://127.0.0.1:9\"\npublic_url = \"https://register.example.org/\"\n\
             operation_mode = \"local\"\n[room]\nid = \"!room\"\n[mail]\nfrom = \"a@example.org\"\ntransport = \"file\"\n{more}"
        );
        let config = Config::parse(&text, folder.path().to_owned()).unwrap();
        World { site: Site::new(config, || 1_800_000_000), database, _folder: folder }
    }

    /// A site with an unusable database: no server listens, or the file is not a database.
    fn without_database(engine: Engine) -> World {
        let database = Database::new(engine);
        let scheme = match engine {
            Engine::Sqlite => {
                std::fs::write(database.name(), b"this is not a database, and long enough to be seen as none".repeat(20)).unwrap();
                return World::at(&database.url(), database, "");
            }
            Engine::Postgres => "postgres",
            Engine::Mariadb => "mysql",
        };
        World::at(&format!("{scheme}://bot:secret@127.0.0.1:{}/register", free_port()), database, "")
    }

    /// The answer to a POST from loopback; the status must be 200.
    fn ask(&self, program: Program, body: &str) -> Value {
        let response = program(&self.site, &post(body)).unwrap();
        assert_eq!(response.status, 200);
        serde_json::from_slice(response.body()).unwrap()
    }
}

fn post(body: &str) -> Request {
    request(&[("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("CONTENT_TYPE", "application/json; charset=UTF-8")], body)
}

fn request(variables: &[(&str, &str)], body: &str) -> Request {
    Request::new(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(), body.into())
}

/// Bodies that no caller should send.
fn nonsense() -> Vec<String> {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{}",
        "{\"lookup\":null}",
        "{\"auth\":null}",
        "{\"user\":{}}",
        "{\"lookup\":{}}",
        "{\"lookup\":{\"medium\":1}}",
        "{\"user\":{\"id\":1,\"password\":[]}}",
        "{\"user\":{\"id\":\"@john:example.org\",\"id\":\"@john:example.org\",\"password\":\"x\"}}",
        "{\"by\":1}",
        "{\"by\":\"name\",\"search_term\":null}",
        "\u{feff}{}",
        "{\"user\":{\"id\":\"@\\ud800:example.org\",\"password\":\"x\"}}",
        "{\"mxid\":\"@john\"}",
        "{\"mxid\":\":example.org\"}",
        "{\"mxid\":\"@:example.org\"}",
        "{\"lookup\":[null,1,[],{}]}",
    ]
    .into_iter()
    .map(String::from)
    .chain([deep])
    .collect()
}

/// Every internal program that only reads: its name, its function, and its answer for "no".
fn named_programs() -> [(&'static str, Program, Value); 5] {
    use matrix_register_bot::faces::api;
    [
        ("login", api::login::check, json!({"auth": {"success": false}})),
        ("directory_search", api::directory_search::search, json!({"limited": false, "results": []})),
        ("identity_single", api::identity_single::look_up, json!({})),
        ("identity_bulk", api::identity_bulk::look_up, json!({"lookup": []})),
        ("profile", api::profile::show, json!({"profile": {}})),
    ]
}

fn programs() -> [(Program, Value); 5] {
    named_programs().map(|(_, program, no)| (program, no))
}

/// Programs that are asked by others than identity servers, and in another way: tests/accounts, `room_events` and `metrics` try them.
const WITH_TESTS_OF_THEIR_OWN: [&str; 3] = ["intercept_change_password", "room_events", "metrics"];

#[test]
fn every_internal_program_meets_nonsense_and_strangers() {
    let known: BTreeSet<&str> = named_programs().iter().map(|(name, ..)| *name).chain(WITH_TESTS_OF_THEIR_OWN).collect();
    assert_eq!(known, programs_of("internal").into_iter().collect(), "add it to named_programs");
}

fn nonsense_is_answered_with_the_no_of_each_program(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    for (program, no) in programs() {
        for body in nonsense() {
            let shown: String = body.chars().take(80).collect();
            assert_eq!(world.ask(program, &body), no, "{shown}");
        }
    }
}

fn nobody_else_gets_in(engine: Engine) {
    let world = World::with(engine, "[internal]\ntrusted_proxies = [\"10.0.0.1\"]\n");
    for (program, _) in programs() {
        for variables in [
            vec![("REMOTE_ADDR", "192.0.2.1")],
            vec![("REMOTE_ADDR", "")],
            vec![],
            vec![("REMOTE_ADDR", "192.0.2.1"), ("HTTP_X_FORWARDED_FOR", "127.0.0.1")],
            vec![("REMOTE_ADDR", "10.0.0.1"), ("HTTP_X_FORWARDED_FOR", "127.0.0.1, 192.0.2.1")],
            vec![("REMOTE_ADDR", "127.0.0.1"), ("HTTP_X_FORWARDED_FOR", "127.0.0.1")],
        ] {
            let with_method: Vec<_> = variables.iter().copied().chain([("REQUEST_METHOD", "POST")]).collect();
            let error = program(&world.site, &request(&with_method, "{}")).unwrap_err();
            assert_eq!(error.status, 403, "{variables:?}");
        }
    }
}

fn the_shared_secret_is_wanted_where_it_is_set(engine: Engine) {
    let world = World::with(engine, "[internal]\nshared_secret = \"open sesame\"\n");
    let (program, no) = &programs()[2];
    let ask = |secret: Option<&'static str>| {
        let mut variables = vec![("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1")];
        variables.extend(secret.map(|secret| ("HTTP_X_REGISTER_BOT_SECRET", secret)));
        program(&world.site, &request(&variables, "{}"))
    };
    for wrong in [None, Some(""), Some("open sesam"), Some("open sesame ")] {
        assert_eq!(ask(wrong).unwrap_err().status, 403, "{wrong:?}");
    }
    assert_eq!(serde_json::from_slice::<Value>(ask(Some("open sesame")).unwrap().body()).unwrap(), *no);
}

fn another_method_is_405_with_what_is_allowed(engine: Engine) {
    let world = World::on(engine);
    for (program, _) in programs() {
        let error = program(&world.site, &request(&[("REQUEST_METHOD", "GET"), ("REMOTE_ADDR", "127.0.0.1")], "")).unwrap_err();
        assert_eq!((error.status, error.allow), (405, Some("POST")));
    }
}

fn a_database_that_is_away_is_503_and_never_a_no(engine: Engine) {
    let world = World::without_database(engine);
    for ((program, _), body) in programs().into_iter().zip([
        r#"{"user":{"id":"@john:example.org","password":"x"}}"#,
        r#"{"by":"name","search_term":"jo"}"#,
        r#"{"lookup":{"medium":"email","address":"jane@example.org"}}"#,
        r#"{"lookup":[{"medium":"email","address":"jane@example.org"}]}"#,
        r#"{"mxid":"@john:example.org"}"#,
    ]) {
        let error = program(&world.site, &post(body)).unwrap_err();
        assert_eq!((error.status, error.retry_after), (503, Some(10)));
        assert!(error.cause.contains("config.toml"), "{}", error.cause);
    }
}

on_every_database! {
    nonsense_is_answered_with_the_no_of_each_program,
    nobody_else_gets_in,
    the_shared_secret_is_wanted_where_it_is_set,
    another_method_is_405_with_what_is_allowed,
    a_database_that_is_away_is_503_and_never_a_no,
}

//! A web server sends a request again if the connection to the program broke before the answer, so each request may come twice. The
//! second one gets the answer of the first, and changes nothing more.

use crate::accounts::{self, JOHNS_PASSWORD};
use crate::room_events::{self, PUSH};
use crate::world::{Engine, cheap_hash, on_every_database, programs_of};
use crate::{World, post, request};
use matrix_register_bot::domain::password;
use matrix_register_bot::faces::api;
use matrix_register_bot::outside::cgi::Response;
use matrix_register_bot::outside::store::Access;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const OLD: &str = "the old password";
const NEW: &str = "the new password";

impl World {
    /// Everything that is stored.
    fn stored(&self, engine: Engine) -> BTreeMap<String, Vec<Vec<String>>> {
        let tables = match engine {
            Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
            Engine::Postgres => "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()",
            Engine::Mariadb => "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
        };
        let tables = self.database.rows(tables).into_iter().flatten();
        let rows = |table: &str| {
            let mut rows = self.database.rows(&format!("SELECT * FROM {table}"));
            rows.sort();
            rows
        };
        tables.map(|table| (table.clone(), rows(&table))).collect()
    }

    /// Sends the same request twice.
    fn twice(&self, engine: Engine, ask: impl Fn() -> Response) -> Response {
        let first = ask();
        let stored = self.stored(engine);
        let second = ask();
        let (first, second) = (first.into_bytes(false), second);
        assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&second.clone().into_bytes(false)));
        assert_eq!(stored, self.stored(engine));
        second
    }

    fn change(&self, client: &str, (name, old, new): (&str, &str, &str)) -> Response {
        let auth = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": old});
        let body = json!({"new_password": new, "auth": auth}).to_string();
        let request = request(&[("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", client)], &body);
        api::intercept_change_password::change(&self.site, &request).unwrap()
    }

    fn hash_of(&self, name: &str) -> String {
        self.site.store(Access::Read).unwrap().login(name).unwrap().unwrap().password_hash
    }
}

fn a_request_that_comes_twice_gets_the_same_answer_and_does_nothing_more(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    accounts::add(&world, "max", ("Max", ""), "max@example.org", &cheap_hash(OLD));
    room_events::with_message(&world, "$ours");
    let bearer = room_events::token(&world);
    let login = json!({"user": {"id": "@john:example.org", "password": JOHNS_PASSWORD}}).to_string();
    let single = json!({"lookup": {"medium": "email", "address": "jane@example.org"}}).to_string();
    let bulk = json!({"lookup": [{"medium": "email", "address": "jane@example.org"}, {"medium": "email", "address": "x@example.org"}]});
    let asked = |program: crate::Program, body: &str| {
        let answer = world.twice(engine, || program(&world.site, &post(body)).unwrap());
        String::from_utf8(answer.body().to_vec()).unwrap()
    };
    let mut tried = BTreeSet::new();
    for (name, program, body, says) in [
        ("login", api::login::check as crate::Program, login.as_str(), r#""success":true"#),
        ("directory_search", api::directory_search::search, r#"{"by":"name","search_term":"john"}"#, r#""user_id":"john""#),
        ("identity_single", api::identity_single::look_up, single.as_str(), r#""value":"jane""#),
        ("identity_bulk", api::identity_bulk::look_up, bulk.to_string().as_str(), r#""value":"jane""#),
        ("profile", api::profile::show, r#"{"mxid":"@john:example.org"}"#, "John"),
    ] {
        let answer = asked(program, body);
        assert!(answer.contains(says), "{name}: {answer}");
        tried.insert(name);
    }
    let scrape = request(&[("REQUEST_METHOD", "GET"), ("REMOTE_ADDR", "127.0.0.1")], "");
    assert_eq!(world.twice(engine, || api::metrics::show(&world.site, &scrape).unwrap()).status, 200);
    let push = || room_events::call(&world, ("PUT", PUSH), ("127.0.0.1", &bearer), &room_events::reactions(&["$ours"]));
    assert_eq!(world.twice(engine, push).status, 200);
    tried.extend(["metrics", "room_events"]);

    world.change("198.51.100.1", ("max", "wrong", NEW)); // the network has its row in the table
    assert_eq!(world.change("198.51.100.1", ("max", OLD, NEW)).status, 200);
    let changed = world.hash_of("max");
    assert!(password::verify(NEW, &changed));
    let again = world.change("198.51.100.1", ("max", OLD, NEW));
    assert_eq!((again.status, again.body()), (200, &b"{}"[..]), "the password is the new one, as was asked");
    assert_eq!(world.hash_of("max"), changed, "it is set once");
    tried.insert("intercept_change_password");
    assert_eq!(tried, programs_of("internal").into_iter().collect(), "a program whose requests may come twice is tried here");
}

/// A web server that lost the answer is no second guess, but cannot be told from one. Twenty are free.
fn a_wrong_password_that_comes_twice_counts_as_two_and_keeps_nobody_out(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let ask = |password: &str| {
        let body = json!({"user": {"id": "@john:example.org", "password": password}}).to_string();
        world.ask(api::login::check, &body)["auth"]["success"].clone()
    };
    assert_eq!([ask("wrong"), ask("wrong"), ask(JOHNS_PASSWORD), ask(JOHNS_PASSWORD)], [false, false, true, true]);
    assert_eq!(world.database.rows("SELECT failures FROM guesses").concat(), ["2"]);
}

fn a_change_that_comes_again_is_no_way_in_for_whoever_knows_only_the_old_password(engine: Engine) {
    let world = World::on(engine);
    world.site.state.secret().unwrap();
    for name in ["max", "ada"] {
        accounts::add(&world, name, ("Max", ""), &format!("{name}@example.org"), &cheap_hash(OLD));
    }
    let thief = "203.0.113.9";
    assert_eq!(world.change("198.51.100.1", ("max", OLD, NEW)).status, 200);
    let changed = world.hash_of("max");
    for new in ["a stolen password", OLD, "the new passwort", "the new password "] {
        assert_eq!(world.change(thief, ("max", OLD, new)).status, 401, "{new}");
    }
    assert_eq!(world.change(thief, ("ada", NEW, NEW)).status, 401, "another account");
    assert_eq!(world.change(thief, ("nobody", OLD, NEW)).status, 401);
    assert_eq!(world.hash_of("max"), changed);
    // The old request of a former change.
    assert_eq!(world.change("198.51.100.1", ("max", NEW, "yet another one")).status, 200);
    assert_eq!(world.change(thief, ("max", OLD, NEW)).status, 401);
    assert!(password::verify("yet another one", &world.hash_of("max")));
    // Long afterwards it is no repetition.
    world.database.sql("UPDATE logins SET changed_at = changed_at - 601");
    assert_eq!(world.change("198.51.100.1", ("max", NEW, "yet another one")).status, 401);
    // An initial password was not chosen.
    world.database.sql("UPDATE logins SET changed_at = 1800000000, initial_password_until = 1900000000");
    assert_eq!(world.change("198.51.100.1", ("max", NEW, "yet another one")).status, 401);
}

/// Each try tells about two passwords, and is slowed down by the guesses before it as any other.
fn guessing_by_changes_that_seem_to_come_again_is_slowed_down(engine: Engine) {
    let world = World::on(engine);
    world.site.state.secret().unwrap();
    accounts::add(&world, "max", ("Max", ""), "max@example.org", &cheap_hash(NEW));
    world.database.sql("UPDATE logins SET changed_at = 1800000000");
    let thief = "203.0.113.9";
    assert_eq!(world.change(thief, ("max", "wrong", NEW)).status, 200, "it is fresh");
    for _ in 0..20 {
        assert_eq!(world.change(thief, ("max", "wrong", "as wrong as can be")).status, 401);
    }
    world.database.sql("UPDATE guesses SET failures = 1000");
    let found = (0..50).filter(|_| world.change(thief, ("max", "wrong", NEW)).status == 200).count();
    assert!(found < 15, "{found} of 50");
}

fn of_two_equal_changes_at_once_one_writes_and_both_succeed(engine: Engine) {
    let world = World::on(engine);
    world.site.state.secret().unwrap();
    accounts::add(&world, "max", ("Max", ""), "max@example.org", &cheap_hash(OLD));
    std::thread::scope(|scope| {
        let both = [(); 4].map(|()| scope.spawn(|| world.change("198.51.100.1", ("max", OLD, NEW)).status));
        assert_eq!(both.map(|change| change.join().unwrap()), [200; 4]);
    });
    assert!(password::verify(NEW, &world.hash_of("max")));
}

on_every_database! {
    a_request_that_comes_twice_gets_the_same_answer_and_does_nothing_more,
    a_wrong_password_that_comes_twice_counts_as_two_and_keeps_nobody_out,
    a_change_that_comes_again_is_no_way_in_for_whoever_knows_only_the_old_password,
    guessing_by_changes_that_seem_to_come_again_is_slowed_down,
    of_two_equal_changes_at_once_one_writes_and_both_succeed,
}

use crate::accounts::{self, JOHNS_PASSWORD, add};
use crate::world::{Engine, cheap_hash, on_every_database};
use crate::{World, post};
use matrix_register_bot::domain::password;
use matrix_register_bot::faces::api::login::check;
use matrix_register_bot::faces::api::{directory_search, identity_single, profile};
use serde_json::{Value, json};

fn module(id: &str, password: &str) -> String {
    json!({"user": {"id": id, "password": password}}).to_string()
}

fn says_yes(world: &World, id: &str, password: &str) -> bool {
    world.ask(check, &module(id, password))["auth"]["success"] == json!(true)
}

/// The example login A1.
fn an_identity_server_hears_yes_with_name_and_address(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let body = r#"{"auth":{"mxid":"@john:example.org","localpart":"john","domain":"example.org","password":"p\u003d\u0026\u003c\u003e\u0027\"ä€😀\\"}}"#;
    assert_eq!(
        world.ask(check, body),
        json!({"auth": {"success": true, "id": {"type": "localpart", "value": "john"}, "mxid": "@john:example.org",
               "profile": {"display_name": "John Dœ", "three_pids": [{"medium": "email", "address": "John.Doe@Example.org"}]}}})
    );
}

/// The example logins A2 and A3.
fn a_wrong_password_and_a_foreign_domain_are_a_plain_no(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    for body in [
        r#"{"auth":{"mxid":"@john:example.org","localpart":"john","domain":"example.org","password":"wrong"}}"#,
        r#"{"auth":{"mxid":"@john:other.org","localpart":"john","domain":"other.org","password":"p\u003d\u0026\u003c\u003e\u0027\"ä€😀\\"}}"#,
    ] {
        assert_eq!(world.ask(check, body), json!({"auth": {"success": false}}));
    }
}

/// The example login A4, in ASCII JSON with surrogate pairs.
fn synapses_module_hears_yes(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let answer = world.ask(check, r#"{"user": {"id": "@jane:example.org", "password": "secret"}}"#);
    assert_eq!(
        answer["auth"]["profile"],
        json!({"display_name": "Jane", "three_pids": [{"medium": "email", "address": "jane@example.org"}]})
    );
    let ascii = r#"{"user": {"id": "@john:example.org", "password": "p=&<>'\"\u00e4\u20ac\ud83d\ude00\\"}}"#;
    assert_eq!(world.ask(check, ascii)["auth"]["success"], json!(true));
}

/// As an earlier version stored them: Synapse would bind the address unchanged.
fn an_address_and_a_name_with_what_cannot_be_seen_are_handed_on_without_it(engine: Engine) {
    let world = World::on(engine);
    add(&world, "jane", ("Jane", "Dœ"), "jane@example.org", &cheap_hash("secret"));
    world.database.sql("UPDATE logins SET email = 'jane@example.org\u{200b}\u{200e}', first_name = 'J\u{ad}a\u{202e}ne\u{3164}'");
    let clean = json!([{"medium": "email", "address": "jane@example.org"}]);
    let login = world.ask(check, &module("@jane:example.org", "secret"));
    assert_eq!(login["auth"]["profile"], json!({"display_name": "Jane Dœ", "three_pids": clean}));
    let shown = world.ask(profile::show, r#"{"mxid":"@jane:example.org"}"#);
    assert_eq!((&shown["profile"]["threepids"], &shown["profile"]["display_name"]), (&clean, &json!("Jane Dœ")));
    let found = world.ask(directory_search::search, r#"{"by":"threepid","search_term":"\u200ejane@example.org\u200b"}"#);
    assert_eq!(found["results"], json!([{"user_id": "jane", "display_name": "Jane Dœ"}]));
    let asked = r#"{"lookup":{"medium":"email","address":"jane@example.org\u200b"}}"#;
    assert_eq!(world.ask(identity_single::look_up, asked)["lookup"]["id"]["value"], "jane");
}

fn the_content_type_is_not_looked_at(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let request = crate::request(
        &[("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "::1"), ("CONTENT_TYPE", "text/plain")],
        &module("@jane:example.org", "secret"),
    );
    let answer: Value = serde_json::from_slice(check(&world.site, &request).unwrap().body()).unwrap();
    assert_eq!(answer["auth"]["success"], json!(true));
    assert!(check(&world.site, &post("")).is_ok());
}

/// A yes to these would make Synapse create accounts.
fn only_the_exact_id_of_an_own_user_is_answered(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    assert!(says_yes(&world, "@john:example.org", JOHNS_PASSWORD));
    for id in [
        "@john:other.test",
        "@john:x:example.org",
        "@JOHN:example.org",
        "john",
        "@john",
        "@john:",
        "@john:example.org:",
        "@ john:example.org",
        "@john:EXAMPLE.org",
        "john:example.org",
        "@@john:example.org",
    ] {
        assert!(!says_yes(&world, id, JOHNS_PASSWORD), "{id}");
    }
}

fn a_disabled_user_and_a_run_out_initial_password_are_a_no(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    world.database.sql("UPDATE logins SET active = 0 WHERE localpart = 'jane'");
    assert!(!says_yes(&world, "@jane:example.org", "secret"));
    let until = |time: i64| world.database.sql(&format!("UPDATE logins SET initial_password_until = {time} WHERE localpart = 'john'"));
    until(1_799_999_999);
    assert!(!says_yes(&world, "@john:example.org", JOHNS_PASSWORD));
    until(1_800_000_000);
    assert!(says_yes(&world, "@john:example.org", JOHNS_PASSWORD));
}

fn a_password_that_php_hashed_works_and_is_hashed_anew(engine: Engine) {
    let world = World::on(engine);
    let php = |password: &str| bcrypt::hash_with_result(password, 4).unwrap().format_for_version(bcrypt::Version::TwoY);
    add(&world, "old", ("Old", "User"), "old@example.org", &php("pässword"));
    assert!(!says_yes(&world, "@old:example.org", "wrong"));
    assert!(says_yes(&world, "@old:example.org", "pässword"));
    let stored = |world: &World, name: &str| -> String {
        world.database.rows(&format!("SELECT password_hash FROM logins WHERE localpart = '{name}'")).concat().concat()
    };
    assert!(stored(&world, "old").starts_with("$argon2id$") && password::verify("pässword", &stored(&world, "old")));
    assert!(says_yes(&world, "@old:example.org", "pässword"));
    assert!(!says_yes(&world, "@old:example.org", "pässwor"));

    // PHP used only 72 bytes: nobody may be locked out by that, and from the first login on the whole password counts.
    let long = "x".repeat(80);
    add(&world, "long", ("Long", "Word"), "long@example.org", &php(&long[..72]));
    assert!(says_yes(&world, "@long:example.org", &long));
    assert!(stored(&world, "long").starts_with("$argon2id$"));
    assert!(says_yes(&world, "@long:example.org", &long));
    assert!(!says_yes(&world, "@long:example.org", &long[..72]));
}

fn nothing_is_ever_null(engine: Engine) {
    let world = World::on(engine);
    add(&world, "bare", ("", ""), "bare@example.org", &cheap_hash("x"));
    let request = post(&module("@bare:example.org", "x"));
    let body = String::from_utf8(check(&world.site, &request).unwrap().body().to_vec()).unwrap();
    assert!(body.contains("\"profile\":{\"three_pids\":[") && !body.contains("null") && !body.contains("display_name"), "{body}");
}

fn a_guessing_stranger_slows_down_nobody_else(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let ask = |client: &str, password: &str| -> bool {
        let variables = [("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("HTTP_X_REGISTER_BOT_CLIENT", client)];
        let answer = check(&world.site, &crate::request(&variables, &module("@jane:example.org", password))).unwrap();
        serde_json::from_slice::<Value>(answer.body()).unwrap()["auth"]["success"] == json!(true)
    };
    let jane = matrix_register_bot::domain::token::hash("jane");
    world.database.sql(&format!("INSERT INTO guesses VALUES ('{jane}', '192.0.2.0', 100000, 1799999990)"));
    let checked = (0..200).filter(|_| ask("192.0.2.66", "secret")).count();
    assert!(checked < 40, "the stranger's network is slowed: {checked}");
    assert!(checked > 0 || (0..400).any(|_| ask("192.0.2.66", "secret")), "and yet not locked out");
    assert!((0..20).all(|_| ask("198.51.100.1", "secret")), "another network notices nothing");
    assert!((0..20).all(|_| says_yes(&world, "@jane:example.org", "secret")), "nor does a caller that cannot say");
}

/// Sixty networks, each with fewer guesses than slow one down. Then the right password comes from a new network, and from one
/// that its owner used before.
fn many_networks_guess_no_better_than_one_and_the_owners_network_gets_through(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let ask = |name: &str, client: &str, password: &str| -> bool {
        let variables = [("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("HTTP_X_REGISTER_BOT_CLIENT", client)];
        let answer = check(&world.site, &crate::request(&variables, &module(name, password))).unwrap();
        serde_json::from_slice::<Value>(answer.body()).unwrap()["auth"]["success"] == json!(true)
    };
    world.site.state.secret().unwrap();
    assert!(ask("@jane:example.org", "198.51.100.1", "secret"), "the owner logs in at home");
    assert!(!ask("@jane:example.org", "203.0.113.1", "wrong"), "the first guess");
    let everywhere = |name: &str| {
        world.database.rows(&format!(
            "SELECT failures FROM guesses WHERE account = '{}' AND network = 'everywhere'",
            matrix_register_bot::domain::token::hash(name)
        ))
    };
    assert_eq!(everywhere("jane"), [["1"]], "it is counted over all networks");
    world.database.sql("UPDATE guesses SET failures = 200 WHERE network = 'everywhere'");
    let checked = (0..60).filter(|network| ask("@jane:example.org", &format!("10.7.{network}.1"), "secret")).count();
    assert!(checked < 25, "guesses from new networks are slowed: {checked}");
    assert!(
        checked > 0 || (60..255).any(|network| ask("@jane:example.org", &format!("10.8.{network}.1"), "secret")),
        "nobody is locked out"
    );
    assert!((0..20).all(|_| ask("@jane:example.org", "198.51.100.77", "secret")), "the owner's network notices nothing");
    assert!(ask("@john:example.org", "10.7.0.1", JOHNS_PASSWORD), "nor does another account");
    assert!((0..5).all(|_| says_yes(&world, "@jane:example.org", "secret")), "nor a caller that cannot say where the user sits");
    // The stored rows for a name do not reveal whether there is such an account.
    assert!(!ask("@nobody:example.org", "203.0.113.1", "wrong"));
    assert_eq!(everywhere("nobody"), [["1"]]);
    let networks = world.database.rows("SELECT network FROM familiar_networks").concat();
    assert!(!networks.is_empty() && networks.iter().all(|network| network.len() == 32), "hashes: {networks:?}");
}

/// The clock was a year ahead when somebody mistyped a password.
fn guesses_from_the_future_slow_nobody(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let jane = matrix_register_bot::domain::token::hash("jane");
    world.database.sql(&format!("INSERT INTO guesses VALUES ('{jane}', '', 100000, 1831536000)"));
    assert!((0..5).all(|_| says_yes(&world, "@jane:example.org", "secret")));
    assert!(!says_yes(&world, "@jane:example.org", "wrong"));
    assert_eq!(world.database.rows("SELECT failures FROM guesses"), [["1"]], "the count begins anew");
}

on_every_database! {
    an_identity_server_hears_yes_with_name_and_address,
    a_wrong_password_and_a_foreign_domain_are_a_plain_no,
    synapses_module_hears_yes,
    an_address_and_a_name_with_what_cannot_be_seen_are_handed_on_without_it,
    the_content_type_is_not_looked_at,
    only_the_exact_id_of_an_own_user_is_answered,
    a_disabled_user_and_a_run_out_initial_password_are_a_no,
    a_password_that_php_hashed_works_and_is_hashed_anew,
    nothing_is_ever_null,
    a_guessing_stranger_slows_down_nobody_else,
    many_networks_guess_no_better_than_one_and_the_owners_network_gets_through,
    guesses_from_the_future_slow_nobody,
}

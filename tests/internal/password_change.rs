//! Password changes without an access token, which need no homeserver.

use crate::World;
use crate::accounts;
use crate::world::{Engine, cheap_hash, on_every_database};
use matrix_register_bot::domain::token;
use matrix_register_bot::faces::api::intercept_change_password::change;
use serde_json::json;

const PASSWORD: &str = "a long password";

impl World {
    /// The status of a change to the password that the account already has.
    fn change_password(&self, localpart: &str, client: &str, password: &str) -> u16 {
        let auth = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": localpart}, "password": password});
        let body = json!({"new_password": PASSWORD, "logout_devices": false, "auth": auth}).to_string();
        change(&self.site, &crate::request(&[("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", client)], &body)).unwrap().status
    }

    fn wrong_guesses_on_the_web(&self, localpart: &str) -> String {
        let account = token::hash(localpart);
        let sql = format!("SELECT failures FROM guesses WHERE account = '{account}' AND network = 'web everywhere'");
        self.database.rows(&sql).concat().concat()
    }
}

/// No single network comes near the number of guesses that slows it down.
fn guessing_from_many_networks_is_slowed_and_the_owners_network_gets_through(engine: Engine) {
    let world = World::on(engine);
    world.site.state.secret().unwrap();
    accounts::add(&world, "max", ("Max", "Muster"), "max@example.org", &cheap_hash(PASSWORD));
    assert_eq!(world.change_password("max", "198.51.100.1", PASSWORD), 200, "the owner, at home");
    // The change has stored a hash that costs as much as it should, and is no moment ago.
    world.database.sql(&format!("UPDATE logins SET password_hash = '{}', changed_at = 1700000000", cheap_hash(PASSWORD)));
    for network in 0..60 {
        for name in ["max", "nobody"] {
            assert_eq!(world.change_password(name, &format!("10.7.{network}.1"), "wrong"), 401, "{name}");
        }
    }
    assert_eq!((world.wrong_guesses_on_the_web("max").as_str(), world.wrong_guesses_on_the_web("nobody").as_str()), ("60", "60"));
    world.database.sql("UPDATE guesses SET failures = 200 WHERE network = 'web everywhere'");
    let checked = (0..60).filter(|network| world.change_password("max", &format!("10.8.{network}.1"), PASSWORD) == 200).count();
    assert!(checked < 25, "guesses from new networks are slowed: {checked}");
    let later = |network: i32| world.change_password("max", &format!("10.9.{network}.1"), PASSWORD) == 200;
    assert!(checked > 0 || (0..250).any(later), "nobody is locked out");
    assert!((0..10).all(|_| world.change_password("max", "198.51.100.77", PASSWORD) == 200), "the owner's network notices nothing");
}

/// Even many guesses for made-up names leave nothing behind, with or without cron.
fn guesses_that_mean_nothing_any_more_go_by_themselves(engine: Engine) {
    let world = World::on(engine);
    let mut store = world.site.store(matrix_register_bot::outside::store::Access::Write).unwrap();
    let old: Vec<String> = (0..20).map(|name| format!("('{name}', 'web 10.0.0.0', 1, 1799000000)")).collect();
    world.database.sql(&format!("INSERT INTO guesses VALUES {}", old.join(", ")));
    for name in 0..1000 {
        store.note_wrong_guess(&name.to_string(), "10.0.0.0", 1_799_999_100, 1_800_000_000).unwrap();
    }
    let left = world.database.rows("SELECT COUNT(*) FROM guesses WHERE first_at < 1799999100").concat().concat();
    assert_eq!(left, "0");
}

on_every_database! {
    guessing_from_many_networks_is_slowed_and_the_owners_network_gets_through,
    guesses_that_mean_nothing_any_more_go_by_themselves,
}

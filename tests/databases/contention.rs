use crate::world::{Database, Engine, Host};
use crate::{Story, fresh, now, settled};
use matrix_register_bot::domain::registration::State;
use matrix_register_bot::outside::store::{Access, NewLogin, Store};
use std::thread;
use std::time::{Duration, Instant};

/// A statement that keeps the outside client's transaction open.
fn sleep(engine: Engine, seconds: f32) -> String {
    if engine == Engine::Postgres { format!("SELECT pg_sleep({seconds})") } else { format!("SELECT SLEEP({seconds})") }
}

/// Waits until the outside client is sleeping in its transaction.
fn wait_for_sleeper(database: &Database) {
    let select = match database.engine() {
        Engine::Postgres => "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
        _ => "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User sleep'",
    };
    let end = Instant::now() + Duration::from_secs(10);
    while database.rows(select).is_empty() {
        assert!(Instant::now() < end, "the outside client does not sleep");
        thread::sleep(Duration::from_millis(10));
    }
}

/// An outside client locks all registrations for this many seconds while `work` runs.
fn while_held(story: &Story, seconds: f32, work: impl FnOnce()) {
    let hold = format!("BEGIN; UPDATE registrations SET attempts = attempts + 0; {}; COMMIT", sleep(story.database.engine(), seconds));
    thread::scope(|scope| {
        let holder = scope.spawn(|| story.sql(&hold));
        wait_for_sleeper(&story.database);
        work();
        holder.join().unwrap();
    });
}

fn who_meets_a_held_row_waits_and_is_served(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxFastCgi);
    let names: Vec<String> = (0..6).map(|_| fresh("ada")).collect();
    names.iter().for_each(|name| drop(story.ask(name)));
    while_held(&story, 3.0, || {
        thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| assert_eq!(story.confirm(name).status, 200, "{}", story.web.log()));
            }
            scope.spawn(|| story.ask(&fresh("bob")));
            scope.spawn(|| story.site.run_cron());
        });
    });
    story.sql("UPDATE registrations SET due_at = 0");
    story.site.run_cron();
    assert!(names.iter().all(|name| story.state(name) == 6));
    assert_eq!(story.synapse.messages(&story.room).len(), 6, "one message for each");
}

fn who_waits_too_long_hears_that_it_is_busy_and_loses_nothing(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxFastCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let form = story.browser.get(&story.verify_mail(&ada).link()).form();
    while_held(&story, 14.0, || {
        let start = Instant::now();
        let page = story.browser.submit(&form);
        assert_eq!((page.status, page.header("retry-after")), (503, Some("10")), "{}", story.web.log());
        assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    });
    assert_eq!(story.browser.submit(&form).status, 200, "{}", story.web.log());
    assert_eq!(story.state(&ada), 6);
}

/// The store writes first the registration and then the account; the outside client does it in the other order.
fn a_deadlock_is_repeated_and_nobody_hears_of_it(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    story.sql("UPDATE registrations SET state = 7, lease = 'me', lease_until = 1");
    let id = story.number("SELECT id FROM registrations");
    let login = NewLogin {
        localpart: ada.clone(),
        first_name: "Ada".into(),
        last_name: String::new(),
        password_hash: "*".into(),
        email: "ada@example.org".into(),
        email_folded: "ada@example.org".into(),
        created_at: now(),
        initial_password_until: None,
    };
    let columns = "localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at";
    let row = |name: &str| format!("('{name}', '', '', '*', '', '', 1, 1)");
    // In a deadlock MariaDB rolls back the smaller of the two transactions, PostgreSQL the one that has waited for a second.
    let more: String = (0..50).map(|number| format!(", {}", row(&format!("more{number}")))).collect();
    let outside = format!(
        "BEGIN; INSERT INTO logins ({columns}) VALUES {}{more}; {}; UPDATE registrations SET attempts = 5; ROLLBACK",
        row(&ada),
        sleep(engine, 0.8)
    );
    thread::scope(|scope| {
        let other = scope.spawn(|| story.sql(&outside));
        wait_for_sleeper(&story.database);
        let mut store = Store::open(&story.database.url().parse().unwrap(), Access::Write).unwrap();
        assert!(store.settle_with_login(id, State::Register, "me", State::MailCredentials, &login).unwrap());
        other.join().unwrap();
    });
    assert_eq!(story.state(&ada), 8);
    assert_eq!(story.database.rows("SELECT localpart FROM logins"), [[ada]]);
    if engine == Engine::Postgres {
        let end = Instant::now() + Duration::from_secs(10);
        while story.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0 {
            assert!(Instant::now() < end, "there was no deadlock");
        }
    }
}

fn many_at_once_are_all_served_once(engine: Engine) {
    // All of them come from one network, and half of them have one address, so they use the same rows.
    let many = Story::on_with(engine, "synapse", Host::NginxFastCgi, |site| {
        let site = site.set("limits.unconfirmed_per_address", 100).set("limits.requests_per_address_per_day", 1000);
        site.set("limits.requests_per_network_per_day", 1000).set("limits.mails_per_address_per_day", 1000)
    });
    let story = &settled(many);
    let names: Vec<String> = (0..16).map(|_| fresh("ada")).collect();
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| {
                let form = story.filled_form(name);
                let other = story.filled_form(name).fill("email", "other@applicants.example.org");
                let rival = scope.spawn(move || story.browser.submit(&other).status);
                let statuses = [story.browser.submit(&form).status, rival.join().unwrap()];
                assert_eq!(statuses, [200, 200], "the name goes to who confirms first: {}", story.web.log());
                assert_eq!(story.confirm(name).status, 200, "{}", story.web.log());
            });
        }
        scope.spawn(|| story.site.run_cron());
    });
    let claimed = "SELECT count(*), count(DISTINCT claimed_username) FROM registrations WHERE claimed_username IS NOT NULL";
    assert_eq!(story.database.rows(claimed), [["16", "16"]], "{}", story.web.log());
    assert!(!story.web.log().contains("request_failed"), "{}", story.web.log());
}

on_every_server! {
    who_meets_a_held_row_waits_and_is_served,
    who_waits_too_long_hears_that_it_is_busy_and_loses_nothing,
    a_deadlock_is_repeated_and_nobody_hears_of_it,
    many_at_once_are_all_served_once,
}

//! Every call of an account fails in every way: repeated, it ends in one account, with the right name, address and password.

use crate::world::{Engine, Host, Mas, on_every_database};
use crate::{Story, address_of, approve, finish, fresh, is_complete, run_cron, wait_for_state};
use serde_json::{Value, json};

const CALLS: [&str; 7] = ["token", "by-username", "create", "bind", "password", "revoke", "any"];

fn approved(mas: &Mas, story: &Story, name: &str) -> String {
    let ada = fresh(name);
    story.ask_and_confirm(&ada);
    approve(story, &ada);
    let _ = mas;
    ada
}

fn whatever_answer_is_lost_there_is_one_account_in_the_end(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    let faults: &[&str] = if engine == Engine::Sqlite { &["lost", "refused", "bad-gateway", "database"] } else { &["lost"] };
    for fault in faults {
        for call in CALLS {
            mas.calm();
            mas.fail(call, fault, 1);
            let ada = approved(&mas, &story, "ada");
            finish(&story, &ada);
            is_complete(&story, &mas, &ada);
            let made = mas
                .calls()
                .iter()
                .filter(|(call, status, body)| call == "POST /api/admin/v1/users" && *status == 201 && body.contains(&ada))
                .count();
            assert!(made <= 1, "{call} {fault}: made {made} times");
        }
    }
    assert!(mas.calls().iter().all(|(_, _, body)| !body.contains("skip_homeserver_check")));
}

/// MAS's clock may be wrong by hours: what it says of an account is compared with what it said before.
fn an_account_is_recognised_whatever_time_mas_has(engine: Engine) {
    for clock in [-100_000, 100_000] {
        let mas = Mas::start();
        mas.set(json!({"clock": clock}));
        let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
        mas.fail("create", "lost", 1);
        let ada = approved(&mas, &story, "ada");
        assert_eq!(story.state(&ada), 7);
        finish(&story, &ada);
        is_complete(&story, &mas, &ada);
    }
}

/// MAS said that it told the homeserver, and strangers saw no such account before.
fn a_half_made_account_is_completed(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    mas.fail("create", "half-made", 1);
    let ada = approved(&mas, &story, "ada");
    assert_eq!((story.state(&ada), mas.user(&ada)), (7, Value::Null));
    assert!(mas.synapse.display_name(&ada).is_some(), "the homeserver has it");
    finish(&story, &ada);
    is_complete(&story, &mas, &ada);
}

/// Nothing says whose it is, so nobody takes it over, until the bot may look.
fn a_half_made_account_that_nothing_proves_waits_for_the_operator(engine: Engine) {
    let mas = Mas::start();
    let mut story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    mas.fail("create", "killed", 1);
    let ada = approved(&mas, &story, "ada");
    let said = run_cron(&story);
    assert!(said.contains("urn:synapse:admin") && said.contains("skip_homeserver_check") && said.contains("cron --end"), "{said}");
    assert_eq!((story.state(&ada), mas.user(&ada)), (7, Value::Null));
    assert!(mas.calls().iter().all(|(_, _, body)| !body.contains("skip_homeserver_check")));
    let shown = story.room_shows(&ada, "urn:synapse:admin");
    assert!(shown.contains("could not be created yet"), "{shown}");
    let admin = mas.synapse.admin.token.clone();
    story.site.set("room.access_token", admin);
    finish(&story, &ada);
    is_complete(&story, &mas, &ada);
}

/// The account may exist in MAS, and only MAS can say whose it is.
fn a_request_goes_on_in_mas_after_another_mode_was_set(engine: Engine) {
    let mas = Mas::start();
    let mut story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    mas.fail("create", "lost", 1);
    let ada = approved(&mas, &story, "ada");
    story.site.set("operation_mode", "local");
    finish(&story, &ada);
    is_complete(&story, &mas, &ada);
    assert_eq!(story.number("SELECT count(*) FROM logins"), 0);
}

/// What the log tells the operator to do instead.
fn a_half_made_account_that_the_operator_completed_is_found(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    mas.fail("create", "killed", 1);
    let ada = approved(&mas, &story, "ada");
    run_cron(&story);
    assert_eq!(story.state(&ada), 7);
    mas.somebody(&ada, "reserved", json!({"email": crate::address_of(&ada), "displayname": "Ada Lovelace-Größe"}));
    finish(&story, &ada);
    is_complete(&story, &mas, &ada);
}

/// The homeserver of MAS is away: nothing was made, and the next try counts as the first.
fn a_homeserver_that_is_away_only_delays(engine: Engine) {
    for fault in ["synapse-down", "synapse-silent", "synapse-limit", "wrong-secret"] {
        let mas = Mas::start();
        let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
        mas.fail("create", fault, 1);
        let ada = approved(&mas, &story, "ada");
        assert_eq!(story.state(&ada), 7, "{fault}");
        assert_eq!(story.number("SELECT count(*) FROM account_notes"), 0, "{fault}");
        finish(&story, &ada);
        is_complete(&story, &mas, &ada);
    }
}

/// MAS, the homeserver and both together.
fn whoever_is_down_only_delays(engine: Engine) {
    let mas = Mas::start();
    let mut story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    let base = mas.synapse.base_url.clone();
    for (mas_is_down, homeserver_is_down) in [(true, false), (false, true), (true, true)] {
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        let link = story.room_message(&ada).link();
        if mas_is_down {
            mas.fail("any", "refused", 0);
        }
        if homeserver_is_down {
            story.site.set("homeserver_url", "http://127.0.0.1:9");
        }
        story.browser.submit(&story.browser.get(&link).form().put("decision", "approve"));
        crate::wait_until_free(&story);
        run_cron(&story);
        mas.calm();
        story.site.set("homeserver_url", base.as_str());
        finish(&story, &ada);
        is_complete(&story, &mas, &ada);
    }
}

/// An older state of the database does not know of the account: the confirmed address says whose it is, and the password that
/// the person has set meanwhile stays.
fn an_account_is_found_after_the_database_was_restored(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    let ada = approved(&mas, &story, "ada");
    wait_for_state(&story, &ada, 100);
    is_complete(&story, &mas, &ada);
    story.sql("UPDATE registrations SET state = 7, account_tried_at = NULL");
    story.sql("DELETE FROM account_notes");
    finish(&story, &ada);
    let passwords = mas.calls().iter().filter(|(call, ..)| call.ends_with("/set-password")).count();
    assert_eq!(passwords, 1, "whoever has logged in keeps the password");
    let again = story.mails.wait_for(&address_of(&ada), 3).pop().unwrap();
    assert!(again.text.contains("https://auth.example.test/recover"), "its owner may have changed the password: {}", again.text);
}

/// MAS's database was restored to a state before the account, and the homeserver still has it.
fn an_account_is_made_again_after_mas_was_restored(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    mas.fail("create", "half-made", 1);
    let ada = approved(&mas, &story, "ada");
    story.sql("UPDATE account_notes SET account_id = '01M8GSHRR513FB5FATPFRQ0CKH'");
    finish(&story, &ada);
    is_complete(&story, &mas, &ada);
}

on_every_database! {
    whatever_answer_is_lost_there_is_one_account_in_the_end,
    a_half_made_account_is_completed,
    an_account_is_made_again_after_mas_was_restored,
    an_account_is_found_after_the_database_was_restored,
}

// What follows depends on no database.
on_every_database!(once Sqlite: a_request_goes_on_in_mas_after_another_mode_was_set an_account_is_recognised_whatever_time_mas_has a_half_made_account_that_nothing_proves_waits_for_the_operator a_half_made_account_that_the_operator_completed_is_found a_homeserver_that_is_away_only_delays whoever_is_down_only_delays);

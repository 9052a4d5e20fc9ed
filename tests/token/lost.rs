//! Each answer is lost in turn, and everything starts over: one account, the right password and name, and no device left.

use crate::losing::{CALLS, Losing};
use crate::world::{Conduit, Engine, TokenHomeserver, TokenSynapse, on_every_database};
use crate::{SiteBuilder, Story, approved, at_conduit, fresh, is_complete, run_cron, sign_up};
use serde_json::json;

const REGISTER: &str = "POST /_matrix/client/v3/register";

fn whichever_answer_is_lost_there_is_one_account_and_no_device(engine: Engine) {
    let conduit = Conduit::start();
    let story = sign_up(&conduit.home, engine, |site| site);
    for (call, times) in [
        (REGISTER, 1),
        (REGISTER, 2),
        ("POST /_matrix/client/v3/login", 1),
        ("PUT /_matrix/client/v3/profile/{}/displayname", 1),
        ("POST /_matrix/client/v3/logout", 1),
    ] {
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        let call = call.replace("{}", &format!("%40{}%3Aexample.test", ada));
        conduit.set(json!({"lose": {&call: times}, "forget": true}));
        story.decide(&ada, "approve", "");
        assert_eq!(story.state(&ada), 7, "{call}: {}", story.web.log());
        for _ in 0..times {
            run_cron(&story);
        }
        assert_eq!(conduit.devices(&ada).len(), 0, "{call}");
        is_complete(&story, &conduit.home, &ada);
        assert_eq!(story.mails.mails(&crate::address_of(&ada)).len(), 2, "{call}");
    }
}

/// One person after the other, each with another lost answer. Returns their names, with that answer.
pub fn each_answer_is_lost_in_turn(
    home: &TokenHomeserver,
    engine: Engine,
    settings: impl FnOnce(SiteBuilder) -> SiteBuilder,
) -> Option<Vec<(String, &'static str)>> {
    let losing = Losing::before(&home.clients.base_url)?;
    let story: Story = sign_up(home, engine, |site| settings(site).set("homeserver_url", losing.url.as_str()));
    let mut done = Vec::new();
    for call in CALLS {
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        let link = story.room_message(&ada).link();
        losing.lose(call);
        story.browser.submit(&story.browser.get(&link).form().put("decision", "approve"));
        let was_lost = losing.has_lost();
        assert_eq!(story.state(&ada), if was_lost { 7 } else { 100 }, "{call:?}: {}", story.web.log());
        if was_lost {
            run_cron(&story);
            done.push((ada.clone(), call.0));
        }
        is_complete(&story, home, &ada);
    }
    Some(done)
}

#[test]
fn whichever_answer_of_a_synapse_is_lost_there_is_one_account_and_no_device() {
    let synapse = TokenSynapse::start(&[]);
    let done = each_answer_is_lost_in_turn(&synapse.home, Engine::Sqlite, |site| site).unwrap();
    assert_eq!(done.len(), CALLS.len(), "two stages and the first request: {done:?}");
    for (ada, call) in done {
        let path = format!("/_synapse/admin/v2/users/@{ada}:example.test/devices");
        let (_, devices) = synapse.own.synapse.call("GET", &path, Some(&synapse.own.synapse.admin.token), None);
        assert_eq!(devices["total"], 1, "{call}: only that of this test's login: {devices}");
    }
}

/// Conduit keeps sessions on disk and what belongs to them in memory: a request without the body would make another account.
#[test]
fn a_homeserver_that_restarts_in_the_middle_makes_the_right_account() {
    let mut conduit = Conduit::start();
    let story = at_conduit(&conduit);
    for sessions_too in [false, true] {
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        conduit.set(json!({"refuse": {REGISTER: [502, {}, 1]}}));
        story.decide(&ada, "approve", "");
        assert_eq!(story.state(&ada), 7);
        conduit.restart();
        conduit.set(json!({"restart": true, "sessions": sessions_too}));
        run_cron(&story);
        is_complete(&story, &conduit.home, &ada);
    }
    let names = conduit.shows()["names"].as_object().unwrap().len();
    assert_eq!(names, 4 + 2, "no account of another name");
}

/// The database is older than the account.
#[test]
fn an_account_that_was_made_before_the_database_was_restored_is_recognised() {
    let conduit = Conduit::start();
    let story = at_conduit(&conduit);
    let ada = fresh("ada");
    approved(&story, &ada);
    story.sql("UPDATE registrations SET state = 7, account_tried_at = NULL");
    run_cron(&story);
    is_complete(&story, &conduit.home, &ada);
}
on_every_database! {
    whichever_answer_is_lost_there_is_one_account_and_no_device,
}

//! A switch of `operation_mode` while requests are open.

use crate::world::{Engine, Host, on_every_database};
use crate::{Story, address_of, fresh, password_in};

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Somebody is approved while the homeserver is away.
fn approved_in_vain(engine: Engine, mode: &str) -> (Story, String) {
    let mut story = Story::on(engine, mode, Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let homeserver = story.site.homeserver_url().to_owned();
    let link = story.room_message(&ada).link();
    story.site.wait_for_programs();
    story.site.set("homeserver_url", NOWHERE);
    story.browser.submit(&story.browser.get(&link).form().put("decision", "approve"));
    assert_eq!((story.state(&ada), story.text("SELECT approved_mode FROM registrations")), (7, mode.to_owned()), "{}", story.web.log());
    // The message in the room is tried after the answer.
    story.site.wait_for_programs();
    story.site.set("homeserver_url", homeserver);
    story.sql("UPDATE registrations SET due_at = 0");
    story.sql("UPDATE owed_actions SET due_at = 0");
    (story, ada)
}

fn the_mailed_password_logs_in(story: &Story, ada: &str) {
    assert_eq!(story.state(ada), 100);
    let password = password_in(&story.mails.wait_for(&address_of(ada), 2)[1]);
    assert!(story.synapse.login(ada, &password).is_ok());
}

fn a_request_goes_on_in_the_mode_in_which_it_was_approved(engine: Engine) {
    let (mut story, ada) = approved_in_vain(engine, "synapse");
    story.site.set("operation_mode", "local");
    story.site.let_cron_succeed();
    the_mailed_password_logs_in(&story, &ada);
    assert_eq!(story.number("SELECT count(*) FROM logins"), 0);
}

fn a_request_for_which_nothing_was_tried_goes_on_in_the_new_mode(engine: Engine) {
    let (mut story, ada) = approved_in_vain(engine, "local");
    story.site.set("operation_mode", "synapse");
    story.site.let_cron_succeed();
    the_mailed_password_logs_in(&story, &ada);
    assert_eq!(story.text("SELECT approved_mode FROM registrations"), "synapse");
    assert_eq!(story.number("SELECT count(*) FROM logins"), 0);
}

/// The account may exist, and only the former mode could prove for whom.
fn a_request_that_was_tried_in_a_mode_that_is_gone_waits_and_says_how_it_goes_on(engine: Engine) {
    let (mut story, ada) = approved_in_vain(engine, "local");
    story.sql("UPDATE registrations SET account_tried_at = 1000");
    story.site.set("operation_mode", "synapse");
    let ran = story.site.run_cron();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("approved with operation_mode = \"local\"") && said.contains("cron --end"), "{said}");
    assert_eq!(story.state(&ada), 7);
    assert!(!story.synapse.exists(&ada));
    story.site.set("operation_mode", "local");
    story.sql("UPDATE registrations SET due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!((story.state(&ada), story.number("SELECT count(*) FROM logins")), (100, 1));
}

on_every_database! {
    a_request_goes_on_in_the_mode_in_which_it_was_approved,
    a_request_for_which_nothing_was_tried_goes_on_in_the_new_mode,
    a_request_that_was_tried_in_a_mode_that_is_gone_waits_and_says_how_it_goes_on,
}

//! What ends a registration, or stops it until the operator has done something.

use crate::world::{Conduit, Engine, TokenSynapse, on_every_database};
use crate::{Story, address_of, approved, at_conduit, fresh, is_complete, run_cron, sign_up};
use serde_json::json;

fn a_name_that_somebody_else_has_is_told_and_left_alone(engine: Engine) {
    let conduit = Conduit::start();
    let story = sign_up(&conduit.home, engine, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    conduit.home.register(&ada, "somebody else's");
    let page = story.decide(&ada, "approve", "");
    assert!(page.text().contains("did not create the account"), "{}", page.text());
    assert_eq!(story.state(&ada), 13);
    assert!(story.mails.wait_for(&address_of(&ada), 2)[1].subject().contains("username not available"));
    assert!(conduit.home.clients.login(&ada, "somebody else's").is_ok(), "the other's account is untouched");
}

/// Both get 200, and the later password counts: only the login tells.
fn whoever_loses_a_race_for_a_name_is_not_told_to_have_it(engine: Engine) {
    let conduit = Conduit::start();
    let story = sign_up(&conduit.home, engine, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    conduit.set(json!({"rival": {&ada: "the other's"}}));
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 13, "{}", story.web.log());
    assert!(story.mails.wait_for(&address_of(&ada), 2)[1].subject().contains("username not available"));
    assert!(conduit.home.clients.login(&ada, "the other's").is_ok());
}

/// The request waits, nothing is made, and the sentence says what to do; then it goes on by itself.
fn waits_until_mended(wrong: serde_json::Value, right: serde_json::Value, sentence: &str) {
    let conduit = Conduit::start();
    let story = at_conduit(&conduit);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    conduit.set(wrong);
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 7, "{}", story.web.log());
    let said = run_cron(&story);
    assert!(said.contains(sentence), "{sentence}: {said}");
    assert!(!conduit.has(&ada));
    assert_eq!(story.text("SELECT count(*) FROM registrations WHERE account_tried_at IS NOT NULL"), "0", "nothing was made");
    conduit.set(right);
    run_cron(&story);
    is_complete(&story, &conduit.home, &ada);
    assert!(!story.web.log().contains(&conduit.home.token) && !said.contains(&conduit.home.token));
}

#[test]
fn a_wrong_token_is_named_and_not_tried_a_second_time_at_once() {
    waits_until_mended(
        json!({"token": "another"}),
        json!({"token": "signup-Secret_1"}),
        "does not accept the token of [registration_token]",
    );
}

#[test]
fn registration_that_is_switched_off_is_named() {
    waits_until_mended(json!({"registration": false}), json!({"registration": true}), "registration is switched off");
}

#[test]
fn a_homeserver_without_password_logins_gets_no_account_that_nobody_could_enter() {
    waits_until_mended(json!({"password_login": false}), json!({"password_login": true}), "takes no logins by password");
}

#[test]
fn a_homeserver_that_is_open_to_everybody_is_refused() {
    waits_until_mended(
        json!({"token": null}),
        json!({"token": "signup-Secret_1"}),
        "lets everybody register without the registration token",
    );
}

#[test]
fn stages_that_need_a_person_are_named() {
    let wrong = json!({"flows": [["m.login.registration_token", "m.login.recaptcha"]]});
    waits_until_mended(wrong, json!({"flows": null}), "wants m.login.registration_token + m.login.recaptcha");
}

#[test]
fn terms_are_accepted_only_where_the_operator_says_that_applicants_did() {
    let conduit = Conduit::start();
    let mut story = at_conduit(&conduit);
    conduit.set(json!({"flows": [["m.login.terms", "m.login.registration_token"]]}));
    let ada = fresh("ada");
    approved(&story, &ada);
    assert!(run_cron(&story).contains("accept_terms = true in [registration_token]"));
    story.site.set("registration_token.accept_terms", true);
    story.site.set("form.terms_url", "https://example.test/terms");
    run_cron(&story);
    is_complete(&story, &conduit.home, &ada);
}

#[test]
fn a_forbidden_name_is_told_to_the_applicant() {
    let conduit = Conduit::start();
    let story = at_conduit(&conduit);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    conduit.set(json!({"forbidden": [&ada]}));
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 13, "{}", story.web.log());
    assert!(story.text("SELECT refusal FROM registrations").contains("forbidden"));
}

/// Synapse applies them to registrations with a token, unlike to those by shared secret.
#[test]
fn the_homeservers_rules_for_passwords_are_kept() {
    let rules = r#"password_config={"policy":{"enabled":true,"minimum_length":20,"require_digit":true,"require_symbol":true,"require_lowercase":true,"require_uppercase":true}}"#;
    let synapse = TokenSynapse::start(&["--set", rules]);
    let story = sign_up(&synapse.home, Engine::Sqlite, |site| site);
    let ada = fresh("ada");
    approved(&story, &ada);
    is_complete(&story, &synapse.home, &ada);
}

fn waits(story: &Story, name: &str) -> bool {
    story.state(name) == 7
}

/// One side is away, then the other.
#[test]
fn a_homeserver_that_is_away_and_a_mail_server_that_is_away_only_delay() {
    let conduit = Conduit::start();
    let mut story = at_conduit(&conduit);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask_and_confirm(&ada);
    story.ask_and_confirm(&bob);
    let url = story.site.homeserver_url().to_owned();
    let link = story.room_message(&ada).link();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    story.browser.submit(&story.browser.get(&link).form().put("decision", "approve"));
    assert!(waits(&story, &ada));
    story.site.set("homeserver_url", url);
    run_cron(&story);
    is_complete(&story, &conduit.home, &ada);
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", 9);
    story.decide(&bob, "approve", "");
    assert_eq!(story.state(&bob), 8, "the account is made, the mail is owed");
    let logins = |conduit: &Conduit| conduit.shows()["asked"].to_string().matches("v3/login").count();
    let before = logins(&conduit);
    story.site.set("mail.smtp.port", port);
    run_cron(&story);
    assert_eq!(logins(&conduit), before, "the proof is not repeated once the account is made");
    is_complete(&story, &conduit.home, &bob);
}

on_every_database! {
    a_name_that_somebody_else_has_is_told_and_left_alone,
    whoever_loses_a_race_for_a_name_is_not_told_to_have_it,
}

//! What cron says about a homeserver without making anything there.

use crate::world::{Conduit, Engine, TokenSynapse};
use crate::{at_conduit, sign_up};
use matrix_register_bot::flow::accounts::{self, Finding, Weight};
use matrix_register_bot::outside::site::Site;
use serde_json::json;

fn found(story: &crate::Story) -> Vec<Finding> {
    accounts::check(&Site::open(&story.site.config_path()).unwrap())
}

/// The names of what is more than advice.
fn wrong(story: &crate::Story) -> Vec<&'static str> {
    found(story).iter().filter(|finding| finding.weight >= Weight::Warning).map(|finding| finding.name).collect()
}

#[test]
fn a_well_kept_conduit_gives_no_cause_to_say_anything_and_nothing_is_made() {
    let conduit = Conduit::start();
    let story = at_conduit(&conduit);
    let accounts = conduit.shows()["names"].clone();
    let names: Vec<_> = found(&story).iter().map(|finding| (finding.name, finding.weight)).collect();
    assert!(names.contains(&("token_untold", Weight::Advice)), "{names:?}");
    assert_eq!(wrong(&story), [""; 0]);
    assert_eq!(conduit.shows()["names"], accounts);
    assert!(!conduit.shows()["asked"].to_string().contains("POST /_matrix/client/v3/login"), "it costs no login");
}

#[test]
fn every_way_round_the_moderation_and_every_dead_end_is_found() {
    let conduit = Conduit::start();
    let story = at_conduit(&conduit);
    let token = json!(conduit.home.token);
    for (switch, expected) in [
        (json!({"registration": false}), "registration_closed"),
        (json!({"registration": true, "token": null}), "registration_open"),
        (json!({"token": "other", "validity": true}), "token_invalid"),
        (json!({"token": token, "flows": [["m.login.registration_token"], ["m.login.email.identity"]]}), "registration_beside_the_token"),
        (json!({"flows": [["m.login.registration_token", "m.login.recaptcha"]]}), "registration_needs_a_person"),
        (json!({"flows": null, "password_login": false}), "no_password_login"),
    ] {
        conduit.set(switch);
        assert_eq!(wrong(&story), [expected]);
    }
    conduit.set(json!({"password_login": true}));
    assert_eq!(wrong(&story), [""; 0]);
}

#[test]
fn cron_says_once_a_day_what_is_wrong() {
    let conduit = Conduit::start();
    let story = at_conduit(&conduit);
    conduit.set(json!({"flows": [["m.login.registration_token"], ["m.login.email.identity"]]}));
    let said = || String::from_utf8(story.site.run_cron().stderr).unwrap();
    let first = said();
    assert!(first.contains("registration_beside_the_token: strangers can register at http://127.0.0.1"), "{first}");
    assert!(!said().contains("registration_beside_the_token"));
    story.sql("UPDATE troubles SET told_at = told_at - 86400");
    assert!(said().contains("registration_beside_the_token"));
}

#[test]
fn a_synapse_is_better_served_by_its_shared_secret() {
    let synapse = TokenSynapse::start(&["--set", r#"password_config={"policy":{"enabled":true,"minimum_length":30}}"#]);
    let story = sign_up(&synapse.home, Engine::Sqlite, |site| site);
    let findings = found(&story);
    let of = |name: &str| findings.iter().find(|finding| finding.name == name).map(|finding| finding.weight);
    assert_eq!(of("shared_secret_offered"), Some(Weight::Advice), "{findings:?}");
    assert_eq!(of("token"), Some(Weight::Fine), "{findings:?}");
    assert_eq!(of("password_rules"), Some(Weight::Warning), "{findings:?}");
}

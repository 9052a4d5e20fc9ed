//! `matrix-register-bot check` in mas mode: what is wrong is found without creating anything, and the key is named.

use crate::Story;
use crate::world::{Engine, Host, Mas, SiteBuilder};
use serde_json::{Value, json};

/// The findings about accounts, as "verdict: sentence".
fn findings(story: &Story) -> Vec<String> {
    let run = story.site.run_with("matrix-register-bot", &["check", "--json"], &[], b"");
    let answer: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let of_accounts = answer["findings"].as_array().unwrap().iter().filter(|finding| finding["subject"] == "accounts");
    of_accounts.map(|finding| format!("{}: {}", finding["verdict"].as_str().unwrap(), finding["sentence"].as_str().unwrap())).collect()
}

fn found(settings: Value, site: impl FnOnce(SiteBuilder) -> SiteBuilder) -> String {
    let mas = Mas::start();
    mas.set(settings);
    let story = Story::under_mas(&mas, Engine::Sqlite, Host::NginxCgi, site);
    let found = findings(&story).join("\n");
    let (made, revoked) = mas.tokens();
    assert_eq!(made, revoked, "a check leaves no token behind");
    found
}

#[test]
fn a_configuration_that_works_is_all_right() {
    let found = found(json!({}), |site| site);
    assert!(found.starts_with("ok: MAS 1.22") && found.lines().count() == 1, "{found}");
}

#[test]
fn what_cannot_work_with_mas_is_named_with_its_key() {
    let same: fn(SiteBuilder) -> SiteBuilder = |site| site;
    let recovers: fn(SiteBuilder) -> SiteBuilder = |site| site.set("credentials", "recovery");
    for (settings, site, words) in [
        (json!({"admin": false}), same, "policy.data.admin_clients"),
        (json!({"admin_api": false}), same, "adminapi"),
        (json!({"passwords": false}), same, "passwords.enabled"),
        (json!({"site_config": {"account_recovery_allowed": false}}), recovers, "account.password_recovery_enabled"),
        (json!({"site_config": {"server_name": "other.test"}}), same, "server_name"),
        (json!({"site_config": {"password_registration_enabled": true}}), same, "account.password_registration_enabled"),
        (json!({"version": "v1.17.0"}), same, "1.18"),
        (json!({"version": null}), same, "1.4"),
    ] {
        let found = found(settings.clone(), site);
        assert!(found.contains(words), "{settings}: {words:?} is not in {found}");
    }
}

#[test]
fn a_wrong_secret_and_a_mode_that_is_not_for_mas_are_named() {
    let mas = Mas::start();
    let mut story = Story::under_mas(&mas, Engine::Sqlite, Host::NginxCgi, |site| site.set("mas.client_secret", "wrong"));
    let found = findings(&story).join("\n");
    assert!(found.contains("wrong: ") && found.contains("client_secret in [mas]"), "{found}");
    story.site.set("operation_mode", "synapse");
    story.site.set("registration_shared_secret", "any");
    let found = findings(&story).join("\n");
    assert!(found.starts_with("wrong: ") && found.contains("set operation_mode = \"mas\""), "{found}");
}

#[test]
fn a_homeserver_url_at_which_nobody_can_log_in_is_named() {
    let mas = Mas::start();
    let synapse = mas.synapse_url.clone();
    let story = Story::under_mas(&mas, Engine::Sqlite, Host::NginxCgi, |site| site.set("homeserver_url", synapse));
    let found = findings(&story).join("\n");
    assert!(found.contains("the web server has to send /_matrix/client/*/login"), "{found}");
}

#[test]
fn a_bot_without_a_device_is_named_before_anybody_asks() {
    let mas = Mas::start();
    let bare = mas.personal_session("register_bot", "urn:matrix:client:api:*");
    let story = Story::under_mas(&mas, Engine::Sqlite, Host::NginxCgi, |site| site.set("room.access_token", bare));
    let found = findings(&story).join("\n");
    assert!(found.contains("has no device"), "{found}");
}

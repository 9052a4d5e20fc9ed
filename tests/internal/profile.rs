use crate::world::{Engine, on_every_database};
use crate::{World, accounts, request};
use matrix_register_bot::faces::api::profile::show;
use serde_json::{Value, json};

/// The example profiles P1 and P2.
fn a_profile_is_answered_as_mxisd_reads_it(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    assert_eq!(
        world.ask(show, r#"{"localpart":"john","domain":"example.org","mxid":"@john:example.org"}"#),
        json!({"profile": {"display_name": "John Dœ", "threepids": [{"medium": "email", "address": "John.Doe@Example.org"}], "roles": ["user"]}})
    );
    for body in [
        r#"{"localpart":"nobody","domain":"example.org","mxid":"@nobody:example.org"}"#,
        r#"{"localpart":"john","domain":"other.org","mxid":"@john:other.org"}"#,
    ] {
        assert_eq!(world.ask(show, body), json!({"profile": {}}));
    }
}

fn each_endpoint_sends_its_own_member_only(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    for (variable, path, members) in [
        ("PATH_INFO", "/displayName", vec!["display_name"]),
        ("PATH_INFO", "/threepids", vec!["threepids"]),
        ("REQUEST_URI", "/_ma1sd/backend/api/v1/profile/roles?x=/y", vec!["roles"]),
        ("REQUEST_URI", "/internal/profile", vec!["display_name", "roles", "threepids"]),
    ] {
        let request =
            request(&[("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), (variable, path)], r#"{"mxid":"@john:example.org"}"#);
        let answer: Value = serde_json::from_slice(show(&world.site, &request).unwrap().body()).unwrap();
        assert_eq!(answer["profile"].as_object().unwrap().keys().collect::<Vec<_>>(), members, "{path}");
    }
}

on_every_database! {
    a_profile_is_answered_as_mxisd_reads_it,
    each_endpoint_sends_its_own_member_only,
}

//! `internal/room_events`: who gets in, and what is answered.

use crate::world::{Engine, on_every_database};
use crate::{World, nonsense, request};
use matrix_register_bot::faces::api::room_events;
use matrix_register_bot::outside::cgi::Response;
use matrix_register_bot::outside::store::Access;
use serde_json::{Value, json};

pub const PUSH: &str = "/internal/room_events/_matrix/app/v1/transactions/7";
const PING: &str = "/internal/room_events/_matrix/app/v1/ping";

/// The answer to a whole request, as the gateway gives it.
pub fn call(world: &World, (method, uri): (&str, &str), (caller, authorization): (&str, &str), body: &str) -> Response {
    let variables = [("REQUEST_METHOD", method), ("REQUEST_URI", uri), ("REMOTE_ADDR", caller), ("HTTP_AUTHORIZATION", authorization)];
    let request = request(&variables, body);
    let answer = room_events::admit(&world.site, &request).and_then(|_| room_events::hear(&world.site, &request));
    answer.unwrap_or_else(|error| room_events::fail(Some(&world.site), Some(&request), &error))
}

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

pub fn token(world: &World) -> String {
    format!("Bearer {}", world.site.state.make_service().unwrap().hs_token)
}

pub fn reactions(targets: &[&str]) -> String {
    let reaction = |target: &&str| {
        let relates_to = json!({"rel_type": "m.annotation", "event_id": target, "key": "👍"});
        json!({"type": "m.reaction", "sender": "@mod:example.org", "content": {"m.relates_to": relates_to}})
    };
    json!({ "events": targets.iter().map(reaction).collect::<Vec<_>>() }).to_string()
}

/// An undecided request with this message in the room.
pub fn with_message(world: &World, event_id: &str) {
    drop(world.site.store(Access::Write).unwrap());
    let fresh = crate::world::fresh("x");
    world.database.sql(&format!(
        "INSERT INTO registrations (id, state, state_since, due_at, seed, submission, verify_token_hash, admin_token_hash, username, first_name, last_name,
         email, email_folded, note, language, requested_at, password_chosen) VALUES (1, 6, 1, 1, '{fresh}', '{fresh}', '{fresh}', 'a{fresh}', 'max', '', '', '', '', '', 'en', 1, 0)"
    ));
    world.database.sql(&format!(
        "INSERT INTO room_messages (registration_id, kind, room_id, event_id, sent_at) VALUES (1, 0, '!room', '{event_id}', 1)"
    ));
}

fn wanted(world: &World) -> Vec<String> {
    world.database.rows("SELECT event_id FROM room_messages WHERE wanted = 1").concat()
}

fn a_stranger_learns_nothing(engine: Engine) {
    let world = World::on(engine);
    let nobody = call(&world, ("PUT", PUSH), ("127.0.0.1", "Bearer x"), "{}");
    assert_eq!(nobody.status, 403, "there is no service yet");
    let right = token(&world);
    let almost = format!("{}x", &right[..right.len() - 1]);
    let as_token = format!("Bearer {}", world.site.state.make_service().unwrap().as_token);
    with_message(&world, "$ours");
    for sent in ["", "Bearer ", "Bearer x", &almost, &as_token, right.trim_start_matches("Bearer "), &format!("Basic {right}")] {
        for path in [("PUT", PUSH), ("POST", PING), ("GET", "/internal/room_events"), ("GET", "/_matrix/app/v1/users/@a:b")] {
            let refused = call(&world, path, ("127.0.0.1", sent), &reactions(&["$ours"]));
            assert_eq!((refused.status, refused.body()), (403, nobody.body()), "{sent} {path:?}");
        }
    }
    let elsewhere = call(&world, ("PUT", PUSH), ("192.0.2.1", &right), &reactions(&["$ours"]));
    assert_eq!((elsewhere.status, elsewhere.body()), (403, nobody.body()), "also whoever stole the token");
    assert!(wanted(&world).is_empty());
}

fn whatever_the_homeserver_sends_is_taken(engine: Engine) {
    let world = World::on(engine);
    let right = token(&world);
    for body in nonsense() {
        let taken = call(&world, ("PUT", PUSH), ("127.0.0.1", &right), &body);
        assert_eq!((taken.status, json_of(&taken)), (200, json!({})), "{}", body.chars().take(80).collect::<String>());
    }
    let ping = call(&world, ("POST", PING), ("::1", &right), r#"{"transaction_id":"p"}"#);
    assert_eq!((ping.status, json_of(&ping)), (200, json!({})));
    for (method, uri) in [("GET", PUSH), ("PUT", PING)] {
        assert_eq!(call(&world, (method, uri), ("::1", &right), "{}").status, 405);
    }
    for kind in ["users/%40max%3Aexample.org", "rooms/%23x%3Aexample.org", "thirdparty/protocol/x"] {
        let unknown = call(&world, ("GET", &format!("/internal/room_events/_matrix/app/v1/{kind}")), ("::1", &right), "");
        assert_eq!((unknown.status, &json_of(&unknown)["errcode"]), (404, &json!("M_NOT_FOUND")));
    }
}

fn a_push_wakes_for_messages_of_ours_about_undecided_requests_only(engine: Engine) {
    let world = World::on(engine);
    let right = token(&world);
    with_message(&world, "$ours");
    let push = |targets: &[&str]| {
        let taken = call(&world, ("PUT", PUSH), ("127.0.0.1", &right), &reactions(targets));
        assert_eq!((taken.status, json_of(&taken)), (200, json!({})));
        wanted(&world)
    };
    assert!(push(&["$other", "$OURS", "' OR 1=1 --"]).is_empty());
    assert_eq!(push(&["$other", "$ours"]), ["$ours"]);
    assert_eq!(push(&["$ours", "$ours"]), ["$ours"], "told twice");
    world.database.sql("UPDATE room_messages SET wanted = 0");
    world.database.sql("UPDATE registrations SET state = 13");
    assert!(push(&["$ours"]).is_empty(), "it is decided");
    let states = world.database.rows("SELECT state FROM registrations").concat();
    assert_eq!(states, ["13"], "a push alone changes nothing");
}

fn a_push_is_taken_while_the_database_is_away(engine: Engine) {
    let world = World::without_database(engine);
    let right = token(&world);
    let taken = call(&world, ("PUT", PUSH), ("127.0.0.1", &right), &reactions(&["$ours"]));
    assert_eq!((taken.status, json_of(&taken)), (200, json!({})), "else the homeserver sends nothing more");
    assert_eq!(call(&world, ("PUT", PUSH), ("127.0.0.1", "Bearer x"), "{}").status, 403);
}

on_every_database! {
    a_stranger_learns_nothing,
    whatever_the_homeserver_sends_is_taken,
    a_push_wakes_for_messages_of_ours_about_undecided_requests_only,
    a_push_is_taken_while_the_database_is_away,
}

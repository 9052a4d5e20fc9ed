//! The stand-in does what Conduit 0.11 was seen to do.

use crate::fresh;
use crate::world::Conduit;
use serde_json::{Value, json};

const REGISTER: &str = "/_matrix/client/v3/register";

fn post(conduit: &Conduit, path: &str, body: Value) -> (u16, Value) {
    conduit.home.clients.call("POST", path, None, Some(body))
}

fn with_token(conduit: &Conduit, name: &str, password: &str) -> Value {
    let auth = json!({"type": "m.login.registration_token", "token": conduit.home.token});
    json!({"username": name, "password": password, "inhibit_login": true, "auth": auth})
}

#[test]
fn one_call_is_enough_and_a_repeated_one_finds_the_name_in_use() {
    let conduit = Conduit::start();
    let body = with_token(&conduit, "Max", "secret");
    assert_eq!(post(&conduit, REGISTER, body.clone()), (200, json!({"user_id": "@max:example.test", "device_id": null})));
    let (status, answer) = post(&conduit, REGISTER, body);
    assert_eq!((status, &answer["errcode"]), (400, &json!("M_USER_IN_USE")));
    assert!(answer["error"].as_str().unwrap().starts_with("M_USER_IN_USE: "), "the code is in the text too");
}

#[test]
fn a_wrong_token_an_unknown_session_and_a_missing_password_are_answered_as_by_conduit() {
    let conduit = Conduit::start();
    let mut wrong = with_token(&conduit, "max", "secret");
    wrong["auth"]["token"] = json!("wrong");
    let (status, answer) = post(&conduit, REGISTER, wrong);
    assert_eq!((status, &answer["errcode"]), (401, &json!("M_FORBIDDEN")));
    assert!(answer["session"].is_string() && answer["flows"] == json!([{"stages": ["m.login.registration_token"]}]));
    let mut lost = with_token(&conduit, "max", "secret");
    lost["auth"]["session"] = json!("nonsuch");
    let (status, answer) = post(&conduit, REGISTER, lost);
    assert!(status == 403 && answer["error"].as_str().unwrap().contains("UIAA session does not exist"));
    let mut dead = with_token(&conduit, "dead", "");
    dead.as_object_mut().unwrap().remove("password");
    assert_eq!(post(&conduit, REGISTER, dead).0, 200);
    assert!(conduit.home.clients.login("dead", "").unwrap_err().contains("M_USER_DEACTIVATED"));
    assert_eq!(post(&conduit, REGISTER, with_token(&conduit, "dead", "x")).1["errcode"], "M_USER_IN_USE");
    let validity = format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={}", conduit.home.token);
    assert_eq!(conduit.home.clients.call("GET", &validity, None, None).0, 404);
}

/// The body that belongs to a session is in memory only.
#[test]
fn after_a_restart_a_bare_authentication_makes_an_account_of_a_random_name() {
    let mut conduit = Conduit::start();
    let (status, wanted) = post(&conduit, REGISTER, json!({"username": "max", "password": "secret", "inhibit_login": true}));
    assert_eq!(status, 401);
    conduit.restart();
    let auth = json!({"type": "m.login.registration_token", "token": conduit.home.token, "session": wanted["session"]});
    let (status, answer) = post(&conduit, REGISTER, json!({"auth": auth}));
    assert!(status == 200 && answer["user_id"] != "@max:example.test" && answer["access_token"].is_string(), "{answer}");
}

#[test]
fn of_two_at_the_same_moment_both_hear_200_and_one_password_works() {
    let conduit = Conduit::start();
    conduit.set(json!({"hash_seconds": 0.5}));
    let name = fresh("ada");
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let both = ["one", "two"].map(|password| {
            let (conduit, body) = (&conduit, with_token(&conduit, &name, password));
            scope.spawn(move || post(conduit, REGISTER, body).0)
        });
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(answers, [200, 200]);
    let works = ["one", "two"].map(|password| conduit.home.clients.login(&name, password).is_ok());
    assert_ne!(works[0], works[1]);
}

#[test]
fn whoever_registers_first_without_inhibit_login_is_administrator() {
    let conduit = Conduit::start();
    for (name, inhibit) in [("one", true), ("two", false), ("three", false)] {
        let mut body = with_token(&conduit, name, "secret");
        body["inhibit_login"] = json!(inhibit);
        assert_eq!(post(&conduit, REGISTER, body).0, 200);
    }
    assert_eq!(conduit.shows()["admins"], json!(["two"]));
}

#[test]
fn relations_go_one_way_only_and_not_beyond_the_limit() {
    let conduit = Conduit::start();
    let clients = &conduit.home.clients;
    let said = clients.send(&clients.room, &clients.bot, "m.room.message", json!({"msgtype": "m.text", "body": "x"}));
    let sent: Vec<String> = (0..12).map(|number| clients.react(&clients.room, &clients.alice, &said, &format!("k{number}"))).collect();
    let ask = |query: &str| {
        let path = format!("/_matrix/client/v1/rooms/{}/relations/{said}/m.annotation/m.reaction{query}", clients.room);
        let (_, answer) = clients.call("GET", &path, Some(&clients.alice.token), None);
        let ids = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
        answer["chunk"].as_array().unwrap().iter().map(ids).collect::<Vec<_>>()
    };
    assert_eq!(ask("?dir=f"), [""; 0]);
    assert_eq!(ask(""), sent[..10]);
    assert_eq!(ask("?dir=b&limit=100"), sent);
    assert_eq!(ask("?limit=2"), sent[..2]);
}

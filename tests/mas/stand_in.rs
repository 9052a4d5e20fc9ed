//! The stand-in does what the real MAS was seen to do, with Synapse 1.163 behind.

use crate::world::{Mas, fresh, http};
use data_encoding::BASE64;
use serde_json::{Value, json};

/// What the stand-in is asked, as a program would.
struct Asker {
    mas: Mas,
    token: String,
}

impl Asker {
    fn new() -> Asker {
        Asker::of(Mas::start())
    }

    fn of(mas: Mas) -> Asker {
        let (status, answer) = token(&mas, "grant_type=client_credentials&scope=urn%3Amas%3Aadmin");
        assert_eq!(status, 200, "{answer}");
        Asker { token: answer["access_token"].as_str().unwrap().to_owned(), mas }
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}api/admin/v1/{path}", self.mas.admin_url);
        http::json(&http::agent(30), method, &url, Some(&self.token), body.as_ref()).unwrap()
    }

    /// Status and first title.
    fn error(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, answer) = self.ask(method, path, body);
        (status, answer["errors"][0]["title"].as_str().unwrap_or_default().to_owned())
    }

    fn make(&self, name: &str) -> String {
        let (status, answer) = self.ask("POST", "users", Some(json!({"username": name, "displayname": "Erika Muster äöü"})));
        assert_eq!(status, 201, "{answer}");
        answer["data"]["id"].as_str().unwrap().to_owned()
    }
}

fn token(mas: &Mas, form: &str) -> (u16, Value) {
    let basic = BASE64.encode(format!("{}:{}", mas.client_id, mas.client_secret).as_bytes());
    let request = ureq::http::Request::post(format!("{}oauth2/token", mas.admin_url))
        .header("Authorization", format!("Basic {basic}"))
        .header("Content-Type", "application/x-www-form-urlencoded");
    let mut answer = http::agent(30).run(request.body(form.to_owned()).unwrap()).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[test]
fn a_token_is_for_five_minutes_and_for_clients_on_the_list() {
    let mas = Mas::start();
    let (status, answer) = token(&mas, "grant_type=client_credentials&scope=urn%3Amas%3Aadmin");
    assert_eq!((status, &answer["expires_in"], &answer["scope"]), (200, &json!(300), &json!("urn:mas:admin")));
    let (status, answer) = token(&mas, "grant_type=client_credentials");
    assert_eq!((status, &answer["scope"]), (200, &Value::Null), "no scope, no refusal");
    assert_eq!(token(&mas, "grant_type=password").0, 400);
    mas.set(json!({"admin": false}));
    let (status, answer) = token(&mas, "grant_type=client_credentials&scope=urn%3Amas%3Aadmin");
    assert_eq!((status, &answer["error"]), (403, &json!("invalid_scope")));
    let mut wrong = mas;
    wrong.client_secret = "wrong".into();
    assert_eq!(token(&wrong, "grant_type=client_credentials").1["error"], "invalid_client");
}

#[test]
fn an_expired_token_is_refused_and_so_is_a_wrong_path() {
    let mas = Mas::start();
    mas.set(json!({"token_life": 1}));
    let asker = Asker::of(mas);
    assert_eq!(asker.ask("GET", "version", None), (200, json!({"version": "v1.22.0"})));
    assert_eq!(asker.ask("GET", "nothing", None), (404, Value::Null), "an HTML page");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(asker.error("GET", "version", None), (401, "Access token expired".into()));
}

#[test]
fn names_are_refused_with_two_titles_and_compared_without_case() {
    let asker = Asker::new();
    let erika = fresh("erika");
    asker.make(&erika);
    let error = |name: &str| asker.error("POST", "users", Some(json!({ "username": name })));
    assert_eq!(error(&erika.to_uppercase()), (409, "User already exists".into()));
    assert_eq!(asker.ask("GET", &format!("users/by-username/{}", erika.to_uppercase()), None).1["data"]["attributes"]["username"], erika);
    for name in ["", "Max", "a b", "ä", "@max", "_max", "%41"] {
        assert_eq!(error(name), (400, "Username is not valid".into()), "{name:?}");
    }
    for name in ["4711", &"a".repeat(250)] {
        assert_eq!(error(name), (409, "Username is reserved by the homeserver".into()), "{name:?}");
    }
    let taken = fresh("taken");
    asker.mas.somebody(&taken, "synapse", json!({}));
    assert_eq!(error(&taken), (409, "Username is reserved by the homeserver".into()));
    let over = asker.ask("POST", "users", Some(json!({"username": taken, "skip_homeserver_check": true, "displayname": "Mine now"})));
    assert_eq!(over.0, 201, "taken over");
    assert_eq!(asker.mas.synapse.display_name(&taken).as_deref(), Some("Mine now"));
    assert_eq!(asker.ask("DELETE", "users/x", None).0, 405);
}

#[test]
fn an_account_is_made_in_synapse_first_and_in_mas_last() {
    let asker = Asker::new();
    for fault in ["half-made", "killed", "slow"] {
        let name = fresh("half");
        asker.mas.fail("create", fault, 1);
        let url = format!("{}api/admin/v1/users", asker.mas.admin_url);
        let hurried = http::json(&http::agent(1), "POST", &url, Some(&asker.token), Some(&json!({"username": name, "displayname": "K"})));
        assert_eq!(hurried.is_ok(), fault == "half-made", "{fault}: {hurried:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(asker.mas.user(&name), Value::Null, "{fault}");
        assert_eq!(asker.mas.synapse.display_name(&name).as_deref(), Some("K"), "{fault}");
        let again = asker.error("POST", "users", Some(json!({ "username": name })));
        assert_eq!(again, (409, "Username is reserved by the homeserver".into()), "{fault}");
    }
}

#[test]
fn a_password_opens_the_account_and_its_address_is_in_synapse() {
    let asker = Asker::new();
    let erika = fresh("erika");
    let id = asker.make(&erika);
    let set = |password: &str, more: Value| {
        let mut body = json!({ "password": password });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        asker.error("POST", &format!("users/{id}/set-password"), Some(body))
    };
    for password in ["Passwort123", "wJ4z-9sK", "Qx7!mP2", "aaaaaaaaaaaaaaaaaaaa", ""] {
        assert_eq!(set(password, json!({})), (400, "Password is too weak".into()), "{password:?}");
    }
    assert_eq!(set("", json!({"skip_password_check": true})).0, 204);
    for password in ["geheim-2026", "hkdm-xpwr-tnbc-qfvz", "tramlinie 4 nach gossau"] {
        assert_eq!(set(password, json!({})).0, 204, "{password:?}");
        assert!(asker.mas.synapse.login(&erika.to_uppercase(), password).is_ok());
    }
    let counts = asker.ask("GET", &format!("compat-sessions?filter[user]={id}&count=only"), None);
    assert_eq!(counts.1["meta"]["count"], 3);
    let address = format!("{erika}@mail.test");
    assert_eq!(asker.ask("POST", "user-emails", Some(json!({"user_id": id, "email": address}))).0, 201);
    let again = asker.error("POST", "user-emails", Some(json!({"user_id": id, "email": address.to_uppercase()})));
    assert_eq!(again, (409, format!("User email \"{}\" already in use", address.to_uppercase())));
    assert_eq!(asker.ask("GET", &format!("user-emails?filter[email]={address}"), None).1["data"][0]["attributes"]["user_id"], id);
    let admin = &asker.mas.synapse.admin.token;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let path = format!("/_synapse/admin/v2/users/{}", asker.mas.synapse.user_id(&erika));
        if asker.mas.synapse.call("GET", &path, Some(admin), None).1["threepids"][0]["address"] == address {
            break;
        }
        assert!(std::time::Instant::now() < end, "the address does not reach Synapse");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_token_without_a_device_cannot_send() {
    let asker = Asker::new();
    let erika = fresh("erika");
    let id = asker.make(&erika);
    let room = asker.mas.synapse.create_room();
    let token_for = |scope: &str| {
        let body = json!({"actor_user_id": id, "human_name": "x", "scope": scope});
        let (status, answer) = asker.ask("POST", "personal-sessions", Some(body));
        assert_eq!(status, 201, "{answer}");
        answer["data"]["attributes"]["access_token"].as_str().unwrap().to_owned()
    };
    let bare = token_for("urn:matrix:client:api:*");
    let own = token_for("urn:matrix:client:api:* urn:matrix:client:device:OWN");
    let guest =
        crate::world::Account { token: own.clone(), user_id: asker.mas.synapse.user_id(&erika), localpart: erika, password: String::new() };
    asker.mas.synapse.invite(&room, &asker.mas.synapse.bot, &guest);
    asker.mas.synapse.join(&room, &guest);
    let send = |token: &str| {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", fresh("txn"));
        asker.mas.synapse.call("PUT", &path, Some(token), Some(json!({"msgtype": "m.text", "body": "x"}))).0
    };
    assert_eq!((send(&bare), send(&own)), (500, 200));
    let whoami = |token: &str| asker.mas.synapse.call("GET", "/_matrix/client/v3/account/whoami", Some(token), None).1["device_id"].clone();
    assert_eq!((whoami(&bare), whoami(&own)), (Value::Null, json!("OWN")));
}

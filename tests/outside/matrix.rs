//! The homeserver: a real Synapse, and a few impostors for answers that it never gives.

use crate::impostor::{http_impostor, impostor};
use crate::world::{Folder, closed_port, config};
use matrix_register_bot::domain::config::OperationMode;
use matrix_register_bot::outside::matrix::accounts::{Bound, bind_address};
use matrix_register_bot::outside::matrix::availability::{Availability, availability, display_name};
use matrix_register_bot::outside::matrix::login::{login, proves};
use matrix_register_bot::outside::matrix::password_policy::{PasswordPolicy, password_policy};
use matrix_register_bot::outside::matrix::register::{NewAccount, Registered, register};
use matrix_register_bot::outside::matrix::room::{Relation, RoomMessage, send_message};
use matrix_register_bot::outside::matrix::{Error, Homeserver, bot};
use matrix_register_bot::outside::site::Site;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const MESSAGE: RoomMessage = RoomMessage { text: "Max wants to register", html: "<b>Max</b> wants to register" };

/// A running homeserver, as `start-synapse` describes it.
struct Synapse(HashMap<String, String>);

impl Synapse {
    /// The Synapse around all tests.
    fn around() -> Synapse {
        let synapse = Synapse(std::env::vars().filter(|(name, _)| name.starts_with("MX_")).collect());
        assert!(
            synapse.0.contains_key("MX_BASE_URL"),
            "no homeserver around the tests; run them with: python3 tests/world/start-synapse run -- cargo test --test outside"
        );
        synapse
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is not in the environment; start-synapse run sets it"))
    }

    fn homeserver(&self) -> Homeserver {
        homeserver(self.get("MX_BASE_URL"))
    }

    /// Sends a request; returns status and JSON.
    fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.get("MX_BASE_URL")))
            .header("Authorization", format!("Bearer {token}"))
            .body(body.map_or_else(String::new, |body| body.to_string()))
            .unwrap();
        let mut response = agent.run(request).unwrap();
        (response.status().as_u16(), response.body_mut().read_json().unwrap())
    }

    fn good(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(method, path, token, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// Creates an account.
    fn account(&self, localpart: &str, password: &str) {
        let account = NewAccount { localpart, password, display_name: None, is_bot: false };
        assert_eq!(register(&self.homeserver(), self.get("MX_SHARED_SECRET"), &account), Ok(Registered::Made));
    }

    /// A new room created by alice.
    fn room(&self, options: Value) -> String {
        let answer = self.good("POST", "/_matrix/client/v3/createRoom", self.get("MX_ALICE_TOKEN"), Some(options));
        answer["room_id"].as_str().unwrap().to_owned()
    }

    /// The number of events in the room with this text.
    fn count(&self, room: &str, text: &str) -> usize {
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=100", room.replace('!', "%21"));
        let answer = self.good("GET", &path, self.get("MX_ALICE_TOKEN"), None);
        answer["chunk"].as_array().unwrap().iter().filter(|event| event["content"]["body"] == text).count()
    }

    /// A sign-up site with this bot account and room.
    fn site(&self, folder: &Folder, bot: &str, room: &str, with_secret: bool) -> Site {
        let secret = if with_secret { format!("registration_shared_secret = \"{}\"", self.get("MX_SHARED_SECRET")) } else { String::new() };
        let tables = format!("[room]\nid = \"{room}\"\nbot_localpart = \"{bot}\"\n");
        Site::new(config(&folder.0, self.get("MX_BASE_URL"), &secret, &tables), || 1_795_000_000)
    }
}

fn homeserver(url: &str) -> Homeserver {
    Homeserver::new(&config(&std::env::temp_dir(), url, "", ""))
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

const ACCOUNT: NewAccount = NewAccount { localpart: "max", password: "pw", display_name: None, is_bot: false };

// ---- accounts ----

#[test]
fn an_account_is_made_with_its_display_name_and_can_log_in() {
    let synapse = Synapse::around();
    let homeserver = synapse.homeserver();
    let long = "Ü😀".repeat(200);
    let account = NewAccount { localpart: "reg.made", password: "pä\"ss\u{1F600}", display_name: Some(&long), is_bot: false };
    assert_eq!(register(&homeserver, synapse.get("MX_SHARED_SECRET"), &account), Ok(Registered::Made));
    let session = login(&homeserver, "reg.made", account.password, "PHONE", "a phone").unwrap();
    assert_eq!(session.device_id, "PHONE");
    assert_eq!(display_name(&homeserver, "reg.made").unwrap().unwrap(), long.chars().take(256).collect::<String>());
    let devices = synapse.good("GET", "/_matrix/client/v3/devices", &session.access_token, None);
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1, "registering leaves no device: {devices}");
}

#[test]
fn a_taken_name_is_told_whatever_its_case() {
    let synapse = Synapse::around();
    for localpart in ["alice", "Alice"] {
        let account = NewAccount { localpart, ..ACCOUNT };
        assert_eq!(
            register(&synapse.homeserver(), synapse.get("MX_SHARED_SECRET"), &account),
            Ok(Registered::NameInUse { asked_again: false })
        );
    }
}

#[test]
fn a_name_that_synapse_gives_to_nobody_is_told_with_its_reason() {
    let synapse = Synapse::around();
    for localpart in ["_under", "123456", "with space", &"x".repeat(300)] {
        let account = NewAccount { localpart, ..ACCOUNT };
        let outcome = register(&synapse.homeserver(), synapse.get("MX_SHARED_SECRET"), &account);
        assert!(matches!(&outcome, Ok(Registered::NameRefused { errcode, .. }) if errcode == "M_INVALID_USERNAME"), "{outcome:?}");
    }
}

#[test]
fn a_wrong_shared_secret_is_named_by_its_key() {
    let synapse = Synapse::around();
    let Err(Error::Misconfigured(sentence)) = register(&synapse.homeserver(), "wrong-secret", &ACCOUNT) else { panic!("taken") };
    assert!(sentence.contains("HMAC incorrect") && sentence.contains("registration_shared_secret"), "{sentence}");
    assert!(!sentence.contains("wrong-secret"), "{sentence}");
}

#[test]
fn a_homeserver_that_hides_the_registration_is_explained() {
    let elsewhere = format!("{}/elsewhere", Synapse::around().get("MX_BASE_URL"));
    let with_mas = http_impostor(http("404 Not Found", r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#));
    let proxy = http_impostor(http("403 Forbidden", "<html>nginx</html>"));
    for url in [elsewhere, with_mas, proxy] {
        let outcome = register(&homeserver(&url), "secret", &ACCOUNT);
        let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
        assert!(sentence.contains("MAS") && sentence.contains("homeserver_url"), "{sentence}");
    }
}

/// A server that gives these answers, one per connection, and then repeats the last one. Requests are appended to the list.
fn scripted(answers: Vec<Vec<u8>>) -> (String, std::sync::Arc<Mutex<Vec<String>>>) {
    let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
    let list = asked.clone();
    let port = impostor(move |mut stream| {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let mut buffer = [0; 4096];
        let mut request = String::new();
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            request += &String::from_utf8_lossy(&buffer[..length]);
        }
        let mut list = list.lock().unwrap();
        let _ = stream.write_all(&answers[list.len().min(answers.len() - 1)]);
        list.push(request);
    });
    (format!("http://127.0.0.1:{port}"), asked)
}

#[test]
fn a_spent_nonce_is_replaced_once() {
    let nonce = |text: &str| http("200 OK", &json!({ "nonce": text }).to_string());
    let spent = || http("400 Bad Request", r#"{"errcode":"M_UNKNOWN","error":"unrecognised nonce"}"#);
    let (url, asked) = scripted(vec![nonce("first"), spent(), nonce("second"), http("200 OK", r#"{"user_id":"@max:example.test"}"#)]);
    assert_eq!(register(&homeserver(&url), "secret", &ACCOUNT), Ok(Registered::Made));
    let asked = asked.lock().unwrap();
    assert!(asked[1].contains("\"nonce\":\"first\"") && asked[3].contains("\"nonce\":\"second\""), "{asked:?}");
    assert!(asked[3].contains("\"admin\":false") && asked[3].contains("\"inhibit_login\":true"), "{asked:?}");

    let (url, asked) = scripted(vec![nonce("first"), spent(), nonce("second"), spent()]);
    assert!(matches!(register(&homeserver(&url), "secret", &ACCOUNT), Err(Error::Unexpected(_))));
    assert_eq!(asked.lock().unwrap().len(), 4);
}

/// The first request may have been delivered twice and have created the account; no later answer can change that.
#[test]
fn after_a_spent_nonce_nothing_says_that_no_account_was_made() {
    let nonce = |text: &str| http("200 OK", &json!({ "nonce": text }).to_string());
    let spent = || http("400 Bad Request", r#"{"errcode":"M_UNKNOWN","error":"unrecognised nonce"}"#);
    let limited = || http("429 Too Many Requests", r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests","retry_after_ms":1}"#);
    for answers in [vec![nonce("first"), spent(), limited()], vec![nonce("first"), spent(), nonce("second"), limited()]] {
        let (url, _) = scripted(answers);
        assert!(matches!(register(&homeserver(&url), "secret", &ACCOUNT), Err(Error::Unexpected(_))));
    }
}

#[test]
fn an_account_is_ours_if_our_password_logs_in() {
    let synapse = Synapse::around();
    let homeserver = synapse.homeserver();
    synapse.account("reg.ours", "the right one");
    assert_eq!(proves(&homeserver, "reg.ours", "the right one"), Ok(true));
    assert_eq!(proves(&homeserver, "reg.ours", "another"), Ok(false));
    assert_eq!(proves(&homeserver, "reg.nobody", "the right one"), Ok(false));
    let session = login(&homeserver, "reg.ours", "the right one", "CHECK", "").unwrap();
    let devices = synapse.good("GET", "/_matrix/client/v3/devices", &session.access_token, None);
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1, "the proof leaves no device: {devices}");
}

#[test]
fn a_deactivated_account_is_not_ours() {
    let synapse = Synapse::around();
    synapse.account("reg.gone", "pw");
    let path = "/_synapse/admin/v1/deactivate/%40reg.gone%3Aexample.test";
    synapse.good("POST", path, synapse.get("MX_ADMIN_TOKEN"), Some(json!({ "erase": false })));
    assert_eq!(proves(&synapse.homeserver(), "reg.gone", "pw"), Ok(false));
}

#[test]
fn a_wrong_server_name_is_noticed_at_the_first_login() {
    let synapse = Synapse::around();
    let mut config = config(&std::env::temp_dir(), synapse.get("MX_BASE_URL"), "", "");
    config.server_name = "other.test".parse().unwrap();
    let outcome = login(&Homeserver::new(&config), "alice", synapse.get("MX_ALICE_PASSWORD"), "X", "");
    let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains("server_name") && sentence.contains("@alice:example.test"), "{sentence}");
}

#[test]
fn a_password_that_the_homeserver_refuses_is_told_with_its_sentence() {
    let nonce = http("200 OK", r#"{"nonce":"n"}"#);
    for errcode in ["M_WEAK_PASSWORD", "M_PASSWORD_TOO_SHORT", "M_PASSWORD_NO_DIGIT"] {
        let weak = http("400 Bad Request", &json!({ "errcode": errcode, "error": "password too weak: min 8 chars" }).to_string());
        let (url, _) = scripted(vec![nonce.clone(), weak]);
        let refused = Registered::PasswordRefused("password too weak: min 8 chars".into());
        assert_eq!(register(&homeserver(&url), "secret", &ACCOUNT), Ok(refused), "{errcode}");
    }
}

#[test]
fn the_password_policy_is_read_and_a_homeserver_without_one_has_no_rules() {
    assert_eq!(password_policy(&Synapse::around().homeserver()), Ok(PasswordPolicy::default()));
    let strict = r#"{"m.minimum_length":12,"m.require_digit":true,"m.require_uppercase":true}"#;
    let policy = password_policy(&homeserver(&http_impostor(http("200 OK", strict)))).unwrap();
    assert_eq!(policy, PasswordPolicy { minimum_length: 12, require_digit: true, require_uppercase: true, ..PasswordPolicy::default() });
    let unknown = http_impostor(http("404 Not Found", r#"{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}"#));
    assert_eq!(password_policy(&homeserver(&unknown)), Ok(PasswordPolicy::default()));
}

// ---- addresses ----

fn log_in_by_address(synapse: &Synapse, address: &str, password: &str) -> (u16, Value) {
    let identifier = json!({"type": "m.id.thirdparty", "medium": "email", "address": address});
    let login = json!({"type": "m.login.password", "identifier": identifier, "password": password});
    synapse.call("POST", "/_matrix/client/v3/login", "", Some(login))
}

#[test]
fn an_address_is_bound_beside_those_that_an_account_has_and_opens_it() {
    let synapse = Synapse::around();
    let (homeserver, admin) = (synapse.homeserver(), synapse.get("MX_ADMIN_TOKEN"));
    synapse.account("bind.ours", "pw");
    let bind = |address: &str| bind_address(&homeserver, admin, "bind.ours", address);
    for address in ["Bind.Ours@Example.org", "bind.ours@example.org", "bind+ours@bücher.example"] {
        assert_eq!(bind(address), Ok(Bound::ToAccount), "{address}");
    }
    for address in ["bind.OURS@example.org", "bind+ours@bücher.example"] {
        let (status, answer) = log_in_by_address(&synapse, address, "pw");
        assert_eq!((status, answer["user_id"].as_str()), (200, Some("@bind.ours:example.test")), "{answer}");
    }
    let account = synapse.good("GET", "/_synapse/admin/v2/users/%40bind.ours%3Aexample.test", admin, None);
    assert_eq!(account["threepids"].as_array().unwrap().len(), 2, "{account}");
}

#[test]
fn an_address_of_another_account_is_never_taken_from_it() {
    let synapse = Synapse::around();
    let (homeserver, admin) = (synapse.homeserver(), synapse.get("MX_ADMIN_TOKEN"));
    for localpart in ["bind.first", "bind.second"] {
        synapse.account(localpart, localpart);
    }
    assert_eq!(bind_address(&homeserver, admin, "bind.first", "bind.shared@example.org"), Ok(Bound::ToAccount));
    assert_eq!(bind_address(&homeserver, admin, "bind.second", "Bind.Shared@example.org"), Ok(Bound::ToAnother));
    assert_eq!(log_in_by_address(&synapse, "bind.shared@example.org", "bind.first").1["user_id"], "@bind.first:example.test");
}

#[test]
fn no_address_is_bound_to_an_account_that_is_not_there_or_without_the_right_to() {
    let synapse = Synapse::around();
    let (homeserver, admin) = (synapse.homeserver(), synapse.get("MX_ADMIN_TOKEN"));
    assert_eq!(bind_address(&homeserver, admin, "bind.nobody", "nobody@example.org"), Ok(Bound::NoAccount));
    let (status, _) = synapse.call("GET", "/_synapse/admin/v2/users/%40bind.nobody%3Aexample.test", admin, None);
    assert_eq!(status, 404, "no account is made");
    synapse.account("bind.plain", "pw");
    let refused = bind_address(&homeserver, synapse.get("MX_ALICE_TOKEN"), "bind.plain", "plain@example.org");
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let ended = bind_address(&homeserver, "syt_unknown", "bind.plain", "plain@example.org");
    assert!(matches!(ended, Err(Error::UnknownToken { .. })), "{ended:?}");
}

// ---- names ----

#[test]
fn names_are_told_free_and_taken_as_a_stranger_would_see_it() {
    let synapse = Synapse::around();
    let homeserver = synapse.homeserver();
    assert_eq!(availability(&homeserver, "alice"), Ok(Availability::Taken));
    for free in ["reg.free", "a/b", "a+b=c?d#e", "../../x"] {
        assert_eq!(availability(&homeserver, free), Ok(Availability::Free), "{free}");
    }
    assert_eq!(display_name(&homeserver, "alice"), Ok(Some("Alice Approver".into())));
    assert_eq!(display_name(&homeserver, "reg.free"), Ok(None));
}

#[test]
fn an_account_without_a_display_name_is_taken_all_the_same() {
    let synapse = Synapse::around();
    let homeserver = synapse.homeserver();
    synapse.account("reg.nameless", "pw");
    let session = login(&homeserver, "reg.nameless", "pw", "X", "").unwrap();
    let path = "/_matrix/client/v3/profile/%40reg.nameless%3Aexample.test/displayname";
    synapse.good("PUT", path, &session.access_token, Some(json!({ "displayname": "" })));
    assert_eq!(availability(&homeserver, "reg.nameless"), Ok(Availability::Taken));
    assert_eq!(display_name(&homeserver, "reg.nameless"), Ok(Some(String::new())));
}

#[test]
fn a_homeserver_that_does_not_tell_leaves_the_name_open() {
    let forbidden = || http("403 Forbidden", r#"{"errcode":"M_FORBIDDEN","error":"Registration has been disabled"}"#);
    let not_found = || http("404 Not Found", r#"{"errcode":"M_NOT_FOUND","error":"Profile was not found"}"#);
    // The same answer for every name, including one that cannot exist.
    let (url, asked) = scripted(vec![forbidden(), not_found(), not_found()]);
    let unknown = availability(&homeserver(&url), "max");
    assert!(matches!(unknown, Err(Error::Unexpected(_))), "{unknown:?}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|request| !request.to_lowercase().contains("authorization")), "{asked:?}");
    for answer in [http("401 Unauthorized", r#"{"errcode":"M_MISSING_TOKEN"}"#), http("502 Bad Gateway", "<html>"), http("200 OK", "{}")] {
        let unknown = availability(&homeserver(&http_impostor(answer)), "max");
        assert!(matches!(unknown, Err(Error::Unexpected(_))), "{unknown:?}");
    }
    let unknown = availability(&homeserver(&format!("http://127.0.0.1:{}", closed_port())), "max");
    assert!(matches!(unknown, Err(Error::Unreachable(_))), "{unknown:?}");
}

#[test]
fn where_registration_is_open_the_homeserver_itself_says_what_is_free() {
    for (answer, expected) in [
        (http("200 OK", r#"{"available":true}"#), Ok(Availability::Free)),
        (http("400 Bad Request", r#"{"errcode":"M_USER_IN_USE","error":"User ID already taken."}"#), Ok(Availability::Taken)),
        (http("400 Bad Request", r#"{"errcode":"M_EXCLUSIVE","error":"reserved"}"#), Ok(Availability::Taken)),
    ] {
        assert_eq!(availability(&homeserver(&http_impostor(answer)), "max"), expected);
    }
}

// ---- answers that no Synapse gives ----

#[test]
fn a_homeserver_that_is_down_is_unreachable() {
    let down = homeserver(&format!("http://127.0.0.1:{}", closed_port()));
    let Err(Error::Unreachable(sentence)) = register(&down, "secret", &ACCOUNT) else { panic!("taken") };
    assert!(sentence.contains("homeserver_url"), "{sentence}");
    let unknown = homeserver("http://no-such-host.invalid");
    assert!(matches!(register(&unknown, "secret", &ACCOUNT), Err(Error::Unreachable(_))));
}

#[test]
fn nonsense_is_named_as_such_and_never_taken_for_an_answer() {
    let cases = [
        http("200 OK", "<!DOCTYPE html><title>It works!</title>"),
        http("200 OK", "{}"),
        http("200 OK", ""),
        http("200 OK", r#"{"nonce":7}"#),
        http("200 OK", &format!(r#"{{"nonce":"{}"}}"#, "x".repeat(2 * 1024 * 1024))),
        http("502 Bad Gateway", "<html>502</html>"),
        http("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
        http("400 Bad Request", r#"{"error":"no errcode"}"#),
        http("500 Internal Server Error", r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
    ];
    for answer in cases {
        let start = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
        let outcome = register(&homeserver(&http_impostor(answer)), "secret", &ACCOUNT);
        let Err(Error::Unexpected(sentence)) = &outcome else { panic!("{start}: {outcome:?}") };
        assert!(sentence.contains("/_synapse/admin/v1/register") && sentence.len() < 600, "{sentence}");
    }
    let closed = register(&homeserver(&http_impostor(Vec::new())), "secret", &ACCOUNT);
    assert!(matches!(closed, Err(Error::Unreachable(_))), "{closed:?}");
}

#[test]
fn a_visitor_does_not_wait_for_a_homeserver_that_dribbles() {
    let port = impostor(|mut stream| {
        thread::spawn(move || {
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".iter().chain(std::iter::repeat(&b' ')) {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
    });
    let start = Instant::now();
    let unknown = availability(&homeserver(&format!("http://127.0.0.1:{port}")), "max");
    assert!(matches!(unknown, Err(Error::Unreachable(_))), "{unknown:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_limit_says_how_long_to_wait_and_never_longer_than_an_hour() {
    let cases = [
        (http("429 Too Many Requests", r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests","retry_after_ms":3633}"#), 4),
        (http("429 Too Many Requests\r\nRetry-After: 17", "<html>"), 17),
        (http("429 Too Many Requests\r\nRetry-After: 99999999999", r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":-1}"#), 3600),
        (http("429 Too Many Requests\r\nRetry-After: Wed, 18 Nov 2026 11:06:40 GMT", "{}"), 5),
    ];
    for (answer, seconds) in cases {
        let outcome = register(&homeserver(&http_impostor(answer)), "secret", &ACCOUNT);
        assert!(matches!(outcome, Err(Error::Limited { retry_after_seconds, .. }) if retry_after_seconds == seconds), "{outcome:?}");
    }
}

/// Runs in a separate process, see the next test.
#[test]
#[ignore = "started by the next test"]
fn child_that_is_offered_a_proxy() {
    let url = std::env::var("OUTSIDE_TEST_URL").expect("only the next test starts this one");
    assert_eq!(availability(&homeserver(&url), "max"), Ok(Availability::Free));
}

#[test]
fn a_visitors_proxy_header_does_not_divert_us() {
    // Under CGI the header "Proxy: http://evil" becomes HTTP_PROXY in the environment.
    let (url, asked) = scripted(vec![http("200 OK", r#"{"available":true}"#)]);
    let (proxy, diverted) = scripted(vec![http("200 OK", r#"{"available":false}"#)]);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "matrix::child_that_is_offered_a_proxy"]).env("OUTSIDE_TEST_URL", url);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        child.env(name, &proxy);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((asked.lock().unwrap().len(), diverted.lock().unwrap().len()), (1, 0));
}

// ---- the room ----

#[test]
fn the_same_message_twice_is_one_event_even_after_the_token_was_lost() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "public_chat" }));
    let site = synapse.site(&folder, "bot.twice", &room, true);
    bot::say(&site, &MESSAGE, "reg-1").unwrap();
    bot::say(&site, &MESSAGE, "reg-1").unwrap();
    assert_eq!(synapse.count(&room, MESSAGE.text), 1);
    for token in [Some("syt_not_a_token".to_owned()), None] {
        site.state.update(|state| state.access_token = token).unwrap();
        bot::say(&site, &MESSAGE, "reg-1").unwrap();
        assert_eq!(synapse.count(&room, MESSAGE.text), 1);
    }
    bot::say(&site, &MESSAGE, "reg-2").unwrap();
    assert_eq!(synapse.count(&room, MESSAGE.text), 2);
}

#[test]
fn a_bot_that_is_nowhere_yet_makes_its_account_joins_and_speaks() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "public_chat", "room_alias_name": "regs/ünï" }));
    let site = synapse.site(&folder, "bot.new", "#regs/ünï:example.test", true);
    bot::say(&site, &MESSAGE, "reg-1").unwrap();
    assert_eq!(synapse.count(&room, MESSAGE.text), 1);
    assert_eq!(display_name(&synapse.homeserver(), "bot.new"), Ok(Some(bot::DISPLAY_NAME.into())));
    let kept = site.state.complete().unwrap().access_token.expect("the token is kept");
    let whoami = synapse.good("GET", "/_matrix/client/v3/account/whoami", &kept, None);
    assert_eq!(whoami["device_id"], bot::DEVICE_ID);
}

#[test]
fn programs_that_start_at_once_share_one_login() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "public_chat" }));
    let site = synapse.site(&folder, "bot.race", &room, true);
    let (site, room) = (&site, &room);
    thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || bot::say(site, &MESSAGE, &format!("reg-{number}")).unwrap());
        }
    });
    assert_eq!(synapse.count(room, MESSAGE.text), 6);
    let path = "/_synapse/admin/v1/whois/%40bot.race%3Aexample.test";
    let whois = synapse.good("GET", path, synapse.get("MX_ADMIN_TOKEN"), None);
    assert_eq!(whois["devices"].as_object().unwrap().len(), 1, "{whois}");
}

#[test]
fn the_bot_takes_an_invitation_and_asks_for_one_where_it_has_none() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "private_chat" }));
    let site = synapse.site(&folder, "bot.invited", &room, true);
    let outcome = bot::say(&site, &MESSAGE, "reg-1");
    let Err(Error::Forbidden(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains(&format!("invite @bot.invited:example.test to {room}")), "{sentence}");
    let invite = format!("/_matrix/client/v3/rooms/{}/invite", room.replace('!', "%21"));
    synapse.good("POST", &invite, synapse.get("MX_ALICE_TOKEN"), Some(json!({ "user_id": "@bot.invited:example.test" })));
    bot::say(&site, &MESSAGE, "reg-1").unwrap();
    assert_eq!(synapse.count(&room, MESSAGE.text), 1);
}

#[test]
fn a_bot_that_may_not_speak_says_so() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "public_chat", "power_level_content_override": { "events_default": 50 } }));
    let outcome = bot::say(&synapse.site(&folder, "bot.muted", &room, true), &MESSAGE, "reg-1");
    let Err(Error::Forbidden(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains("power level"), "{sentence}");
}

/// Alice upgrades her room as her client does. Returns the new room.
fn upgrade(synapse: &Synapse, room: &str, version: &str) -> String {
    let path = format!("/_matrix/client/v3/rooms/{}/upgrade", room.replace('!', "%21"));
    let answer = synapse.good("POST", &path, synapse.get("MX_ALICE_TOKEN"), Some(json!({ "new_version": version })));
    answer["replacement_room"].as_str().unwrap().to_owned()
}

/// Alice changes the bot's membership in her room: `invite`, `kick`, `ban`.
fn member(synapse: &Synapse, room: &str, verb: &str, bot: &str) {
    let path = format!("/_matrix/client/v3/rooms/{}/{verb}", room.replace('!', "%21"));
    let body = match verb {
        "invite" => json!({ "user_id": format!("@{bot}:example.test") }),
        _ => json!({ "user_id": format!("@{bot}:example.test"), "reason": "too loud" }),
    };
    synapse.good("POST", &path, synapse.get("MX_ALICE_TOKEN"), Some(body));
}

/// Even if the bot has the power to send to an upgraded room.
#[test]
fn a_request_is_posted_where_people_read_it_after_the_room_was_upgraded() {
    let synapse = Synapse::around();
    for (bot, power) in [("bot.up.mighty", 100), ("bot.up.plain", 0)] {
        let folder = Folder::new();
        let users = json!({ "@alice:example.test": 100, format!("@{bot}:example.test"): power });
        let options = json!({ "preset": "private_chat", "room_version": "10", "power_level_content_override": { "users": users } });
        let old = synapse.room(options);
        let site = synapse.site(&folder, bot, &old, true);
        assert!(bot::say(&site, &MESSAGE, "reg-1").is_err(), "the account is there now");
        member(&synapse, &old, "invite", bot);
        bot::say(&site, &MESSAGE, "reg-1").unwrap();

        let new = upgrade(&synapse, &old, "11");
        let outcome = bot::say(&site, &MESSAGE, "reg-2");
        let Err(Error::Forbidden(sentence)) = outcome else { panic!("{outcome:?}") };
        for part in [old.as_str(), "upgraded", &format!("set id = {new:?} in [room]"), &format!("invite @{bot}:example.test to {new}")] {
            assert!(sentence.contains(part), "{part} is not in: {sentence}");
        }
        assert_eq!(synapse.count(&old, MESSAGE.text), 1, "nobody reads the old room");

        member(&synapse, &new, "invite", bot);
        bot::say(&site, &MESSAGE, "reg-2").unwrap();
        bot::say(&site, &MESSAGE, "reg-2").unwrap();
        assert_eq!((synapse.count(&old, MESSAGE.text), synapse.count(&new, MESSAGE.text)), (1, 1));

        let newest = upgrade(&synapse, &new, "11");
        member(&synapse, &newest, "invite", bot);
        bot::say(&site, &MESSAGE, "reg-3").unwrap();
        assert_eq!((synapse.count(&new, MESSAGE.text), synapse.count(&newest, MESSAGE.text)), (1, 1));
    }
}

#[test]
fn rooms_that_replace_each_other_in_a_circle_are_named() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let rooms = [(); 2].map(|()| synapse.room(json!({ "preset": "public_chat" })));
    for (room, replacement) in [(&rooms[0], &rooms[1]), (&rooms[1], &rooms[0])] {
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.tombstone/", room.replace('!', "%21"));
        let tombstone = json!({ "body": "moved", "replacement_room": replacement });
        synapse.good("PUT", &path, synapse.get("MX_ALICE_TOKEN"), Some(tombstone));
    }
    let outcome = bot::say(&synapse.site(&folder, "bot.circle", &rooms[0], true), &MESSAGE, "reg-1");
    let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains(&rooms[0]) && sentence.contains("circle") && sentence.contains("[room]"), "{sentence}");
}

#[test]
fn a_tombstone_that_names_no_room_stops_nothing() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "public_chat" }));
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.tombstone/", room.replace('!', "%21"));
    for (number, replacement) in
        [json!(null), json!(""), json!("somewhere"), json!("#alias:example.test"), json!({})].into_iter().enumerate()
    {
        synapse.good("PUT", &path, synapse.get("MX_ALICE_TOKEN"), Some(json!({ "replacement_room": replacement })));
        bot::say(&synapse.site(&folder, "bot.stone", &room, true), &MESSAGE, &format!("reg-{number}")).unwrap();
    }
    assert_eq!(synapse.count(&room, MESSAGE.text), 5);
}

#[test]
fn a_bot_that_was_thrown_out_says_by_whom_or_that_it_is_banned() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "private_chat", "invite": [] }));
    let site = synapse.site(&folder, "bot.out", &room, true);
    let said = |number: &str| match bot::say(&site, &MESSAGE, number) {
        Ok(_) => String::new(),
        Err(Error::Forbidden(sentence)) => sentence,
        Err(other) => panic!("{other:?}"),
    };
    assert!(!said("reg-1").contains("removed"), "it was never in");
    member(&synapse, &room, "invite", "bot.out");
    assert_eq!(said("reg-1"), "");
    member(&synapse, &room, "kick", "bot.out");
    let sentence = said("reg-2");
    assert!(sentence.contains("@alice:example.test removed it, reason \"too loud\"") && sentence.contains("invite @bot.out"), "{sentence}");
    member(&synapse, &room, "ban", "bot.out");
    let sentence = said("reg-2");
    assert!(sentence.contains("banned") && sentence.contains("lift the ban"), "{sentence}");
}

/// The operator's own token may belong to another account than `bot_localpart`.
#[test]
fn the_account_to_invite_is_the_one_of_the_token() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let room = synapse.room(json!({ "preset": "private_chat" }));
    let tables = format!("[room]\nid = \"{room}\"\naccess_token = \"{}\"\n", synapse.get("MX_BOB_TOKEN"));
    let site = Site::new(config(&folder.0, synapse.get("MX_BASE_URL"), "", &tables), || 0);
    let outcome = bot::say(&site, &MESSAGE, "reg-1");
    let Err(Error::Forbidden(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains("invite @bob:example.test"), "{sentence}");
}

#[test]
fn an_account_with_another_password_is_explained() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    synapse.account("bot.other", "of somebody else");
    let mut site = synapse.site(&folder, "bot.other", "!x", true);
    site.config.operation_mode = OperationMode::Synapse;
    let outcome = bot::say(&site, &MESSAGE, "reg-1");
    let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains("@bot.other:example.test") && sentence.contains("access_token in [room]"), "{sentence}");
    assert!(!sentence.contains("internal/login"), "{sentence}");
}

/// After a move from the PHP program the token has ended, and the homeserver cannot check the bot's password with us yet.
#[test]
fn in_local_mode_a_bot_that_cannot_log_in_is_told_to_let_the_homeserver_ask_first() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    synapse.account("bot.moved", "of Synapse's own table");
    let mut site = synapse.site(&folder, "bot.moved", "!x", true);
    site.config.operation_mode = OperationMode::Local;
    let outcome = bot::say(&site, &MESSAGE, "reg-1");
    let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
    let (first, then) = (sentence.find("internal/login").unwrap(), sentence.find("reset its password").unwrap());
    assert!(first < then && sentence.contains("switch the web server"), "{sentence}");
}

#[test]
fn without_a_shared_secret_a_missing_account_is_explained() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let site = synapse.site(&folder, "bot.missing", "!x", false);
    let outcome = bot::say(&site, &MESSAGE, "reg-1");
    let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains("register_password") && sentence.contains("registration_shared_secret"), "{sentence}");
    let password = site.state.complete().unwrap().register_password.unwrap();
    assert!(!sentence.contains(&password), "{sentence}");
}

#[test]
fn the_operators_own_token_is_used_and_named_when_it_has_ended() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let site = |token: &str| {
        let tables = format!("[room]\nid = \"{}\"\naccess_token = \"{token}\"\n", synapse.get("MX_ROOM"));
        Site::new(config(&folder.0, synapse.get("MX_BASE_URL"), "", &tables), || 0)
    };
    let message = RoomMessage { text: "by the operator's token", html: "by the operator's token" };
    bot::say(&site(synapse.get("MX_BOT_TOKEN")), &message, "own-1").unwrap();
    assert_eq!(synapse.count(synapse.get("MX_ROOM"), message.text), 1);
    assert!(!folder.join("config.json").exists(), "nothing of ours is needed");
    for token in ["syt_ended", "two\\nlines"] {
        let outcome = bot::say(&site(token), &message, "own-2");
        let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
        assert!(sentence.contains("access") && !sentence.contains("syt_ended") && !sentence.contains("lines"), "{sentence}");
    }
}

#[test]
fn an_unknown_alias_is_named_by_its_key() {
    let synapse = Synapse::around();
    let folder = Folder::new();
    let outcome = bot::say(&synapse.site(&folder, "bot.alias", "#nowhere:example.test", true), &MESSAGE, "reg-1");
    let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
    assert!(sentence.contains("[room]"), "{sentence}");
}

#[test]
fn a_message_far_too_large_for_an_event_still_says_something() {
    let synapse = Synapse::around();
    let text = "\u{1}😀<&>".repeat(50_000);
    let message = RoomMessage { text: &text, html: &text };
    send_message(&synapse.homeserver(), synapse.get("MX_BOT_TOKEN"), synapse.get("MX_ROOM"), "large-1", &message, Relation::None).unwrap();
}

// ---- the limits of an untouched Synapse ----

/// A second Synapse with its own configuration.
struct OwnSynapse {
    synapse: Synapse,
    folder: Folder,
}

impl OwnSynapse {
    fn start(options: &[&str]) -> OwnSynapse {
        let folder = Folder::new();
        let answer = start_synapse(&[&["start", "--ttl", "120", "--dir", folder.0.to_str().unwrap()], options].concat());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let variables = [
            ("MX_BASE_URL", text(&answer["base_url"])),
            ("MX_SHARED_SECRET", text(&answer["registration_shared_secret"])),
            ("MX_ROOM", text(&answer["room_id"])),
            ("MX_BOT_TOKEN", text(&answer["users"]["register_bot"]["access_token"])),
        ];
        OwnSynapse { synapse: Synapse(variables.map(|(name, value)| (name.to_owned(), value)).into()), folder }
    }
}

impl Drop for OwnSynapse {
    fn drop(&mut self) {
        start_synapse(&["stop", "--dir", self.folder.0.to_str().unwrap()]);
    }
}

fn start_synapse(arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/start-synapse");
    let output = Command::new("python3").arg(script).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn synapses_own_limits_say_when_to_come_back() {
    let limited = OwnSynapse::start(&["--real-ratelimits"]);
    let synapse = &limited.synapse;
    let homeserver = synapse.homeserver();
    let send = |number| {
        send_message(&homeserver, synapse.get("MX_BOT_TOKEN"), synapse.get("MX_ROOM"), &format!("m{number}"), &MESSAGE, Relation::None)
            .map(|_| ())
    };
    let refused = (0..20).map(send).find_map(Result::err);
    assert!(matches!(refused, Some(Error::Limited { retry_after_seconds: 1..=10, .. })), "{refused:?}");

    let log_in = |_| login(&homeserver, "bob", "pw-bob", "D", "").map(|_| ());
    // Profile lookups by strangers, all from the address of the site: 500, then one per second.
    let refused = (0..700).find_map(|_| availability(&homeserver, "nobody").err());
    assert!(matches!(refused, Some(Error::Limited { retry_after_seconds: 1..=5, .. })), "{refused:?}");

    let refused = (0..10).map(log_in).find_map(Result::err);
    assert!(matches!(refused, Some(Error::Limited { retry_after_seconds: 60..=400, .. })), "{refused:?}");
}

// ---- a homeserver with terms of use ----

#[test]
fn a_homeserver_that_wants_its_terms_accepted_is_named_and_asks_the_bots_own_account_for_nothing() {
    let templates = Folder::new();
    std::fs::create_dir(templates.join("en")).unwrap();
    for page in ["1.0.html", "success.html"] {
        std::fs::write(templates.join("en").join(page), "<p>Be kind.</p>").unwrap();
    }
    let terms = json!({ "template_dir": templates.0, "version": "1.0", "block_events_error": "Agree at %(consent_uri)s" });
    let own = OwnSynapse::start(&["--bare", "--set", &format!("user_consent={terms}")]);
    let (synapse, folder) = (&own.synapse, Folder::new());
    let homeserver = synapse.homeserver();
    let keeper = NewAccount { localpart: "keeper", password: "pw", display_name: None, is_bot: true };
    assert_eq!(register(&homeserver, synapse.get("MX_SHARED_SECRET"), &keeper), Ok(Registered::Made));
    let keeper = login(&homeserver, "keeper", "pw", "X", "").unwrap().access_token;
    let room = synapse.good("POST", "/_matrix/client/v3/createRoom", &keeper, Some(json!({ "preset": "public_chat" })));
    let room = room["room_id"].as_str().unwrap();

    bot::say(&synapse.site(&folder, "bot.kind", room, true), &MESSAGE, "reg-1").unwrap();

    synapse.account("bot.person", "pw");
    let person = login(&homeserver, "bot.person", "pw", "X", "").unwrap().access_token;
    let tables = format!("[room]\nid = \"{room}\"\naccess_token = \"{person}\"\n");
    let site = Site::new(config(&folder.0, synapse.get("MX_BASE_URL"), "", &tables), || 0);
    let outcome = bot::say(&site, &MESSAGE, "reg-2");
    let Err(Error::Misconfigured(sentence)) = outcome else { panic!("{outcome:?}") };
    let page = format!("open {}/_matrix/consent?u=bot.person&h=", synapse.get("MX_BASE_URL"));
    assert!(sentence.contains(&page) && sentence.contains("user_type"), "{sentence}");
}

/// For example one that knows no kinds of accounts, and therefore computes another MAC.
#[test]
fn a_homeserver_without_accounts_for_bots_gives_the_bot_an_ordinary_one() {
    let refused = || http("403 Forbidden", r#"{"errcode":"M_FORBIDDEN","error":"Wrong username or password"}"#);
    let nonce = || http("200 OK", r#"{"nonce":"n"}"#);
    let (url, asked) = scripted(vec![
        refused(),
        nonce(),
        http("403 Forbidden", r#"{"errcode":"M_UNKNOWN","error":"HMAC incorrect"}"#),
        nonce(),
        http("200 OK", r#"{"user_id":"@bot.plain:example.test"}"#),
        http("200 OK", r#"{"user_id":"@bot.plain:example.test","access_token":"t","device_id":"REGISTERBOT"}"#),
        http("404 Not Found", r#"{"errcode":"M_NOT_FOUND","error":"Event not found."}"#),
        http("200 OK", r#"{"event_id":"$x"}"#),
    ]);
    let folder = Folder::new();
    let tables = "[room]\nid = \"!x:example.test\"\nbot_localpart = \"bot.plain\"\n";
    let site = Site::new(config(&folder.0, &url, "registration_shared_secret = \"s\"", tables), || 0);
    bot::say(&site, &MESSAGE, "reg-1").unwrap();
    let asked = asked.lock().unwrap();
    assert!(asked[2].contains("\"user_type\":\"bot\"") && !asked[4].contains("user_type"), "{asked:?}");
}

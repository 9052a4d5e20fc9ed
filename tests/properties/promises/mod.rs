//! The promises of each parser, for any input. A broken promise is a panic.
//!
//! The property tests in the parent folder call these functions with generated inputs, the fuzz targets in `fuzz/` with inputs
//! that libFuzzer found.
#![allow(dead_code)] // no fuzz target uses everything

pub mod mails;
pub mod peers;
pub mod php;

use matrix_register_bot::domain::address::{self, Address};
use matrix_register_bot::domain::characters;
use matrix_register_bot::domain::config::{CONFIG_VARIABLE, Config, Form, Language, ServerName};
use matrix_register_bot::domain::directory;
use matrix_register_bot::domain::error::Error;
use matrix_register_bot::domain::names::{self, Localpart, PersonName};
use matrix_register_bot::domain::password;
use matrix_register_bot::domain::token::{self, Secret};
use matrix_register_bot::faces::api;
use matrix_register_bot::faces::gateway::{self, BodyLimit, Fail};
use matrix_register_bot::faces::pages;
use matrix_register_bot::outside::cgi::{Request, Response};
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::state_file::StateFile;
use matrix_register_bot::outside::store::{Access, NewLogin};
use matrix_register_bot::outside::text::{self, Texts};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A time in the year 2027: the clock of all promises.
const NOW: i64 = 1_800_000_000;

/// A separate folder, removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        let folder = std::env::temp_dir().join(format!("promises-{}", token::new_seed()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        Scratch(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A site with the two accounts of the example requests; it talks to nobody.
pub struct World {
    pub site: Site,
    scratch: Scratch,
}

const SETTINGS: &str = r#"
server_name = "example.org"
homeserver_url = "http://127.0.0.1:9"
public_url = "https://register.example.org/"
operation_mode = "local"
[room]
id = "!room"
[mail]
from = "a@example.org"
transport = "file"
[password_change]
foreign_accounts = "refuse"
# The same visitor comes again and again, and at the same second.
[limits]
unconfirmed_per_address = 100
requests_per_network_per_day = 0
requests_per_address_per_day = 0
requests_per_day = 0
open_requests = 0
mails_per_address_per_day = 0
confirm_mails_per_day = 0
form_minimum_seconds = 0
"#;

impl World {
    pub fn new() -> World {
        let scratch = Scratch::new();
        std::fs::write(scratch.0.join("config.toml"), SETTINGS).expect("the folder is ours");
        let config = Config::parse(SETTINGS, scratch.0.clone()).expect("the settings are right");
        let world = World { site: Site::new(config, || NOW), scratch };
        world.add("john", ("John", "Dœ"), "John.Doe@Example.org");
        world.add("jane", ("Jane", ""), "jane@example.org");
        world
    }

    pub fn config_path(&self) -> PathBuf {
        self.scratch.0.join("config.toml")
    }

    fn add(&self, localpart: &str, (first, last): (&str, &str), email: &str) {
        let login = NewLogin {
            localpart: localpart.into(),
            first_name: first.into(),
            last_name: last.into(),
            password_hash: password::hash("secret").expect("a hash"),
            email: email.into(),
            email_folded: Address::parse(email).expect("an address").folded(),
            created_at: 1,
            initial_password_until: None,
        };
        self.site.store(Access::Write).expect("a database").import_login(&login).expect("a new account");
    }

    /// Sends a body to one of [`PROGRAMS`]: the answer must have the expected form, or be a refusal with a status below 500.
    pub fn json_body(&self, program: &Internal, body: &[u8]) {
        match (program.respond)(&self.site, &post("application/json", body)) {
            Ok(response) => check_answer(program, &response),
            Err(error) => {
                assert!(program.may_refuse, "{} must always answer 200 and said {error}", program.name);
                assert!(error.status < 500, "{} said {error}", program.name);
            }
        }
    }

    /// The homeserver sends a body to `room_events`: it is taken, and from anybody else it is not.
    pub fn pushed(&self, body: &[u8]) {
        let token = self.site.state.make_service().expect("the folder is ours").hs_token;
        for (authorization, status) in [(format!("Bearer {token}"), 200), ("Bearer x".to_owned(), 403)] {
            let variables = [
                ("REQUEST_METHOD", "PUT"),
                ("REQUEST_URI", "/internal/room_events/_matrix/app/v1/transactions/1"),
                ("REMOTE_ADDR", "127.0.0.1"),
                ("HTTP_AUTHORIZATION", &authorization),
            ];
            let request = Request::new(variables.map(|(name, value)| (name.into(), value.into())).into(), body.to_vec());
            let answer = api::room_events::hear(&self.site, &request);
            let answer = answer.unwrap_or_else(|error| api::room_events::fail(Some(&self.site), Some(&request), &error));
            assert_eq!((answer.status, answer.body() == b"{}"), (status, status == 200));
        }
        let pushed = api::room_events::pushed(body, "@bot:example.org");
        assert!(pushed.reactions.len() + pushed.answers.len() <= 1_000);
    }

    /// Sends a body to a page, as a form. `form_token=@` stands for a valid token, which nobody can guess.
    pub fn form_body(&self, page: &Page, body: &[u8]) {
        let body = &self.with_form_token(page, body);
        let outcome = (page.submit)(&self.site, &post("application/x-www-form-urlencoded", body));
        check_page(page.name, outcome);
    }

    fn with_form_token(&self, page: &Page, body: &[u8]) -> Vec<u8> {
        const STANDS_FOR_ONE: &[u8] = b"form_token=@";
        let Some(place) = body.windows(STANDS_FOR_ONE.len()).position(|part| part == STANDS_FOR_ONE) else { return body.to_vec() };
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
        let link = fields.iter().find(|(name, _)| name == "t").map_or("", |(_, link)| link);
        let token = token::form_token(&self.site.state.secret().expect("a secret"), page.name, link, NOW);
        let (before, after) = (&body[..place + STANDS_FOR_ONE.len() - 1], &body[place + STANDS_FOR_ONE.len()..]);
        [before, token.as_bytes(), after].concat()
    }

    /// Requests a page with this query string.
    pub fn query_string(&self, page: &Page, query: &str) {
        let variables = [("REQUEST_METHOD", "GET"), ("REMOTE_ADDR", "192.0.2.1"), ("QUERY_STRING", query)];
        let outcome = (page.show)(&self.site, &request(&variables, b""));
        check_page(page.name, outcome);
    }
}

impl World {
    /// A whole plain CGI request: whatever the web server sends, the answer must be complete and not a server error.
    pub fn gateway(&self, page: &Page, variables: &[(Vec<u8>, Vec<u8>)], body: &[u8]) {
        let sent = variables.iter().map(|(name, value)| (OsString::from_vec(name.clone()), OsString::from_vec(value.clone())));
        let ours = [(CONFIG_VARIABLE.into(), self.config_path().into_os_string())];
        let functions: (BodyLimit, Fail, Respond) = (|_, _| Ok(1024), |_, _, error| Response::bare(error), page.show);
        let answer = gateway::answer(page.name, functions, sent.chain(ours), &mut &body[..]);
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = std::str::from_utf8(&answer[..head]).expect("the head is text");
        let status = head.strip_prefix("Status: ").and_then(|rest| rest.get(..3)).and_then(|digits| digits.parse::<u16>().ok());
        assert!(status.is_some_and(|status| (200..500).contains(&status)), "{head}");
        assert!(head.split("\r\n").all(|line| line.contains(": ") && !line.contains(['\r', '\n'])), "{head}");
    }
}

type Respond = fn(&Site, &Request) -> Result<Response, Error>;

/// One of the internal programs.
pub struct Internal {
    pub name: &'static str,
    respond: Respond,
    /// The programs for identity servers answer 200 to everything.
    may_refuse: bool,
    is_shaped: fn(&Map<String, Value>) -> bool,
}

pub const PROGRAMS: [Internal; 6] = [
    Internal { name: "login", respond: api::login::check, may_refuse: false, is_shaped: is_login },
    Internal { name: "directory_search", respond: api::directory_search::search, may_refuse: false, is_shaped: is_directory },
    Internal { name: "identity_single", respond: api::identity_single::look_up, may_refuse: false, is_shaped: is_single },
    Internal { name: "identity_bulk", respond: api::identity_bulk::look_up, may_refuse: false, is_shaped: is_bulk },
    Internal { name: "profile", respond: api::profile::show, may_refuse: false, is_shaped: is_profile },
    Internal {
        name: "intercept_change_password",
        respond: api::intercept_change_password::change,
        may_refuse: true,
        is_shaped: is_password_change,
    },
];

/// One of the pages.
pub struct Page {
    pub name: &'static str,
    show: Respond,
    submit: Respond,
}

pub const PAGES: [Page; 5] = [
    Page { name: "register", show: pages::register::show, submit: pages::register::submit },
    Page { name: "verify", show: pages::verify::show, submit: pages::verify::submit },
    Page { name: "verify_admin", show: pages::verify_admin::show, submit: pages::verify_admin::decide },
    Page { name: "reset_password", show: pages::reset_password::show, submit: pages::reset_password::submit },
    Page { name: "welcome", show: pages::welcome::show, submit: pages::welcome::submit },
];

pub fn post(content_type: &str, body: &[u8]) -> Request {
    request(&[("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("CONTENT_TYPE", content_type)], body)
}

pub fn request(variables: &[(&str, &str)], body: &[u8]) -> Request {
    Request::new(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(), body.to_vec())
}

fn check_page(name: &str, outcome: Result<Response, Error>) {
    match outcome {
        Ok(response) => {
            assert!(response.status < 500, "{name}: {}", response.status);
            let html = std::str::from_utf8(response.body()).expect("a page is UTF-8");
            assert!(html.trim_end().ends_with("</html>"), "{name}: half a page: {html}");
        }
        Err(error) => assert!(error.status < 500, "{name} said {error}"),
    }
}

fn check_answer(program: &Internal, response: &Response) {
    let shown = String::from_utf8_lossy(response.body());
    let name = program.name;
    assert!(response.status < 500 && (program.may_refuse || response.status == 200), "{name}: {} {shown}", response.status);
    let answer: Value = serde_json::from_slice(response.body()).expect("an answer is JSON");
    assert!(!has_null(&answer), "{name} answered null: {shown}");
    let shaped = answer.as_object().is_some_and(program.is_shaped);
    assert!(shaped, "{name} answered what no caller reads: {shown}");
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

/// A yes says for whom; a no says nothing else.
fn is_login(answer: &Map<String, Value>) -> bool {
    let Some(auth) = only(answer, "auth").and_then(Value::as_object) else { return false };
    match auth.get("success") {
        Some(Value::Bool(true)) => {
            let profile = auth.get("profile").and_then(Value::as_object);
            has(auth, &["success", "id", "mxid", "profile"], &[])
                && is_user_id(&auth["id"])
                && is_text(&auth["mxid"])
                && profile.is_some_and(|profile| {
                    has(profile, &["three_pids"], &["display_name"])
                        && profile.get("display_name").is_none_or(is_text)
                        && is_three_pids(&profile["three_pids"])
                })
        }
        Some(Value::Bool(false)) => auth.len() == 1,
        _ => false,
    }
}

/// `results`, each with a bare localpart; at most ten.
fn is_directory(answer: &Map<String, Value>) -> bool {
    let is_user = |user: &Value| {
        user.as_object().is_some_and(|user| {
            has(user, &["user_id"], &["display_name"]) && is_bare(&user["user_id"]) && user.get("display_name").is_none_or(is_text)
        })
    };
    has(answer, &["limited", "results"], &[])
        && answer["limited"].is_boolean()
        && answer["results"].as_array().is_some_and(|users| users.len() <= 10 && users.iter().all(is_user))
}

/// An object without `lookup` means "no".
fn is_single(answer: &Map<String, Value>) -> bool {
    answer.is_empty() || only(answer, "lookup").is_some_and(is_mapping)
}

/// Only the hits.
fn is_bulk(answer: &Map<String, Value>) -> bool {
    only(answer, "lookup").and_then(Value::as_array).is_some_and(|hits| hits.iter().all(is_mapping))
}

/// Unknown values are left out.
fn is_profile(answer: &Map<String, Value>) -> bool {
    only(answer, "profile").and_then(Value::as_object).is_some_and(|profile| {
        has(profile, &[], &["display_name", "threepids", "roles"])
            && profile.get("display_name").is_none_or(is_text)
            && profile.get("threepids").is_none_or(is_three_pids)
            && profile.get("roles").is_none_or(|roles| roles.as_array().is_some_and(|roles| roles.iter().all(is_text)))
    })
}

/// Done, the next step, or a Matrix error.
fn is_password_change(answer: &Map<String, Value>) -> bool {
    answer.is_empty()
        || has(answer, &["session", "flows", "params"], &["completed", "errcode", "error"])
        || has(answer, &["errcode", "error"], &["soft_logout"])
}

/// Whether an object has all of `always` and otherwise only members of `perhaps`.
fn has(object: &Map<String, Value>, always: &[&str], perhaps: &[&str]) -> bool {
    always.iter().all(|name| object.contains_key(*name))
        && object.keys().all(|name| always.contains(&name.as_str()) || perhaps.contains(&name.as_str()))
}

fn only<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|_| object.len() == 1)
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// A localpart without `@` and server name; callers add both.
fn is_bare(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty() && !text.contains(['@', ':']))
}

fn is_user_id(value: &Value) -> bool {
    value.as_object().is_some_and(|id| has(id, &["type", "value"], &[]) && id["type"] == "localpart" && is_bare(&id["value"]))
}

fn is_mapping(value: &Value) -> bool {
    value.as_object().is_some_and(|mapping| {
        has(mapping, &["medium", "address", "id"], &[])
            && mapping["medium"] == "email"
            && is_text(&mapping["address"])
            && is_user_id(&mapping["id"])
    })
}

fn is_three_pids(value: &Value) -> bool {
    let is_three_pid = |value: &Value| {
        value.as_object().is_some_and(|id| has(id, &["medium", "address"], &[]) && is_text(&id["medium"]) && is_text(&id["address"]))
    };
    value.as_array().is_some_and(|list| list.iter().all(is_three_pid))
}

/// A form or a query string: pairs, or a client error. Writing the result and reading it again gives the same.
pub fn form_and_query(encoded: &[u8]) {
    let form: Result<Vec<(String, String)>, Error> = post("application/x-www-form-urlencoded; charset=utf-8", encoded).form();
    match form {
        Ok(pairs) => {
            let written = serde_urlencoded::to_string(&pairs).expect("pairs can be written");
            let again: Vec<(String, String)> = post("application/x-www-form-urlencoded", written.as_bytes()).form().expect("our own form");
            assert_eq!(again, pairs);
        }
        Err(error) => assert_eq!(error.status, 400),
    }
    if let Ok(query) = std::str::from_utf8(encoded) {
        let query: Result<HashMap<String, String>, Error> = request(&[("QUERY_STRING", query)], b"").query();
        assert!(query.err().is_none_or(|error| error.status == 400));
    }
}

/// Any content type: a form, or 415.
pub fn content_type(content_type: &str) {
    let form: Result<HashMap<String, String>, Error> = post(content_type, b"a=b").form();
    assert!(form.err().is_none_or(|error| error.status == 415));
}

/// An accepted username is valid in Synapse and does not change when parsed again.
pub fn localpart(typed: &str) {
    let (rules, server) = (Form::default(), ServerName("example.org".into()));
    let Ok(chosen) = Localpart::choose(typed, &rules, &server) else { return };
    let name = chosen.as_str();
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte)), "{name:?}");
    assert!(!name.starts_with('_') && !name.bytes().all(|byte| byte.is_ascii_digit()), "{name:?}");
    assert!((3..=64).contains(&name.len()), "{name:?}");
    assert!(chosen.mxid(&server).len() <= 255);
    assert_eq!(Localpart::choose(name, &rules, &server).as_ref(), Ok(&chosen));
}

/// An accepted name or note does not change when parsed again, is within its limit and hides nothing.
pub fn person_name_and_note(typed: &str) {
    if let Ok(name) = PersonName::parse_optional(typed) {
        let text = name.as_str();
        assert_eq!(PersonName::parse_optional(text).as_ref(), Ok(&name));
        assert!(text.chars().count() <= names::NAME_MAX_CHARACTERS);
        assert!(!text.contains(['<', '>', '"', '@', ':', '/', '\\', '\n', '\u{202e}', '\u{fffd}']), "{text:?}");
        assert_eq!(text::one_line(text), text, "a name is one line");
        assert_eq!(PersonName::parse(typed).is_ok(), !text.is_empty());
    }
    if let Some(note) = names::note(typed) {
        assert_eq!(names::note(&note).as_deref(), Some(note.as_str()));
        assert!(note.chars().count() <= names::NOTE_MAX_CHARACTERS);
        assert!(!note.contains(['\r', '\0', '\u{202e}', '\u{2028}']), "{note:?}");
    }
}

/// An accepted address can be used unchanged in an SMTP command and a header, and all its forms name the same mailbox.
pub fn address(typed: &str) {
    let Ok(address) = Address::parse(typed) else { return };
    let sending = address.for_sending();
    assert!(
        sending.len() <= 254 && sending.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&byte)),
        "{sending:?}"
    );
    assert_eq!(sending.matches('@').count(), 1);
    assert!(!address.as_typed().contains(['\r', '\n']));
    for form in [sending, address.as_typed(), &address.folded()] {
        let again = Address::parse(form).unwrap_or_else(|fault| panic!("{form:?} of {typed:?} is refused: {fault:?}"));
        assert_eq!(again.folded(), address.folded());
    }
}

/// A text that identifies somebody hides nothing; a text for display hides nothing either, and does not change when cleaned
/// again.
pub fn characters(typed: &str) {
    let hides =
        |text: &str| text.contains(['\0', '\u{ad}', '\u{200b}', '\u{200f}', '\u{202e}', '\u{2067}', '\u{3164}', '\u{2800}', '\u{feff}']);
    if let Ok(plain) = characters::plain(typed) {
        assert_eq!(characters::plain(&plain).as_deref(), Ok(&*plain), "{typed:?}");
        assert!(!hides(&plain) && plain.trim() == plain, "{plain:?}");
        assert_eq!(characters::one_line(&plain), plain.split_whitespace().collect::<Vec<_>>().join(" "), "{typed:?}");
    }
    let lines = characters::lines(typed);
    assert_eq!(characters::lines(&lines.join("\n")), lines, "{typed:?}");
    assert!(!lines.iter().any(|line| hides(line)) && !lines.windows(2).any(|two| two == ["", ""]), "{lines:?}");
    assert!(text::lines(typed).len() <= 20);
}

/// All spellings of an address fold to the same text, and beginnings fold to beginnings.
pub fn folded_address(typed: &str) {
    let (whole, beginning) = (address::folded(typed), address::folded_beginning(typed));
    assert_eq!((address::folded(&whole), address::folded_beginning(&beginning)), (whole.clone(), beginning.clone()), "{typed:?}");
    if let Ok(address) = Address::parse(typed) {
        for form in [address.as_typed(), address.for_sending(), &address.folded()] {
            assert_eq!((address::folded(form), address::folded_beginning(form)), (whole.clone(), beginning.clone()), "{form:?}");
        }
        assert_eq!(address::cleaned(typed), address.as_typed());
    }
}

/// Folding twice gives the same as once.
pub fn fold(typed: &str) {
    let folded = directory::fold(typed);
    assert_eq!(directory::fold(&folded), folded, "{typed:?}");
    assert!(folded.trim() == folded && !folded.contains("  "), "{folded:?}");
}

/// An account has few terms, none of them long or repeated, and the beginnings of its names find it.
pub fn terms(first_name: &str, last_name: &str) {
    use directory::TermKind;
    let terms = directory::terms("max", first_name, last_name, "max@example.org");
    assert_eq!(terms.iter().map(|(kind, term)| (kind.number(), term)).collect::<BTreeSet<_>>().len(), terms.len());
    for kind in [TermKind::Localpart, TermKind::NameStart, TermKind::NameWord, TermKind::Address] {
        let of_kind = terms.iter().filter(|(known, _)| *known == kind).count();
        assert!(of_kind <= kind.most_of_an_account(), "{of_kind} of {kind:?} for {first_name:?} {last_name:?}");
    }
    for (_, term) in &terms {
        assert!(!term.is_empty() && term.chars().count() <= directory::TERM_MAX_CHARACTERS, "{term:?}");
    }
    for name in [first_name, last_name] {
        let start: String = directory::fold(name).chars().take(20).collect();
        assert!(start.is_empty() || terms.iter().any(|(_, term)| term.starts_with(&start)), "{name:?} is not found in {terms:?}");
    }
}

/// A forged form token is always refused; a valid one is accepted only for its own form.
pub fn form_token(text: &str, now: i64, max_age: i64) {
    let secret = Secret::new([7; 32]);
    assert!(token::check_form_token(&secret, "register", "", text, now, max_age).is_err());
    let made = token::form_token(&secret, "register", text, now);
    assert_eq!(token::check_form_token(&secret, "register", text, &made, now, 0), Ok(now));
    assert!(token::check_form_token(&secret, "register", &format!("{text}x"), &made, now, 0).is_err());
    assert!(token::check_form_token(&secret, "verify", text, &made, now, 0).is_err());
}

/// A configuration is accepted, or refused with a message that says where.
pub fn config(content: &str) {
    if let Err(cause) = Config::parse(content, PathBuf::from("/srv/bot")) {
        let sentence = cause.to_string();
        assert!(sentence.contains("line ") || sentence.contains("missing field") || sentence.contains("(not set)"), "{sentence}");
    }
}

/// A state file gives a secret, always the same one; or it is refused with its path, and not changed.
pub fn state_file(scratch: &Scratch, content: &[u8]) {
    let path = scratch.0.join("config.json");
    std::fs::write(&path, content).expect("the folder is ours");
    let file = StateFile::inside(&scratch.0);
    match file.secret() {
        Ok(secret) => {
            assert_eq!(file.secret().expect("it was there").derive("x", &[]), secret.derive("x", &[]));
            assert!(file.complete().expect("it can be completed").register_password.is_some());
            let whole: Value = serde_json::from_slice(&std::fs::read(&path).expect("it is there")).expect("it is JSON");
            assert!(whole["secret_key"].is_string(), "{whole}");
        }
        Err(cause) => {
            assert!(cause.to_string().contains("config.json"), "{cause}");
            assert_eq!(std::fs::read(&path).expect("it is still there"), content);
        }
    }
}

/// The operator's own texts are accepted, or refused by name; nothing in them is executed.
pub fn locale_file(scratch: &Scratch, content: &[u8]) {
    let folder = scratch.0.join("locales");
    std::fs::create_dir_all(&folder).expect("the folder is ours");
    std::fs::write(folder.join("de.toml"), content).expect("the folder is ours");
    let mut config = Config::parse(SETTINGS, scratch.0.clone()).expect("the settings are right");
    config.pages.templates = Some(scratch.0.clone());
    match Texts::load(Some(&config), Language::German) {
        Ok(texts) => assert!(!texts.say_named("register.button", &[("a", "{b}")]).is_empty() && texts.get("date.format").is_some()),
        Err(error) => assert!(error.cause.contains("de.toml"), "{error}"),
    }
}

/// One of our languages, whatever a browser asks for.
pub fn languages(query: &str, header: &str) {
    for default in Language::ALL {
        let chosen = text::choose_language(Some(query), Some(header), default);
        assert!(Language::ALL.contains(&chosen));
        assert_eq!(text::choose_language(Some(chosen.tag()), Some(header), default), chosen, "the query decides");
    }
    assert!(Language::from_tag(query).is_none_or(|language| query.len() >= 2 && query.to_lowercase().starts_with(language.tag())));
}

/// A visitor's text stays within its line and its quotation.
pub fn visible_text(typed: &str) {
    let line = text::one_line(typed);
    assert!(!line.contains(|c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)), "{line:?}");
    assert_eq!(text::one_line(&line), line);
    assert!(text::quoted(typed).split(['\n', '\r', '\u{85}', '\u{2028}']).all(|line| line.starts_with('>')), "{typed:?}");
    assert_eq!(text::fill("{a}", &[("a", typed)]), typed);
    assert_eq!(text::fill(typed, &[]), typed);
    assert!(text::without_gaps(typed).ends_with('\n'));
}

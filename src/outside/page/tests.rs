//! What pages, mails and room messages guarantee, whatever a visitor types.

use super::built_in::BUILT_IN;
use super::*;
use crate::domain::decision::{Outcome, Way};
use crate::outside::text::Texts;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const EVIL: &str = "<script>alert(\"1\")</script>'{{ server_name }}{% raw %}&amp;{name}";

fn config(extra: &str) -> Config {
    let sample =
        include_str!("../../../config.sample.toml").replace("# howto_url", "howto_url").replace("[pages]", &format!("[pages]\n{extra}"));
    Config::parse(&sample, PathBuf::new()).unwrap()
}

fn secret() -> Secret {
    Secret::new([7; 32])
}

/// Every page with as few values as it may get.
fn minimal() -> Vec<(PageName, Value)> {
    let form = json!({"values": {}, "errors": {}, "notices": {}, "terms_url": null,
        "username_min_length": 3, "username_max_length": 64, "form_token": "f"});
    let sent =
        json!({"email": "e@example.net", "number": "#1042", "mxid": "@u:example.org", "expires": 0, "token": "t", "form_token": "f"});
    let registered = json!({"email": "e@example.net", "typed": "e@example.net", "number": "#1042", "mxid": "@u:example.org", "expires": 0, "token": "t",
        "form_token": "f", "round": 0, "errors": {}});
    let new_password = json!({"number": "#1042", "mxid": "@u:example.org", "token": "t", "form_token": "f", "password_min_length": 10, "can_log_out": false,
        "log_out": false, "errors": {}});
    vec![
        (PageName::Register, form),
        (PageName::Registered, registered),
        (PageName::Verify, sent.clone()),
        (
            PageName::Verified,
            json!({"email": "e@example.net", "number": "#1042", "mxid": "@u:example.org", "asked_at": 0, "token": "t", "form_token": "f", "questions": []}),
        ),
        (PageName::Standing, json!({"number": "#1042", "kind": "withdrawn"})),
        (PageName::Decide, request("n", "")),
        (PageName::Decided, json!({"outcome": "approved", "number": "#1042", "mxid": "@u:example.org", "email": "e@example.net"})),
        (PageName::Message, json!({"kind": "link_unknown"})),
        (PageName::ResetPassword, json!({"form_token": "f", "errors": {}})),
        (PageName::NewPassword, new_password),
    ]
}

/// Every page with all values it may get, each of them hostile.
fn maximal(evil: &str) -> Vec<(PageName, Value)> {
    let fields = ["first_name", "last_name", "username", "email", "note", "terms", "form"];
    let values: Value = fields.iter().map(|field| (field.to_string(), json!(evil))).collect::<serde_json::Map<_, _>>().into();
    let form = json!({"values": values, "errors": values, "notices": {"username": evil}, "terms_url": evil,
        "username_min_length": 3, "username_max_length": 64, "form_token": evil, "shows_hidden_field": true});
    let sent = json!({"email": evil, "number": evil, "mxid": evil, "expires": 0, "token": evil, "form_token": evil, "already": true,
        "wants_password": true, "password_min_length": 10, "asks_for_name": true, "typed_name": evil, "username_min_length": 3,
        "username_max_length": 64, "errors": {"username": evil, "password": evil, "password_again": evil}});
    let questions = json!([
        {"id": 1, "question": evil, "asked_at": 0, "asked_by": evil, "answer": evil, "answered_at": 0},
        {"id": 2, "question": evil, "asked_at": 0, "asked_by": null, "answer": null, "answered_at": null, "typed": evil, "error": evil},
    ]);
    let mut waiting = sent.clone();
    waiting["asked_at"] = json!(0);
    waiting["usual_days"] = json!(2);
    waiting["questions"] = questions.clone();
    waiting["has_errors"] = json!(true);
    let mut standing = sent.clone();
    standing["kind"] = json!("choosing");
    standing["decided_at"] = json!(0);
    standing["reason"] = json!(evil);
    standing["username"] = json!(evil);
    standing["choose_link"] = json!(evil);
    standing["withdraws"] = json!(true);
    standing["back"] = json!(true);
    let registered = json!({"email": evil, "typed": evil, "number": evil, "mxid": evil, "expires": 0, "token": evil, "form_token": evil, "round": 1,
        "errors": {"email": evil, "form": evil}, "notice": evil, "is_delayed": true});
    let new_password = json!({"number": evil, "mxid": evil, "token": evil, "form_token": evil, "password_min_length": 10, "can_log_out": true,
        "log_out": true, "errors": {"password": evil, "password_again": evil}});
    let mut decide = request(evil, evil);
    decide["preset"] = json!("decline");
    decide["filled_hidden_field"] = json!(true);
    decide["questions"] = questions;
    decide["reason"] = json!(evil);
    decide["reason_error"] = json!("form.error.reason_too_long");
    decide["same_address"] = json!([{"number": evil, "mxid": evil, "state": "done", "asked_at": 0}]);
    vec![
        (PageName::Register, form),
        (PageName::Registered, registered),
        (PageName::Verify, sent.clone()),
        (PageName::Verified, waiting),
        (PageName::Standing, standing),
        (PageName::Decide, decide),
        (PageName::Decided, json!({"outcome": "refused", "number": evil, "mxid": evil, "email": evil, "already": true})),
        (PageName::Message, json!({"kind": "link_expired", "number": evil, "mxid": evil, "back": true})),
        (PageName::ResetPassword, json!({"account": evil, "form_token": evil, "errors": {"account": evil, "form": evil}})),
        (PageName::NewPassword, new_password),
    ]
}

fn request(name: &str, note: &str) -> Value {
    json!({"full_name": name, "username": "u", "number": "#1042", "mxid": "@u:example.org", "email": "e@example.net", "note": note, "asked_at": 0,
        "language": "de", "token": "t", "form_token": "f", "questions": [], "link": "https://register.example.org/verify_admin?t=1",
        "standing": {"is_open": true, "is_gone": false, "heading": "room.request.heading", "progress": null, "by": null, "reason": null, "asked": []}})
}

/// The same after a decision of somebody whose name and reason are `evil`.
fn declined(evil: &str) -> Value {
    let mut whole = request(evil, evil);
    whole["standing"] = json!({"is_open": false, "is_gone": false, "heading": "room.standing.declined", "progress": "room.progress.declined",
        "by": {"way": "word", "number": evil, "mxid": evil, "at": 0}, "reason": evil, "asked": [{"question": evil, "asked_at": 0}]});
    whole
}

fn mails(evil: &str) -> Vec<(MailName, Value)> {
    vec![
        (MailName::Verify, json!({"link": "https://example.org/?t=1&x=2", "hours": 48, "expires": 0})),
        (
            MailName::Credentials,
            json!({"number": evil, "mxid": evil, "username": evil, "name": evil, "password": evil, "password_until": 0}),
        ),
        (MailName::Credentials, json!({"number": evil, "mxid": evil, "username": evil})),
        (MailName::Declined, json!({"number": evil, "mxid": evil, "name": evil, "reason": evil})),
        (MailName::Declined, json!({"number": evil, "mxid": evil})),
        (MailName::Refused, json!({"number": evil, "mxid": evil, "name": evil})),
        (MailName::Undecided, json!({"number": evil, "mxid": evil, "name": evil})),
        (MailName::PasswordEnds, json!({"number": evil, "mxid": evil, "name": evil, "until": 0, "is_over": false})),
        (MailName::PasswordEnds, json!({"number": evil, "mxid": evil, "until": 0, "is_over": true})),
        (
            MailName::ResetPassword,
            json!({"accounts": [{"number": evil, "mxid": evil, "link": "https://example.org/?t=1"}], "hours": 1, "expires": 0}),
        ),
        (MailName::Question, json!({"number": evil, "mxid": evil, "name": evil, "question": evil, "link": evil})),
    ]
}

fn head(response: &Response) -> String {
    String::from_utf8(response.clone().into_bytes(true)).unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn assert_harmless(html: &str, place: &str) {
    assert!(!html.contains("<script") && !html.contains("alert(\""), "{place}: {html}");
    assert!(!html.contains("&amp;{name}") || html.contains("&amp;amp;{name}"), "{place}: {html}");
    assert!(html.contains("{{ server_name }}"), "{place} filled in a visitor's template: {html}");
}

#[test]
fn every_page_needs_no_more_than_its_documented_values() {
    for language in Language::ALL {
        for (name, context) in minimal() {
            let html = render(&config(""), language, name, &context).unwrap_or_else(|cause| panic!("{name:?}: {cause}"));
            assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{name:?}");
        }
    }
}

#[test]
fn every_label_hint_and_error_belongs_to_an_element_of_its_page() {
    for (name, context) in minimal().into_iter().chain(maximal("x")) {
        let html = render(&config(""), Language::English, name, &context).unwrap();
        let values = |attribute: &str| -> Vec<String> {
            let parts = html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
            parts.flat_map(|value| value.split_whitespace().map(str::to_owned)).collect()
        };
        let ids = values(" id=\"");
        assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1), "{name:?}: {ids:?}");
        for attribute in [" for=\"", " aria-describedby=\"", " aria-labelledby=\"", " href=\"#"] {
            for id in values(attribute) {
                assert!(ids.contains(&id), "{name:?}: {attribute}{id}");
            }
        }
    }
}

#[test]
fn enter_in_a_field_sends_the_form_and_does_not_check_the_username() {
    let html = render(&config(""), Language::English, PageName::Register, &minimal()[0].1).unwrap();
    let first = html.split_once("<button").unwrap().1.split_once('>').unwrap().0;
    assert!(first.contains("name=\"send\" value=\"1\""), "{first}");
}

#[test]
fn what_was_typed_is_kept() {
    let mut context = minimal()[0].1.clone();
    context["values"] = json!({"first_name": "Zoë", "note": "\nline", "username": "z", "email": "z@example.net", "terms": "1"});
    let html = render(&config(""), Language::English, PageName::Register, &context).unwrap();
    for kept in ["value=\"Zoë\"", "value=\"z\"", "value=\"z@example.net\"", ">\n\nline</textarea>"] {
        assert!(html.contains(kept), "{kept}: {html}");
    }
}

#[test]
fn nothing_a_visitor_types_becomes_html_in_a_page() {
    for (name, context) in maximal(EVIL) {
        let html = render(&config(""), Language::German, name, &context).unwrap_or_else(|cause| panic!("{name:?}: {cause}"));
        assert_harmless(&html, &format!("{name:?}"));
    }
}

#[test]
fn nothing_a_visitor_types_becomes_html_in_a_mail() {
    for (name, context) in mails(EVIL).into_iter().filter(|(name, _)| *name != MailName::Verify) {
        let mail = mail(&config(""), Language::English, name, &context).unwrap_or_else(|cause| panic!("{name:?}: {cause}"));
        assert_harmless(&mail.html, &format!("{name:?}"));
        assert!(mail.text.contains("<script>"), "{name:?}: plain text is not HTML: {}", mail.text);
    }
}

#[test]
fn every_text_that_a_template_names_is_there() {
    let texts = Texts::load(None, Language::English).unwrap();
    for (name, source) in BUILT_IN {
        for quoted in source.split('"').skip(1).step_by(1) {
            let sections =
                ["date.", "page.", "steps.", "register.", "registered.", "verify.", "verified.", "form.error.", "mail.", "room."];
            let key = sections.iter().any(|section| quoted.starts_with(section))
                && !quoted.ends_with('.')
                && !quoted.contains(char::is_whitespace);
            assert!(!key || texts.get(quoted).is_some(), "{name} says {quoted}");
        }
    }
}

#[test]
fn no_page_shows_the_key_of_a_text() {
    let sections =
        ["field", "register", "registered", "verify", "verified", "decide", "decided", "message", "steps", "state", "language", "error"];
    for (name, context) in minimal().into_iter().chain(maximal("plain")) {
        let html = render(&config(""), Language::English, name, &context).unwrap();
        for section in sections {
            assert!(!html.contains(&format!(">{section}.")), "{name:?} {section}");
        }
    }
}

#[test]
fn a_subject_is_one_line_whatever_the_name_is() {
    let context = json!({"mxid": "@a:b\r\nBcc: everybody@example.org\u{2028}\u{202e}x", "username": "a"});
    let subject = mail(&config(""), Language::English, MailName::Credentials, &context).unwrap().subject;
    assert!(!subject.contains(['\r', '\n', '\u{2028}', '\u{202e}']), "{subject:?}");
    let long = json!({"mxid": "x".repeat(1000), "username": "a"});
    assert!(mail(&config(""), Language::English, MailName::Credentials, &long).unwrap().subject.len() <= SUBJECT_LENGTH);
}

#[test]
fn a_stranger_cannot_write_to_others_through_the_verification_mail() {
    let context = json!({"number": "#1042", "mxid": "@u:example.org", "link": "https://example.org/", "hours": 1, "expires": 0,
        "name": "Buy now", "full_name": "Buy now", "first_name": "Buy now", "note": "Buy now"});
    let mail = mail(&config(""), Language::English, MailName::Verify, &context).unwrap();
    assert!(!format!("{} {} {}", mail.subject, mail.text, mail.html).contains("Buy now"));
}

#[test]
fn a_visitor_cannot_forge_a_line_of_the_bot_in_the_room() {
    let forged = "A\nView and decide: https://evil.example/\r\n\u{2028}B\u{202e}\n\n\n</blockquote><p>C";
    let message = room(&config(""), Language::English, RoomPost::Request, &request(forged, forged)).unwrap();
    let decide: Vec<&str> = message.text.lines().filter(|line| line.starts_with("View and")).collect();
    assert_eq!(decide, ["View and decide: https://register.example.org/verify_admin?t=1"], "{}", message.text);
    assert!(message.text.contains("\n> View and decide: https://evil.example/\n"), "{}", message.text);
    assert!(message.html.contains("<br>View and decide: https://evil.example/<br>"), "{}", message.html);
    assert_eq!(message.html.matches("</blockquote>").count(), 1, "{}", message.html);
    assert_eq!(message.html.matches("<a ").count(), 1, "{}", message.html);
    assert!(!message.text.contains('\u{202e}') && !message.html.contains('\u{202e}'));
    let edited = room(&config(""), Language::English, RoomPost::Request, &declined(forged)).unwrap();
    assert!(!edited.text.lines().any(|line| line.starts_with("View and")), "{}", edited.text);
    assert!(edited.text.lines().any(|line| line == "View the request: https://register.example.org/verify_admin?t=1"), "{}", edited.text);
    assert_eq!(edited.html.matches("</blockquote>").count(), 3, "{}", edited.html);
}

#[test]
fn a_note_of_line_breaks_leaves_the_link_of_the_room_message_in_sight() {
    let many: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    for note in [format!("a{}b", "\n".repeat(1998)), format!("a{}b", "\u{2028}\u{200b}\t ".repeat(400)), many.join("\n")] {
        let message = room(&config(""), Language::English, RoomPost::Request, &request("Max", &note)).unwrap();
        assert!(message.text.lines().count() < 30 && message.html.matches("<br>").count() < 25, "{}", message.text);
    }
}

#[test]
fn nothing_that_cannot_be_seen_reaches_the_room_or_a_mail() {
    let hidden = "\u{61c}\u{34f}\u{206a}\u{200f}\u{2067}\u{202e}\u{3164}\u{e0041}\u{feff}";
    let typed = format!("M{hidden}a\u{2800}x{}", "\u{300}\u{316}".repeat(50));
    let message = room(&config(""), Language::English, RoomPost::Request, &request(&typed, &typed)).unwrap();
    let declined = mail(
        &config(""),
        Language::English,
        MailName::Declined,
        &json!({"number": "#1042", "mxid": "@u:example.org", "name": typed, "reason": typed}),
    )
    .unwrap();
    for text in [message.text, message.html, declined.text, declined.html] {
        assert!(!text.contains(|c| hidden.contains(c) || c == '\u{2800}') && text.contains("Ma x"), "{text:?}");
        assert!(text.matches(['\u{300}', '\u{316}']).count() <= 8, "{text:?}");
    }
}

#[test]
fn a_room_message_has_only_tags_that_matrix_allows() {
    for name in [RoomPost::Request, RoomPost::Reminder] {
        for context in [request(EVIL, ""), request(EVIL, EVIL), declined(EVIL)] {
            let html = room(&config(""), Language::German, name, &context).unwrap().html;
            for tag in html.split('<').skip(1).map(|tag| tag.trim_start_matches('/').split(['>', ' ']).next().unwrap_or("")) {
                assert!(["p", "strong", "br", "ul", "li", "code", "blockquote", "a"].contains(&tag), "{name:?}: <{tag}>");
            }
        }
    }
}

#[test]
fn an_applicants_answer_stands_in_the_room_as_it_was_typed_and_nothing_else() {
    for language in Language::ALL {
        let context = json!({"full_name": EVIL, "number": EVIL, "mxid": EVIL, "question": EVIL, "answer": format!("{EVIL}\nsecond line")});
        let said = room(&config(""), language, RoomPost::OfApplicant, &context).unwrap();
        for tag in said.html.split('<').skip(1).map(|tag| tag.trim_start_matches('/').split(['>', ' ']).next().unwrap_or("")) {
            assert!(["p", "strong", "blockquote", "br"].contains(&tag), "<{tag}> in {}", said.html);
        }
        assert!(said.text.contains("> second line") && !said.text.contains("room.of_applicant"), "{}", said.text);
    }
}

/// Matrix ids and reasons of a decision may be those of another server, and names are what a stranger typed.
#[test]
fn an_answer_in_the_room_has_nothing_raw_and_a_text_for_each_kind() {
    let kinds = [
        "decided",
        "not_declined",
        "name_taken",
        "not_undecided",
        "asked_enough",
        "unknown",
        "too_much",
        "nothing_asked",
        "too_long",
        "no_such_reason",
        "who",
        "list",
        "list_none",
        "other_request",
        "help",
        "encrypted",
    ];
    let outcomes = Outcome::ALL.iter().flat_map(|outcome| Way::ALL.map(|way| (outcome.name(), way.name())));
    let entry = |mxid: &str| {
        outcomes
            .clone()
            .map(|(outcome, way)| json!({"outcome": outcome, "way": way, "mxid": mxid, "at": 0, "reason": EVIL}))
            .collect::<Vec<_>>()
    };
    for language in Language::ALL {
        for (kind, mxid) in kinds.iter().flat_map(|kind| [(kind, ""), (kind, EVIL)]) {
            let answer = json!({"kind": kind, "number": EVIL, "history": entry(mxid), "reasons": [EVIL],
                "requests": [{"full_name": EVIL, "number": EVIL, "mxid": EVIL, "asked_at": 0}]});
            let said = room(&config(""), language, RoomPost::Answer, &answer).unwrap();
            for tag in said.html.split('<').skip(1).map(|tag| tag.trim_start_matches('/').split(['>', ' ']).next().unwrap_or("")) {
                assert!(["p", "strong", "ul", "ol", "li", "code", "blockquote", "br"].contains(&tag), "{kind}: <{tag}> in {}", said.html);
            }
            for unknown in ["room.answer.", "room.history.", "room.who."] {
                assert!(!said.text.contains(unknown), "{kind}: {}", said.text);
            }
        }
    }
}

#[test]
fn the_policy_allows_exactly_the_style_sheet_of_the_page() {
    let response = respond((&config(""), &Compiled::default()), Language::English, 200, PageName::Register, &minimal()[0].1).unwrap();
    let html = String::from_utf8(response.body().to_vec()).unwrap();
    let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = BASE64.encode(&Sha256::digest(style.as_bytes()));
    let head = head(&response);
    assert!(header(&head, "Content-Security-Policy").unwrap().contains(&format!("style-src 'sha256-{hash}';")), "{head}");
    assert!(!html.contains(" style=") && !html.contains("<script") && !style.contains("url(") && !style.contains("@import"));
}

#[test]
fn every_page_has_an_icon_that_its_policy_allows_so_that_nobody_asks_for_another() {
    let mut pages: Vec<Response> = minimal()
        .into_iter()
        .map(|(name, context)| respond((&config(""), &Compiled::default()), Language::English, 200, name, &context).unwrap())
        .collect();
    pages.push(error(None, Language::English, &Error::bad_request("")));
    for page in pages {
        let head = head(&page);
        assert!(header(&head, "Content-Security-Policy").unwrap().contains("img-src 'self' data:;"), "{head}");
        let html = String::from_utf8(page.body().to_vec()).unwrap();
        assert!(html.contains("<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg "), "{html}");
    }
}

#[test]
fn only_the_form_may_be_found_by_search_engines() {
    for (name, context) in minimal() {
        let head = head(&respond((&config(""), &Compiled::default()), Language::English, 200, name, &context).unwrap());
        assert_eq!(header(&head, "X-Robots-Tag").is_none(), name == PageName::Register, "{name:?}");
        assert_eq!(header(&head, "Cache-Control"), Some("no-store, no-transform"));
    }
}

#[test]
fn an_error_page_comes_without_a_configuration_and_with_a_broken_template() {
    let folder = temporary("error", "page/error.html", "{% if");
    let broken = config(&format!("templates = {:?}", folder.0));
    let kept = Compiled::default();
    for site in [None, Some((&broken, &kept))] {
        let response = error(site, Language::German, &Error::method_not_allowed("GET, POST"));
        assert_eq!(response.status, 405);
        assert!(String::from_utf8_lossy(response.body()).contains("So lässt sich diese Seite nicht benutzen."));
    }
}

#[test]
fn an_error_page_keeps_the_cause_for_the_log() {
    let response = error(Some((&config(""), &Compiled::default())), Language::English, &Error::internal("password of the database"));
    assert!(!String::from_utf8_lossy(response.body()).contains("database"));
}

#[test]
fn who_is_turned_away_costs_no_compiling_of_templates() {
    let kept = Compiled::default();
    error(Some((&config(""), &kept)), Language::English, &Error::unavailable(""));
    assert!(kept.pages().compiled.contains_key(&(Language::English, PageName::Error)));
}

#[test]
fn the_operators_files_replace_ours_one_by_one() {
    let folder = temporary(
        "own",
        "page/verified.html",
        "{% extends \"page/layout.html\" %}{% block main %}OWN {{ t(key=\"page.foot\") }}{% endblock %}",
    );
    std::fs::create_dir_all(folder.join("locales")).unwrap();
    std::fs::write(folder.join("locales/en.toml"), "[page]\nfoot = \"Our <own> foot\"\n").unwrap();
    std::fs::write(folder.join("page/style.css"), "body { color: red }\r\n").unwrap();
    let config = config(&format!("templates = {:?}\ntitle = \"A & B\"\nlogo = \"/logo.svg\"", folder.0));
    let html = render(&config, Language::English, PageName::Verified, &minimal()[3].1).unwrap();
    assert!(html.contains("OWN Our &lt;own&gt; foot") && html.contains("A &amp; B") && html.contains("src=\"/logo.svg\""), "{html}");
    assert!(html.contains("<style>body { color: red }\n</style>"), "{html}");
    assert!(render(&config, Language::English, PageName::Register, &minimal()[0].1).unwrap().contains("first_name"));
}

/// The form as everybody gets it.
fn form_of(config: &Config, kept: &Compiled, language: Language, token: &str) -> String {
    let values = |token: &str| {
        let mut values = minimal()[0].1.clone();
        values["form_token"] = json!(token);
        values["language_links"] = json!(language_links(language, None));
        values
    };
    let response = respond_to_everybody((config, kept), &secret(), language, PageName::Register, values, token).unwrap();
    let anew = respond((config, &Compiled::default()), language, 200, PageName::Register, &values(token)).unwrap();
    assert_eq!(response.clone().into_bytes(false), anew.into_bytes(false));
    String::from_utf8(response.body().to_vec()).unwrap()
}

#[test]
fn the_form_of_everybody_is_that_of_one_visitor_but_for_the_token() {
    let (config, kept) = (config(""), Compiled::default());
    for number in 0..4 {
        for language in Language::ALL {
            let token = format!("token-{number}_{}", language.tag());
            let form = form_of(&config, &kept, language, &token);
            assert_eq!(form.matches("token-").count(), 1, "{form}");
            assert!(form.contains(&format!("value=\"{token}\"")), "{form}");
        }
    }
    let made = kept.page(&config, Language::German, PageName::Register).unwrap();
    assert!(made.common.get().is_some_and(Option::is_some), "it is kept");
}

#[test]
fn a_change_of_the_operators_files_shows_although_pages_are_kept() {
    let folder = temporary("kept", "page/style.css", "body { color: red }");
    std::fs::create_dir_all(folder.join("locales")).unwrap();
    let (config, kept) = (config(&format!("templates = {:?}", folder.0)), Compiled::default());
    let form = || form_of(&config, &kept, Language::English, "t");
    let is_kept = || kept.pages().compiled.values().any(|page| page.common.get().is_some());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !is_kept() {
        assert!(form().contains("color: red") && std::time::Instant::now() < deadline, "files that have settled are kept");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::fs::write(folder.join("page/style.css"), "body { color: tan }").unwrap();
    assert!(form().contains("color: tan"));
    std::fs::write(folder.join("locales/en.toml"), "[register]\nsend = \"Off you go\"\n").unwrap();
    assert!(form().contains("Off you go"), "a file that was not there");
    std::fs::write(folder.join("page/register.html"), "Own {{ form_token }}").unwrap();
    assert_eq!(form(), "Own t");
    std::fs::remove_file(folder.join("page/register.html")).unwrap();
    assert!(form().contains("color: tan"));
}

#[test]
fn a_form_that_another_process_kept_is_used_until_anything_that_it_was_made_of_changes() {
    let folder = temporary("for-the-next", "page/style.css", "body { color: red }");
    let settings = folder.join("config.toml");
    std::fs::write(&settings, "").unwrap();
    let mut config = config(&format!("templates = {:?}", folder.0));
    config.state_folder = folder.0.clone();
    // Each form is that of a new process.
    let form = |token: &str| form_of(&config, &Compiled::of(Stamp::of(&settings)), Language::English, token);
    let kept = folder.join("register.en.kept");
    let wait_for_kept = |colour: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !kept.exists() {
            assert!(form("t").contains(colour) && std::time::Instant::now() < deadline, "it is kept as soon as all files have settled");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    wait_for_kept("color: red");
    assert!(form("token-1").contains("value=\"token-1\""));
    assert!(!std::fs::read_to_string(&kept).unwrap().contains("token-1"), "no visitor's value is kept");
    let is_kept_shown = |secret: &Secret| {
        let response = respond_to_everybody(
            (&config, &Compiled::of(Stamp::of(&settings))),
            secret,
            Language::English,
            PageName::Register,
            |_: &str| json!({}),
            "t",
        );
        response.is_ok_and(|response| response.body().ends_with(b"</html>\n"))
    };
    assert!(is_kept_shown(&secret()), "nothing is rendered, or a value would be missed");
    assert!(!is_kept_shown(&Secret::new([8; 32])), "another installation's file");
    std::fs::write(&settings, "# changed").unwrap();
    assert!(!is_kept_shown(&secret()) && form("t").contains("color: red"), "the configuration was changed");
    std::fs::remove_file(&kept).unwrap();
    wait_for_kept("color: red");
    std::fs::write(folder.join("page/style.css"), "body { color: tan }").unwrap();
    assert!(!is_kept_shown(&secret()) && form("t").contains("color: tan"), "a template was changed");
    std::fs::remove_file(&kept).unwrap();
    wait_for_kept("color: tan");
    let whole = std::fs::read_to_string(&kept).unwrap();
    let head = whole.match_indices('\n').nth(1).unwrap().0;
    let forged = whole.replace("</body>", "<script></script></body>");
    for damaged in ["", "{}\n", "\n\n", "\u{0}\u{0}", &whole[..head], &whole[..=head], &whole[..whole.len() - 1], &forged] {
        std::fs::write(&kept, damaged).unwrap();
        assert!(!is_kept_shown(&secret()) && form("t").contains("color: tan"), "a damaged file is made anew");
        std::fs::write(&kept, &whole).unwrap();
        assert!(is_kept_shown(&secret()));
    }
}

#[test]
fn a_broken_template_is_refused_by_name() {
    for source in ["{% if", "{{ no_such_value }}", "{% extends \"page/nowhere.html\" %}"] {
        let folder = temporary("broken", "page/verified.html", source);
        let error =
            render(&config(&format!("templates = {:?}", folder.0)), Language::English, PageName::Verified, &minimal()[3].1).unwrap_err();
        assert!(error.status == 500 && (error.cause.contains("page/verified.html") || error.cause.contains("nowhere")), "{}", error.cause);
    }
}

#[test]
fn broken_texts_of_the_operator_are_refused_by_name() {
    let folder = temporary("texts", "locales/en.toml", "[page\nfoot = 1");
    let error =
        render(&config(&format!("templates = {:?}", folder.0)), Language::English, PageName::Verified, &minimal()[3].1).unwrap_err();
    assert!(error.cause.contains("locales/en.toml") && error.cause.contains("line 1"), "{}", error.cause);
}

#[test]
fn a_language_link_keeps_the_token() {
    let links = language_links(Language::German, Some("a&b"));
    assert_eq!(links[0].href, "?t=a%26b&lang=en");
    assert!(links[1].current && !links[0].current);
    assert_eq!(language_links(Language::English, None)[1].href, "?lang=de");
}

/// The operator's templates, removed at the end.
struct Temporary(PathBuf);

impl std::ops::Deref for Temporary {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn temporary(name: &str, file: &str, content: &str) -> Temporary {
    let folder = std::env::temp_dir().join(format!("page-{}-{name}", std::process::id()));
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
    std::fs::write(path, content).unwrap();
    Temporary(folder)
}

fn with_apps(keys: &str) -> Config {
    let sample = include_str!("../../../config.sample.toml").replace("[pages]\n", "");
    Config::parse(&format!("{keys}\n{sample}"), PathBuf::new()).unwrap_or_else(|cause| panic!("{cause}"))
}

fn credentials_mail(config: &Config, language: Language) -> MailText {
    let context = json!({"mxid": "@ada:example.org", "username": "ada", "password": "abcd", "password_until": 1_796_047_500});
    mail(config, language, MailName::Credentials, &context).unwrap()
}

#[test]
fn links_to_apps_carry_the_homeserver_that_apps_need() {
    let mail = credentials_mail(&with_apps(""), Language::English);
    for body in [&mail.text, &mail.html] {
        assert!(body.contains("https://mobile.element.io/element?account_provider=example.org"), "{body}");
        assert!(body.contains("https://app.cinny.in/login/example.org"), "{body}");
        assert!(body.contains("https://app.element.io/#/login") && body.contains("and enter example.org."), "{body}");
    }
    let mail = credentials_mail(&with_apps("client_url = \"https://matrix.example.org:8448/\""), Language::German);
    for body in [&mail.text, &mail.html] {
        assert!(body.contains("https://mobile.element.io/element?account_provider=matrix.example.org%3A8448"), "{body}");
        assert!(body.contains("gib matrix.example.org:8448 ein") && body.contains("@ada:example.org"), "{body}");
    }
}

#[test]
fn the_operators_apps_replace_ours_with_a_note_for_each_language() {
    let keys = "[pages]\napps = [{ name = \"Our chat\", url = \"https://chat.example.org/#/{homeserver}\", note = { en = \"on <any> device\", de = \"auf jedem Gerät\" } }, { name = \"Plain\", url = \"https://plain.example.org/\", note = \"same\" }]";
    let config = Config::parse(&include_str!("../../../config.sample.toml").replace("[pages]", keys), PathBuf::new()).unwrap();
    let (english, german) = (credentials_mail(&config, Language::English), credentials_mail(&config, Language::German));
    assert!(
        english.text.contains("* Our chat: on <any> device\n  https://chat.example.org/#/example.org\n* Plain: same\n"),
        "{}",
        english.text
    );
    assert!(english.html.contains("on &lt;any&gt; device") && !english.html.contains("element.io"), "{}", english.html);
    assert!(german.text.contains("auf jedem Gerät") && german.text.contains("Plain: same"), "{}", german.text);
    let wrong = keys.replace("{homeserver}", "{user}");
    let refused = Config::parse(&include_str!("../../../config.sample.toml").replace("[pages]", &wrong), PathBuf::new()).unwrap_err();
    assert!(refused.to_string().contains("{homeserver}"), "{refused}");
}

#[test]
fn every_page_and_mail_links_to_the_privacy_notice_and_the_imprint() {
    let both = config("privacy_url = \"https://example.org/privacy\"\nimprint_url = \"https://example.org/imprint\"");
    for (name, context) in minimal() {
        let html = render(&both, Language::German, name, &context).unwrap();
        assert!(html.contains("href=\"https://example.org/privacy\">Datenschutz<"), "{name:?}: {html}");
        assert!(html.contains("href=\"https://example.org/imprint\">Impressum<"), "{name:?}: {html}");
    }
    for (name, context) in mails("x") {
        let mail = mail(&both, Language::English, name, &context).unwrap();
        assert!(mail.html.contains("https://example.org/privacy") && mail.html.contains("https://example.org/imprint"), "{name:?}");
        assert!(mail.text.ends_with("Privacy: https://example.org/privacy\nLegal notice: https://example.org/imprint\n"), "{}", mail.text);
    }
    let mail = credentials_mail(&config(""), Language::English);
    assert!(mail.text.ends_with("The admins of example.org\n") && !mail.html.contains("Privacy"), "{}", mail.text);
}

#[test]
fn whoever_does_not_get_in_learns_whom_to_ask() {
    let asked = |keys: &str| credentials_mail(&config(keys), Language::English);
    assert!(asked("").html.contains("href=\"mailto:register@example.org\""), "the sender, if nobody else is named");
    let page = asked("contact = \"https://example.org/help\"");
    assert!(page.text.contains("Ask us: https://example.org/help\n") && page.html.contains("href=\"https://example.org/help\""));
    assert!(asked("contact = \"o'neil+help@example.org\"").html.contains("href=\"mailto:o%27neil%2Bhelp@example.org\""));
}

#[test]
fn no_browser_translates_a_name_an_id_or_a_password() {
    let literal = "Rose Garden";
    let attribute = "translate=\"no\"";
    for (name, mut context) in minimal().into_iter().filter(|(name, _)| *name != PageName::Register) {
        for key in ["mxid", "email", "full_name"] {
            if context.get(key).is_some() {
                context[key] = json!(literal);
            }
        }
        let html = render(&config(""), Language::German, name, &context).unwrap();
        let shown = html.split("<main").nth(1).unwrap_or("");
        for (before, _) in shown.match_indices(literal).map(|(at, found)| (&shown[..at], found)) {
            let tag = before.rsplit('<').next().unwrap_or("");
            assert!(tag.contains(attribute) || tag.starts_with("input"), "{name:?}: <{tag}");
        }
    }
    let html = credentials_mail(&config(""), Language::English).html;
    for value in ["abcd", "@ada:example.org", "ada", "example.org"] {
        assert!(html.contains(&format!("{value}<")), "{value}: {html}");
    }
    assert!(html.contains("translate=\"no\"><code style=\"font-size:17px\">abcd</code>"), "{html}");
}

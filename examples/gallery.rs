//! Renders every page, mail and room message in both languages with sample values, for inspection:
//! `cargo run --example gallery -- FOLDER`. Pages are written as HTTP answers (`.http`) and as HTML files with their policy.

use matrix_register_bot::domain::config::{Config, Language};
use matrix_register_bot::domain::error::Error;
use matrix_register_bot::outside::page::{self, MailName, PageName, RoomPost};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/gallery".into()));
    let sample = include_str!("../config.sample.toml")
        .replace("# howto_url", "howto_url")
        .replace("# privacy_url", "privacy_url")
        .replace("# imprint_url", "imprint_url")
        .replace("# time_zone", "time_zone");
    let config = Config::parse(&sample, PathBuf::new())?;
    show_extremes(&folder.join("extreme"), &sample)?;
    for language in Language::ALL {
        let folder = folder.join(language.tag());
        std::fs::create_dir_all(&folder)?;
        for (file, name, context) in pages(language) {
            write_page(&folder, file, &page::respond((&config, &Default::default()), language, 200, name, &context)?)?;
        }
        write_page(&folder, "error", &page::error(Some((&config, &Default::default())), language, &Error::internal("")))?;
        write_page(&folder, "error-bare", &page::error(None, language, &Error::bad_request("")))?;
        for (name, context) in mails() {
            let mail = page::mail(&config, language, name, &context)?;
            std::fs::write(folder.join(format!("mail-{}.txt", name.as_str())), format!("Subject: {}\n\n{}", mail.subject, mail.text))?;
            std::fs::write(folder.join(format!("mail-{}.html", name.as_str())), mail.html)?;
        }
        for name in [RoomPost::Request, RoomPost::Reminder, RoomPost::OfApplicant] {
            let message = page::room(&config, language, name, &in_room())?;
            std::fs::write(folder.join(format!("room-{}.txt", name.as_str())), message.text)?;
            std::fs::write(folder.join(format!("room-{}.html", name.as_str())), message.html)?;
        }
    }
    for language in Language::ALL {
        let folder = folder.join(language.tag());
        for kind in ["help", "not_declined", "unknown", "no_such_reason", "encrypted"] {
            let answer = json!({"kind": kind, "reasons": if kind == "no_such_reason" { json!(["We only know people from the choir."]) } else { json!([]) }});
            let message = page::room(&config, language, RoomPost::Answer, &answer)?;
            std::fs::write(folder.join(format!("room-answer-{kind}.txt")), message.text)?;
            std::fs::write(folder.join(format!("room-answer-{kind}.html")), message.html)?;
        }
    }
    write_index(&folder)?;
    Ok(())
}

/// A page with links to everything that was rendered.
fn write_index(folder: &Path) -> std::io::Result<()> {
    let mut index =
        String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Gallery</title>\n<h1>Gallery</h1>\n");
    for part in Language::ALL.map(Language::tag).into_iter().chain(["extreme"]) {
        let mut files: Vec<String> =
            std::fs::read_dir(folder.join(part))?.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        files.retain(|file| !file.ends_with(".http"));
        files.sort();
        let links = files.iter().map(|file| format!("<li><a href=\"{part}/{file}\">{file}</a></li>\n")).collect::<String>();
        index += &format!("<h2>{part}</h2>\n<ul>\n{links}</ul>\n");
    }
    std::fs::write(folder.join("index.html"), index)
}

/// Long names and a logo, which may break a layout.
fn show_extremes(folder: &Path, sample: &str) -> Result<(), Box<dyn std::error::Error>> {
    let long = "matrix.faculty-of-extraordinarily-long-names.university.example.org:8448";
    let sample = sample
        .replace("\"example.org\"", &format!("{long:?}"))
        .replace("# title = \"Join us\"", "title = \"Vereinsübergreifende Kommunikationsplattform des Donaudampfschifffahrtsvereins\"")
        .replace("# logo =", "logo =");
    let config = Config::parse(&sample, PathBuf::new())?;
    std::fs::create_dir_all(folder)?;
    let mut decide = request();
    decide["full_name"] = json!(format!("{} עברית العربية", "W".repeat(100)));
    decide["email"] = json!(format!("{}@{}.example.net", "m".repeat(64), "w".repeat(60)));
    decide["mxid"] = json!(format!("@{}:{long}", "m".repeat(64)));
    decide["note"] = json!("x".repeat(500));
    let form = form(json!({"username": "m".repeat(64)}), json!({}), json!({}));
    for (file, name, context) in [("register", PageName::Register, form), ("decide", PageName::Decide, decide)] {
        write_page(folder, file, &page::respond((&config, &Default::default()), Language::German, 200, name, &context)?)?;
    }
    Ok(())
}

/// A file has no headers, so the policy is inserted as `<meta>`, and a browser applies it nevertheless.
fn write_page(folder: &Path, name: &str, response: &matrix_register_bot::outside::cgi::Response) -> std::io::Result<()> {
    let answer = String::from_utf8_lossy(&response.clone().into_bytes(false)).into_owned();
    let policy = answer.lines().find_map(|line| line.strip_prefix("Content-Security-Policy: ")).unwrap_or("default-src 'none'");
    let policy = policy.replace("; frame-ancestors 'none'", "");
    let html = String::from_utf8_lossy(response.body())
        .replace("<style>", &format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n<style>"));
    std::fs::write(folder.join(format!("{name}.http")), answer.as_bytes())?;
    std::fs::write(folder.join(format!("{name}.html")), html)
}

/// As the room first sees it.
fn in_room() -> Value {
    let mut whole = request();
    whole["question"] = json!("Which voice do you sing?");
    whole["answer"] = json!("Alto.\nSometimes soprano.");
    whole["standing"] = json!({"is_open": true, "is_gone": false, "heading": "room.request.heading", "progress": null, "by": null, "reason": null, "asked": []});
    whole
}

fn request() -> Value {
    json!({
        "full_name": "Zoë Ångström-Núñez", "username": "zoe.angstrom", "number": "#1042", "mxid": "@zoe.angstrom:example.org", "email": "zoe@example.net",
        "note": "Hi, I'm Zoë from the Tuesday choir.\nGreta told me about the server.\n\nBest wishes!", "asked_at": 1_796_047_500_i64,
        "language": "en", "token": "0123456789abcdef0123456789abcdef", "form_token": "AAAA", "questions": [],
        "link": "https://register.example.org/verify_admin?t=0123456789abcdef0123456789abcdef",
    })
}

fn form(values: Value, errors: Value, notices: Value) -> Value {
    json!({
        "values": values, "errors": errors, "notices": notices, "terms_url": "https://example.org/terms",
        "username_min_length": 3, "username_max_length": 64, "form_token": "AAAA",
    })
}

fn pages(language: Language) -> Vec<(&'static str, PageName, Value)> {
    let typed = json!({"first_name": "Zoë", "last_name": "Ångström", "username": "Zoë A", "email": "zoe@example", "note": "Hi!\nIt's me."});
    let errors = json!({"username": "form.error.username_characters", "email": "form.error.email_invalid",
        "terms": "form.error.terms_missing"});
    let decide = request();
    let mut decide_question = decide.clone();
    decide_question["questions"] = questions("");
    let mut by_link = decide.clone();
    by_link["by_link"] = json!(true);
    let mut decline = decide.clone();
    decline["preset"] = json!("decline");
    decline["note"] = json!("");
    decline["same_address"] = json!([{"number": "#1042", "mxid": "@zoe:example.org", "state": "done", "asked_at": 1_795_047_500_i64}]);
    let sent = json!({"email": "zoe.angstrom@choir.example.net", "number": "#1042", "mxid": "@zoe.angstrom:example.org", "expires": 1_796_220_300_i64, "hours": 48});
    let mut verify = sent.clone();
    verify["token"] = json!("0123456789abcdef");
    verify["form_token"] = json!("AAAA");
    verify["errors"] = json!({});
    let mut verify_password = verify.clone();
    verify_password["wants_password"] = json!(true);
    verify_password["errors"] = json!({});
    verify_password["password_min_length"] = json!(10);
    let mut verify_errors = verify_password.clone();
    verify_errors["errors"] = json!({"password": "form.error.password_too_short"});
    let mut verify_name = verify.clone();
    verify_name["asks_for_name"] = json!(true);
    verify_name["typed_name"] = json!("");
    verify_name["username_min_length"] = json!(3);
    verify_name["username_max_length"] = json!(64);
    let mut verify_name_errors = verify_name.clone();
    verify_name_errors["typed_name"] = json!("zoe");
    verify_name_errors["errors"] = json!({"username": "form.error.username_unavailable"});
    let welcome = json!({"number": "#1042", "mxid": "@zoe.angstrom:example.org", "username": "zoe.angstrom", "email": "zoe.angstrom@choir.example.net",
        "expires": 1_796_220_300_i64, "token": "0123456789abcdef", "form_token": "AAAA", "password_min_length": 10, "password_needs": [], "refusal": "", "errors": {}});
    let welcome = |more: Value| {
        let mut whole = welcome.clone();
        whole.as_object_mut().into_iter().for_each(|whole| whole.extend(more.as_object().cloned().unwrap_or_default()));
        whole
    };
    let needs = json!(["digit", "symbol", "uppercase", "lowercase"]);
    let refused = json!({"refusal": "password too weak: min 8 chars", "errors": {"password": "form.error.password_refused"}});
    let decided = |outcome| json!({"outcome": outcome, "number": "#1042", "mxid": "@zoe.angstrom:example.org", "email": "zoe@example.net"});
    let mut plain = form(json!({}), json!({}), json!({}));
    plain["terms_url"] = Value::Null;
    let mut pages = vec![
        ("register", PageName::Register, plain),
        ("register-errors", PageName::Register, form(typed.clone(), errors, json!({}))),
        ("register-free", PageName::Register, form(json!({"username": "zoe"}), json!({}), json!({"username": "register.username_free"}))),
        ("registered", PageName::Registered, registered(json!({}))),
        ("registered-sent-again", PageName::Registered, registered(json!({"notice": "registered.sent_again"}))),
        ("registered-corrected", PageName::Registered, registered(json!({"notice": "registered.corrected"}))),
        ("registered-delayed", PageName::Registered, registered(json!({"is_delayed": true}))),
        ("registered-no-mailbox", PageName::Registered, registered(json!({"errors": {"email": "form.error.email_gone"}}))),
        ("registered-put-off", PageName::Registered, registered(json!({"errors": {"email": "form.error.email_put_off"}}))),
        (
            "registered-typo",
            PageName::Registered,
            registered(json!({"errors": {"email": "form.error.email_invalid"}, "typed": "zoe.angstrom@choir"})),
        ),
        ("registered-enough", PageName::Registered, registered(json!({"errors": {"email": "form.error.mail_enough"}}))),
        ("registered-refused", PageName::Registered, registered(json!({"errors": {"form": "form.error.network_used_up"}}))),
        ("verify", PageName::Verify, verify),
        ("verify-password", PageName::Verify, verify_password),
        ("verify-password-errors", PageName::Verify, verify_errors),
        ("verify-name", PageName::Verify, verify_name),
        ("verify-name-errors", PageName::Verify, verify_name_errors),
        ("verified", PageName::Verified, waiting(json!({}))),
        ("verified-usual", PageName::Verified, waiting(json!({"usual_hours": 5}))),
        ("verified-question", PageName::Verified, waiting(json!({"usual_days": 2, "questions": questions("")}))),
        (
            "verified-question-errors",
            PageName::Verified,
            waiting(json!({"has_errors": true, "questions": questions("form.error.answer_missing")})),
        ),
        ("standing-choosing", PageName::Standing, standing("choosing", json!({"choose_link": "welcome?t=1", "withdraws": true}))),
        ("standing-approved", PageName::Standing, standing("approved", json!({}))),
        ("standing-done", PageName::Standing, standing("done", json!({"password_is": "mailed"}))),
        (
            "standing-declined",
            PageName::Standing,
            standing("declined", json!({"reason": "We only know people from the choir.\n\nPlease ask Greta."})),
        ),
        ("standing-refused", PageName::Standing, standing("refused", json!({"back": true}))),
        ("standing-withdrawn", PageName::Standing, standing("withdrawn", json!({"back": true, "decided_at": null}))),
        ("standing-expired", PageName::Standing, standing("expired", json!({"back": true, "decided_at": null}))),
        ("standing-not-chosen", PageName::Standing, standing("not_chosen", json!({"back": true}))),
        ("standing-forgotten", PageName::Message, json!({"kind": "link_unknown", "back": true})),
        ("decide-question", PageName::Decide, decide_question),
        ("welcome", PageName::Welcome, welcome(json!({}))),
        ("welcome-rules", PageName::Welcome, welcome(json!({"password_min_length": 15, "password_needs": needs}))),
        ("welcome-errors", PageName::Welcome, welcome(json!({"errors": {"password_again": "form.error.password_differs"}}))),
        ("welcome-refused", PageName::Welcome, welcome(refused)),
        ("welcomed", PageName::Welcomed, welcome(json!({"password_is": "chosen", "pending": false}))),
        ("welcomed-pending", PageName::Welcomed, welcome(json!({"password_is": "chosen", "pending": true}))),
        ("welcomed-before", PageName::Welcomed, welcome(json!({"password_is": "chosen", "was_chosen_before": true}))),
        ("decide-by-link", PageName::Decide, by_link),
        ("decide", PageName::Decide, decide),
        ("decide-decline", PageName::Decide, decline),
        ("decided-approved", PageName::Decided, decided("approved")),
        ("decided-choosing", PageName::Decided, decided("choosing")),
        ("decided-pending", PageName::Decided, decided("pending")),
        ("decided-refused", PageName::Decided, decided("refused")),
        ("reset", PageName::ResetPassword, json!({"form_token": "AAAA", "errors": {}})),
        ("reset-errors", PageName::ResetPassword, json!({"form_token": "AAAA", "errors": {"account": "form.error.account_missing"}})),
        (
            "reset-refused",
            PageName::ResetPassword,
            json!({"form_token": "AAAA", "account": "zoe.angstrom", "errors": {"form": "form.error.resets_used_up"}}),
        ),
        ("reset-asked", PageName::Message, json!({"kind": "reset_asked"})),
        ("reset-link-over", PageName::Message, json!({"kind": "reset_link_over", "ask_again": true})),
        ("reset-elsewhere", PageName::Message, json!({"kind": "reset_elsewhere"})),
        ("new-password", PageName::NewPassword, new_password(json!({}), false)),
        ("new-password-errors", PageName::NewPassword, new_password(json!({"password": "form.error.password_too_short"}), true)),
        ("password-set", PageName::Message, json!({"kind": "password_set", "number": "#1042", "mxid": "@zoe.angstrom:example.org"})),
        (
            "password-set-everywhere",
            PageName::Message,
            json!({"kind": "password_set_everywhere", "number": "#1042", "mxid": "@zoe.angstrom:example.org"}),
        ),
        (
            "password-set-devices-left",
            PageName::Message,
            json!({"kind": "password_set_devices_left", "number": "#1042", "mxid": "@zoe.angstrom:example.org"}),
        ),
        ("message", PageName::Message, json!({"kind": "link_expired", "back": true})),
        (
            "message-closed-by-hand",
            PageName::Message,
            json!({"kind": "closed_by_hand", "words": "We are away with the choir.\nSee you soon!", "opens_at": 1_796_047_500_i64}),
        ),
        ("message-choose-unknown", PageName::Message, json!({"kind": "choose_link_unknown"})),
        ("message-admin-choosing", PageName::Message, json!({"kind": "decided_choosing", "number": "#1042", "mxid": "@zoe:example.org"})),
        ("message-admin-unchosen", PageName::Message, json!({"kind": "decided_unchosen", "number": "#1042", "mxid": "@zoe:example.org"})),
        ("message-admin", PageName::Message, json!({"kind": "decided_declined", "number": "#1042", "mxid": "@zoe:example.org"})),
    ];
    for (name, _, values) in pages.iter_mut().filter(|(name, ..)| !name.starts_with("password-set") && *name != "reset-asked") {
        values["language_links"] =
            json!(page::language_links(language, (!["register", "reset"].contains(name)).then_some("0123456789abcdef")));
        // Following a link would lose what was typed, so there are buttons.
        if let Some((_, form)) = FORMS_SHOWN_AGAIN.iter().find(|(page, _)| page == name) {
            values["language_form"] = json!(form);
        }
    }
    pages
}

/// Pages that show what was typed, and the id of their form.
const FORMS_SHOWN_AGAIN: [(&str, &str); 8] = [
    ("register-errors", "request"),
    ("register-free", "request"),
    ("verify-name", "confirm"),
    ("verify-name-errors", "confirm"),
    ("verified-question-errors", "form-of-question-2"),
    ("registered-typo", "correct"),
    ("reset-errors", "account-form"),
    ("reset-refused", "account-form"),
];

/// The applicant's own page while people decide, with more values.
fn waiting(more: Value) -> Value {
    let values = json!({
        "email": "zoe.angstrom@choir.example.net", "number": "#1042", "mxid": "@zoe.angstrom:example.org", "asked_at": 1_796_047_500_i64,
        "token": "0123456789abcdef", "form_token": "AAAA", "questions": [],
    });
    with(values, more)
}

/// The applicant's own page after the decision, with more values.
fn standing(kind: &str, more: Value) -> Value {
    let values = json!({
        "kind": kind, "number": "#1042", "mxid": "@zoe.angstrom:example.org", "username": "zoe.angstrom", "decided_at": 1_796_050_000_i64,
        "token": "0123456789abcdef", "form_token": "AAAA",
    });
    with(values, more)
}

/// One question that is answered and one that is not; `error` is the key of a text.
fn questions(error: &str) -> Value {
    json!([
        {"id": 1, "question": "Which voice do you sing?", "asked_at": 1_796_048_000_i64, "answer": "Alto, mostly.", "answered_at": 1_796_049_000_i64},
        {"id": 2, "question": "And who told you about us?\nAny name will do.", "asked_at": 1_796_049_500_i64, "answer": null,
            "answered_at": null, "typed": "", "error": error},
    ])
}

fn with(mut values: Value, more: Value) -> Value {
    if let (Some(values), Value::Object(more)) = (values.as_object_mut(), more) {
        values.extend(more);
    }
    values
}

/// The thank-you page, with more values.
fn registered(more: Value) -> Value {
    let mut values = json!({
        "email": "zoe.angstrom@choir.example.net", "typed": "zoe.angstrom@choir.example.net", "number": "#1042", "mxid": "@zoe.angstrom:example.org",
        "expires": 1_796_220_300_i64, "token": "0123456789abcdef0123456789abcdef", "form_token": "AAAA", "round": 0, "errors": {},
    });
    if let (Some(values), Value::Object(more)) = (values.as_object_mut(), more) {
        values.extend(more);
    }
    values
}

fn new_password(errors: Value, can_log_out: bool) -> Value {
    json!({
        "number": "#1042", "mxid": "@zoe.angstrom:example.org", "token": "0123456789abcdef0123456789abcdef", "form_token": "AAAA", "errors": errors,
        "password_min_length": 10, "can_log_out": can_log_out, "log_out": can_log_out,
    })
}

fn mails() -> Vec<(MailName, Value)> {
    let mxid = "@zoe.angstrom:example.org";
    let choose = json!({"number": "#1042", "mxid": mxid, "name": "Zoë Ångström", "link": "https://register.example.org/welcome?t=0123456789abcdef0123456789abcdef",
        "expires": 1_796_220_300_i64});
    let mut choose_again = choose.clone();
    choose_again["refusal"] = json!("password too weak: min 8 chars");
    vec![
        (
            MailName::Verify,
            json!({"number": "#1042", "mxid": mxid, "link": "https://register.example.org/verify?t=0123456789abcdef0123456789abcdef", "hours": 48, "expires": 1_796_220_300_i64}),
        ),
        (MailName::Choose, choose.clone()),
        (MailName::ChooseReminder, choose.clone()),
        (MailName::ChooseAgain, choose_again),
        (
            MailName::Credentials,
            json!({"number": "#1042", "mxid": mxid, "username": "zoe.angstrom", "name": "Zoë Ångström", "password": "k7mq-3xva-9tpd", "password_until": 1_796_220_300_i64}),
        ),
        (
            MailName::Declined,
            json!({"number": "#1042", "mxid": mxid, "name": "Zoë Ångström", "reason": "We only know people from the choir.\n\nPlease ask Greta."}),
        ),
        (MailName::Refused, json!({"number": "#1042", "mxid": mxid, "name": "Zoë Ångström"})),
        (
            MailName::Question,
            json!({"number": "#1042", "mxid": mxid, "name": "Zoë Ångström", "question": "Which voice do you sing?", "link": "https://register.example.org/verify?t=0123456789abcdef0123456789abcdef"}),
        ),
        (
            MailName::PasswordEnds,
            json!({"number": "#1042", "mxid": mxid, "name": "Zoë Ångström", "until": 1_796_220_300_i64, "is_over": false, "reset_url": "https://register.example.org/reset_password"}),
        ),
        (
            MailName::ResetPassword,
            json!({"accounts": [
                {"number": "#1042", "mxid": mxid, "link": "https://register.example.org/reset_password?t=0123456789abcdef0123456789abcdef"},
                {"mxid": "@choir:example.org", "link": "https://register.example.org/reset_password?t=123456789abcdef0123456789abcdef0"},
            ], "hours": 1, "expires": 1_796_220_300_i64}),
        ),
    ]
}

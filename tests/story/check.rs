//! `matrix-register-bot check`: finds what is wrong before a stranger does, and names the key. Here: the homeserver, the bot, its room,
//! and the mail server.

use crate::room_push::Service;
use crate::world::impostor::http_impostor;
use crate::world::{Host, MailCatcher, SiteFolder, TempFolder, self_signed};
use crate::{Story, fresh};
use serde_json::{Value, json};
use std::fs;

/// The exit status, and each finding as "verdict subject: sentence".
pub fn check(story: &Story) -> (Option<i32>, Vec<String>) {
    check_with(&story.site, &[])
}

/// The same with variables in the environment.
pub fn check_with(site: &SiteFolder, variables: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let run = site.run_with("matrix-register-bot", &["check", "--json"], variables, b"");
    let answer: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let line = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("verdict"), text("subject"), text("sentence"))
    };
    assert_eq!(answer["ok"], run.status.success(), "{answer}");
    (run.status.code(), answer["findings"].as_array().unwrap().iter().map(line).collect())
}

/// A site whose check has nothing to complain of.
pub fn healthy() -> Story {
    let story = Story::start("synapse", Host::NginxFastCgi);
    story.site.let_cron_succeed();
    story
}

/// Checks that this is wrong: the subject, and what the sentence says.
#[track_caller]
pub fn finds(story: &Story, subject: &str, words: &[&str]) {
    let (status, findings) = check(story);
    has(&findings, "wrong", subject, words);
    assert_eq!(status, Some(1));
}

/// Checks that this should be looked at, and does not make the site unusable.
#[track_caller]
pub fn points_at(story: &Story, subject: &str, words: &[&str]) {
    let (status, findings) = check(story);
    has(&findings, "warning", subject, words);
    assert_eq!(status, Some(0), "{findings:#?}");
}

#[track_caller]
pub fn has(findings: &[String], verdict: &str, subject: &str, words: &[&str]) {
    let beginning = format!("{verdict} {subject}: ");
    let found = findings.iter().filter(|finding| finding.starts_with(&beginning));
    let is_there = found.clone().any(|finding| words.iter().all(|word| finding.contains(word)));
    assert!(is_there, "no {beginning}{words:?} in {findings:#?}");
}

#[test]
fn a_site_that_works_is_all_right() {
    let story = healthy();
    let (status, findings) = check(&story);
    assert_eq!(status, Some(0), "{findings:#?}");
    for subject in ["files", "database", "templates", "homeserver", "accounts", "bot", "room", "public_url", "internal", "cron", "mail"] {
        has(&findings, "ok", subject, &[]);
    }
    let text = story.site.run_with("matrix-register-bot", &["check"], &[], b"").stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().all(|line| line.starts_with("ok  ") || line.starts_with("look at")), "{text}");
    assert!(!story.synapse.exists("_check:") && !story.synapse.exists("_check"));
}

/// The documents show the output for a room that the bot is not in.
#[test]
fn the_output_that_the_documents_show_is_the_real_one() {
    let mails = MailCatcher::start_with(&["--auth", "register@example.org:right"]);
    let mut story = Story::start_with("synapse", Host::NginxFastCgi, |site| {
        let site = site.unset("database").set("mail.from", "register@example.org").set("mail.smtp.port", i64::from(mails.port));
        site.set("mail.smtp.user", "register@example.org").set("mail.smtp.password", "right")
    });
    let synapse = story.synapse.clone();
    let room = synapse.create_room_of(&synapse.alice, &[]);
    story.site.set("room.id", room.as_str());
    story.site.let_cron_succeed();
    let run = story.site.run_with("matrix-register-bot", &["check"], &[], b"");
    let (mut shown, folder) = (String::from_utf8(run.stdout).unwrap(), story.site.path().to_str().unwrap());
    let date = shown.split("ran last on ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned();
    for (real, invented) in [
        (&*format!("{folder}/ belongs to root"), "/var/lib/matrix-register-bot belongs to matrix-register-bot"),
        (folder, "/var/lib/matrix-register-bot"),
        (&story.synapse.base_url, "http://127.0.0.1:8008"),
        (&room, "!abcdef:example.org"),
        (&room.replace('!', "%21"), "%21abcdef%3Aexample.org"),
        (&story.site.public_url(), "https://register.example.org/"),
        ("example.test", "example.org"),
        (&format!("127.0.0.1:{}", mails.port), "mail.example.org:587"),
        (&date, "2026-11-28 09:55 UTC"),
        ("cannot be fetched: the name of the host is not known (DNS)", "answers 404"),
    ] {
        shown = shown.replace(real, invented);
    }
    let document = |name: &str| fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let indented: String = shown.lines().map(|line| format!("    {line}\n")).collect();
    assert!(document("docs/operating.md").contains(&indented), "docs/operating.md should show:\n{indented}");
    let is_of_check = |line: &&str| ["    ok  ", "    WRONG  ", "    look at  "].iter().any(|word| line.starts_with(word));
    for line in document("README.md").lines().filter(is_of_check) {
        assert!(indented.lines().any(|real| real == line), "README.md shows {line:?}, and not one of:\n{indented}");
    }
}

#[test]
fn a_wrong_homeserver_secret_or_mode_is_found() {
    let mut story = healthy();
    story.site.set("registration_shared_secret", "wrong");
    finds(&story, "accounts", &["registration_shared_secret", "homeserver.yaml"]);
    story.site.unset("registration_shared_secret");
    let (status, findings) = check(&story);
    assert_eq!(status, Some(78));
    has(&findings, "wrong", "configuration", &["registration_shared_secret"]);
    story.site.set("registration_shared_secret_file", "/nonexistent/secret");
    finds(&story, "accounts", &["registration_shared_secret_file", "/nonexistent/secret"]);
    story.site.unset("registration_shared_secret_file");
    story.site.set("operation_mode", "local");
    points_at(&story, "accounts", &["registration_shared_secret"]);
    story.site.set("registration_shared_secret", story.synapse.shared_secret.as_str());
    story.site.set("operation_mode", "registration_token");
    story.site.set("registration_token.token", "wrong");
    finds(&story, "accounts", &["registration is switched off", "enable_registration"]);
    let (_, findings) = check(&story);
    has(&findings, "warning", "accounts", &["operation_mode = \"synapse\" with registration_shared_secret"]);
    story.site.set("operation_mode", "mas");
    for (key, value) in [("admin_url", "http://127.0.0.1:9"), ("client_id", "01ARZ3NDEKTSV4RRFFQ69G5FAV"), ("client_secret", "x")] {
        story.site.set(&format!("mas.{key}"), value);
    }
    story.site.set("mas.public_url", "https://auth.example.test/");
    finds(&story, "accounts", &["operation_mode = \"mas\" needs matrix_authentication_service"]);
    finds(&story, "accounts", &["admin_url"]);
}

#[test]
fn a_homeserver_that_is_away_is_one_finding_and_not_five() {
    let mut story = healthy();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    finds(&story, "homeserver", &["homeserver_url"]);
    let (_, findings) = check(&story);
    has(&findings, "warning", "homeserver", &["not looked at"]);
    assert!(findings.iter().all(|finding| !finding.contains(" bot: ") && !finding.contains(" accounts: ")), "{findings:#?}");
    // Where a web server hides what is for administrators.
    story.site.set("homeserver_url", story.site.public_url());
    finds(&story, "accounts", &["homeserver_url does not reach /_synapse/admin", "operation_mode = \"mas\""]);
    story.site.set("homeserver_url", story.synapse.base_url.as_str());
    story.site.set("server_name", "other.test");
    finds(&story, "server_name", &["example.test", "other.test"]);
}

#[test]
fn a_clock_that_goes_wrong_is_found_by_the_homeservers() {
    let mut story = healthy();
    let body = r#"{"versions": ["v1.12"]}"#;
    let at = |date: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    };
    story.site.set("homeserver_url", http_impostor(at("Sat, 28 Nov 2020 10:00:00 GMT").into_bytes()));
    finds(&story, "clock", &["s apart", "time server"]);
}

#[test]
fn a_bot_that_cannot_act_is_found() {
    let mut story = healthy();
    story.site.set("room.access_token", "syt_wrong");
    finds(&story, "bot", &["access_token of [room]"]);
    let path = format!("/_synapse/admin/v1/users/{}/login", story.synapse.bot.user_id);
    let (_, without_device) = story.synapse.call("POST", &path, Some(&story.synapse.admin.token), Some(json!({})));
    story.site.set("room.access_token", without_device["access_token"].as_str().unwrap());
    points_at(&story, "bot", &["access_token in [room] has no device"]);
    story.site.unset("room.access_token");
    let taken = story.synapse.register(&fresh("taken"), "a password that config.json does not have");
    story.site.set("room.bot_localpart", taken.localpart.as_str());
    finds(&story, "bot", &["register_password of config.json", "bot_localpart"]);
}

#[test]
fn a_room_that_does_not_fit_is_found() {
    let mut story = healthy();
    let (room, synapse) = (story.room.clone(), story.synapse.clone());
    for missing in ["!nowhere:example.test", "#nowhere:example.test"] {
        story.site.set("room.id", missing);
        finds(&story, "room", &["[room]"]);
    }
    story.site.set("room.id", room.as_str());
    let state = |kind: &str, content: Value| synapse.set_state(&room, &synapse.bot, kind, content);
    state("m.room.history_visibility", json!({"history_visibility": "world_readable"}));
    finds(&story, "room", &["history visibility"]);
    state("m.room.history_visibility", json!({"history_visibility": "joined"}));
    state("m.room.join_rules", json!({"join_rule": "public"}));
    finds(&story, "room", &["private room"]);
    state("m.room.join_rules", json!({"join_rule": "invite"}));
    story.site.set("room.decide_from_power", 50);
    finds(&story, "room", &["none of the 1 people", "decide_from_power"]);
    story.site.unset("room.decide_from_power");
    state("m.room.encryption", json!({"algorithm": "m.megolm.v1.aes-sha2"}));
    points_at(&story, "room", &["encrypted"]);
    synapse.leave(&room, &synapse.alice);
    finds(&story, "room", &["nobody but the bot", "invite"]);
}

#[test]
fn a_room_in_which_the_bot_has_no_say_is_found() {
    let mut story = healthy();
    let synapse = story.synapse.clone();
    let room = synapse.create_room_of(&synapse.alice, &[]);
    story.site.set("room.id", room.as_str());
    finds(&story, "room", &["the bot is not in the room", "invite", &synapse.bot.user_id, "[room]"]);
    synapse.invite(&room, &synapse.alice, &synapse.bot);
    let levels = json!({"users": {&synapse.alice.user_id: 100}, "events": {"m.room.message": 50}});
    let create =
        json!({"preset": "private_chat", "room_version": "10", "invite": [&synapse.bot.user_id], "power_level_content_override": levels});
    let (_, made) = synapse.call("POST", "/_matrix/client/v3/createRoom", Some(&synapse.alice.token), Some(create));
    let mute = made["room_id"].as_str().unwrap();
    story.site.set("room.id", mute);
    finds(&story, "room", &["may not send", "power level"]);
    story.site.set("room.id", room.as_str());
    let (_, findings) = check(&story);
    has(&findings, "ok", "room", &["1 who may decide"]);
    let next = synapse.upgrade(&room, &synapse.alice);
    finds(&story, "room", &["was upgraded", &next, "set id"]);
    synapse.invite(&next, &synapse.alice, &synapse.bot);
    points_at(&story, "room", &["was replaced", &next, "set id"]);
}

#[test]
fn a_homeserver_that_does_not_call_the_bot_is_found() {
    let story = healthy();
    assert!(story.site.run_cron_with(&["--print-appservice"]).status.success());
    finds(&story, "application service", &["app_service_config_files"]);
    let Service { story, own: _own, .. } = Service::start(Host::NginxCgi);
    story.site.let_cron_succeed();
    let (_, findings) = check(&story);
    has(&findings, "ok", "application service", &["reaches us"]);
    let Story { site, web, .. } = story;
    web.kill();
    let (_, findings) = check_with(&site, &[]);
    has(&findings, "wrong", "application service", &["internal.url"]);
    has(&findings, "wrong", "public_url", &["cannot be fetched", "nobody listens"]);
}

#[test]
fn a_mail_server_that_takes_nothing_is_found() {
    let mut story = healthy();
    story.site.set("mail.smtp.port", 9);
    finds(&story, "mail", &["127.0.0.1:9", "[mail.smtp]"]);
    story.site.set("mail.smtp.security", "starttls");
    story.site.set("mail.smtp.port", i64::from(story.mails.port));
    finds(&story, "mail", &["STARTTLS", "security in [mail.smtp]"]);
    story.site.set("mail.smtp.security", "none");
    story.site.set("mail.smtp.host", "mail.example.org");
    has(&check(&story).1, "wrong", "configuration", &["clear text", "security"]);
    story.site.set("mail.smtp.host", "127.0.0.1");
    let folder = TempFolder::new("tls");
    let (certificate, key) = self_signed(folder.path(), "127.0.0.1");
    let files = ["--certificate", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let strict = MailCatcher::start_with(&[&["--tls", "--auth", "bot:right"], &files[..]].concat());
    story.site.set("mail.smtp.security", "tls");
    story.site.set("mail.smtp.port", i64::from(strict.port));
    finds(&story, "mail", &["certificate", "ca_file"]);
    story.site.set("mail.smtp.ca_file", certificate.to_str().unwrap());
    story.site.set("mail.smtp.user", "bot");
    story.site.set("mail.smtp.password", "wrong");
    finds(&story, "mail", &["user and password", "[mail.smtp]"]);
    story.site.unset("mail.smtp.password");
    story.site.set("mail.smtp.password_file", "/nonexistent/password");
    finds(&story, "mail", &["password_file", "/nonexistent/password"]);
    story.site.unset("mail.smtp");
    let choosy = MailCatcher::start_with(&["--reject-sender", "register@example.test"]);
    story.site.set("mail.smtp.host", "127.0.0.1");
    story.site.set("mail.smtp.port", i64::from(choosy.port));
    finds(&story, "mail", &["553", "from in [mail]"]);
}

#[test]
fn a_sendmail_program_or_a_folder_that_takes_no_mail_is_found_and_a_mail_of_the_check_arrives() {
    let mut story = healthy();
    story.site.set("mail.transport", "sendmail");
    story.site.set("mail.sendmail", "/nonexistent/sendmail");
    finds(&story, "mail", &["sendmail in [mail]"]);
    story.site.set("mail.transport", "file");
    let file = story.site.path().join("a file");
    fs::write(&file, "").unwrap();
    story.site.set("mail.folder", file.to_str().unwrap());
    finds(&story, "mail", &["folder in [mail]"]);
    story.site.set("mail.transport", "smtp");
    let to = format!("{}@applicants.example.org", fresh("ada"));
    let run = story.site.run_with("matrix-register-bot", &["check", "--mail", &to], &[], b"");
    assert!(run.status.success(), "{run:?}");
    assert!(story.mails.wait_for(&to, 1)[0].text.contains("test of the sign-up"));
}

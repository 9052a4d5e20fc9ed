//! `matrix-register-bot check`: finds what is wrong before a stranger does, and names the key.

use crate::world::Host;
use crate::{Story, fresh};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// The exit status, and each finding as "verdict subject: sentence".
fn check(story: &Story) -> (Option<i32>, Vec<String>) {
    let run = story.site.run_with("matrix-register-bot", &["check", "--json"], &[], b"");
    let answer: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let line = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("verdict"), text("subject"), text("sentence"))
    };
    (run.status.code(), answer["findings"].as_array().unwrap().iter().map(line).collect())
}

/// A site whose check has nothing to complain of.
fn healthy() -> Story {
    let story = Story::start("synapse", Host::NginxFastCgi);
    assert!(story.site.run_cron().status.success());
    story
}

/// Checks that exactly this is wrong: the subject, and what the sentence says.
#[track_caller]
fn finds(story: &Story, subject: &str, words: &[&str]) {
    let (status, findings) = check(story);
    let wrong: Vec<&String> = findings.iter().filter(|finding| finding.starts_with("wrong ")).collect();
    let of_subject = wrong.iter().find(|finding| finding.starts_with(&format!("wrong {subject}: ")));
    let sentence = of_subject.unwrap_or_else(|| panic!("nothing wrong with {subject}: {findings:#?}"));
    assert!(words.iter().all(|word| sentence.contains(word)), "{words:?} not in {sentence}");
    assert_eq!(status, Some(1));
}

#[test]
fn a_site_that_works_is_all_right() {
    let story = healthy();
    let (status, findings) = check(&story);
    assert_eq!(status, Some(0), "{findings:#?}");
    for subject in
        ["files", "database", "templates", "homeserver", "shared_secret", "bot", "room", "public_url", "internal", "cron", "mail"]
    {
        assert!(findings.iter().any(|finding| finding.starts_with(&format!("ok {subject}: "))), "{subject}: {findings:#?}");
    }
    let text = story.site.run_with("matrix-register-bot", &["check"], &[], b"").stdout;
    assert!(String::from_utf8(text).unwrap().lines().all(|line| line.starts_with("ok  ") || line.starts_with("look at")));
}

#[test]
fn a_wrong_homeserver_or_secret_is_found() {
    let mut story = healthy();
    story.site.set("registration_shared_secret", "wrong");
    finds(&story, "shared_secret_wrong", &["registration_shared_secret", "homeserver.yaml"]);
    story.site.unset("registration_shared_secret");
    let (status, findings) = check(&story);
    assert!(status == Some(78) && findings[0].starts_with("wrong configuration: ") && findings[0].contains("registration_shared_secret"));
    story.site.set("registration_shared_secret", "wrong");
    let url = story.synapse.base_url.clone();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    finds(&story, "homeserver", &["homeserver_url"]);
    story.site.set("homeserver_url", story.site.public_url());
    finds(&story, "shared_secret_wrong", &["homeserver_url does not reach"]);
    story.site.set("homeserver_url", url);
    story.site.set("server_name", "other.test");
    finds(&story, "server_name", &["example.test", "other.test"]);
}

#[test]
fn a_bot_that_cannot_act_is_found() {
    let mut story = healthy();
    story.site.set("room.access_token", "syt_wrong");
    finds(&story, "bot", &["access_token"]);
}

#[test]
fn a_room_that_does_not_fit_is_found() {
    let mut story = healthy();
    let room = story.room.clone();
    story.site.set("room.id", "!nowhere:example.test");
    finds(&story, "room", &["[room]"]);
    story.site.set("room.id", "#nowhere:example.test");
    finds(&story, "room", &["[room]"]);
    story.site.set("room.id", room.as_str());
    let creator = story.synapse.bot.token.clone();
    let state = |kind: &str, content: Value| {
        let path = format!("/_matrix/client/v3/rooms/{room}/state/{kind}/");
        assert_eq!(story.synapse.call("PUT", &path, Some(&creator), Some(content)).0, 200);
    };
    state("m.room.history_visibility", serde_json::json!({"history_visibility": "world_readable"}));
    finds(&story, "room", &["history visibility"]);
    state("m.room.history_visibility", serde_json::json!({"history_visibility": "joined"}));
    state("m.room.join_rules", serde_json::json!({"join_rule": "public"}));
    finds(&story, "room", &["private room"]);
    state("m.room.join_rules", serde_json::json!({"join_rule": "invite"}));
    state("m.room.encryption", serde_json::json!({"algorithm": "m.megolm.v1.aes-sha2"}));
    let (status, findings) = check(&story);
    assert!(
        status == Some(0) && findings.iter().any(|finding| finding.starts_with("warning room: ") && finding.contains("encrypted")),
        "{findings:#?}"
    );
}

#[test]
fn a_mail_server_that_takes_nothing_is_found() {
    let mut story = healthy();
    story.site.set("mail.smtp.port", 9);
    finds(&story, "mail", &["127.0.0.1:9"]);
    story.site.set("mail.smtp.security", "starttls");
    story.site.set("mail.smtp.port", i64::from(story.mails.port));
    finds(&story, "mail", &["STARTTLS"]);
    story.site.set("mail.smtp.security", "none");
    story.site.set("mail.transport", "sendmail");
    story.site.set("mail.sendmail", "/nonexistent/sendmail");
    finds(&story, "mail", &["sendmail in [mail]"]);
    story.site.set("mail.transport", "smtp");
    let to = format!("{}@applicants.example.org", fresh("ada"));
    let run = story.site.run_with("matrix-register-bot", &["check", "--mail", &to], &[], b"");
    assert!(run.status.success(), "{run:?}");
    assert!(story.mails.wait_for(&to, 1)[0].text.contains("test of the sign-up"));
}

#[test]
fn a_public_url_that_leads_elsewhere_is_found() {
    let mut story = healthy();
    let url = story.site.public_url();
    for (elsewhere, words) in [
        ("http://127.0.0.1:9/".to_owned(), ["cannot be fetched", "public_url"]),
        ("https://127.0.0.1:9/".to_owned(), ["cannot be fetched", "certificate"]),
        ("http://nowhere.invalid/".to_owned(), ["DNS", "public_url"]),
        (format!("{url}folder/"), ["404", "folder"]),
        (format!("{}/", story.synapse.base_url), ["public_url", "404"]),
    ] {
        story.site.set("public_url", elsewhere.as_str());
        finds(&story, "public_url", &words);
    }
    let other = Story::start("synapse", Host::NginxCgi);
    story.site.set("public_url", other.site.public_url());
    finds(&story, "public_url", &["another installation"]);
}

#[test]
fn files_a_database_templates_and_a_cron_that_cannot_be_used_are_found() {
    let mut story = healthy();
    let templates = story.site.path().join("own");
    fs::create_dir_all(templates.join("page")).unwrap();
    fs::write(templates.join("page/register.html"), "{% if %}").unwrap();
    story.site.set("pages.templates", templates.to_str().unwrap());
    finds(&story, "templates", &["pages.templates"]);
    fs::remove_dir_all(&templates).unwrap();
    story.site.unset("pages.templates");
    story.sql("UPDATE cron_clock SET ran_at = ran_at - 7200");
    finds(&story, "cron", &["ran last", "crontab"]);
    assert!(story.site.run_cron().status.success());
    let database = story.site.database_path();
    let content = fs::read(&database).unwrap();
    fs::write(&database, "no database").unwrap();
    finds(&story, "database", &["database"]);
    fs::write(&database, content).unwrap();
    let state = story.site.path().join("config.json");
    let kept = fs::read(&state).unwrap();
    fs::write(&state, "{").unwrap();
    finds(&story, "files", &["config.json"]);
    fs::write(&state, kept).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(check(&story).0, Some(0), "{:#?}", check(&story).1);
}

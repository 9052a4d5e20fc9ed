//! `matrix-register-bot`: what the operator does in a shell, also while everything else is down.

use crate::ownership::{USER, site_of_another_user};
use crate::world::{Engine, Host, on_every_database};
use crate::{Story, address_of, fresh};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// A homeserver and a mail server that nobody reaches.
pub const NOWHERE: &str = "http://127.0.0.1:9";

pub fn run(story: &Story, arguments: &[&str]) -> Output {
    story.site.run_with("matrix-register-bot", arguments, &[], b"")
}

pub fn says(story: &Story, arguments: &[&str]) -> String {
    let run = run(story, arguments);
    assert!(run.status.success(), "{arguments:?}: {run:?}");
    String::from_utf8(run.stdout).unwrap()
}

pub fn json(story: &Story, arguments: &[&str]) -> Value {
    serde_json::from_str(&says(story, &[arguments, &["--json"]].concat())).unwrap()
}

/// What is said when nothing was done, and the exit status.
pub fn refusal(story: &Story, arguments: &[&str]) -> (Option<i32>, String) {
    let run = run(story, arguments);
    assert!(run.stdout.is_empty(), "{run:?}");
    (run.status.code(), String::from_utf8(run.stderr).unwrap())
}

fn the_operator_finds_a_request_by_number_name_and_address(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    story.ask_and_confirm(&ada);
    story.ask(&eve);
    story.verify_mail(&eve);
    let number = story.text(&format!("SELECT id FROM registrations WHERE username = '{ada}'"));
    let mxid = story.synapse.user_id(&ada);
    for named in [&number, &format!("#{number}"), &ada, &mxid, &address_of(&ada)] {
        let shown = json(&story, &["show", named]);
        assert_eq!((shown["mxid"].as_str(), shown["state"].as_str()), (Some(&*mxid), Some("undecided")), "{named}");
    }
    let listed = says(&story, &["list"]);
    assert!(listed.contains(&mxid) && listed.contains("a decision in the room") && listed.contains(&eve), "{listed}");
    let undecided = json(&story, &["list", "--state", "undecided"]);
    assert_eq!(undecided.as_array().map(Vec::len), Some(1), "{undecided}");
    assert_eq!(json(&story, &["list", "--older", "1d"]), Value::Array(Vec::new()));
    let shown = says(&story, &["show", &ada]);
    assert!(shown.contains("Hello & <b>welcome</b> second line"), "one line for each fact: {shown}");
    assert_eq!(refusal(&story, &["show", "nobody"]).0, Some(1));
    assert_eq!(refusal(&story, &["show", "4711"]).0, Some(1));
}

fn the_operator_approves_while_the_room_is_away_and_cron_does_the_rest(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, url) = (fresh("ada"), story.synapse.base_url.clone());
    story.ask_and_confirm(&ada);
    story.room_message(&ada);
    story.site.set("homeserver_url", NOWHERE);
    let said = says(&story, &["approve", &ada]);
    assert!(said.contains("approved; the rest follows"), "{said}");
    let (status, again) = refusal(&story, &["approve", &ada]);
    assert!(status == Some(1) && again.contains("decided already"), "{again}");
    let owed = says(&story, &["show", &ada]);
    assert!(owed.contains("To do        the account") && owed.contains("last error"), "{owed}");

    story.site.set("homeserver_url", url);
    let said = says(&story, &["retry", &ada]);
    assert!(said.contains("nothing is left to do"), "{said}");
    story.mails.wait_for(&address_of(&ada), 2);
    assert!(story.synapse.exists(&ada));
    let history = json(&story, &["show", &ada])["history"].clone();
    assert_eq!((history[0]["way"].as_str(), history[0]["outcome"].as_str()), (Some("operator"), Some("approved")), "{history}");
    assert!(history[0]["by"].as_str().is_some_and(|user| !user.is_empty()), "the name of the user in the shell: {history}");
    assert!(story.room_shows(&ada, "The account has been created").contains("the operator of the homeserver"));
}

fn the_operator_declines_asks_and_reopens(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    story.ask_and_confirm(&ada);
    says(&story, &["ask", &ada, "Which voice do you sing?"]);
    assert!(story.mails.wait_for(&address_of(&ada), 2)[1].text.contains("Which voice do you sing?"));
    assert!(says(&story, &["decline", &ada, "--reason", "the choir is full"]).contains("told by mail"));
    assert!(story.mails.wait_for(&address_of(&ada), 3)[2].text.contains("the choir is full"));
    story.room_shows(&ada, "Declined");
    assert!(says(&story, &["reopen", &ada]).contains("waits for a decision again"));
    assert_eq!(json(&story, &["show", &ada])["state"], "undecided");
    says(&story, &["approve", &ada]);
    assert_eq!(refusal(&story, &["reopen", &ada]).0, Some(1));

    story.ask_and_confirm(&eve);
    says(&story, &["decline", &eve, "--silently"]);
    assert_eq!(story.mails.wait_for(&address_of(&eve), 1).len(), 1, "no mail about it");
    assert_eq!(refusal(&story, &["decline", &eve, "--reason", "x", "--silently"]).0, Some(64));
}

fn the_operator_helps_with_a_mail_that_does_not_arrive(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, wrong) = (fresh("ada"), address_of(&fresh("wrong")));
    story.browser.submit(&story.filled_form(&ada).fill("email", &wrong));
    let old = story.mails.wait_for(&wrong, 1).remove(0).link();
    says(&story, &["resend", &ada]);
    story.mails.wait_for(&wrong, 2);
    let corrected = json(&story, &["correct", &ada, "--email", &address_of(&ada)]);
    assert_eq!(corrected["state"], "unconfirmed");
    assert_eq!(story.browser.get(&old).status, 404, "the old link is dead");
    assert_eq!(story.confirm(&ada).status, 200);
    assert_eq!(refusal(&story, &["correct", &ada, "--email", &wrong]).0, Some(1));
    says(&story, &["withdraw", &ada]);
    assert_eq!(json(&story, &["list", "--all", "--state", "withdrawn"]).as_array().map(Vec::len), Some(1));
    assert_eq!(refusal(&story, &["withdraw", "1"]).0, Some(1));
}

fn the_operator_sees_how_many_asked_and_how_long_they_waited(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    for (name, decision) in [("ada", "approve"), ("eve", "decline")] {
        let name = fresh(name);
        story.ask_and_confirm(&name);
        story.decide(&name, decision, "");
    }
    story.ask(&fresh("may"));
    let counted = json(&story, &["stats", "--since", "30d"]);
    let numbers = ["asked", "confirmed", "approved", "declined", "undecided"].map(|what| counted[what].as_i64());
    assert_eq!(numbers, [Some(3), Some(2), Some(1), Some(1), Some(0)], "{counted}");
    assert!(counted["median_seconds_to_a_decision"].as_i64().is_some_and(|seconds| (0..600).contains(&seconds)), "{counted}");
    assert!(says(&story, &["stats"]).contains("median time to a decision"));
}

fn a_person_gets_everything_that_is_stored_and_is_forgotten_on_demand(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    let address = address_of(&ada);
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    story.mails.wait_for(&address, 2);
    story.browser.submit(&story.filled_form(&eve).fill("email", &address));
    let exported = json(&story, &["export", &address]);
    assert_eq!(exported["requests"].as_array().map(Vec::len), Some(2), "{exported}");
    assert_eq!(exported["accounts"][0]["username"], Value::from(ada.as_str()));
    assert!(!exported.to_string().contains("argon2"), "no hash of a password: {exported}");
    let posted = story.synapse.messages(&story.room);

    let said = says(&story, &["forget", &address]);
    assert!(said.contains("2 requests") && said.contains("the account is kept"), "{said}");
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations"), 0);
    assert_eq!(story.number("SELECT COUNT(*) FROM logins"), 1);
    assert!(says(&story, &["forget", &address, "--account"]).contains("1 accounts"));
    assert_eq!(story.number("SELECT COUNT(*) FROM logins"), 0);
    assert_eq!(story.number("SELECT COUNT(*) FROM directory_terms"), 0);
    story.site.let_cron_succeed();
    for message in posted {
        assert_eq!(story.synapse.content(&story.room, &message.event_id), serde_json::json!({}), "redacted");
    }
    assert_eq!(refusal(&story, &["forget", &address]).0, Some(1));
    assert_eq!(json(&story, &["export", &address])["requests"], Value::Array(Vec::new()));
}

on_every_database! {
    the_operator_finds_a_request_by_number_name_and_address,
    the_operator_approves_while_the_room_is_away_and_cron_does_the_rest,
    the_operator_declines_asks_and_reopens,
    the_operator_helps_with_a_mail_that_does_not_arrive,
    a_person_gets_everything_that_is_stored_and_is_forgotten_on_demand,
    the_operator_sees_how_many_asked_and_how_long_they_waited,
}

#[test]
fn the_command_explains_itself_and_is_not_for_web_servers() {
    let story = Story::start("synapse", Host::NginxCgi);
    for arguments in [&["--help"][..], &["list", "--help"], &["--version"], &["completions", "bash"]] {
        assert!(!says(&story, arguments).is_empty(), "{arguments:?}");
    }
    for wrong in [&["frobnicate"][..], &["list", "--older", "2y"], &["decline"], &[]] {
        let run = run(&story, wrong);
        assert_eq!(run.status.code(), Some(64), "{wrong:?}: {run:?}");
    }
    let variables = [("GATEWAY_INTERFACE", "CGI/1.1")];
    assert_eq!(story.site.run_with("matrix-register-bot", &["list"], &variables, b"").status.code(), Some(64));
    let nowhere = run(&story, &["list", "--config", "/nonexistent/config.toml"]);
    assert_eq!(nowhere.status.code(), Some(78), "{nowhere:?}");
}

/// A whole file must not be taken for an answer that did not fit on the disk.
#[test]
fn an_answer_that_cannot_be_written_is_a_failure_and_one_that_is_not_read_to_the_end_is_none() {
    let story = Story::start("synapse", Host::NginxCgi);
    assert_eq!(says(&story, &["list"]), "no request\n", "before the first request");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Command::new(story.site.program("matrix-register-bot")).arg("list").stdout(full).output().unwrap();
    assert_eq!(run.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&run.stderr).contains("cannot be written"), "{run:?}");
    let mut run = Command::new(story.site.program("matrix-register-bot")).arg("list").stdout(Stdio::piped()).spawn().unwrap();
    drop(run.stdout.take());
    assert_eq!(run.wait().unwrap().code(), Some(0));
}

#[test]
fn whoever_may_not_read_the_configuration_is_told_to_use_sudo() {
    let Some(story) = site_of_another_user() else { return };
    let config = story.site.config_path();
    assert!(Command::new("chown").arg("root").arg(&config).status().unwrap().success());
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for subcommand in ["list", "check"] {
        let mut command = Command::new("runuser");
        command.args(["-u", USER, "--"]).arg(story.site.program("matrix-register-bot")).arg(subcommand);
        let run = command.output().unwrap();
        assert_eq!(run.status.code(), Some(78), "{run:?}");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(said.contains("use sudo") && said.contains(&format!("chgrp {USER}")), "{said}");
    }
}

/// In its own folder, a configuration is easily named without one.
#[test]
fn a_configuration_may_be_named_by_a_relative_path() {
    let Some(story) = site_of_another_user() else { return };
    let run = |user: &str| {
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--"]).arg(story.site.program("matrix-register-bot")).args(["list", "--config", "config.toml"]);
        command.current_dir(story.site.path()).output().unwrap()
    };
    assert!(run(USER).status.success(), "{:?}", run(USER));
    for folder in ["", "bin"] {
        std::fs::set_permissions(story.site.path().join(folder), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let stranger = run("daemon");
    assert_eq!(stranger.status.code(), Some(78), "{stranger:?}");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains(&format!("sudo -u {USER}")), "{stranger:?}");
}

/// 75: try again later. Nothing is done by halves, and nothing looks like success.
#[test]
fn without_its_database_each_subcommand_says_so_and_fails_for_now() {
    let mut story = Story::start("local", Host::NginxCgi);
    story.site.set("database", "postgres://bot:secret-word@127.0.0.1:9/register?tls=off");
    for arguments in [
        &["list"][..],
        &["show", "1"],
        &["approve", "1"],
        &["decline", "1", "--reason", "no"],
        &["ask", "1", "who?"],
        &["reopen", "1"],
        &["resend", "1"],
        &["correct", "1", "--email", "ada@example.org"],
        &["withdraw", "1"],
        &["end", "1"],
        &["retry", "--all"],
        &["export", "ada@example.org"],
        &["forget", "ada@example.org"],
        &["user", "list"],
        &["user", "disable", "ada"],
        &["close"],
        &["open"],
        &["stats"],
    ] {
        let (status, said) = refusal(&story, arguments);
        assert_eq!(status, Some(75), "{arguments:?}: {said}");
        assert!(said.contains("127.0.0.1:9") && said.contains("database in config.toml"), "{arguments:?}: {said}");
        assert!(!said.contains("secret-word") && said.lines().count() == 1, "{arguments:?}: {said}");
        let run = run(&story, &[arguments, &["--json"]].concat());
        let answer: Value = serde_json::from_slice(&run.stdout).unwrap();
        assert!(run.status.code() == Some(75) && answer["error"].is_string(), "{run:?}");
    }
}

/// What a terminal obeys, and what turns the direction of writing or cannot be seen.
const NASTY: &str = "Ada\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}evil\u{200b}\u{2066}";

/// Rows may be older than the rules for what people type, or restored from somewhere else.
#[test]
fn nothing_in_the_database_moves_the_cursor_or_turns_the_text() {
    let story = Story::start("local", Host::NginxCgi);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    story.mails.wait_for(&address_of(&ada), 2);
    story.ask_and_confirm(&eve);
    says(&story, &["ask", &eve, "who?"]);
    for (table, columns) in [
        ("registrations", &["first_name", "last_name", "note", "reason", "last_error", "refusal"][..]),
        ("decisions", &["decided_by", "reason"]),
        ("questions", &["question", "asked_by", "answer"]),
        ("owed_actions", &["last_error"]),
        ("logins", &["first_name", "last_name"]),
    ] {
        for column in columns {
            story.sql(&format!("UPDATE {table} SET {column} = '{NASTY}'"));
        }
    }
    let is_nasty = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}\u{2066}".contains(c);
    for arguments in [
        &["list", "--all"][..],
        &["show", &ada],
        &["show", &eve],
        &["export", &address_of(&ada)],
        &["user", "list"],
        &["user", "show", &ada],
    ] {
        for json in [&[][..], &["--json"]] {
            let said = says(&story, &[arguments, json].concat());
            assert!(!said.contains(is_nasty), "{arguments:?} {json:?}: {said:?}");
            assert!(said.contains("evil") || arguments[0] == "list", "{said}");
        }
    }
    for argument in ["--waiting", "-v"] {
        let run = story.site.run_cron_with(&[argument]);
        let said = String::from_utf8([run.stdout, run.stderr].concat()).unwrap();
        assert!(!said.contains(is_nasty), "{argument}: {said:?}");
    }
}

//! `matrix-register-bot secrets rotate`: new secrets, and nothing that is open is lost.

use crate::operator::{NOWHERE, json, refusal, run, says};
use crate::world::{Account, Engine, Host, MailCatcher, SiteBuilder, on_every_database};
use crate::{Story, address_of, decision_form, fresh, password_in};
use matrix_register_bot::outside::fault::DIE_AT_VARIABLE;
use matrix_register_bot::outside::state_file::StateFile;
use matrix_register_bot::outside::take_over::backup;
use serde_json::Value;

const ROTATE: [&str; 3] = ["secrets", "rotate", "--secret-key"];

fn state_file(story: &Story) -> Value {
    serde_json::from_slice(&std::fs::read(story.site.path().join("config.json")).unwrap()).unwrap()
}

/// As the programs do it: others read the old file or the new one.
fn write_state_file(story: &Story, state: &Value) {
    let aside = story.site.path().join("config.json.aside");
    std::fs::write(&aside, state.to_string()).unwrap();
    std::fs::rename(aside, story.site.path().join("config.json")).unwrap();
}

/// No program is at work on anything, also not after its answer: thumbs (6) are put there then.
fn all_is_quiet(story: &Story) {
    let begun = std::time::Instant::now();
    let at_work = "SELECT (SELECT COUNT(*) FROM owed_actions WHERE kind = 6 OR lease <> 'died') + (SELECT COUNT(*) FROM registrations WHERE lease <> 'died')";
    while story.text(at_work) != "0" {
        assert!(begun.elapsed().as_secs() < 60, "a program is at work, or died");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// More than an hour passes since the new key came, and cron runs.
fn an_hour_passes(story: &Story) {
    all_is_quiet(story);
    let mut state = state_file(story);
    if let Some(at) = state["secret_key_replaced_at"].as_i64() {
        state["secret_key_replaced_at"] = Value::from(at - 7200);
        write_state_file(story, &state);
    }
    story.sql("UPDATE registrations SET due_at = 0");
    let cron = story.site.run_cron();
    assert!(cron.status.success(), "{cron:?}");
}

fn messages_about(story: &Story, name: &str) -> usize {
    let mxid = story.synapse.user_id(name);
    story.synapse.messages(&story.room).iter().filter(|message| message.body.contains(&mxid) && !message.body.starts_with("* ")).count()
}

fn what_is_open_goes_on_with_a_new_key_and_by_its_old_links(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxFastCgi, SiteBuilder::send_link);
    let [unconfirmed, undecided, choosing, declined, late] = ["una", "udo", "uli", "don", "lea"].map(fresh);
    for name in [&undecided, &choosing, &declined] {
        story.ask_and_confirm(name);
    }
    story.ask(&unconfirmed);
    let form_opened_before = story.filled_form(&late);
    story.decide(&choosing, "approve", "");
    story.decide(&declined, "decline", "");
    let to_choose = story.mails.wait_for(&address_of(&choosing), 2).remove(1).link();
    let to_decide = story.room_message(&undecided).link();
    let button_before = story.browser.get(&to_decide);
    let before = state_file(&story);
    all_is_quiet(&story);

    let rotated = json(&story, &ROTATE);
    assert_eq!((rotated["secret_key"]["renewed"].as_i64(), rotated["secret_key"]["left"].as_array().map(Vec::len)), (Some(4), Some(0)));
    let after = state_file(&story);
    assert!(after["secret_key"] != before["secret_key"] && after["former_secret_key"] == before["secret_key"]);
    assert_eq!(after["register_password"], before["register_password"]);
    assert_eq!(story.browser.submit(&form_opened_before).status, 200, "a form that was open is accepted");
    let checked = run(&story, &["check", "--json"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("0 requests still have the former key"), "{checked:?}");

    let (status, sentence) = refusal(&story, &ROTATE);
    assert!(status == Some(1) && sentence.contains("under way since 20") && sentence.contains("no new key was made"), "{sentence}");
    assert_eq!(state_file(&story)["secret_key"], after["secret_key"]);
    assert_eq!(story.browser.submit(&decision_form(&button_before, "approve", "")).status, 200, "a page that was open is good");
    an_hour_passes(&story);
    let last = state_file(&story);
    assert!(last["former_secret_key"].is_null() && last["secret_key_replaced_at"].is_null() && last["secret_key"] == after["secret_key"]);

    assert_eq!(story.confirm(&unconfirmed).status, 200, "by the link that was mailed before");
    let form = story.browser.get(&to_choose).form();
    story.browser.submit(&form.fill("password", "correct horse Bätterie").fill("password_again", "correct horse Bätterie"));
    assert!(story.synapse.login(&choosing, "correct horse Bätterie").is_ok());
    says(&story, &["reopen", &declined]);
    assert_eq!(story.browser.get(&to_decide).status, 200, "the room's old link shows the decision");
    let newest = story.mails.wait_for(&address_of(&undecided), 2).remove(1).link();
    let form = story.browser.get(&newest).form();
    story.browser.submit(&form.fill("password", "correct horse Bätterie").fill("password_again", "correct horse Bätterie"));
    assert!(story.synapse.login(&undecided, "correct horse Bätterie").is_ok());
    an_hour_passes(&story);
    for name in [&undecided, &choosing, &declined, &unconfirmed] {
        assert_eq!(messages_about(&story, name), 1, "{name}");
    }
    assert_eq!([&undecided, &choosing, &declined, &unconfirmed, &late].map(|name| story.state(name)), [100, 100, 6, 6, 1]);
}

fn wherever_it_is_killed_pages_work_and_the_next_start_goes_on(engine: Engine) {
    for point in ["new secret", "key replaced", "key replaced:2", "keyed hashes forgotten"] {
        let story = Story::on(engine, "synapse", Host::NginxCgi);
        let (ada, bob) = (fresh("ada"), fresh("bob"));
        story.ask(&ada);
        story.ask(&bob);
        let killed = story.site.run_with("matrix-register-bot", &ROTATE, &[(DIE_AT_VARIABLE, point)], b"");
        assert!(killed.status.code().is_none(), "{point}: {killed:?}");
        let key = state_file(&story)["secret_key"].clone();
        assert_eq!(story.confirm(&ada).status, 200, "{point}: between both starts");
        all_is_quiet(&story);
        // The lock of the program that died.
        story.sql("DELETE FROM locks");
        assert_eq!(refusal(&story, &ROTATE).0, Some(1), "{point}: the key of before, and it goes on");
        an_hour_passes(&story);
        let state = state_file(&story);
        assert!(state["secret_key"] == key && state["former_secret_key"].is_null(), "{point}");
        assert_eq!(story.confirm(&bob).status, 200, "{point}");
        assert_eq!(story.decide(&ada, "approve", "").status, 200, "{point}");
        assert_eq!(([&ada, &bob].map(|name| story.state(name)), messages_about(&story, &ada)), ([100, 6], 1), "{point}");
    }
}

fn an_account_that_is_on_its_way_keeps_its_key_until_its_password_is_mailed(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.mails.stop();
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 8);
    all_is_quiet(&story);
    let rotated = json(&story, &ROTATE);
    assert_eq!(rotated["secret_key"]["left"].as_array().map(Vec::len), Some(1), "{rotated}");
    story.mails = MailCatcher::start();
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", port);
    an_hour_passes(&story);
    let mailed = password_in(&story.mails.wait_for(&address_of(&ada), 1)[0]);
    assert!(story.synapse.login(&ada, &mailed).is_ok(), "the password with which the account was made");
    an_hour_passes(&story);
    assert!(state_file(&story)["former_secret_key"].is_null());
}

fn a_password_that_was_chosen_before_is_still_known(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, SiteBuilder::ask_password);
    let ada = fresh("ada");
    story.ask(&ada);
    assert_eq!(story.confirm_choosing(&ada, "correct horse Bätterie").status, 200);
    all_is_quiet(&story);
    says(&story, &ROTATE);
    an_hour_passes(&story);
    assert!(state_file(&story)["former_secret_key"].is_null());
    assert_eq!(story.decide(&ada, "approve", "").status, 200);
    assert!(story.synapse.login(&ada, "correct horse Bätterie").is_ok());
}

fn what_came_after_the_new_key_is_kept_and_a_clock_set_back_ends_nothing(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let remember = |hash: &str| {
        story.sql(&format!("INSERT INTO remembered (person_hash, state, is_refused, ended_at) VALUES ('{hash}', 13, 0, 2000000000)"));
    };
    story.ask(&fresh("ada"));
    remember("of the former key");
    let begun = json(&story, &ROTATE);
    assert_eq!(begun["secret_key"]["outcomes_forgotten"], 1, "{begun}");
    remember("of the new key");
    let mut state = state_file(&story);
    let at = state["secret_key_replaced_at"].as_i64().unwrap();
    state["secret_key_replaced_at"] = Value::from(at + 60);
    write_state_file(&story, &state);
    story.site.let_cron_succeed();
    assert!(state_file(&story)["former_secret_key"].is_string(), "the hour is not over");
    an_hour_passes(&story);
    assert!(state_file(&story)["former_secret_key"].is_null());
    assert_eq!(story.text("SELECT person_hash FROM remembered"), "of the new key");
}

fn what_a_killed_program_began_keeps_its_key(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let [ada, bob] = ["ada", "bob"].map(fresh);
    story.ask_and_confirm(&ada);
    story.ask(&bob);
    all_is_quiet(&story);
    story.sql(&format!("UPDATE registrations SET state = 0, lease = 'died', lease_until = 1 WHERE username = '{bob}'"));
    let left = json(&story, &ROTATE)["secret_key"]["left"].clone();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "its mail may be on its way: {left}");
    an_hour_passes(&story);
    an_hour_passes(&story);
    assert!(state_file(&story)["former_secret_key"].is_null());
}

fn a_password_sealed_with_the_former_key_during_the_switch_is_opened(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, SiteBuilder::ask_password);
    let ada = fresh("ada");
    story.ask(&ada);
    assert_eq!(story.confirm_choosing(&ada, "correct horse Bätterie").status, 200);
    all_is_quiet(&story);
    let sealed = story.text(&format!("SELECT password FROM registrations WHERE username = '{ada}'"));
    says(&story, &ROTATE);
    story.sql(&format!("UPDATE registrations SET password = '{sealed}' WHERE username = '{ada}'"));
    assert_eq!(story.decide(&ada, "approve", "").status, 200);
    assert!(story.synapse.login(&ada, "correct horse Bätterie").is_ok());
}

on_every_database! {
    what_came_after_the_new_key_is_kept_and_a_clock_set_back_ends_nothing,
    what_a_killed_program_began_keeps_its_key,
    a_password_sealed_with_the_former_key_during_the_switch_is_opened,
    what_is_open_goes_on_with_a_new_key_and_by_its_old_links,
    wherever_it_is_killed_pages_work_and_the_next_start_goes_on,
    an_account_that_is_on_its_way_keeps_its_key_until_its_password_is_mailed,
    a_password_that_was_chosen_before_is_still_known,
}

#[test]
fn the_backup_of_phps_database_can_be_opened_during_and_after_the_replacement() {
    let story = Story::start("synapse", Host::NginxCgi);
    story.ask(&fresh("ada"));
    let content = b"SQLite format 3 and what PHP wrote";
    let secret = StateFile::inside(story.site.path()).secret().unwrap();
    backup::write(&secret, &story.site.database_path(), content).unwrap();
    let path = format!("{}.php-backup", story.site.database_path().display());
    let opens = || story.site.run_with("cron", &["--open-backup", &path], &[], b"").stdout == content;
    let is_complete = || state_file(&story)["former_secret_key"].is_null();
    says(&story, &ROTATE);
    assert!(opens(), "with the former key");

    let elsewhere = format!("{path}.elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    an_hour_passes(&story);
    assert!(!is_complete() && opens(), "what cannot be replaced keeps the former key");
    let said = story.site.run_with("cron", &["-v"], &[], b"");
    assert!(String::from_utf8_lossy(&said.stdout).contains("former_secret_key_kept"), "{said:?}");

    std::fs::rename(&elsewhere, &path).unwrap();
    an_hour_passes(&story);
    assert!(is_complete() && opens(), "with the new key");
}

const BOT: [&str; 3] = ["secrets", "rotate", "--bot"];

/// A site whose bot logs in by itself, and is in the room.
fn with_own_bot() -> (Story, String) {
    let name = fresh("bot");
    let own = name.clone();
    let story =
        Story::start_with("synapse", Host::NginxCgi, move |site| site.unset("room.access_token").set("room.bot_localpart", own.as_str()));
    let bot = Account { localpart: name.clone(), user_id: story.synapse.user_id(&name), password: String::new(), token: String::new() };
    story.synapse.invite(&story.room, &story.synapse.bot, &bot);
    run(&story, &["check"]);
    (story, name)
}

fn lives(story: &Story, token: &Value) -> bool {
    story.synapse.call("GET", "/_matrix/client/v3/account/whoami", token.as_str(), None).0 == 200
}

#[test]
fn the_bot_gets_another_password_and_token_and_goes_on() {
    let (mut story, bot) = with_own_bot();
    let before = state_file(&story);
    assert!(lives(&story, &before["access_token"]), "{:?}", run(&story, &["check"]));
    let other_session = story.synapse.login(&bot, before["register_password"].as_str().unwrap()).unwrap();
    let said = says(&story, &BOT);
    assert!(said.contains("a new password, and a new access token"), "{said}");
    let after = state_file(&story);
    assert!(after["register_password"] != before["register_password"] && after["access_token"] != before["access_token"]);
    assert!(after["next_register_password"].is_null() && after["secret_key"] == before["secret_key"]);
    assert!(lives(&story, &after["access_token"]) && !lives(&story, &before["access_token"]) && !lives(&story, &other_session.into()));
    assert!(story.synapse.login(&bot, before["register_password"].as_str().unwrap()).is_err());
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    assert_eq!(messages_about(&story, &ada), 1);

    let url = story.synapse.base_url.clone();
    story.site.set("homeserver_url", NOWHERE);
    let (status, sentence) = refusal(&story, &BOT);
    assert!(status == Some(75) && sentence.contains("nothing is lost"), "{sentence}");
    let unchanged = state_file(&story);
    assert!(unchanged["register_password"] == after["register_password"] && unchanged["access_token"] == after["access_token"]);
    story.site.set("homeserver_url", url);
    assert!(says(&story, &BOT).contains("a new password"));
}

#[test]
fn wherever_it_is_killed_the_bot_gets_in_again() {
    for (point, is_repeated) in [("next password kept", true), ("bot has next password", true), ("bot has next password", false)] {
        let (story, _) = with_own_bot();
        let killed = story.site.run_with("matrix-register-bot", &BOT, &[(DIE_AT_VARIABLE, point)], b"");
        assert!(killed.status.code().is_none(), "{point}: {killed:?}");
        if is_repeated {
            assert!(says(&story, &BOT).contains("a new password"), "{point}");
        }
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        assert_eq!(messages_about(&story, &ada), 1, "{point}");
        assert!(state_file(&story)["next_register_password"].is_null(), "{point}");
    }
}

#[test]
fn what_is_the_operators_own_is_named_and_left() {
    let mut story = Story::start("synapse", Host::NginxCgi);
    let (status, sentence) = refusal(&story, &BOT);
    assert!(status == Some(1) && sentence.contains("access_token") && sentence.contains("[room]"), "{sentence}");
    let (status, sentence) = refusal(&story, &["secrets", "rotate", "--secret-key", "--bot"]);
    assert!(status == Some(1) && sentence.contains("requests have the new key") && sentence.contains("but: the bot uses"), "{sentence}");
    let service = ["secrets", "rotate", "--service"];
    assert_eq!(refusal(&story, &service).0, Some(1), "there is none");
    let file = says(&story, &["appservice"]);
    let renewed = says(&story, &service);
    let token = |file: &str| file.lines().find(|line| line.starts_with("as_token")).unwrap_or_else(|| panic!("{file}")).to_owned();
    assert_ne!(token(&file), token(&renewed));
    assert_eq!(token(&says(&story, &["appservice"])), token(&renewed));
    assert_eq!(refusal(&story, &["secrets", "rotate"]).0, Some(64), "which ones?");
    assert!(renewed.contains("the bot acts as itself") && renewed.contains("Copy config.json"), "{renewed}");
    let all = run(&story, &["secrets", "rotate", "--bot", "--service"]);
    assert!(
        all.status.code() == Some(1) && token(&says(&story, &["appservice"])) != token(&renewed),
        "one refusal stops no other: {all:?}"
    );

    for (key, value) in [
        ("admin_url", NOWHERE),
        ("client_id", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("client_secret", "x"),
        ("public_url", "https://auth.example.test/"),
    ] {
        story.site.set(&format!("mas.{key}"), value);
    }
    story.site.set("operation_mode", "mas");
    story.site.unset("room.access_token");
    let renewed = says(&story, &service);
    assert!(renewed.contains("Until then the bot can do nothing"), "{renewed}");
}

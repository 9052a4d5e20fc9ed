use crate::world::http::{pass_on, read_request};
use crate::world::impostor::{http_impostor, impostor};
use crate::world::{Engine, Host, MailCatcher, on_every_database};
use crate::{Story, address_of, fresh, password_in};
use std::io::Write;

/// Makes everything that waits due now.
fn time_passes(story: &Story) {
    story.sql("UPDATE registrations SET due_at = 0");
}

fn a_mail_server_that_is_down_only_delays(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    story.mails.stop();
    let ada = fresh("ada");
    story.ask(&ada);
    assert_eq!(story.state(&ada), 0);
    time_passes(&story);
    let failed = story.site.run_cron();
    assert_eq!(failed.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&failed.stdout).contains("1 failed"), "{failed:?}");
    story.mails = MailCatcher::start();
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", port);
    let waiting = story.site.run_cron();
    assert!(waiting.status.code() == Some(75) && waiting.stderr.is_empty(), "not its time yet, and nothing new: {waiting:?}");
    assert_eq!(story.state(&ada), 0);
    time_passes(&story);
    let well_again = story.site.run_cron();
    assert!(
        well_again.status.success() && String::from_utf8_lossy(&well_again.stderr).contains("mail server: well again"),
        "{well_again:?}"
    );
    story.confirm(&ada);
    assert_eq!(story.state(&ada), 6);
}

fn a_homeserver_that_is_down_or_talks_nonsense_only_delays(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let nonsense = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html>oops</h";
    story.site.set("homeserver_url", http_impostor(nonsense.to_vec()));
    let page = story.confirm(&ada);
    assert_eq!(page.status, 200, "the visitor hears thank you all the same");
    assert_eq!(story.state(&ada), 5);
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    time_passes(&story);
    assert_eq!(story.site.run_cron().status.code(), Some(75));
    story.site.set("homeserver_url", story.synapse.base_url.clone());
    time_passes(&story);
    story.site.let_cron_succeed();
    let link = story.room_message(&ada).link();

    let page = story.browser.get(&link);
    story.site.wait_for_programs();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    let pending = story.browser.submit(&crate::decision_form(&page, "approve", ""));
    assert!(pending.text().contains("almost done"), "{}", pending.text());
    story.site.wait_for_programs();
    story.site.set("homeserver_url", story.synapse.base_url.clone());
    time_passes(&story);
    story.sql("UPDATE owed_actions SET due_at = 0");
    story.site.let_cron_succeed();
    let credentials = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(story.synapse.login(&ada, &password_in(&credentials)).is_ok());
    assert_eq!(story.synapse.messages(&story.room).len(), 1);
}

fn a_room_message_is_sent_once_even_if_its_answer_was_lost(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.sql("UPDATE registrations SET state = 5, due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 6);
    assert_eq!(story.synapse.messages(&story.room).len(), 1);
}

fn a_broken_configuration_is_an_error_page_and_a_sentence_in_the_log(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    story.site.set("times.confirm_within_hours", 0);
    let page = story.browser.get("/register");
    assert_eq!(page.status, 500);
    assert!(!page.text().contains("confirm_within_hours"), "{}", page.text());
    assert!(story.web.log().contains("confirm_within_hours") || story.web.log().contains("from 1 to 8760"), "{}", story.web.log());
    assert_eq!(story.site.run_cron().status.code(), Some(78));
}

fn the_bot_makes_its_own_account_and_joins_when_invited(engine: Engine) {
    let bot = fresh("doorman");
    let name = bot.clone();
    let story =
        Story::on_with(engine, "synapse", Host::NginxCgi, move |site| site.unset("room.access_token").set("room.bot_localpart", name));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    assert_eq!(story.state(&ada), 5, "not invited yet");
    assert!(story.web.log().contains("invite"), "{}", story.web.log());
    let guest = crate::world::Account {
        localpart: bot.clone(),
        user_id: story.synapse.user_id(&bot),
        password: String::new(),
        token: String::new(),
    };
    story.synapse.invite(&story.room, &story.synapse.bot, &guest);
    time_passes(&story);
    story.site.let_cron_succeed();
    assert_eq!(story.room_message(&ada).sender, story.synapse.user_id(&bot));
}

fn a_mail_box_that_is_gone_ends_the_request_and_cron_is_silent_again(engine: Engine) {
    let ada = fresh("ada");
    let address = address_of(&ada);
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    story.ask_and_confirm(&ada);
    story.mails = MailCatcher::start_with(&["--reject-recipient", &address]);
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", port);
    story.decide(&ada, "decline", "");
    assert_eq!(story.state(&ada), 12);
    time_passes(&story);
    assert_eq!(story.site.run_cron().status.code(), Some(75));
    story.sql("UPDATE registrations SET due_at = 0, attempts = 9, refusals = 9, refused_seconds = 48 * 3600");
    let last = story.site.run_cron();
    assert!(last.status.success() && String::from_utf8_lossy(&last.stderr).contains("mail_given_up"), "{last:?}");
    assert_eq!(story.state(&ada), 13);
    let quiet = story.site.run_cron();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet:?}");
}

fn a_lost_secret_key_is_named_and_no_dead_link_is_sent(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    story.sql("UPDATE registrations SET state = 0, due_at = 0");
    let state = story.site.path().join("config.json");
    let kept = std::fs::read(&state).unwrap();
    std::fs::remove_file(&state).unwrap();
    let output = story.site.run_cron();
    assert!(String::from_utf8_lossy(&output.stderr).contains("another secret_key"), "{output:?}");
    assert_eq!(story.mails.count(), 1);
    std::fs::write(&state, kept).unwrap();
    time_passes(&story);
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 1);
}

fn an_account_that_only_looks_like_ours_is_never_given_to_the_applicant(engine: Engine) {
    let mut story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let page = story.browser.get(&story.room_message(&ada).link());
    // The first attempt reaches the homeserver with a wrong secret; then somebody creates an account that looks the same.
    let secret = story.synapse.shared_secret.clone();
    story.site.set("registration_shared_secret", "wrong");
    story.browser.submit(&crate::decision_form(&page, "approve", ""));
    assert_eq!(story.state(&ada), 7);
    let other = story.synapse.register(&ada, "somebody else's");
    let name = format!("/_matrix/client/v3/profile/{}/displayname", other.user_id);
    story.synapse.call("PUT", &name, Some(&other.token), Some(serde_json::json!({"displayname": "Ada Lovelace-Größe"})));
    story.site.set("registration_shared_secret", secret);
    time_passes(&story);
    story.site.run_cron();
    let logins = story.number("SELECT count(*) FROM logins");
    assert_eq!((logins, story.state(&ada)), (0, 13));
}

/// Some proxies repeat a request if the connection breaks; the program gets the second answer.
fn an_account_that_was_asked_for_twice_by_a_proxy_is_the_applicants(engine: Engine) {
    for mode in ["synapse", "local"] {
        let mut story = Story::on(engine, mode, Host::NginxCgi);
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        story.site.set("homeserver_url", twice(&story.synapse.base_url));
        story.decide(&ada, "approve", "");
        assert_eq!(story.state(&ada), 100, "{}", story.web.log());
        let password = password_in(&story.mails.wait_for(&address_of(&ada), 2)[1]);
        assert!(mode == "local" || story.synapse.login(&ada, &password).is_ok());
    }
}

/// A proxy that sends the first POST twice.
fn twice(homeserver: &str) -> String {
    let homeserver = homeserver.trim_start_matches("http://").to_owned();
    let mut is_first = true;
    let port = impostor(move |mut client| {
        let Ok(request) = read_request(&client) else { return };
        if request.starts_with(b"POST") && std::mem::take(&mut is_first) {
            pass_on(&homeserver, &request).unwrap();
        }
        let _ = client.write_all(&pass_on(&homeserver, &request).unwrap());
    });
    format!("http://127.0.0.1:{port}")
}

fn a_name_in_our_table_is_refused_before_synapse_hears_of_it(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.sql(&format!(
        "INSERT INTO logins (localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at) VALUES ('{ada}', '', '', '*', '', '', 1, 1)"
    ));
    story.decide(&ada, "approve", "");
    assert!(!story.synapse.exists(&ada));
    assert_eq!(story.state(&ada), 13);
}

#[test]
fn a_restored_database_is_used_from_the_next_request_on() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask(&ada);
    let path = story.site.database_path();
    story.sql(&format!("VACUUM INTO '{}'", path.with_extension("backup").display()));
    std::fs::rename(path.with_extension("backup"), &path).unwrap();
    for journal in ["sqlite-wal", "sqlite-shm"] {
        let _ = std::fs::remove_file(path.with_extension(journal));
    }
    story.ask(&bob);
    assert_eq!((story.state(&ada), story.state(&bob)), (1, 1));
}

fn no_log_line_has_a_password_a_token_or_an_address(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask(&ada);
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    story.confirm(&ada);
    time_passes(&story);
    let mut said = format!("{:?}", story.site.run_cron());
    story.site.set("homeserver_url", story.synapse.base_url.clone());
    time_passes(&story);
    said += &format!("{:?}", story.site.run_cron());
    story.decide(&ada, "approve", "");
    said += &story.web.log();
    assert!(said.contains("step_failed") && said.contains("moved_on"), "{said}");
    let token = |link: String| link.split("t=").nth(1).unwrap().to_owned();
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(story.site.path().join("config.json")).unwrap()).unwrap();
    let secret = |key: &str| state[key].as_str().unwrap().to_owned();
    let password = password_in(&story.mails.wait_for(&address_of(&ada), 2)[1]);
    let secrets = [token(story.verify_mail(&ada).link()), token(story.room_message(&ada).link()), password, address_of(&ada)];
    for secret in secrets.into_iter().chain([secret("secret_key"), secret("register_password"), story.synapse.shared_secret.clone()]) {
        assert!(!said.contains(&secret), "{secret} in {said}");
    }
}

on_every_database! {
    a_mail_server_that_is_down_only_delays,
    a_homeserver_that_is_down_or_talks_nonsense_only_delays,
    a_room_message_is_sent_once_even_if_its_answer_was_lost,
    a_broken_configuration_is_an_error_page_and_a_sentence_in_the_log,
    the_bot_makes_its_own_account_and_joins_when_invited,
    a_mail_box_that_is_gone_ends_the_request_and_cron_is_silent_again,
    a_lost_secret_key_is_named_and_no_dead_link_is_sent,
    an_account_that_only_looks_like_ours_is_never_given_to_the_applicant,
    an_account_that_was_asked_for_twice_by_a_proxy_is_the_applicants,
    a_name_in_our_table_is_refused_before_synapse_hears_of_it,
    no_log_line_has_a_password_a_token_or_an_address,
}

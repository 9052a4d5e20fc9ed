//! `config.json` is lost, or comes from another machine: what was derived from its secret key cannot be derived again.

use crate::world::{Engine, Host, MailCatcher, SiteBuilder, on_every_database};
use crate::{Story, address_of, decision_form, fresh, password_in};
use matrix_register_bot::domain::password;
use std::process::{Command, Output};

/// Removes the key; returns the content of the file.
fn lose_key(story: &Story) -> Vec<u8> {
    let path = story.site.path().join("config.json");
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    kept
}

fn rekey(story: &Story) -> String {
    let output = Command::new(story.site.program("cron")).arg("--rekey").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes everything that waits due now.
fn time_passes(story: &Story) {
    story.sql("UPDATE registrations SET due_at = 0");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn while_the_key_is_lost_nobody_is_promised_what_will_not_come(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask(&ada);
    story.ask_and_confirm(&bob);
    let (to_confirm, to_decide) = (story.verify_mail(&ada).link(), story.room_message(&bob).link());
    let (confirm, decide) = (story.browser.get(&to_confirm).form(), story.browser.get(&to_decide));
    let kept = lose_key(&story);
    for page in [
        story.browser.get(&to_confirm),
        story.browser.submit(&confirm),
        story.browser.get(&to_decide),
        story.browser.submit(&decision_form(&decide, "approve", "")),
    ] {
        assert_eq!(page.status, 503);
        assert!(page.text().contains("has to wait"), "{}", page.text());
    }
    assert!(story.web.log().contains("another secret_key") && story.web.log().contains("--rekey"), "{}", story.web.log());
    assert_eq!((story.state(&ada), story.state(&bob)), (1, 6));

    story.sql("UPDATE registrations SET state_since = state_since - 49 * 3600");
    let output = story.site.run_cron();
    assert_eq!(output.status.code(), Some(75));
    let sentence = "another secret_key than config.json has now, and wait: 2";
    assert_eq!(said(&output).matches(sentence).count(), 1, "{output:?}");
    assert!(!said(&output).contains("step_failed"), "{output:?}");
    assert_eq!((story.state(&ada), story.state(&bob)), (1, 6), "nobody could confirm in time");

    std::fs::write(story.site.path().join("config.json"), kept).unwrap();
    story.sql("UPDATE registrations SET state_since = state_since + 49 * 3600");
    story.site.let_cron_succeed();
    assert_eq!(story.confirm(&ada).status, 200);
    story.decide(&bob, "approve", "");
    assert_eq!((story.state(&ada), story.state(&bob)), (6, 100));
}

/// One request in each open state.
fn requests_come_to_their_end_with_a_new_key_and_by_their_old_links(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let [unsent, unconfirmed, untold, undecided, unmade, unmailed] = ["una", "ulf", "uma", "udo", "uli", "ute"].map(fresh);
    for name in [&untold, &undecided, &unmade, &unmailed] {
        story.ask_and_confirm(name);
    }
    for name in [&unsent, &unconfirmed] {
        story.ask(name);
    }
    story.decide(&unmailed, "approve", "");
    story.sql(&format!("UPDATE registrations SET state = 0 WHERE username = '{unsent}'"));
    story.sql(&format!("UPDATE registrations SET state = 5 WHERE username = '{untold}'"));
    story.sql(&format!("UPDATE registrations SET state = 7, decided_at = 1 WHERE username = '{unmade}'"));
    story.sql(&format!("UPDATE registrations SET state = 8 WHERE username = '{unmailed}'"));
    let mails_before = story.mails.count();
    let old_to_confirm = story.verify_mail(&unconfirmed).link();
    let old_to_decide = story.room_message(&undecided).link();
    let lost_password = password_in(&story.mails.wait_for(&address_of(&unmailed), 2)[1]);
    lose_key(&story);

    let report = rekey(&story);
    assert!(report.starts_with("Requests that go on with a new key: 6."), "{report}");
    assert!(report.contains(&story.synapse.user_id(&unmailed)) && report.contains("server administrator"), "{report}");
    assert!(rekey(&story).contains("nothing to do"));
    assert_eq!(story.mails.count(), mails_before);

    // The bot is no administrator: the request with a lost password waits, and the message says for what.
    time_passes(&story);
    let output = story.site.run_cron();
    assert!(said(&output).contains("nobody knows its password"), "{output:?}");
    let states = |story: &Story| [&unsent, &unconfirmed, &untold, &undecided, &unmade, &unmailed].map(|name| story.state(name));
    assert_eq!(states(&story), [1, 1, 6, 6, 100, 8]);
    let (bots, admins) = (story.synapse.bot.token.clone(), story.synapse.admin.token.clone());
    story.synapse.invite(&story.room, &story.synapse.bot, &story.synapse.admin);
    story.site.set("room.access_token", admins);
    time_passes(&story);
    story.site.let_cron_succeed();
    story.site.set("room.access_token", bots);
    assert_eq!(story.state(&unmailed), 100);
    let new_password = password_in(&story.mails.wait_for(&address_of(&unmailed), 3)[2]);
    assert_ne!(new_password, lost_password);
    assert!(story.synapse.login(&unmailed, &new_password).is_ok());

    let page = story.browser.get(&old_to_confirm);
    assert_eq!(story.browser.submit(&page.form()).status, 200);
    assert_eq!(story.state(&unconfirmed), 6);
    let newest = story.mails.wait_for(&address_of(&unsent), 2).remove(1);
    assert_eq!(story.browser.submit(&story.browser.get(&newest.link()).form()).status, 200);
    assert_eq!(story.state(&unsent), 6);
    let page = story.browser.get(&old_to_decide);
    story.browser.submit(&decision_form(&page, "approve", ""));
    assert_eq!(story.state(&undecided), 100);
    for name in [&undecided, &unmade] {
        let password = password_in(&story.mails.wait_for(&address_of(name), 2)[1]);
        assert!(story.synapse.login(name, &password).is_ok());
    }
    let about = |name: &String| story.synapse.messages(&story.room).iter().filter(|message| message.body.contains(name.as_str())).count();
    assert_eq!((about(&undecided), about(&unconfirmed)), (1, 1));
}

fn an_account_of_our_own_table_gets_the_password_that_is_mailed(engine: Engine) {
    let mut story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.mails.stop();
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 8);
    lose_key(&story);
    let report = rekey(&story);
    assert!(report.starts_with("Requests that go on with a new key: 1.") && !report.contains("* registration"), "{report}");
    story.mails = MailCatcher::start();
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", port);
    time_passes(&story);
    story.site.let_cron_succeed();
    let mailed = password_in(&story.mails.wait_for(&address_of(&ada), 1)[0]);
    assert!(password::verify(&mailed, &story.text("SELECT password_hash FROM logins")));
}

fn the_operator_who_ends_a_request_hears_that_its_mail_waits_for_the_key(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask_and_confirm(&ada);
    story.ask_and_confirm(&bob);
    lose_key(&story);
    let end = |name: &str| {
        let id = story.text(&format!("SELECT id FROM registrations WHERE username = '{name}'"));
        let output = Command::new(story.site.program("cron")).args(["--end", &id]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for name in [&ada, &bob] {
        let told = end(name);
        assert!(told.contains("waits for that key") && told.contains("--rekey") && !told.contains("a mail tells"), "{told}");
    }
    assert!(end(&bob).contains("no further mail is sent"));
    rekey(&story);
    story.site.let_cron_succeed();
    assert!(story.mails.wait_for(&address_of(&ada), 2).len() == 2 && story.mails.mails(&address_of(&bob)).len() == 1);
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [13, 13]);
}

/// The mail with the initial password arrived, but not the mail server's answer.
fn a_password_that_its_owner_has_set_outlives_the_key(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    let own = password::hash("a password of her own").unwrap();
    story.sql(&format!("UPDATE logins SET password_hash = '{own}', changed_at = created_at + 60, initial_password_until = NULL"));
    story.sql("UPDATE registrations SET state = 8, due_at = 0");
    lose_key(&story);
    let report = rekey(&story);
    assert!(report.starts_with("Requests that go on with a new key: 1."), "{report}");
    story.site.let_cron_succeed();
    assert_eq!(story.text("SELECT password_hash FROM logins"), own);
    let told = story.mails.wait_for(&address_of(&ada), 3).remove(2);
    assert!(told.text.contains("the one you chose"), "{}", told.text);
}

fn a_chosen_password_that_is_lost_with_the_key_is_replaced_by_one_that_is_mailed(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, SiteBuilder::ask_password);
    let ada = fresh("ada");
    story.ask(&ada);
    assert_eq!(story.confirm_choosing(&ada, "correct horse Bätterie").status, 200);
    let link = story.room_message(&ada).link();
    lose_key(&story);
    let report = rekey(&story);
    assert!(report.contains("the password that the applicant chose is lost"), "{report}");
    let page = story.browser.get(&link);
    story.browser.submit(&decision_form(&page, "approve", ""));
    let mailed = password_in(&story.mails.wait_for(&address_of(&ada), 2)[1]);
    assert!(story.synapse.login(&ada, &mailed).is_ok());
}

/// Two machines by mistake: neither touches requests that were filed with the other's key.
fn machines_with_different_keys_take_nothing_from_each_other_and_send_nothing_twice(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    let path = story.site.path().join("config.json");
    story.ask(&ada);
    let first = lose_key(&story);
    story.ask(&bob);
    let second = std::fs::read(&path).unwrap();
    story.sql("UPDATE registrations SET state = 0");
    for (key, states) in [(&second, [0, 1]), (&first, [1, 1]), (&second, [1, 1]), (&first, [1, 1])] {
        std::fs::write(&path, key).unwrap();
        time_passes(&story);
        story.site.run_cron();
        assert_eq!([&ada, &bob].map(|name| story.state(name)), states);
    }
    // One mail each for the application, and one each after the state was set back.
    assert_eq!(story.mails.count(), 4);
    for name in [&ada, &bob] {
        let mails = story.mails.wait_for(&address_of(name), 2);
        assert_eq!(mails[0].link(), mails[1].link());
    }
}

on_every_database! {
    while_the_key_is_lost_nobody_is_promised_what_will_not_come,
    requests_come_to_their_end_with_a_new_key_and_by_their_old_links,
    an_account_of_our_own_table_gets_the_password_that_is_mailed,
    the_operator_who_ends_a_request_hears_that_its_mail_waits_for_the_key,
    a_password_that_its_owner_has_set_outlives_the_key,
    a_chosen_password_that_is_lost_with_the_key_is_replaced_by_one_that_is_mailed,
    machines_with_different_keys_take_nothing_from_each_other_and_send_nothing_twice,
}

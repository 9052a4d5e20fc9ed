use crate::world::{Engine, Host, on_every_database};
use crate::{Story, address_of, fresh, password_in};

fn a_stranger_gets_an_account_in_synapse(engine: Engine) {
    for host in Host::in_mode("synapse", engine) {
        let story = Story::on(engine, "synapse", host);
        let ada = fresh("ada");
        let thanks = story.ask(&ada);
        assert!(thanks.text().contains(&address_of(&ada)) && thanks.text().contains(&story.synapse.user_id(&ada)), "{}", thanks.text());
        assert!(story.synapse.messages(&story.room).is_empty(), "the room hears nothing before the address is confirmed");

        story.confirm(&ada);
        assert_eq!(story.state(&ada), 6);
        assert!(!story.synapse.exists(&ada), "no account before the room says yes");

        let decided = story.decide(&ada, "approve", "");
        assert!(decided.text().contains("Approved"), "{}", decided.text());
        assert_eq!(story.state(&ada), 100);

        let credentials = story.mails.wait_for(&address_of(&ada), 2).remove(1);
        let password = password_in(&credentials);
        assert!(credentials.text.contains(&story.synapse.user_id(&ada)));
        assert!(story.synapse.login(&ada, &password).is_ok(), "the mailed credentials log in");
        assert_eq!(story.synapse.display_name(&ada).as_deref(), Some("Ada Lovelace-Größe"));
        assert_eq!(story.mails.count(), 2);
        assert_eq!(story.synapse.messages(&story.room).len(), 1);
    }
}

fn the_room_sees_who_asks_and_nothing_of_it_is_markup(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let message = story.room_message(&ada);
    for part in ["Ada Lovelace-Größe", &story.synapse.user_id(&ada), &address_of(&ada), "> second line"] {
        assert!(message.body.contains(part), "{part} in {}", message.body);
    }
    assert!(message.html.contains("&lt;b&gt;welcome&lt;/b&gt;") && !message.html.contains("<b>welcome"), "{}", message.html);
    assert_eq!(message.event["content"]["m.mentions"], serde_json::json!({}));
    assert_eq!(message.sender, story.synapse.user_id("register_bot"));
}

fn the_room_sees_the_domain_that_letters_of_another_script_hide(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    let form = story.filled_form(&ada).fill("email", &format!("{ada}@b\u{fc}cher.example"));
    assert_eq!(story.browser.submit(&form).status, 200);
    let sent_to = format!("{ada}@xn--bcher-kva.example");
    let mail = story.mails.wait_for(&sent_to, 1).remove(0);
    assert!(!mail.text.contains(&format!("@{ada}:")), "a stranger's words do not reach the address: {}", mail.text);
    story.browser.submit(&story.browser.get(&mail.link()).form());
    let message = story.room_message(&ada);
    assert!(message.body.contains(&sent_to) && message.html.contains(&sent_to), "{}", message.body);
    let page = story.browser.get(&message.link());
    assert!(page.text().contains(&sent_to), "{}", page.text());
}

fn a_chosen_password_is_never_stored_in_clear_and_logs_in(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| site.ask_password());
    let ada = fresh("ada");
    let chosen = "correct horse Bätterie";
    story.ask(&ada);
    assert_eq!(story.confirm_choosing(&ada, chosen).status, 200);
    let stored = story.text("SELECT password FROM registrations");
    assert!(!stored.is_empty() && !stored.contains("horse"));
    story.decide(&ada, "approve", "");
    let credentials = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(!credentials.text.contains("horse"), "{}", credentials.text);
    assert!(story.synapse.login(&ada, chosen).is_ok());
    let left = story.number("SELECT count(*) FROM registrations WHERE password IS NOT NULL");
    assert_eq!(left, 0, "wiped when used");
}

fn every_mail_is_well_formed_and_says_it_is_automatic(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("mail.reply_to", "Help <help@example.test>"));
    let ada = fresh("ada");
    story.ask(&ada);
    let mail = story.verify_mail(&ada);
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Reply-To").contains("help@example.test"));
    assert!(!mail.header("Date").is_empty() && mail.header("Message-ID").starts_with("<verify."));
    assert!(mail.html.contains("<html lang=\"en\">") && mail.html.contains("/verify?t="), "{}", mail.html);
    assert!(!mail.text.contains("Ada") && !mail.html.contains("Ada"), "a stranger's words do not reach the address before it is confirmed");
}

fn a_name_that_somebody_else_took_meanwhile_is_told_to_the_applicant(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.synapse.register(&ada, "somebody else's");
    let page = story.decide(&ada, "approve", "");
    assert!(page.text().contains("did not create the account"), "{}", page.text());
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(mail.subject().contains("username not available"), "{}", mail.subject());
    assert!(story.synapse.login(&ada, "somebody else's").is_ok(), "the other's account is untouched");
    assert_eq!(story.state(&ada), 13);
}

fn an_account_whose_answer_was_lost_is_found_to_be_ours(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    // As if the program had died after the homeserver created the account.
    story.sql("UPDATE registrations SET state = 7, due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 100);
    let mails = story.mails.wait_for(&address_of(&ada), 3);
    assert_eq!(mails[1].header("Message-ID"), mails[2].header("Message-ID"));
    assert_eq!(password_in(&mails[1]), password_in(&mails[2]));
    assert!(story.synapse.login(&ada, &password_in(&mails[2])).is_ok());
}

on_every_database! {
    a_stranger_gets_an_account_in_synapse,
    the_room_sees_who_asks_and_nothing_of_it_is_markup,
    the_room_sees_the_domain_that_letters_of_another_script_hide,
    a_chosen_password_is_never_stored_in_clear_and_logs_in,
    every_mail_is_well_formed_and_says_it_is_automatic,
    a_name_that_somebody_else_took_meanwhile_is_told_to_the_applicant,
    an_account_whose_answer_was_lost_is_found_to_be_ours,
}

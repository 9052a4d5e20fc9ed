use crate::world::impostor::http_impostor;
use crate::world::{Browser, Engine, Host, on_every_database};
use crate::{Story, address_of, fresh, now, password_in};
use matrix_register_bot::domain::password;

fn a_stranger_gets_an_account_in_our_own_table_in_german(engine: Engine) {
    for host in Host::in_mode("local", engine) {
        let mut story = Story::on(engine, "local", host);
        story.browser = Browser::new(&story.web.url()).with_language("de-AT,de;q=0.9");
        let ada = fresh("ada");
        let thanks = story.ask(&ada);
        assert_eq!(thanks.header("content-language"), Some("de"));
        assert!(story.verify_mail(&ada).subject().contains("E-Mail-Adresse"), "{}", story.verify_mail(&ada).subject());
        // The request keeps its language, whatever the present browser asks for.
        story.browser = Browser::new(&story.web.url()).with_language("en");
        let confirmed = story.confirm(&ada);
        assert_eq!(confirmed.header("content-language"), Some("de"));
        story.decide(&ada, "approve", "");

        let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
        assert!(mail.text.contains("Hallo Ada Lovelace-Größe"), "{}", mail.text);
        let initial = password_in(&mail);
        let stored = story.text(&format!("SELECT password_hash FROM logins WHERE localpart = '{ada}'"));
        let until = story.number(&format!("SELECT initial_password_until FROM logins WHERE localpart = '{ada}'"));
        assert!(stored.starts_with("$argon2id$") && password::verify(&initial, &stored));
        assert!((until - now() - 7 * 86_400).abs() < 120, "good for seven days");
        assert_eq!(story.synapse.display_name(&ada).as_deref(), Some("Ada Lovelace-Größe"), "made in Synapse beforehand");
        assert!(story.synapse.login(&ada, &initial).is_err(), "Synapse itself does not know the password");
        assert_eq!(story.state(&ada), 100);
    }
}

fn an_account_that_synapse_had_before_is_never_handed_out(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.synapse.register(&ada, "somebody else's");
    story.decide(&ada, "approve", "");
    let rows = story.number("SELECT count(*) FROM logins");
    assert_eq!(rows, 0, "no password of ours for an account of somebody else");
    assert!(story.mails.wait_for(&address_of(&ada), 2)[1].text.contains("did not create the account"));
}

fn without_a_shared_secret_the_account_is_in_our_table_only(engine: Engine) {
    let story = Story::on_with(engine, "local", Host::NginxCgi, |site| site.unset("registration_shared_secret"));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 100, "{}", story.web.log());
    assert!(!story.synapse.exists(&ada));
}

fn where_the_homeserver_cannot_tell_whether_a_name_is_free_the_account_only_waits(engine: Engine) {
    let mut story = Story::on_with(engine, "local", Host::NginxCgi, |site| site.unset("registration_shared_secret"));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let too_often = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    story.site.wait_for_programs();
    story.site.set("homeserver_url", http_impostor(too_often.to_vec()));
    story.decide(&ada, "approve", "");
    assert_eq!((story.state(&ada), story.number("SELECT count(*) FROM logins")), (7, 0));
    let log = story.web.log();
    assert!(log.contains("has this name already cannot be told") && log.contains("too many requests"), "{log}");
    assert!(story.number("SELECT due_at FROM registrations") > now() + 500, "as long as the homeserver asked for");

    story.site.wait_for_programs();
    story.site.set("homeserver_url", story.synapse.base_url.clone());
    story.sql("UPDATE registrations SET due_at = 0");
    story.sql("UPDATE owed_actions SET due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 100);
}

fn a_chosen_password_is_hashed_at_once(engine: Engine) {
    let story = Story::on_with(engine, "local", Host::NginxSystemd, |site| site.ask_password());
    let ada = fresh("ada");
    let chosen = "correct horse Bätterie";
    story.ask(&ada);
    assert_eq!(story.confirm_choosing(&ada, chosen).status, 200);
    let stored = story.text("SELECT password FROM registrations");
    assert!(stored.starts_with("$argon2id$"));
    story.decide(&ada, "approve", "");
    let hash = story.text("SELECT password_hash FROM logins");
    assert!(password::verify(chosen, &hash));
}

on_every_database! {
    a_stranger_gets_an_account_in_our_own_table_in_german,
    an_account_that_synapse_had_before_is_never_handed_out,
    without_a_shared_secret_the_account_is_in_our_table_only,
    where_the_homeserver_cannot_tell_whether_a_name_is_free_the_account_only_waits,
    a_chosen_password_is_hashed_at_once,
}

//! The database was restored from a backup, but the rest of the world was not.

use crate::world::{Engine, Host, SiteBuilder, on_every_database};
use crate::{Story, address_of, fresh, password_in};

/// Creates an account, and then restores a database from before the approval.
fn made_and_restored(story: &Story, ada: &str) -> String {
    story.ask_and_confirm(ada);
    story.decide(ada, "approve", "");
    assert_eq!(story.state(ada), 100, "{}", story.web.log());
    story.sql(&format!(
        "UPDATE registrations SET state = 6, decided_at = NULL, account_tried_at = NULL, claimed_username = username WHERE username = '{ada}'"
    ));
    password_in(&story.mails.wait_for(&address_of(ada), 2)[1])
}

fn an_account_that_was_made_before_the_database_was_restored_is_not_disowned(engine: Engine) {
    for mode in ["synapse", "local"] {
        let story = Story::on(engine, mode, Host::NginxCgi);
        let ada = fresh("ada");
        let password = made_and_restored(&story, &ada);
        story.sql("DELETE FROM directory_terms");
        story.sql("DELETE FROM logins");
        let page = story.decide(&ada, "approve", "");
        assert!(page.text().contains("has been created"), "{}", page.text());
        assert_eq!(story.state(&ada), 100, "{mode}: {}", story.web.log());
        assert!(story.web.log().contains("account_found"), "{}", story.web.log());
        assert_eq!(password_in(&story.mails.wait_for(&address_of(&ada), 3)[2]), password);
        match mode {
            "synapse" => assert!(story.synapse.login(&ada, &password).is_ok()),
            _ => assert_eq!(story.number("SELECT count(*) FROM logins"), 1),
        }
    }
}

fn an_account_with_a_chosen_password_is_found_by_that_password(engine: Engine) {
    let chosen = "correct horse Bätterie";
    for mode in ["synapse", "local"] {
        let story = Story::on_with(engine, mode, Host::NginxCgi, SiteBuilder::ask_password);
        let ada = fresh("ada");
        story.ask(&ada);
        assert_eq!(story.confirm_choosing(&ada, chosen).status, 200);
        let kept = story.text("SELECT password FROM registrations");
        story.decide(&ada, "approve", "");
        story.sql(&format!(
            "UPDATE registrations SET state = 6, decided_at = NULL, account_tried_at = NULL, claimed_username = username, password = '{kept}'"
        ));
        story.decide(&ada, "approve", "");
        assert_eq!(story.state(&ada), 100, "{mode}: {}", story.web.log());
        let told = story.mails.wait_for(&address_of(&ada), 3).remove(2);
        assert!(told.text.contains("the one you chose"), "{}", told.text);
        assert!(mode == "local" || story.synapse.login(&ada, chosen).is_ok());
    }
}

/// Then nobody can tell whose account it is; the message must be true in either case.
fn an_account_whose_password_was_changed_since_is_called_neither_ours_nor_somebody_elses(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    made_and_restored(&story, &ada);
    let reset = format!("/_synapse/admin/v1/reset_password/{}", story.synapse.user_id(&ada));
    let body = serde_json::json!({ "new_password": "a password of her own", "logout_devices": false });
    assert_eq!(story.synapse.call("POST", &reset, Some(&story.synapse.admin.token), Some(body)).0, 200);
    let page = story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 13, "{}", story.web.log());
    let told = story.mails.wait_for(&address_of(&ada), 3).remove(2);
    for text in [&page.text(), &told.text] {
        assert!(text.contains("the username is taken or reserved"), "{text}");
        assert!(!text.contains("somebody else") && !text.contains("meantime"), "{text}");
    }
    assert!(told.text.contains("If that account is yours"), "{}", told.text);
    assert!(story.synapse.login(&ada, "a password of her own").is_ok());
}

/// Only the requests were restored from the backup.
fn a_row_of_our_own_table_that_was_made_for_the_request_is_found_to_be_so(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    let password = made_and_restored(&story, &ada);
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 100, "{}", story.web.log());
    assert_eq!(story.number("SELECT count(*) FROM logins"), 1);
    assert_eq!(password_in(&story.mails.wait_for(&address_of(&ada), 3)[2]), password);
}

on_every_database! {
    an_account_that_was_made_before_the_database_was_restored_is_not_disowned,
    an_account_with_a_chosen_password_is_found_by_that_password,
    an_account_whose_password_was_changed_since_is_called_neither_ours_nor_somebody_elses,
    a_row_of_our_own_table_that_was_made_for_the_request_is_found_to_be_so,
}

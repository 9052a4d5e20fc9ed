//! With `credentials = "confirm"` only the person who confirms the address chooses the password.

use crate::world::{Engine, Host, SiteBuilder, on_every_database};
use crate::{Story, address_of, fresh, password_in};

const CHOSEN: &str = "correct horse Bätterie";

fn asking(engine: Engine, mode: &str) -> Story {
    Story::on_with(engine, mode, Host::NginxSystemd, SiteBuilder::ask_password)
}

fn stored(story: &Story) -> String {
    story.text("SELECT password FROM registrations")
}

fn a_stranger_who_names_somebody_elses_address_never_knows_the_password(engine: Engine) {
    let story = asking(engine, "synapse");
    let boss = fresh("boss");
    let form = story.filled_form(&boss);
    assert!(form.fields.iter().all(|(name, _)| !name.contains("password")), "{:?}", form.fields);
    let typed = "known to the stranger";
    assert_eq!(story.browser.submit(&form.put("password", typed).put("password_again", typed)).status, 200);
    assert_eq!(stored(&story), "NULL");
    assert!(story.verify_mail(&boss).text.contains("choose a password"), "{}", story.verify_mail(&boss).text);
    assert_eq!(story.confirm_choosing(&boss, CHOSEN).status, 200);
    story.decide(&boss, "approve", "");
    assert!(story.synapse.login(&boss, CHOSEN).is_ok() && story.synapse.login(&boss, typed).is_err());
}

fn the_page_that_confirms_says_what_is_wrong_with_a_password_and_moves_nothing(engine: Engine) {
    let story = asking(engine, "local");
    let ada = fresh("maximilian");
    story.ask(&ada);
    let page = story.browser.get(&story.verify_mail(&ada).link());
    let form = page.form();
    let pairs = [
        ("", "", "Please choose a password"),
        ("short", "short", "too short"),
        (ada.as_str(), ada.as_str(), "not a safe password"),
        (&address_of(&ada), &address_of(&ada), "not a safe password"),
        (CHOSEN, "correct horse", "The two passwords do not match"),
        (&"x".repeat(513), &"x".repeat(513), "too long"),
    ];
    for (password, again, sentence) in pairs {
        let page = story.browser.submit(&form.clone().fill("password", password).fill("password_again", again));
        assert_eq!(page.status, 422, "{password}");
        assert!(
            page.text().contains(sentence) && (password.is_empty() || !page.body.contains(&format!("\"{password}\""))),
            "{}",
            page.text()
        );
        assert_eq!((story.state(&ada), stored(&story)), (1, "NULL".into()), "{password}");
    }
    // From a page that was opened before passwords were asked for.
    let mut old = form.clone();
    old.fields.retain(|(name, _)| !name.starts_with("password"));
    let page = story.browser.submit(&old);
    assert_eq!((page.status, story.state(&ada)), (422, 1));
    assert_eq!(story.browser.submit(&page.form().fill("password", CHOSEN).fill("password_again", CHOSEN)).status, 200);
}

fn who_confirms_again_with_another_password_changes_nothing(engine: Engine) {
    let story = asking(engine, "local");
    let ada = fresh("ada");
    story.ask(&ada);
    let form = story.browser.get(&story.verify_mail(&ada).link()).form();
    let first = form.clone().fill("password", CHOSEN).fill("password_again", CHOSEN);
    assert_eq!(story.browser.submit(&first).status, 200);
    let before = stored(&story);
    for again in [first, form.fill("password", "another password").fill("password_again", "another password")] {
        let page = story.browser.submit(&again);
        assert!(page.status == 200 && page.text().contains("Your address is confirmed"), "{}", page.text());
        assert_eq!(stored(&story), before);
    }
}

fn a_password_from_the_form_of_an_older_version_opens_nothing(engine: Engine) {
    let mut story = asking(engine, "local");
    story.site.set("credentials", "mail");
    let ada = fresh("ada");
    story.ask(&ada);
    let typed = matrix_register_bot::domain::password::hash("known to the stranger").unwrap();
    story.sql(&format!("UPDATE registrations SET password = '{typed}', password_chosen = 1"));
    assert_eq!(story.confirm(&ada).status, 200, "no password is asked for any more");
    story.decide(&ada, "approve", "");
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    let hash = story.text("SELECT password_hash FROM logins");
    assert!(matrix_register_bot::domain::password::verify(&password_in(&mail), &hash));
}

on_every_database! {
    a_stranger_who_names_somebody_elses_address_never_knows_the_password,
    the_page_that_confirms_says_what_is_wrong_with_a_password_and_moves_nothing,
    who_confirms_again_with_another_password_changes_nothing,
    a_password_from_the_form_of_an_older_version_opens_nothing,
}

use crate::world::{Database, Engine, Host, on_every_database};
use crate::{Story, address_of, decision_form, fresh};
use matrix_register_bot::domain::config::Language;
use matrix_register_bot::domain::token;
use matrix_register_bot::outside::store::{Access, Confirmed, Filed, FilingLimits, NewRegistration, Store};

/// A note of maximum length in four-byte characters.
fn longest_note() -> String {
    "𝔏𝕒𝓃𝙜🐎😀𠜎🏳️‍🌈".chars().cycle().take(2000).collect()
}

fn letters_of_four_bytes_come_back_whole_on_every_way(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    let (first, last, note) = ("𝔄𝔡𝔞𠜎", "Łovelace-𠮷", longest_note());
    let form = story.filled_form(&ada).fill("first_name", first).fill("last_name", last).fill("note", &note);
    let page = story.browser.submit(&form);
    assert_eq!(page.status, 200, "{}", page.text());
    story.confirm(&ada);
    let message = story.room_message(&ada);
    assert!(message.body.contains(first) && message.body.contains(last), "{}", message.body);
    let page = story.browser.get(&message.link());
    let shown = page.text();
    assert!(shown.contains(&note) && shown.contains(first) && shown.contains(last), "{shown}");
    story.browser.submit(&decision_form(&page, "decline", &note));
    assert_eq!(story.state(&ada), 13);
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    let unfolded: String = mail.text.split_whitespace().collect();
    assert!(unfolded.contains(&note) && mail.text.contains(first) && mail.text.contains(last), "{}", mail.text);
    assert!(story.browser.get(&message.link()).text().contains(&note), "the reason");
}

fn a_note_that_is_too_long_is_refused_and_not_cut(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let form = story.filled_form(&fresh("ada")).fill("note", &(longest_note() + "x"));
    assert_eq!(story.browser.submit(&form).status, 422);
    story.site.let_cron_succeed();
    assert_eq!(story.number("SELECT count(*) FROM registrations"), 0);
}

fn names_and_tokens_that_look_alike_are_different_whatever_the_collation(engine: Engine) {
    let database = Database::new(engine);
    if engine == Engine::Mariadb {
        database.sql(&format!("ALTER DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", database.name()));
    }
    let mut store = Store::open(&database.url().parse().unwrap(), Access::Write).unwrap();
    let alike = ["max", "MAX", "max ", " max", "mäx", "ma\u{308}x", "mx", "max\u{200b}", "ß", "ss", "i", "ı", "😀", "😁"];
    for text in alike {
        let new = NewRegistration {
            seed: token::new_seed(),
            submission: text.into(),
            page_token_hash: text.into(),
            verify_token_hash: text.into(),
            admin_token_hash: text.into(),
            username: text.into(),
            first_name: text.into(),
            last_name: text.into(),
            email: format!("{text}@example.org"),
            email_folded: format!("{text}@example.org"),
            note: text.into(),
            language: Language::English,
            filled_hidden_field: false,
            requested_at: 1,
        };
        let filed = store.file(&new, &FilingLimits { unconfirmed_per_address: 1, ..FilingLimits::default() }).unwrap();
        let Filed::Accepted(id) = filed else { panic!("{text:?}: {filed:?}") };
        assert_eq!(store.confirm(id, None, None, 2).unwrap(), Confirmed::Yes, "{text:?}");
    }
    for text in alike {
        for found in [
            store.same_submission(text).unwrap(),
            store.registration_by_verify_token(text).unwrap(),
            store.registration_by_admin_token(text).unwrap(),
        ] {
            let found = found.unwrap();
            // First and last names are normalised when they are read, so they are not compared here.
            assert_eq!([&found.username, &found.note], [text; 2]);
        }
        assert!(store.username_is_taken(text).unwrap());
        assert!(!store.username_is_taken(&format!("{text}  ")).unwrap());
    }
}

on_every_database! {
    letters_of_four_bytes_come_back_whole_on_every_way,
    a_note_that_is_too_long_is_refused_and_not_cut,
    names_and_tokens_that_look_alike_are_different_whatever_the_collation,
}

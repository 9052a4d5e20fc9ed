//! A whole registration with the keyboard.

use crate::visitor::Visitor;
use crate::words::words;
use crate::world::{Host, Key};
use crate::{Story, address_of, fresh, password_in};

#[test]
fn by_keyboard_alone_a_stranger_asks_and_somebody_approves_in_english() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("en", &story.web.url());
    from_the_form_to_the_login(&story, &visitor, "", &words("en", "form.error.username_missing", &[]));
}

#[test]
fn by_keyboard_alone_a_stranger_asks_and_somebody_approves_in_german() {
    let story = Story::start("synapse", Host::NginxCgi);
    let visitor = Visitor::new("de", &story.web.url());
    from_the_form_to_the_login(&story, &visitor, "a", &words("de", "form.error.username_too_short", &[("min", "3")]));
}

#[test]
fn without_javascript_the_way_is_the_same() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("en", &story.web.url()).without_scripts();
    from_the_form_to_the_login(&story, &visitor, "ada lovelace", &words("en", "form.error.username_characters", &[]));
}

#[test]
fn by_keyboard_alone_a_request_is_declined_with_a_reason() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("en", &story.web.url());
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    visitor.open(&story.room_message(&ada).link());
    visitor.sees_heading("decide.heading");
    let summary = visitor.tab_to(&visitor.words("decide.decline_summary"));
    assert_eq!(summary.tag, "summary");
    visitor.chromium.press(Key::Tab);
    assert_ne!(visitor.chromium.focus().name, "reason", "what is folded away is out of the way");
    visitor.chromium.press(Key::ShiftTab);
    visitor.chromium.press(Key::Enter);
    visitor.fill("reason", "We are full. Sorry 🙂");
    visitor.tab_to(&visitor.words("decide.decline"));
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("decided.declined_heading");
    visitor.was_left_alone();
    assert_eq!(story.state(&ada), 13);
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(mail.text.contains("> We are full. Sorry 🙂"), "{}", mail.text);
    assert!(!story.synapse.exists(&ada));
}

#[test]
fn the_button_beside_the_username_asks_whether_it_is_free_and_sends_nothing() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("de", &story.web.url());
    let ada = fresh("ada");
    visitor.open(&story.web.url());
    visitor.fill("first_name", "Ada");
    visitor.fill("username", &ada);
    visitor.tab_to(&visitor.words("register.username_check"));
    visitor.leave_by(Key::Space);
    let focus = visitor.chromium.focus();
    assert_eq!((focus.name.as_str(), focus.value), ("username", ada), "the keyboard is back at the name");
    assert!(visitor.chromium.text().contains(&visitor.words("register.username_free")), "{}", visitor.chromium.text());
    visitor.was_left_alone();
    assert_eq!(story.mails.count(), 0);
}

/// The story of one account; `mistake` is first typed as the username.
fn from_the_form_to_the_login(story: &Story, visitor: &Visitor, mistake: &str, sentence: &str) {
    let ada = fresh("ada");
    ask(story, visitor, &ada, mistake, sentence);
    visitor.open(&story.verify_mail(&ada).link());
    visitor.sees_heading("verify.heading");
    visitor.tab_to(&visitor.words("verify.button"));
    visitor.leave_by(Key::Space);
    visitor.sees_heading("verified.heading");

    visitor.open(&story.room_message(&ada).link());
    visitor.sees_heading("decide.heading");
    assert!(visitor.chromium.text().contains("Grüße 🙂"), "{}", visitor.chromium.text());
    visitor.tab_to(&visitor.words("decide.approve"));
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("decided.approved_heading");
    visitor.was_left_alone();

    let credentials = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    story.synapse.login(&ada, &password_in(&credentials)).expect("the mailed credentials log in");
    assert_eq!(story.synapse.display_name(&ada).as_deref(), Some("Ada Lovelace-Größe"));
}

/// Fills in the form, reads the error, corrects it, and sends with Enter from the field itself.
fn ask(story: &Story, visitor: &Visitor, localpart: &str, mistake: &str, sentence: &str) {
    visitor.open(&story.web.url());
    visitor.sees_heading("register.heading");
    visitor.fill("first_name", "Ada");
    visitor.fill("last_name", "Lovelace-Größe");
    visitor.fill("email", &address_of(localpart));
    visitor.fill("note", "Grüße 🙂");
    visitor.fill("username", mistake);
    visitor.tab_to(&visitor.words("register.send"));
    visitor.leave_by(Key::Enter);
    visitor.follows_the_mistake_to("username", sentence);
    visitor.replace(localpart);
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("registered.heading");
}

#[test]
fn by_keyboard_alone_a_mistyped_address_is_corrected_and_the_mail_sent_again() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("en", &story.web.url());
    let (ada, typo) = (fresh("ada"), fresh("typo"));
    visitor.open(&story.web.url());
    visitor.fill("first_name", "Ada");
    visitor.fill("email", &address_of(&typo));
    visitor.fill("username", &ada);
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("registered.heading");
    visitor.reach("email");
    visitor.replace("ada@");
    visitor.leave_by(Key::Enter);
    visitor.is_at_the_mistake("email", &words("en", "form.error.email_invalid", &[]));
    visitor.replace(&address_of(&ada));
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("registered.heading");
    assert!(visitor.chromium.text().contains(&visitor.words("registered.corrected")), "{}", visitor.chromium.text());
    visitor.tab_to(&visitor.words("registered.send_again"));
    visitor.leave_by(Key::Space);
    assert!(visitor.chromium.text().contains(&visitor.words("registered.sent_again")), "{}", visitor.chromium.text());
    // The address of the page is its own: it can be loaded again.
    visitor.open(&visitor.chromium.url());
    visitor.sees_heading("registered.heading");
    visitor.was_left_alone();
    assert_eq!(story.mails.wait_for(&address_of(&ada), 2).len(), 2);
    assert_eq!(story.confirm(&ada).status, 200);
}

#[test]
fn by_keyboard_alone_a_forgotten_password_is_set_anew_in_german() {
    let story = Story::start("local", Host::NginxCgi);
    let visitor = Visitor::new("de", &story.web.url());
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    visitor.open(&story.web.url());
    visitor.tab_to(&visitor.words("reset.forgot"));
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("reset.heading");
    visitor.fill("account", &ada);
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("message.reset_asked.title");
    visitor.open(&story.mails.wait_for(&address_of(&ada), 3)[2].link());
    visitor.sees_heading("new_password.heading");
    visitor.fill("password", "kurz");
    visitor.leave_by(Key::Enter);
    visitor.is_at_the_mistake("password", &words("de", "form.error.password_too_short", &[("password_min", "10")]));
    visitor.replace("Bätterie Pferd Heftklammer");
    visitor.fill("password_again", "Bätterie Pferd Heftklammer");
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("message.password_set.title");
    visitor.was_left_alone();
    let hash = story.text(&format!("SELECT password_hash FROM logins WHERE localpart = '{ada}'"));
    assert!(matrix_register_bot::domain::password::verify("Bätterie Pferd Heftklammer", &hash));
}

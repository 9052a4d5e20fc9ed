//! The link after the approval, in a real browser: by keyboard alone, in both languages, without scripts, and on small screens.

use crate::looks::fits;
use crate::visitor::Visitor;
use crate::words::words;
use crate::world::{Host, Key, SiteBuilder};
use crate::{Story, address_of, fresh};

const CHOSEN: &str = "correct horse battery";

#[test]
fn by_keyboard_alone_an_approved_applicant_chooses_a_password_in_english() {
    from_the_link_to_the_login("en", |visitor| visitor);
}

#[test]
fn by_keyboard_alone_an_approved_applicant_chooses_a_password_in_german() {
    from_the_link_to_the_login("de", |visitor| visitor);
}

#[test]
fn without_javascript_an_approved_applicant_chooses_a_password() {
    from_the_link_to_the_login("en", Visitor::without_scripts);
}

fn from_the_link_to_the_login(language: &str, prepared: impl FnOnce(Visitor) -> Visitor) {
    let story = Story::start_with("synapse", Host::NginxSystemd, |site| SiteBuilder::send_link(site).language(language));
    let visitor = prepared(Visitor::new(language, &story.web.url()));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    visitor.open(&story.room_message(&ada).link());
    assert!(visitor.chromium.text().contains(&visitor.words("decide.approve_link_text")), "{}", visitor.chromium.text());
    visitor.tab_to(&visitor.words("decide.approve"));
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("decided.choosing_heading");

    let link = story.mails.wait_for(&address_of(&ada), 2).remove(1).link() + &format!("&lang={language}");
    visitor.open(&link);
    visitor.sees_heading("welcome.heading");
    visitor.fill("password", "short");
    visitor.fill("password_again", "short");
    visitor.leave_by(Key::Enter);
    let focus = visitor.chromium.focus();
    assert_eq!((focus.name.as_str(), focus.value.as_str()), ("password", ""), "the keyboard is at the password");
    let sentence = words(language, "form.error.password_too_short", &[("password_min", "10")]);
    assert!(visitor.chromium.text().contains(&sentence), "{}", visitor.chromium.text());
    visitor.chromium.type_text(CHOSEN);
    visitor.fill("password_again", CHOSEN);
    visitor.tab_to(&visitor.words("welcome.button"));
    visitor.leave_by(Key::Space);
    visitor.sees_heading("welcomed.heading");
    visitor.was_left_alone();
    story.synapse.login(&ada, CHOSEN).expect("the chosen password logs in");
}

#[test]
fn on_small_screens_nothing_scrolls_sideways_and_all_text_has_contrast() {
    for language in ["en", "de"] {
        let story = Story::start_with("local", Host::NginxSystemd, |site| {
            let site = site.set("server_name", "matrix.faculty-of-extraordinarily-long-names.university.example.org");
            site.set("pages.howto_url", "https://example.org/first-steps").send_link().language(language)
        });
        let visitor = Visitor::new(language, &story.web.url());
        let longest = format!("{:m<64}", fresh("m"));
        story.ask_and_confirm(&longest);
        story
            .browser
            .submit(&story.browser.get(&story.synapse.wait_for_messages(&story.room, 1)[0].link()).form().put("decision", "approve"));
        let link = story.mails.wait_for(&address_of(&longest), 2).remove(1).link() + &format!("&lang={language}");
        visitor.open(&link);
        visitor.sees_heading("welcome.heading");
        fits(&visitor);
        visitor.send(&[("password", CHOSEN), ("password_again", "another")], "main button");
        visitor.sees_heading("welcome.heading");
        fits(&visitor);
        visitor.send(&[("password", CHOSEN), ("password_again", CHOSEN)], "main button");
        visitor.sees_heading("welcomed.heading");
        fits(&visitor);
        visitor.open(&format!("{}welcome?t=1", story.web.url()));
        visitor.sees_heading("message.choose_link_unknown.title");
        fits(&visitor);
    }
}

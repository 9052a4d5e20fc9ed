//! The applicant's own page in a real browser, by keyboard alone.

use crate::visitor::Visitor;
use crate::world::{Host, Key};
use crate::{Story, address_of, fresh};

#[test]
fn by_keyboard_alone_who_lost_the_name_chooses_another_answers_a_question_and_is_declined() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("en", &story.web.url());
    the_way_to_a_no(&story, &visitor, "en");
}

#[test]
fn without_javascript_the_own_page_is_the_same_in_german() {
    let story = Story::start_with("local", Host::NginxCgi, |site| site.language("de"));
    let visitor = Visitor::new("de", &story.web.url()).without_scripts();
    the_way_to_a_no(&story, &visitor, "de");
}

#[test]
fn by_keyboard_alone_an_applicant_withdraws() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("de", &story.web.url());
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    visitor.open(&(story.verify_mail(&ada).link() + "&lang=de"));
    visitor.sees_heading("verified.heading");
    let summary = visitor.tab_to(&visitor.words("withdraw.summary"));
    assert_eq!(summary.tag, "summary", "what cannot be undone takes two steps");
    visitor.chromium.press(Key::Enter);
    visitor.tab_to(&visitor.words("withdraw.button"));
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("standing.withdrawn.title");
    visitor.was_left_alone();
    assert_eq!(story.state(&ada), 15);
}

fn the_way_to_a_no(story: &Story, visitor: &Visitor, language: &str) {
    let (ada, other) = (fresh("ada"), fresh("eve"));
    let address = format!("second-{}", address_of(&ada));
    story.ask(&ada);
    assert_eq!(story.browser.submit(&story.filled_form(&ada).fill("email", &address)).status, 200);
    story.confirm(&ada);
    let link = format!("{}&lang={language}", story.mails.wait_for(&address, 1)[0].link());
    visitor.open(&link);
    visitor.sees_heading("verify.heading");
    visitor.type_into("username", &other);
    visitor.leave_by(Key::Enter);
    visitor.sees_heading("verified.heading");
    assert!(visitor.chromium.text().contains(&other));
    let id = story.text(&format!("SELECT id FROM registrations WHERE username = '{other}'"));
    assert!(story.site.run_cron_with(&["--ask", &id, "Who are you?"]).status.success());
    visitor.open(&link);
    assert!(visitor.chromium.text().contains("Who are you?"));
    visitor.type_into("answer", "Eve from the choir");
    visitor.tab_to(&visitor.words("verified.answer"));
    visitor.leave_by(Key::Enter);
    assert!(visitor.chromium.text().contains("Eve from the choir"), "{}", visitor.chromium.text());
    story.decide(&other, "decline", "We are full.");
    visitor.open(&link);
    visitor.sees_heading("standing.declined.title");
    assert!(visitor.chromium.text().contains("We are full."), "{}", visitor.chromium.text());
    visitor.was_left_alone();
}

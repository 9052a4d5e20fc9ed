//! A whole registration with browsers that support neither scripts nor style sheets, and that send buttons in different ways.

use crate::world::{Host, Kind, SiteBuilder, TextBrowser};
use crate::{Story, address_of, fresh};

/// From the form to the decision.
fn signs_up_and_is_decided(kind: Kind, decision: &str) {
    let story = Story::start("synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    sign_up(&story, kind, &ada);
    confirm(&story, kind, &ada);
    decide(&story, kind, &ada, decision);
}

fn sign_up(story: &Story, kind: Kind, name: &str) {
    let form = story.web.url() + "/register";
    let page = story.browser.get(&form);
    let browser = TextBrowser::open(kind, &form, "Request an account");
    // The path of a request when the visitor first checks whether the name is free.
    browser.send(&page, &[("#username", name)], "[name=action]");
    browser.wait_for("This username is available");
    assert_eq!(story.number("SELECT count(*) FROM registrations"), 0, "nothing was sent yet");
    drop(browser);
    let browser = TextBrowser::open(kind, &form, "Request an account");
    let address = address_of(name);
    browser.send(&page, &[("#first_name", "Adalovelace"), ("#email", &address), ("#username", name)], "[name=send]");
    browser.wait_for("Thank you! Please check your email");
}

fn confirm(story: &Story, kind: Kind, name: &str) {
    let link = story.verify_mail(name).link();
    let page = story.browser.get(&link);
    let browser = TextBrowser::open(kind, &link, "Confirm your email address");
    browser.send(&page, &[], "form button:not(.danger)");
    browser.wait_for("Your address is confirmed");
}

fn decide(story: &Story, kind: Kind, name: &str, decision: &str) {
    let link = story.room_message(name).link();
    let page = story.browser.get(&link);
    let browser = TextBrowser::open(kind, &link, "Account request");
    match decision {
        "approve" => browser.send(&page, &[], "button:not(.danger)"),
        _ => browser.send(&page, &[], "button.danger"),
    }
    let (shown, state) = if decision == "approve" { ("Approved", 100) } else { ("Declined", 13) };
    browser.wait_for(shown);
    assert_eq!(story.state(name), state);
}

#[test]
fn with_lynx_people_sign_up_confirm_and_decline() {
    signs_up_and_is_decided(Kind::Lynx, "decline");
}

#[test]
fn with_w3m_people_sign_up_confirm_and_approve() {
    signs_up_and_is_decided(Kind::W3m, "approve");
}

#[test]
fn with_links2_people_sign_up_confirm_and_decline() {
    signs_up_and_is_decided(Kind::Links2, "decline");
}

#[test]
fn with_elinks_people_sign_up_confirm_and_approve() {
    signs_up_and_is_decided(Kind::Elinks, "approve");
}

#[test]
fn with_lynx_people_correct_an_address_and_ask_for_the_mail_again() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    let right = address_of(&ada);
    let typo = right.trim_end_matches('g');
    let thanks = story.browser.submit(&story.filled_form(&ada).fill("email", typo));
    let place = thanks.form().action;
    let page = story.browser.get(&place);
    let browser = TextBrowser::open(Kind::Lynx, &place, "Wrong address?");
    // What is typed follows what the field has.
    browser.send(&page, &[("#email", "g")], "form:last-of-type button");
    browser.wait_for("The address has been corrected");
    drop(browser);
    story.mails.wait_for(&right, 1);
    let page = story.browser.get(&place);
    let browser = TextBrowser::open(Kind::Lynx, &place, "Wrong address?");
    browser.send(&page, &[], "form button");
    browser.wait_for("We have sent the email again");
    assert_eq!(story.mails.wait_for(&right, 2).len(), 2);
}

#[test]
fn with_lynx_people_set_a_forgotten_password() {
    let story = Story::start("local", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    let form = story.web.url() + "/reset_password";
    let page = story.browser.get(&form);
    let browser = TextBrowser::open(Kind::Lynx, &form, "Set a new password");
    browser.send(&page, &[("#account", &ada)], "form button");
    browser.wait_for("Check your email");
    drop(browser);
    let link = story.mails.wait_for(&address_of(&ada), 3)[2].link();
    let page = story.browser.get(&link);
    let browser = TextBrowser::open(Kind::Lynx, &link, "Choose a new password");
    let chosen = "anewpasswordforada";
    browser.send(&page, &[("#password", chosen), ("#password_again", chosen)], "form button");
    browser.wait_for("Your new password is set");
    let hash = story.text(&format!("SELECT password_hash FROM logins WHERE localpart = '{ada}'"));
    assert!(matrix_register_bot::domain::password::verify(chosen, &hash));
}

#[test]
fn with_lynx_approved_people_choose_a_password_by_the_link() {
    let story = Story::start_with("synapse", Host::NginxSystemd, SiteBuilder::send_link);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "approve", "");
    let link = story.mails.wait_for(&address_of(&ada), 2)[1].link();
    let page = story.browser.get(&link);
    let browser = TextBrowser::open(Kind::Lynx, &link, "Choose your password");
    let chosen = "apasswordforada";
    browser.send(&page, &[("#password", chosen), ("#password_again", chosen)], "form button");
    browser.wait_for("Your account is ready");
    assert!(story.synapse.login(&ada, chosen).is_ok());
}

#[test]
fn with_lynx_who_lost_the_name_chooses_another_answers_a_question_and_withdraws() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let (ada, other) = (fresh("ada"), fresh("eve"));
    let address = format!("second-{}", address_of(&ada));
    story.ask(&ada);
    assert_eq!(story.browser.submit(&story.filled_form(&ada).fill("email", &address)).status, 200);
    story.confirm(&ada);
    let link = story.mails.wait_for(&address, 1)[0].link();
    let main_button = "form button:not(.danger)";
    let browser = TextBrowser::open(Kind::Lynx, &link, "no longer available");
    browser.send(&story.browser.get(&link), &[("#username", &other)], main_button);
    browser.wait_for("Your address is confirmed");
    drop(browser);
    let id = story.text(&format!("SELECT id FROM registrations WHERE username = '{other}'"));
    assert!(story.site.run_cron_with(&["--ask", &id, "Who are you?"]).status.success());
    let browser = TextBrowser::open(Kind::Lynx, &link, "Who are you?");
    browser.send(&story.browser.get(&link), &[("textarea", "From the choir")], main_button);
    browser.wait_for("Your answer, sent on");
    browser.send(&story.browser.get(&link), &[], "button.danger");
    browser.wait_for("You have withdrawn your request");
    assert_eq!(story.state(&other), 15);
}

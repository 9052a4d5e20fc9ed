//! The visible link to the other language.

use crate::visitor::Visitor;
use crate::world::{Host, Key};
use crate::{Story, address_of, fresh};
use url::Url;

#[test]
fn the_visible_link_changes_the_language_and_keeps_the_request() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("en", &story.web.url());
    let ada = fresh("ada");
    ask_in_german(&story, &visitor, &ada);

    visitor.open(&story.verify_mail(&ada).link());
    visitor.sees_heading_in("de", "verify.heading");
    let token = token_of(&visitor);
    choose(&visitor, "English");
    visitor.sees_heading_in("en", "verify.heading");
    assert_eq!(token_of(&visitor), token, "the link keeps what the page is about");
    choose(&visitor, "Deutsch");
    visitor.tab_to("Adresse bestätigen");
    visitor.leave_by(Key::Enter);
    visitor.sees_heading_in("de", "verified.heading");

    visitor.open(&story.room_message(&ada).link());
    visitor.sees_heading_in("en", "decide.heading");
    let token = token_of(&visitor);
    choose(&visitor, "Deutsch");
    visitor.sees_heading_in("de", "decide.heading");
    assert_eq!(token_of(&visitor), token);
    visitor.tab_to("Genehmigen");
    visitor.leave_by(Key::Enter);
    visitor.sees_heading_in("de", "decided.approved_heading");
    choose(&visitor, "English");
    visitor.sees_heading_in("en", "message.decided_approved.title");
    visitor.was_left_alone();
    assert!(story.synapse.exists(&ada));
}

#[test]
fn the_other_language_after_an_error_keeps_what_was_typed_and_enter_still_sends() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let visitor = Visitor::new("en", &story.web.url());
    let ada = fresh("ada");
    visitor.open(&story.web.url());
    visitor.send(&[("first_name", "Ada"), ("email", "nonsense"), ("username", &ada)], "p.actions button");
    visitor.sees_heading_in("en", "register.heading");
    assert_eq!(visitor.tab_to("Deutsch").tag, "button");
    visitor.leave_by(Key::Enter);
    visitor.sees_heading_in("de", "register.heading");
    visitor.chromium.tab_to("first_name");
    assert_eq!(visitor.chromium.focus().value, "Ada");
    visitor.chromium.tab_to("email");
    visitor.replace(&address_of(&ada));
    visitor.leave_by(Key::Enter);
    visitor.sees_heading_in("de", "registered.heading");
    visitor.was_left_alone();
}

/// A visitor with an English browser chooses German and applies.
fn ask_in_german(story: &Story, visitor: &Visitor, localpart: &str) {
    visitor.open(&story.web.url());
    visitor.sees_heading_in("en", "register.heading");
    choose(visitor, "Deutsch");
    visitor.sees_heading_in("de", "register.heading");
    for (name, value) in [("first_name", "Ada"), ("email", &address_of(localpart)), ("username", localpart)] {
        visitor.chromium.tab_to(name);
        visitor.chromium.type_text(value);
    }
    visitor.leave_by(Key::Enter);
    visitor.sees_heading_in("de", "registered.heading");
    assert!(story.verify_mail(localpart).subject().contains("E-Mail-Adresse"), "the mail is in German, too");
}

/// Follows the link with the name of this language.
fn choose(visitor: &Visitor, name: &str) {
    assert_eq!(visitor.tab_to(name).tag, "a");
    visitor.leave_by(Key::Enter);
}

/// The token in the URL of the page.
fn token_of(visitor: &Visitor) -> String {
    let url = Url::parse(&visitor.chromium.url()).expect("a page has an address");
    let token = url.query_pairs().find(|(name, _)| name == "t").map(|(_, value)| value.into_owned());
    token.unwrap_or_else(|| panic!("{url} has no token"))
}

//! A web server that keeps connections to a program sends a request again if the connection breaks before the answer. So whatever is sent
//! twice happens once, and whoever waits for the second answer reads that it has happened.

use crate::world::{Engine, Form, Host, Page, SiteBuilder, on_every_database};
use crate::{Story, address_of, decision_form, fresh};

/// The second answer to a form.
fn twice(story: &Story, form: &Form) -> Page {
    assert!(story.browser.submit(form).status < 400, "{}", story.web.log());
    let again = story.browser.submit(form);
    assert!(again.status < 400, "{}\n{}", again.text(), story.web.log());
    again
}

fn a_form_that_the_web_server_sends_again_does_nothing_twice(engine: Engine) {
    let story = Story::on_with(engine, "local", Host::NginxSystemd, SiteBuilder::send_link);
    let ada = fresh("ada");
    let page = twice(&story, &story.filled_form(&ada));
    assert!(page.text().contains(&address_of(&ada)), "{}", page.text());
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations"), 1);

    let link = story.verify_mail(&ada).link();
    twice(&story, &story.browser.get(&link).form());
    assert_eq!(story.state(&ada), 6, "it waits for the room");

    let page = story.browser.get(&story.room_message(&ada).link());
    twice(&story, &decision_form(&page, "approve", ""));
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);

    let chosen = "correct horse Bätterie";
    let form = story.browser.get(&mail.link()).form().fill("password", chosen).fill("password_again", chosen);
    twice(&story, &form);
    assert_eq!(story.number("SELECT COUNT(*) FROM logins"), 1);
    assert_eq!(story.state(&ada), 100);
    story.mails.wait_for(&address_of(&ada), 3);
    assert_eq!(story.mails.count(), 3, "no mail was sent twice");

    let asking = story.browser.get("/reset_password").form().fill("account", &ada);
    twice(&story, &asking);
    let mail = story.mails.wait_for(&address_of(&ada), 4).remove(3);
    let chosen = "another horse Bätterie";
    let form = story.browser.get(&mail.link()).form().fill("password", chosen).fill("password_again", chosen);
    let first = story.browser.submit(&form);
    let hash = "SELECT password_hash FROM logins";
    let set = story.text(hash);
    let page = twice(&story, &form);
    assert_eq!((page.status, page.texts("h1")), (200, vec!["Your new password is set".to_owned()]));
    assert_eq!(page.body, first.body);
    assert_eq!(story.text(hash), set, "the password is set once");
}

on_every_database! {
    a_form_that_the_web_server_sends_again_does_nothing_twice,
}

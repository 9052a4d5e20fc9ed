//! From the form to the login, in each way to a first password.

use crate::world::{Conduit, Engine, TokenHomeserver, TokenSynapse, on_every_database};
use crate::{Story, address_of, approved, fresh, is_complete, sign_up};

const CHOSEN: &str = "correct horse Bätterie 1";

/// Whoever chose a password by the link in a mail has it.
fn chooses_by_link(story: &Story, home: &TokenHomeserver, name: &str) {
    approved(story, name);
    let link = story.mails.wait_for(&address_of(name), 2)[1].link();
    let form = story.browser.get(&link).form().fill("password", CHOSEN).fill("password_again", CHOSEN);
    let page = story.browser.submit(&form);
    assert!(page.text().contains("Your account is ready"), "{}\n{}", page.text(), story.web.log());
    assert!(home.clients.login(name, CHOSEN).is_ok());
}

fn chooses_with_the_confirmation(story: &Story, home: &TokenHomeserver, name: &str) {
    story.ask(name);
    assert_eq!(story.confirm_choosing(name, CHOSEN).status, 200);
    story.decide(name, "approve", "");
    assert_eq!(story.state(name), 100, "{}", story.web.log());
    assert!(home.clients.login(name, CHOSEN).is_ok());
}

/// Signs up one person for each way. Returns their names.
fn each_way(story: &mut Story, home: &TokenHomeserver) -> [String; 3] {
    let names = [fresh("by.mail"), fresh("by.link"), fresh("by.confirmation")];
    approved(story, &names[0]);
    is_complete(story, home, &names[0]);
    story.site.set("credentials", "link");
    chooses_by_link(story, home, &names[1]);
    story.site.set("credentials", "confirm");
    chooses_with_the_confirmation(story, home, &names[2]);
    assert!(!story.web.log().contains(&home.token), "the token is in no log");
    names
}

fn each_way_to_a_first_password_leads_into_a_synapse_that_wants_a_token(engine: Engine) {
    let synapse = TokenSynapse::start(&[]);
    let mut story = sign_up(&synapse.home, engine, |site| site);
    for name in each_way(&mut story, &synapse.home) {
        let path = format!("/_synapse/admin/v2/users/@{name}:example.test/devices");
        let (_, devices) = synapse.own.synapse.call("GET", &path, Some(&synapse.own.synapse.admin.token), None);
        assert_eq!(devices["total"], 1, "only that of this test's login: {devices}");
    }
}

fn each_way_to_a_first_password_leads_into_conduit(engine: Engine) {
    let conduit = Conduit::start();
    let mut story = sign_up(&conduit.home, engine, |site| site);
    for name in each_way(&mut story, &conduit.home) {
        assert_eq!(conduit.devices(&name).len(), 1, "only that of this test's login");
    }
    assert_eq!(conduit.shows()["admins"], serde_json::json!([]), "nobody becomes an administrator");
}

fn the_bot_makes_its_own_account_with_the_token(engine: Engine) {
    let conduit = Conduit::start();
    let story = sign_up(&conduit.home, engine, |site| conduit.home.with_new_bot(site));
    let ada = fresh("ada");
    approved(&story, &ada);
    is_complete(&story, &conduit.home, &ada);
}

on_every_database! {
    each_way_to_a_first_password_leads_into_a_synapse_that_wants_a_token,
    each_way_to_a_first_password_leads_into_conduit,
    the_bot_makes_its_own_account_with_the_token,
}

//! `operation_mode = "registration_token"`: accounts by the specification's own registration, with a real Synapse that requires a
//! token and with a stand-in for Conduit (`tests/world/conduit_stand_in.py`). `make token-check` makes the same registrations
//! against a real homeserver.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod check;
mod checks;
mod dead_ends;
mod limits;
mod losing;
mod lost;
mod room;
mod sign_up;
mod stand_in;

use the_story::{Story, address_of, fresh, now, password_in};
use world::{Conduit, Database, Engine, Host, SiteBuilder, TokenHomeserver};

/// A sign-up for a homeserver with a token.
fn sign_up(home: &TokenHomeserver, engine: Engine, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Story {
    let clients = home.clients.clone();
    let room = clients.room.clone();
    Story::in_room((clients, room), Database::new(engine), Host::NginxCgi, |site| settings(home.connect(site)))
}

/// The same with the stand-in for Conduit.
fn at_conduit(conduit: &Conduit) -> Story {
    sign_up(&conduit.home, Engine::Sqlite, |site| site)
}

/// Somebody signs up, confirms and is approved; the page of the decision.
fn approved(story: &Story, name: &str) -> String {
    story.ask_and_confirm(name);
    story.decide(name, "approve", "").text()
}

/// Lets everything be tried again now, as cron does.
fn run_cron(story: &Story) -> String {
    story.sql("UPDATE registrations SET due_at = 0");
    let ran = story.site.run_cron();
    String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
}

/// The account is there as it should be: the mailed password opens it, and it has its name.
fn is_complete(story: &Story, home: &TokenHomeserver, name: &str) {
    assert_eq!(story.state(name), 100, "{}", story.web.log());
    let password = password_in(story.mails.wait_for(&address_of(name), 2).last().unwrap());
    let token = home.clients.login(name, &password).unwrap_or_else(|cause| panic!("{name}: {cause}\n{}", story.web.log()));
    assert!(!token.is_empty());
    assert_eq!(home.display_name(name), "Ada Lovelace-Größe");
}

//! `make token-check`: whole registrations against a homeserver that the operator names, and what was seen.

use crate::lost::each_answer_is_lost_in_turn;
use crate::world::{Engine, TokenHomeserver};
use crate::{Story, address_of, approved, fresh, password_in, sign_up};
use matrix_register_bot::flow::accounts;
use matrix_register_bot::outside::site::Site;

const EXAMPLE: &str = r#"{"homeserver_url": "http://127.0.0.1:6167", "server_name": "example.test", "registration_token": "..."}"#;
const CHOSEN: &str = "a chosen Password of token-check, 1";

#[test]
#[ignore = "needs a homeserver: make token-check"]
fn a_whole_registration_for_each_way_of_credentials() {
    let path =
        std::env::var("TOKEN_WORLD").unwrap_or_else(|_| panic!("TOKEN_WORLD=/path/to/json make token-check; the file is like {EXAMPLE}"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{path}: {cause}; the file is like {EXAMPLE}"));
    let world = serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{path} is no JSON ({cause}); the file is like {EXAMPLE}"));
    let home = TokenHomeserver::of_world(&world);
    println!("{}: registered the moderator {}", home.clients.base_url, home.clients.alice.user_id);
    for way in ["mail", "link", "confirm"] {
        let story = sign_up(&home, Engine::Sqlite, |site| home.with_new_bot(site).set("credentials", way));
        if way == "mail" {
            look(&story);
        }
        let name = fresh(&format!("by.{way}"));
        let password = go(&story, way, &name);
        assert_eq!(story.state(&name), 100, "credentials = {way:?}: the request is not at its end: {}", story.web.log());
        let token =
            home.clients.login(&name, &password).unwrap_or_else(|cause| panic!("credentials = {way:?}: {name} cannot log in: {cause}"));
        let shown = home.display_name(&name);
        assert_eq!(shown, "Ada Lovelace-Größe", "credentials = {way:?}: the display name");
        let devices = home.devices(&token);
        assert_eq!(devices.len(), 1, "credentials = {way:?}: devices besides that of this login: {devices:?}");
        println!(
            "credentials = {way:?}: {} logs in, shows as {shown:?}, and has no device left from the sign-up",
            home.clients.user_id(&name)
        );
    }
    lost(&home);
    taken(&home);
    println!("The accounts moderator*, doorman*, by.*, ada* and taken* are left for you to remove.");
}

fn look(story: &Story) {
    for finding in accounts::check(&Site::open(&story.site.config_path()).unwrap()) {
        println!("check: {:?} {finding}", finding.weight);
    }
}

/// From the form to the credentials. Returns the password that must work.
fn go(story: &Story, way: &str, name: &str) -> String {
    if way == "confirm" {
        story.ask(name);
        assert_eq!(story.confirm_choosing(name, CHOSEN).status, 200);
        story.decide(name, "approve", "");
        return CHOSEN.into();
    }
    approved(story, name);
    let mail = story.mails.wait_for(&address_of(name), 2).remove(1);
    if way == "mail" {
        return password_in(&mail);
    }
    let form = story.browser.get(&mail.link()).form().fill("password", CHOSEN).fill("password_again", CHOSEN);
    let page = story.browser.submit(&form);
    assert!(page.text().contains("Your account is ready"), "credentials = \"link\": {}\n{}", page.text(), story.web.log());
    CHOSEN.into()
}

fn lost(home: &TokenHomeserver) {
    match each_answer_is_lost_in_turn(home, Engine::Sqlite, |site| home.with_new_bot(site)) {
        None => println!("lost answers: not tried, because the homeserver_url of the file speaks TLS"),
        Some(done) => {
            done.iter().for_each(|(name, call)| println!("the answer to {} is lost: {name} is there once, as it should be", call.trim()))
        }
    }
}

fn taken(home: &TokenHomeserver) {
    let story = sign_up(home, Engine::Sqlite, |site| home.with_new_bot(site));
    let name = fresh("taken");
    story.ask_and_confirm(&name);
    home.register(&name, "somebody else's Password, 1");
    story.decide(&name, "approve", "");
    assert_eq!(story.state(&name), 13, "a name that somebody else took meanwhile: {}", story.web.log());
    assert!(home.clients.login(&name, "somebody else's Password, 1").is_ok(), "the other's account must be untouched");
    println!("a name that somebody else took meanwhile: the applicant is told, the account is untouched");
}

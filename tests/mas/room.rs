//! The bot's token behind MAS: a personal session with a device, or an application service; never a password.

use crate::world::{Engine, Host, Mas};
use crate::{Story, fresh};

/// What the room gets if the bot has this token, and what cron says.
fn with_token(token: Option<&str>) -> (Story, String) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, Engine::Sqlite, Host::NginxCgi, |site| match token {
        Some(token) => site.set("room.access_token", token),
        None => site.unset("room.access_token"),
    });
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let said = crate::run_cron(&story);
    (story, said)
}

#[test]
fn a_token_without_a_device_is_refused_before_the_first_message() {
    let mas = Mas::start();
    let bare = mas.personal_session("register_bot", "urn:matrix:client:api:*");
    let (story, said) = with_token(Some(&bare));
    assert!(said.contains("has no device") && said.contains("urn:matrix:client:device:REGISTERBOT"), "{said}");
    assert!(story.synapse.messages(&story.room).is_empty());
    let with_device = mas.personal_session("register_bot", "urn:matrix:client:api:* urn:matrix:client:device:REGISTERBOT");
    let (story, _) = with_token(Some(&with_device));
    assert_eq!(story.synapse.messages(&story.room).len(), 1);
}

#[test]
fn the_bot_never_logs_in_with_a_password() {
    let (story, said) = with_token(None);
    assert!(said.contains("access_token_file in [room]") && said.contains("--print-appservice"), "{said}");
    assert!(story.synapse.messages(&story.room).is_empty());
}

//! The bot's token behind MAS: a personal session with a device, or an application service; never a password.

use crate::world::{Account, Database, Engine, Host, Mas, SiteFolder, built_programs};
use crate::{Story, fresh, is_complete, wait_for_state};

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

/// The homeserver has read the file of `cron --print-appservice`: the bot needs no token, no password and no account.
#[test]
fn the_bot_acts_as_an_application_service() {
    let printer = SiteFolder::new(&built_programs!()).set("room.bot_localpart", "signups").create();
    let printed = printer.run_cron_with(&["--print-appservice"]);
    let file = printer.path().join("register-bot.yaml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let mas = Mas::start_own(&format!("--appservice {}", file.display()));
    let state = printer.path().to_str().unwrap();
    let nobody =
        Account { localpart: "signups".into(), user_id: mas.synapse.user_id("signups"), password: String::new(), token: String::new() };
    let room = mas.synapse.create_room_of(&mas.synapse.alice, &[&nobody]);
    let settings = |site: crate::world::SiteBuilder| {
        site.mas(&mas).unset("room.access_token").set("room.bot_localpart", "signups").set("state_folder", state)
    };
    let story = Story::in_room((mas.synapse.clone(), room.clone()), Database::new(Engine::Sqlite), Host::NginxCgi, settings);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    assert_eq!(story.room_message(&ada).sender, mas.synapse.user_id("signups"));
    story.sql("UPDATE registrations SET state = 5, due_at = 0");
    crate::run_cron(&story);
    assert_eq!(story.synapse.messages(&room).len(), 1, "the same transaction id posts it once");
    crate::approve(&story, &ada);
    wait_for_state(&story, &ada, 100);
    is_complete(&story, &mas, &ada);
    crate::run_cron(&story);
    story.room_shows(&ada, "has been created");
}

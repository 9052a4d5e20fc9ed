//! What is remembered of earlier requests, and what is left in the room when a request is forgotten.

use crate::world::{Engine, Host, on_every_database};
use crate::{Story, address_of, fresh};

const DAY: i64 = 86_400;

/// Asks for `localpart` with another address, and confirms it.
fn ask_as(story: &Story, localpart: &str, address: &str) -> String {
    story.browser.submit(&story.filled_form(localpart).fill("email", address));
    let link = story.mails.wait_for(address, 1).pop().unwrap().link();
    assert_eq!(story.browser.submit(&story.browser.get(&link).form()).status, 200);
    story.room_message(localpart).body
}

fn forget_all(story: &Story) {
    story.sql(&format!("UPDATE registrations SET state_since = state_since - {}", 31 * DAY));
    let run = story.site.run_cron();
    assert!(run.status.success(), "{run:?}");
}

fn the_room_hears_how_earlier_requests_of_the_same_person_ended(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, eve, may, zoe) = (fresh("ada"), fresh("eve"), fresh("may"), fresh("zoe"));
    let (name, domain) = address_of(&ada).split_once('@').map(|(name, domain)| (name.to_owned(), domain.to_owned())).unwrap();
    story.ask_and_confirm(&ada);
    assert!(!story.room_message(&ada).body.contains("Earlier request"));
    story.decide(&ada, "decline", "spam <3");
    let second = ask_as(&story, &eve, &format!("{}.{}+again@{domain}", &name[..1], &name[1..]));
    assert!(second.contains(&format!("@{ada}:")) && second.contains("Declined. Decided on"), "{second}");
    assert!(second.contains("> spam <3"), "{second}");
    let page = story.browser.get(&story.room_message(&eve).link()).text();
    assert!(page.contains("Earlier requests of the same person") && page.contains("spam <3"), "{page}");

    story.decide(&eve, "approve", "");
    story.room_shows(&eve, "The account has been created");
    forget_all(&story);
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations"), 0);
    let kept = story.database.rows("SELECT * FROM remembered").concat().join(" ");
    assert!(!kept.contains(&ada) && !kept.contains(&domain) && !kept.contains(&eve), "{kept}");
    let third = ask_as(&story, &may, &format!("{name}+third@{domain}"));
    assert_eq!(third.matches("Earlier request of the same person").count(), 2, "{third}");
    assert!(third.contains("> spam <3") && third.contains("Approved.") && !third.contains(&format!("@{ada}:")), "{third}");

    story.sql(&format!("UPDATE remembered SET ended_at = ended_at - {}", 180 * DAY));
    story.site.let_cron_succeed();
    assert_eq!(story.number("SELECT COUNT(*) FROM remembered"), 0);
    assert!(!ask_as(&story, &zoe, &format!("{name}+4@{domain}")).contains("spam"));
}

fn what_is_not_to_be_remembered_is_not(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("times.remember_days", 0));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "decline", "spam");
    story.room_shows(&ada, "Declined");
    forget_all(&story);
    assert_eq!(story.number("SELECT COUNT(*) FROM remembered"), 0);
}

fn a_forgotten_request_leaves_no_text_in_the_room_and_none_of_its_edits(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.sql(&format!("UPDATE owed_actions SET owed_since = owed_since - {}", 2 * DAY));
    story.site.let_cron_succeed();
    story.decide(&ada, "decline", "spam");
    story.room_shows(&ada, "Declined");
    let posted = story.synapse.messages(&story.room);
    assert_eq!(posted.len(), 2, "with a reminder");
    let edits = story.synapse.edits(&story.room, &posted[0].event_id);
    let ids: Vec<String> = posted.iter().map(|message| message.event_id.clone()).collect();
    let ids: Vec<String> = ids.into_iter().chain(edits.iter().map(|edit| edit["event_id"].as_str().unwrap().to_owned())).collect();
    assert_eq!(ids.len(), 3);

    let url = story.synapse.base_url.clone();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    story.sql(&format!("UPDATE registrations SET state_since = state_since - {}", 31 * DAY));
    story.site.run_cron();
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations"), 0, "forgotten although the homeserver is away");
    story.site.run_cron();
    story.site.set("homeserver_url", url);
    story.sql("UPDATE redactions SET due_at = 0");
    let run = story.site.run_cron();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(story.number("SELECT COUNT(*) FROM redactions"), 0);
    for id in ids {
        assert_eq!(story.synapse.content(&story.room, &id), serde_json::json!({}), "{id}");
    }
}

fn messages_that_are_to_stay_stay(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("room.redact_when_forgotten", false));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "decline", "spam");
    story.room_shows(&ada, "Declined");
    forget_all(&story);
    story.site.let_cron_succeed();
    story.room_shows(&ada, "Declined");
}

on_every_database! {
    the_room_hears_how_earlier_requests_of_the_same_person_ended,
    what_is_not_to_be_remembered_is_not,
    a_forgotten_request_leaves_no_text_in_the_room_and_none_of_its_edits,
    messages_that_are_to_stay_stay,
}

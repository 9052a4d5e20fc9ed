//! Deciding and asking in the room with words: in a reply to the message of a request, or in its thread.

use crate::world::{Account, Engine, Host, on_every_database};
use crate::{Story, address_of, fresh};
use serde_json::{Value, json};

/// A request that waits for a decision: its applicant, and the message about it.
fn waiting(story: &Story) -> (String, String) {
    let applicant = fresh("ada");
    story.ask_and_confirm(&applicant);
    let event_id = story.room_message(&applicant).event_id;
    (applicant, event_id)
}

fn say(story: &Story, who: &Account, body: &str, relates_to: Value) -> String {
    story.synapse.send(&story.room, who, "m.room.message", json!({"msgtype": "m.text", "body": body, "m.relates_to": relates_to}))
}

fn reply(story: &Story, who: &Account, to: &str, body: &str) -> String {
    say(story, who, body, json!({"m.in_reply_to": {"event_id": to}}))
}

fn in_thread(story: &Story, who: &Account, root: &str, body: &str) -> String {
    say(story, who, body, json!({"rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": {"event_id": root}}))
}

fn cron(story: &Story) {
    let run = story.site.run_cron();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// What the bot answered in threads, in order.
fn answers(story: &Story) -> Vec<String> {
    let ids = story.database.rows("SELECT event_id FROM room_messages WHERE kind = 2 ORDER BY id").concat();
    ids.iter().map(|id| story.synapse.content(&story.room, id)["body"].as_str().unwrap_or_default().to_owned()).collect()
}

fn a_reply_declines_with_its_reason_and_the_applicant_reads_it(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, message) = waiting(&story);
    let alice = story.synapse.alice.clone();
    for talk in ["no idea, who knows her?", "approve?", "decline her"] {
        reply(&story, &alice, &message, talk);
    }
    cron(&story);
    assert_eq!(story.state(&ada), 6, "talk decides nothing");
    reply(&story, &alice, &message, "> <@bot:x> Ada\n> approve\n\ndecline: We only know people from the <choir>.");
    cron(&story);
    assert_eq!(story.state(&ada), 13);
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(mail.text.contains("We only know people from the <choir>."), "{}", mail.text);
    assert_eq!(story.database.rows("SELECT way, decided_by FROM decisions").concat(), ["word", &alice.user_id]);
    assert!(story.synapse.shown(&story.room, &message).contains("We only know people from the <choir>."));
    assert!(answers(&story).is_empty(), "the message of the request shows it");
    // Cron reads the room while something waits there.
    waiting(&story);
    reply(&story, &alice, &message, "approve");
    cron(&story);
    cron(&story);
    assert_eq!(story.state(&ada), 13, "the first decision counts");
    let said = answers(&story);
    assert!(said.len() == 1 && said[0].contains("decided before") && said[0].contains(&alice.user_id), "{said:?}");
}

fn in_a_thread_only_commands_count_and_what_cannot_be_meant_gets_one_answer(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| {
        site.set("room.reasons", vec!["We only know people from the choir.".to_owned(), "Please write to Greta.".to_owned()])
    });
    let (ada, message) = waiting(&story);
    let alice = story.synapse.alice.clone();
    for body in ["approve", "!aprove", "!decline 3", "!approve not", "!help"] {
        in_thread(&story, &alice, &message, body);
    }
    cron(&story);
    cron(&story);
    assert_eq!(story.state(&ada), 6);
    let said = answers(&story);
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].contains("do not know this command") && said[1].contains("2: Please write to Greta."), "{said:?}");
    assert!(said[2].contains("done nothing") && said[3].contains("!decline silently"), "{said:?}");
    in_thread(&story, &alice, &message, "!list");
    in_thread(&story, &alice, &message, "!decline silently 2");
    in_thread(&story, &alice, &message, "!who");
    cron(&story);
    assert_eq!(story.state(&ada), 13);
    let said = answers(&story);
    assert!(said[4].contains(&ada), "the list has the request: {said:?}");
    assert!(said[5].contains("without an email") && said[5].contains("Please write to Greta."), "{said:?}");
    assert_eq!(story.mails.mails(&address_of(&ada)).len(), 1, "a silent no is not mailed");
}

fn a_question_from_the_room_is_mailed_once(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, message) = waiting(&story);
    in_thread(&story, &story.synapse.alice, &message, "!ask Which voice\ndo you sing?");
    cron(&story);
    // As after a power cut before it was noted that this is done.
    story.sql("UPDATE room_words SET read_at = NULL");
    cron(&story);
    let mails = story.mails.wait_for(&address_of(&ada), 2);
    assert!(mails.len() == 2 && mails[1].text.contains("Which voice"), "{}", mails[1].text);
    assert_eq!(story.number("SELECT count(*) FROM questions"), 1);
    assert!(story.synapse.shown(&story.room, &message).contains("Which voice"), "the message shows that a question is open");
}

fn words_of_somebody_who_may_not_decide_now_mean_nothing(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("room.decide_from_power", 50));
    let (ada, message) = waiting(&story);
    let synapse = &story.synapse;
    synapse.invite(&story.room, &synapse.alice, &synapse.bob);
    synapse.join(&story.room, &synapse.bob);
    reply(&story, &synapse.bob, &message, "approve");
    in_thread(&story, &synapse.bob, &message, "!help");
    cron(&story);
    assert_eq!((story.state(&ada), answers(&story).len()), (6, 0), "bob has no power");
    synapse.give_power(&story.room, &synapse.bot, &synapse.bob, 50);
    let taken_back = reply(&story, &synapse.bob, &message, "approve");
    synapse.redact(&story.room, &synapse.bob, &taken_back);
    reply(&story, &synapse.bob, &message, "decline");
    synapse.leave(&story.room, &synapse.bob);
    cron(&story);
    assert_eq!(story.state(&ada), 6, "bob took back the one and left after the other");
    // A notice is of another bot, and an edit of an older message is no new one.
    let notice = json!({"msgtype": "m.notice", "body": "approve", "m.relates_to": {"m.in_reply_to": {"event_id": message}}});
    synapse.send(&story.room, &synapse.alice, "m.room.message", notice);
    reply(&story, &synapse.alice, "$elsewhere", "approve");
    cron(&story);
    assert_eq!(story.state(&ada), 6);
}

fn whoever_writes_in_an_encrypted_room_hears_once_that_only_reactions_can_be_read(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, message) = waiting(&story);
    let secret = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "sender_key": "x", "device_id": "X", "session_id": "x",
        "m.relates_to": {"m.in_reply_to": {"event_id": message}}});
    for _ in 0..2 {
        story.synapse.send(&story.room, &story.synapse.alice, "m.room.encrypted", secret.clone());
        cron(&story);
    }
    let said = answers(&story);
    assert!(said.len() == 1 && said[0].contains("encrypted"), "{said:?}");
    assert_eq!(story.state(&ada), 6);
}

on_every_database!(
    a_reply_declines_with_its_reason_and_the_applicant_reads_it,
    in_a_thread_only_commands_count_and_what_cannot_be_meant_gets_one_answer,
    a_question_from_the_room_is_mailed_once,
    words_of_somebody_who_may_not_decide_now_mean_nothing,
    whoever_writes_in_an_encrypted_room_hears_once_that_only_reactions_can_be_read,
);

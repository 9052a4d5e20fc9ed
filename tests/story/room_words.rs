//! Deciding and asking in the room with words: in a reply to the message of a request, or in its thread.

use crate::world::{Account, Engine, Host, on_every_database};
use crate::{Story, address_of, fresh};
use matrix_register_bot::outside::fault::DIE_AT_VARIABLE;
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

/// Cron dies there, as in a power cut; its locks and leases then end.
fn cron_dies_at(story: &Story, point: &str) {
    let run = story.site.run_with("cron", &[], &[(DIE_AT_VARIABLE, point)], b"");
    assert!(!run.status.success(), "cron did not come to {point}: {}", String::from_utf8_lossy(&run.stderr));
    story.sql("UPDATE locks SET held_until = 0; UPDATE owed_actions SET lease_until = 0; UPDATE registrations SET lease_until = 0");
}

/// What the bot answered in threads, in order.
fn answers(story: &Story) -> Vec<String> {
    posted(story, 2)
}

/// What the bot posted of this kind, in order.
fn posted(story: &Story, kind: i64) -> Vec<String> {
    let ids = story.database.rows(&format!("SELECT event_id FROM room_messages WHERE kind = {kind} ORDER BY id")).concat();
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
    cron_dies_at(&story, "words obeyed");
    cron(&story);
    let mails = story.mails.wait_for(&address_of(&ada), 2);
    assert!(mails.len() == 2 && mails[1].text.contains("Which voice"), "{}", mails[1].text);
    assert_eq!(story.number("SELECT count(*) FROM questions"), 1);
    assert!(story.synapse.shown(&story.room, &message).contains("Which voice"), "the message shows that a question is open");
}

/// Sends this answer to the newest question on the applicant's own page.
fn answer(story: &Story, applicant: &str, text: &str) {
    let page = story.browser.get(&story.verify_mail(applicant).link());
    let answered = story.browser.submit(&page.form_to("answer").fill("answer", text));
    assert_eq!(answered.status, 200, "{}", answered.text());
}

/// The id of the newest message with an answer of the applicant, once there are so many.
fn answered_in_room(story: &Story, count: i64) -> String {
    let end = crate::now() + 30;
    while story.number("SELECT count(*) FROM room_messages WHERE kind = 3") < count {
        assert!(crate::now() < end, "no answer in the room: {}", story.web.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    story.text("SELECT event_id FROM room_messages WHERE kind = 3 ORDER BY id DESC LIMIT 1")
}

fn what_the_applicant_answers_stands_in_the_thread_and_the_conversation_goes_on(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let (ada, message) = waiting(&story);
    let alice = story.synapse.alice.clone();
    in_thread(&story, &alice, &message, "!ask Which <voice>?");
    cron(&story);
    story.mails.wait_for(&address_of(&ada), 2);
    answer(&story, &ada, &format!("Alto <b>or</b> so.\n\n[link](https://evil.example) @room {}", "x".repeat(1900)));
    let event = answered_in_room(&story, 1);
    let content = story.synapse.content(&story.room, &event);
    let (text, html) = (content["body"].as_str().unwrap(), content["formatted_body"].as_str().unwrap());
    assert!(text.contains(": Ada Lovelace-Größe answered:\n> Alto <b>or</b> so.\n") && text.contains("> Which <voice>?"), "{text}");
    assert!(html.contains("Alto &lt;b&gt;or") && !html.contains("<a") && html.contains("Which &lt;voice&gt;?"), "{html}");
    assert_eq!(content["m.mentions"], json!({}), "nobody is rung by name");
    assert_eq!((&content["m.relates_to"]["rel_type"], &content["m.relates_to"]["event_id"]), (&json!("m.thread"), &json!(message)));

    // In a client without threads the answer itself is answered.
    reply(&story, &alice, &event, "!ask And when?");
    cron(&story);
    story.mails.wait_for(&address_of(&ada), 3);
    answer(&story, &ada, "On Tuesdays");
    let second = answered_in_room(&story, 2);
    cron(&story);
    assert_eq!(posted(&story, 3).len(), 2, "each once");
    reply(&story, &alice, &second, "approve");
    cron(&story);
    assert_eq!(story.state(&ada), 100);

    story.sql("UPDATE registrations SET state_since = state_since - 31 * 86400");
    cron(&story);
    cron(&story);
    for event in [event, second] {
        assert_eq!(story.synapse.content(&story.room, &event), json!({}), "the room forgets it with the request");
    }
}

fn an_answer_reaches_the_room_once_whatever_fails_in_between(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxSystemd);
    let (ada, message) = waiting(&story);
    in_thread(&story, &story.synapse.alice.clone(), &message, "!ask Who are you?");
    cron(&story);
    story.mails.wait_for(&address_of(&ada), 2);
    let url = story.synapse.base_url.clone();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    answer(&story, &ada, "Ada");
    // Decided by the link before the room could see the answer.
    story.decide(&ada, "decline", "");
    story.site.set("homeserver_url", url);
    let due = "UPDATE owed_actions SET due_at = 0, owed_since = 0, lease_until = 0";
    story.sql(due);
    cron_dies_at(&story, "room message posted");
    story.sql(due);
    cron(&story);
    answered_in_room(&story, 1);
    cron(&story);
    let said = story.synapse.messages(&story.room).into_iter().filter(|said| said.body.contains("> Ada")).count();
    assert_eq!((said, story.number("SELECT count(*) FROM owed_actions WHERE kind = 7")), (1, 0));
    assert!(story.synapse.shown(&story.room, &message).contains(" Declined: "));
}

/// The homeserver's answer was lost when the request was posted, and somebody has used the link since.
fn an_answer_finds_the_thread_although_nobody_recorded_the_message(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxFastCgi);
    let (ada, message) = waiting(&story);
    in_thread(&story, &story.synapse.alice, &message, "!ask Who are you?");
    cron(&story);
    story.mails.wait_for(&address_of(&ada), 2);
    story.sql("DELETE FROM room_messages");
    answer(&story, &ada, "Ada");
    let event = answered_in_room(&story, 1);
    assert_eq!(story.synapse.content(&story.room, &event)["m.relates_to"]["event_id"], json!(message));
    assert_eq!(story.synapse.messages(&story.room).iter().filter(|said| said.body.contains(" New account request: ")).count(), 1);
}

fn who_withdraws_leaves_no_answer_in_the_room(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let (ada, message) = waiting(&story);
    in_thread(&story, &story.synapse.alice, &message, "!ask Who are you?");
    cron(&story);
    story.mails.wait_for(&address_of(&ada), 2);
    answer(&story, &ada, "Somebody");
    let event = answered_in_room(&story, 1);
    story.browser.submit(&story.browser.get(&story.verify_mail(&ada).link()).form_to("withdraw"));
    cron(&story);
    assert_eq!(story.synapse.content(&story.room, &event), json!({}));
}

fn a_no_is_taken_back_by_a_word_and_the_request_waits_again(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, message) = waiting(&story);
    let (alice, bot) = (story.synapse.alice.clone(), story.synapse.bot.clone());
    in_thread(&story, &alice, &message, "!undo");
    cron(&story);
    let said = answers(&story);
    assert!(said.len() == 1 && said[0].contains("only a declined request can be reopened"), "{said:?}");
    reply(&story, &alice, &message, "decline");
    cron(&story);
    assert_eq!(story.state(&ada), 13);
    // Nothing else waits in the room.
    reply(&story, &alice, &message, "!reopen");
    cron_dies_at(&story, "words obeyed");
    cron(&story);
    assert_eq!(story.state(&ada), 6);
    assert!(story.synapse.shown(&story.room, &message).contains(&format!("by {}.\nThe request is waiting again", alice.user_id)));
    let ballot: Vec<_> = story.synapse.reactions(&story.room, &message).into_iter().map(|(sender, _)| sender).collect();
    assert_eq!(ballot, [bot.user_id.clone(), bot.user_id.clone()], "the request has its ballot again");
    assert_eq!(answers(&story).len(), 1, "the message shows it");
    story.decide(&ada, "approve", "");
    in_thread(&story, &alice, &message, "!reopen");
    cron(&story);
    assert!(story.synapse.exists(&ada) && answers(&story)[1].contains("Approved on"), "{:?}", answers(&story));
    let outcomes = story.database.rows("SELECT outcome FROM decisions ORDER BY id").concat();
    assert_eq!(outcomes, ["declined", "taken_back", "approved"]);
}

/// Whoever reads them again after a crash finds a request that somebody has reopened since.
fn words_decide_once_even_if_the_request_is_reopened_before_they_are_settled(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, message) = waiting(&story);
    reply(&story, &story.synapse.alice, &message, "decline: spam");
    cron_dies_at(&story, "words obeyed");
    assert!([12, 13].contains(&story.state(&ada)));
    let declined = story.browser.get(&story.room_message(&ada).link());
    story.browser.submit(&declined.form());
    assert_eq!(story.state(&ada), 6);
    cron(&story);
    assert_eq!(story.state(&ada), 6, "declined once");
}

fn nobody_gets_a_name_back_that_somebody_else_has(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, message) = waiting(&story);
    let alice = story.synapse.alice.clone();
    reply(&story, &alice, &message, "decline");
    cron(&story);
    let page = story.browser.submit(&story.filled_form(&ada).fill("email", "second@applicants.example.org"));
    assert_eq!(page.status, 200, "{}", page.text());
    let link = story.mails.wait_for("second@applicants.example.org", 1).remove(0).link();
    story.browser.submit(&story.browser.get(&link).form());
    reply(&story, &alice, &message, "!reopen");
    cron(&story);
    let said = answers(&story);
    assert!(said.len() == 1 && said[0].contains("belongs to somebody else"), "{said:?}");
}

fn words_are_read_while_nothing_is_open(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, message) = waiting(&story);
    let alice = story.synapse.alice.clone();
    story.decide(&ada, "approve", "");
    in_thread(&story, &alice, &message, "!who");
    in_thread(&story, &alice, &message, "!list");
    cron(&story);
    let said = answers(&story);
    assert!(said.len() == 2 && said[0].contains("Approved on") && said[1].contains("No request waits for a decision"), "{said:?}");
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

/// The other side is a client library, which says what it says in its own way.
#[test]
fn with_matrix_nio_a_moderator_approves_declines_asks_and_reopens() {
    let story = Story::start("synapse", Host::NginxCgi);
    let alice = story.synapse.alice.clone();
    let python = crate::world::installed("nio").join("bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/story/nio_moderator.py");
    let act = |event: &str, what: &str, said: &str| {
        let arguments = [script, &story.synapse.base_url, &alice.user_id, &alice.token, &story.room, event, what, said];
        let output = crate::world::process::guarded(&python).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cron(&story);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let ((ada, about_ada), (max, about_max)) = (waiting(&story), waiting(&story));
    assert!(act(&about_ada, "react", "👍").contains(" New account request: "));
    assert_eq!(story.state(&ada), 100);
    act(&about_max, "thread", "!ask Who are you?");
    assert_eq!(story.number("SELECT count(*) FROM questions"), 1);
    act(&about_max, "reply", "decline: We are full.");
    assert_eq!(story.state(&max), 13);
    act(&about_max, "thread", "!reopen");
    assert_eq!(story.state(&max), 6);
}

on_every_database!(
    a_reply_declines_with_its_reason_and_the_applicant_reads_it,
    in_a_thread_only_commands_count_and_what_cannot_be_meant_gets_one_answer,
    a_question_from_the_room_is_mailed_once,
    what_the_applicant_answers_stands_in_the_thread_and_the_conversation_goes_on,
    an_answer_reaches_the_room_once_whatever_fails_in_between,
    who_withdraws_leaves_no_answer_in_the_room,
    an_answer_finds_the_thread_although_nobody_recorded_the_message,
    a_no_is_taken_back_by_a_word_and_the_request_waits_again,
    words_decide_once_even_if_the_request_is_reopened_before_they_are_settled,
    nobody_gets_a_name_back_that_somebody_else_has,
    words_are_read_while_nothing_is_open,
    words_of_somebody_who_may_not_decide_now_mean_nothing,
    whoever_writes_in_an_encrypted_room_hears_once_that_only_reactions_can_be_read,
);

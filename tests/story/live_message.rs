//! The message in the room always says where its request stands.

use crate::world::{Engine, Host, MailCatcher, on_every_database};
use crate::{Story, address_of, fresh};

fn the_message_says_who_approved_and_that_the_account_is_there(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    assert!(story.room_shows(&ada, "New account request").contains("View and decide: http"));
    story.decide(&ada, "approve", "");
    let shown = story.room_shows(&ada, "The account has been created");
    assert!(shown.contains(" Approved: Ada Lovelace-Größe would like @"), "{shown}");
    assert!(shown.contains("by somebody who opened the link.") && shown.contains("> second line"), "{shown}");
    assert_eq!(story.synapse.messages(&story.room).len(), 1, "one message");
    story.site.let_cron_succeed();
    let edits = story.synapse.edits(&story.room, &story.room_message(&ada).event_id);
    assert_eq!(edits.len(), 1, "{edits:#?}");
    assert_eq!(edits[0]["content"]["m.mentions"], serde_json::json!({}), "an edit rings for nobody");
    assert_eq!(story.number("SELECT COUNT(*) FROM owed_actions WHERE kind = 5"), 0);
}

fn the_message_says_why_a_request_was_declined(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "decline", "We are <b>full</b>.\nSorry");
    let shown = story.room_shows(&ada, "Declined: ");
    assert!(shown.contains("> We are <b>full</b>.\n> Sorry") && shown.contains("The applicant gets an email about it"), "{shown}");
    let edits = story.synapse.edits(&story.room, &story.room_message(&ada).event_id);
    let html = edits.last().unwrap()["content"]["m.new_content"]["formatted_body"].as_str().unwrap().to_owned();
    assert!(html.contains("We are &lt;b&gt;full&lt;&#x2F;b&gt;.") || html.contains("We are &lt;b&gt;full&lt;/b&gt;."), "{html}");
}

fn who_withdraws_is_named_no_more_than_necessary(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let page = story.browser.get(&story.verify_mail(&ada).link());
    story.browser.submit(&page.form().put("action", "withdraw"));
    let shown = story.room_shows(&ada, "Withdrawn by the applicant");
    assert!(!shown.contains("Lovelace") && !shown.contains("@applicants") && !shown.contains("second line"), "{shown}");
    assert!(!shown.contains("http"), "there is nothing left to view: {shown}");
}

fn an_open_question_stands_in_the_message_until_it_is_answered(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let id = story.text("SELECT id FROM registrations");
    assert!(story.site.run_cron_with(&["--ask", &id, "Who are you?"]).status.success());
    story.room_shows(&ada, "has not answered yet:\n> Who are you?");
    let page = story.browser.get(&story.verify_mail(&ada).link());
    let question = story.text("SELECT id FROM questions");
    story.browser.submit(&page.form().put("action", "answer").put("question", &question).put("answer", "Ada"));
    let shown = story.room_shows(&ada, "New account request");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while story.room_shows(&ada, "New account request").contains("Who are you?") {
        assert!(std::time::Instant::now() < end, "{shown}");
    }
}

fn the_message_says_what_is_late_and_what_never_arrived(engine: Engine) {
    let ada = fresh("ada");
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    story.ask_and_confirm(&ada);
    let gone = MailCatcher::start_with(&["--reject-recipient", &address_of(&ada)]);
    story.site.set("mail.smtp.port", i64::from(gone.port));
    story.decide(&ada, "approve", "");
    story.room_shows(&ada, "could not be sent yet");
    story.sql("UPDATE registrations SET due_at = 0, attempts = 9, refusals = 9, refused_seconds = 48 * 3600");
    story.site.run_cron();
    story.room_shows(&ada, "could not be delivered. Please tell the applicant in another way");
}

fn a_message_that_could_not_be_edited_is_edited_later(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let url = story.synapse.base_url.clone();
    // What goes on after the answers so far still has a homeserver.
    story.site.wait_for_programs();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    story.decide(&ada, "decline", "no");
    story.site.wait_for_programs();
    assert_eq!(story.number("SELECT MAX(attempts) FROM owed_actions WHERE kind = 5"), 1, "{}", story.web.log());
    story.room_shows(&ada, "New account request");
    story.site.set("homeserver_url", url);
    story.sql("UPDATE owed_actions SET due_at = 0");
    story.site.let_cron_succeed();
    story.room_shows(&ada, "Declined: ");
    // A try whose answer was lost may arrive after this one.
    assert!(story.number("SELECT due_at FROM owed_actions WHERE kind = 5") > crate::now() + 300);
    story.sql("UPDATE owed_actions SET due_at = 0, owed_since = 0");
    story.site.let_cron_succeed();
    assert_eq!(story.number("SELECT COUNT(*) FROM owed_actions WHERE kind = 5"), 0);
    let edits = story.synapse.edits(&story.room, &story.room_message(&ada).event_id);
    assert_eq!(edits.len(), 2, "{edits:#?}");
}

fn a_message_whose_answer_was_lost_is_found_again_and_edited(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.sql("DELETE FROM room_messages");
    story.decide(&ada, "decline", "no");
    story.room_shows(&ada, "Declined: ");
    assert_eq!(story.synapse.messages(&story.room).len(), 1, "not posted twice");
    assert_eq!(story.number("SELECT COUNT(*) FROM room_messages"), 1);
}

fn a_reminder_is_posted_under_the_message(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.sql("UPDATE owed_actions SET owed_since = owed_since - 2 * 86400");
    story.site.let_cron_succeed();
    let [request, reminder] = story.synapse.messages(&story.room).try_into().unwrap();
    let relation = &reminder.event["content"]["m.relates_to"];
    assert_eq!((relation["rel_type"].as_str(), relation["event_id"].as_str()), (Some("m.thread"), Some(request.event_id.as_str())));
    assert!(reminder.body.contains("still waiting"), "{}", reminder.body);
    assert_eq!(story.text("SELECT event_id FROM room_messages WHERE kind = 1"), reminder.event_id);
}

on_every_database! {
    the_message_says_who_approved_and_that_the_account_is_there,
    the_message_says_why_a_request_was_declined,
    who_withdraws_is_named_no_more_than_necessary,
    an_open_question_stands_in_the_message_until_it_is_answered,
    the_message_says_what_is_late_and_what_never_arrived,
    a_message_that_could_not_be_edited_is_edited_later,
    a_message_whose_answer_was_lost_is_found_again_and_edited,
    a_reminder_is_posted_under_the_message,
}

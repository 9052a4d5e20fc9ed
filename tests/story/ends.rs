//! How requests end or go on again: reminders, an end without a decision, a no that is silent or taken back.

use crate::world::{Engine, Host, on_every_database};
use crate::{Story, address_of, decision_form, fresh};

const DAY: i64 = 86_400;

fn days_pass(story: &Story, days: i64) {
    story.sql(&format!("UPDATE owed_actions SET owed_since = owed_since - {}", days * DAY));
    story.sql(&format!("UPDATE registrations SET state_since = state_since - {}", days * DAY));
    let run = story.site.run_cron();
    assert!(run.status.success(), "{run:?}");
}

fn the_room_is_reminded_after_a_day_three_days_and_a_week(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let mut counts = Vec::new();
    for _ in 0..9 {
        days_pass(&story, 1);
        counts.push(story.synapse.messages(&story.room).len());
    }
    assert_eq!(counts, [2, 2, 3, 3, 3, 3, 4, 4, 4]);
}

fn of_many_undecided_requests_the_room_is_reminded_with_one_message(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let names: Vec<String> = (0..5).map(|_| fresh("many")).collect();
    names.iter().for_each(|name| story.ask_and_confirm(name));
    days_pass(&story, 2);
    let messages = story.synapse.messages(&story.room);
    assert_eq!(messages.len(), 6);
    let reminder = messages.last().unwrap();
    assert!(reminder.body.starts_with("5 requests are still waiting for a decision"), "{}", reminder.body);
    for name in &names {
        let message = story.room_message(name);
        assert!(reminder.body.contains(&message.link()) && reminder.body.contains(&format!("@{name}:")), "{}", reminder.body);
    }
    days_pass(&story, 0);
    assert_eq!(story.synapse.messages(&story.room).len(), 6);
}

fn what_nobody_decides_ends_with_a_mail_and_can_be_taken_up_again(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("times.undecided_after_days", 10));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    days_pass(&story, 9);
    assert_eq!(story.state(&ada), 6);
    days_pass(&story, 2);
    days_pass(&story, 0);
    assert_eq!(story.state(&ada), 13);
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(mail.text.contains("nobody has decided about your request"), "{}", mail.text);
    story.room_shows(&ada, "Nobody decided in time");
    let own = story.browser.get(&story.verify_mail(&ada).link()).text();
    assert!(own.contains("Nobody has decided about it in time"), "{own}");
    let page = story.browser.get(&story.room_message(&ada).link());
    assert!(page.text().contains("The time to decide is over"), "{}", page.text());
    let again = story.browser.submit(&page.form());
    assert!(again.text().contains("waiting again"), "{}", again.text());
    assert_eq!(story.state(&ada), 6);
    assert_eq!(story.browser.submit(&decision_form(&again, "approve", "")).status, 200);
    assert!(story.synapse.exists(&ada));
}

fn a_no_by_mistake_is_taken_back_and_the_applicant_gets_the_account(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "decline", "Wrong button");
    story.room_shows(&ada, "Declined: ");
    let declined = story.browser.get(&story.room_message(&ada).link());
    let again = story.browser.submit(&declined.form());
    assert!(again.text().contains("The decision was taken back"), "{}", again.text());
    let shown = story.room_shows(&ada, "The no was taken back on");
    assert!(shown.contains(" New account request: ") && !shown.contains("Wrong button"), "{shown}");
    let own = story.browser.get(&story.verify_mail(&ada).link()).text();
    assert!(own.contains("Your address is confirmed") && !own.contains("Wrong button"), "{own}");
    assert!(story.browser.submit(&declined.form()).text().contains("Approve"), "who is late decides like anybody");

    story.decide(&ada, "decline", "Really");
    let mails = story.mails.wait_for(&address_of(&ada), 3);
    assert!(mails[2].text.contains("> Really") && mails[1].header("Message-ID") != mails[2].header("Message-ID"), "another mail");
    let declined = story.browser.get(&story.room_message(&ada).link());
    story.browser.submit(&declined.form());
    story.decide(&ada, "approve", "");
    assert!(story.synapse.exists(&ada));
    story.room_shows(&ada, "The account has been created");
    let decided: Vec<String> = story.database.rows("SELECT outcome FROM decisions ORDER BY id").concat();
    assert_eq!(decided, ["declined", "taken_back", "declined", "taken_back", "approved"]);
}

fn a_no_cannot_be_taken_back_once_somebody_else_has_the_name(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let link = story.room_message(&ada).link();
    story.decide(&ada, "decline", "");
    let form = story.filled_form(&ada).fill("email", "rival@applicants.example.org");
    story.browser.submit(&form);
    let confirm = story.mails.wait_for("rival@applicants.example.org", 1).remove(0).link();
    story.browser.submit(&story.browser.get(&confirm).form());
    let told = story.browser.submit(&story.browser.get(&link).form());
    assert!(told.status == 409 && told.text().contains("not available any more"), "{}", told.text());
}

fn a_silent_no_sends_no_mail_and_gives_no_reason(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let page = story.browser.get(&story.room_message(&ada).link());
    let told = story.browser.submit(&decision_form(&page, "decline", "a spammer").put("silent", "1"));
    assert!(told.text().contains("No email is sent"), "{}", told.text());
    assert_eq!(story.state(&ada), 13);
    let shown = story.room_shows(&ada, "The applicant gets no email");
    assert!(shown.contains("> a spammer"), "the room knows why: {shown}");
    let own = story.browser.get(&story.verify_mail(&ada).link()).text();
    assert!(own.contains("Your request was declined") && !own.contains("spammer") && !own.contains("email we sent"), "{own}");
    story.site.let_cron_succeed();
    assert_eq!(story.mails.count(), 1);
}

on_every_database! {
    the_room_is_reminded_after_a_day_three_days_and_a_week,
    of_many_undecided_requests_the_room_is_reminded_with_one_message,
    what_nobody_decides_ends_with_a_mail_and_can_be_taken_up_again,
    a_no_by_mistake_is_taken_back_and_the_applicant_gets_the_account,
    a_no_cannot_be_taken_back_once_somebody_else_has_the_name,
    a_silent_no_sends_no_mail_and_gives_no_reason,
}

//! The number by which people speak of a request.

use crate::world::{Engine, Host, on_every_database};
use crate::{Story, address_of, fresh};
use serde_json::json;

/// The next request is #1042.
fn with_many_requests_before(engine: Engine, host: Host) -> Story {
    let story = Story::on(engine, "synapse", host);
    // Makes the tables.
    story.site.let_cron_succeed();
    story.sql(match engine {
        Engine::Sqlite => "INSERT INTO sqlite_sequence (name, seq) VALUES ('registrations', 1041)",
        Engine::Postgres => "ALTER TABLE registrations ALTER COLUMN id RESTART WITH 1042",
        _ => "ALTER TABLE registrations AUTO_INCREMENT = 1042",
    });
    story
}

fn command(story: &Story, arguments: &[&str]) -> String {
    let run = story.site.run_with("matrix-register-bot", arguments, &[], b"");
    assert!(run.status.success(), "{arguments:?}: {run:?}");
    String::from_utf8(run.stdout).unwrap()
}

/// Alice writes in the thread of a request; returns the answer.
fn answer_to(story: &Story, root: &str, body: &str) -> String {
    let alice = &story.synapse.alice;
    let relates_to = json!({"rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": {"event_id": root}});
    story.synapse.send(&story.room, alice, "m.room.message", json!({"msgtype": "m.text", "body": body, "m.relates_to": relates_to}));
    let run = story.site.run_cron();
    assert!(run.status.success(), "{run:?}");
    let newest = story.text("SELECT event_id FROM room_messages WHERE kind = 2 ORDER BY id DESC LIMIT 1");
    story.synapse.content(&story.room, &newest)["body"].as_str().unwrap_or_default().to_owned()
}

/// The event of the applicant's answer, once the program behind the page, or cron, has posted it.
fn answer_in_the_room(story: &Story) -> String {
    let start = std::time::Instant::now();
    loop {
        story.site.run_cron();
        if let Some(event_id) = story.database.rows("SELECT event_id FROM room_messages WHERE kind = 3").concat().pop() {
            return event_id;
        }
        assert!(start.elapsed().as_secs() < 30, "{}", story.web.log());
        std::thread::sleep(crate::world::pause(start));
    }
}

fn a_request_has_one_number_in_room_mails_pages_log_and_shell(engine: Engine) {
    let story = with_many_requests_before(engine, Host::NginxCgi);
    let ada = fresh("ada");
    let mut shown = vec![("thank-you page", story.ask(&ada).text())];
    let first_mail = story.verify_mail(&ada);
    let own_page = || story.browser.get(&first_mail.link());
    shown.push(("first mail", first_mail.text.clone()));
    shown.push(("page to confirm", own_page().text()));
    shown.push(("own page once confirmed", story.confirm(&ada).text()));
    let message = story.room_message(&ada);
    shown.push(("room message", message.body.clone()));
    shown.push(("page of the room", story.browser.get(&message.link()).text()));
    for word in ["!list", "!who"] {
        shown.push((word, answer_to(&story, &message.event_id, word)));
    }
    shown.push(("list", command(&story, &["list"])));
    shown.push(("show", command(&story, &["show", "#1042"])));
    shown.push(("show without the sign", command(&story, &["show", "1042"])));
    shown.push(("cron --waiting", String::from_utf8(story.site.run_cron_with(&["--waiting"]).stdout).unwrap()));
    command(&story, &["ask", "#1042", "Which voice do you sing?"]);
    shown.push(("question by mail", story.mails.wait_for(&address_of(&ada), 2).remove(1).text));
    let page = own_page().form_to("answer").fill("answer", "Alto");
    story.browser.submit(&page);
    let answer = answer_in_the_room(&story);
    shown.push(("answer in the room", story.synapse.content(&story.room, &answer)["body"].as_str().unwrap_or_default().to_owned()));
    shown.push(("page of the decision", story.decide(&ada, "approve", "").text()));
    shown.push(("mail of the account", story.mails.wait_for(&address_of(&ada), 3).remove(2).text));
    shown.push(("room message at the end", story.room_shows(&ada, "The account has been created")));
    shown.push(("own page at the end", own_page().text()));
    shown.push(("page of the room at the end", story.browser.get(&message.link()).text()));
    for (place, text) in shown {
        assert!(text.contains("#1042") && !text.contains("#1 ") && !text.contains("#1043"), "{place}: {text}");
    }
    let log = story.web.log();
    assert!(log.contains("request_filed registration=1042"), "{log}");
}

fn a_word_with_the_number_of_another_request_decides_nothing(engine: Engine) {
    let story = with_many_requests_before(engine, Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let message = story.room_message(&ada).event_id;
    let said = answer_to(&story, &message, "!decline #1041 spam");
    assert!(said.contains("the thread of #1042") && story.state(&ada) == 6, "{said}");
    answer_to(&story, &message, "!decline #1042 the choir is full");
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1).text;
    assert!(mail.contains("the choir is full") && mail.matches("#1042").count() == 1, "the number is no part of the reason: {mail}");
}

fn the_number_from_before_a_corrected_address_still_finds_the_request(engine: Engine) {
    let story = with_many_requests_before(engine, Host::NginxCgi);
    let (ada, wrong) = (fresh("ada"), address_of(&fresh("wrong")));
    let thanks = story.browser.submit(&story.filled_form(&ada).fill("email", &wrong));
    story.mails.wait_for(&wrong, 1);
    let thanks = story.browser.submit(&thanks.forms().remove(1).fill("email", &address_of(&fresh("typo"))));
    assert!(thanks.text().contains("#1043"), "{}", thanks.text());
    let said = command(&story, &["correct", "#1042", "--email", &address_of(&ada)]);
    assert!(said.contains("#1044, which was #1043"), "{said}");
    for number in ["#1042", "1043", "#1044"] {
        let shown = command(&story, &["show", number]);
        assert!(shown.contains("Request      #1044, before its address was corrected #1042, #1043\n"), "{number}: {shown}");
    }
    story.confirm(&ada);
    assert!(story.room_message(&ada).body.starts_with("#1044 "));
    command(&story, &["forget", &address_of(&ada)]);
    assert_eq!(story.number("SELECT count(*) FROM former_numbers"), 0);
}

on_every_database! {
    a_request_has_one_number_in_room_mails_pages_log_and_shell,
    a_word_with_the_number_of_another_request_decides_nothing,
    the_number_from_before_a_corrected_address_still_finds_the_request,
}

//! The applicant's own page: one link for the whole way.

use crate::world::{Engine, Form, Host, MailCatcher, on_every_database};
use crate::{Story, address_of, fresh};

/// A second applicant with the same username and another address.
fn ask_as_another(story: &Story, name: &str, address: &str) -> String {
    let page = story.browser.submit(&story.filled_form(name).fill("email", address).fill("first_name", "Eve"));
    assert_eq!(page.status, 200, "{}", page.text());
    story.mails.wait_for(address, 1).remove(0).link()
}

/// The form sent by the button for German, which leads to another address.
fn in_german(mut form: Form) -> Form {
    form.action = format!("{}&lang=de", form.action.split("&lang").next().unwrap_or_default());
    form.put("switch_language", "de")
}

fn who_confirms_second_chooses_another_name_and_keeps_everything_else(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let (ada, other) = (fresh("ada"), fresh("eve"));
    let address = format!("second-{}", address_of(&ada));
    story.ask(&ada);
    let link = ask_as_another(&story, &ada, &address);
    let opened_early = story.browser.get(&link);
    assert!(!opened_early.text().contains("no longer available"), "both may still have it");
    assert_eq!(story.confirm(&ada).status, 200);
    let late = story.browser.submit(&opened_early.form());
    assert_eq!(late.status, 422);
    assert!(late.text().contains("no longer available"), "{}", late.text());
    let page = story.browser.get(&link);
    assert!(page.text().contains("no longer available"), "the page says so before anything is pressed: {}", page.text());
    for (name, sentence) in [
        ("", "not available"),
        (&ada, "not available"),
        ("alice", "not available"),
        ("admin", "not available"),
        ("a b", "only a–z"),
        ("x", "too short"),
    ] {
        let again = story.browser.submit(&page.form().fill("username", name));
        assert_eq!(again.status, 422, "{name}: {}", again.text());
        assert!(again.text().contains(sentence), "{name}: {}", again.text());
        assert_eq!(again.form().value("username"), name, "what was typed is kept");
    }
    let german = story.browser.submit(&in_german(page.form().fill("username", "my-choice")));
    assert_eq!(german.form().value("username"), "my-choice", "another language keeps what was typed: {}", german.text());
    assert!(german.status == 200 && german.text().contains("Bestätige"), "{}", german.text());
    let confirmed = story.browser.submit(&page.form().fill("username", &other));
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
    assert!(confirmed.text().contains("Your address is confirmed") && confirmed.text().contains(&other), "{}", confirmed.text());
    assert_eq!(story.text(&format!("SELECT first_name FROM registrations WHERE username = '{other}'")), "Eve");
    assert!(story.room_message(&other).body.contains("Eve"), "the room sees the name that was chosen");
    story.decide(&other, "approve", "");
    story.decide(&ada, "approve", "");
    assert!(story.synapse.exists(&other) && story.synapse.exists(&ada));
}

fn a_silent_homeserver_keeps_nobody_from_confirming(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    let page = story.browser.get(&story.verify_mail(&ada).link());
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    let confirmed = story.browser.submit(&page.form());
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
    assert_eq!(story.state(&ada), 5, "cron tells the room");
}

fn while_people_decide_the_page_says_since_when_and_how_long_it_usually_takes(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let names: Vec<String> = (0..4).map(|_| fresh("ada")).collect();
    for name in &names {
        story.ask_and_confirm(name);
    }
    let link = story.verify_mail(&names[3]).link();
    assert!(!story.browser.get(&link).text().contains("Usual response time"), "nobody was answered yet");
    for name in &names[..3] {
        story.decide(name, "decline", "");
    }
    story.sql("UPDATE registrations SET decided_at = confirmed_at + 5 * 3600 WHERE decided_at IS NOT NULL");
    let page = story.browser.get(&link);
    assert!(page.text().contains("up to 5 hours"), "{}", page.text());
    assert!(page.text().contains("Requested on"), "{}", page.text());
    assert!(page.texts("li[aria-current]").concat().contains("pending"), "the last step does not look finished: {}", page.text());
}

fn a_question_is_mailed_answered_on_the_page_and_read_by_those_who_decide(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask(&ada);
    let id = story.text(&format!("SELECT id FROM registrations WHERE username = '{ada}'"));
    assert!(!story.site.run_cron_with(&["--ask", &id, "Too early?"]).status.success(), "the address is not confirmed");
    assert_eq!(story.confirm(&ada).status, 200);
    let asked = story.site.run_cron_with(&["--ask", &id, "Who are <you>?\n\nReally"]);
    assert!(asked.status.success(), "{asked:?}");
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(mail.text.contains("> Who are <you>?\n>\n> Really"), "{}", mail.text);
    assert!(mail.html.contains("Who are &lt;you&gt;?"), "{}", mail.html);
    let link = mail.link();
    assert_eq!(link, story.verify_mail(&ada).link(), "the same address all the time");
    let page = story.browser.get(&link);
    assert!(page.text().contains("Who are <you>?"), "{}", page.text());
    let empty = story.browser.submit(&page.form_to("answer").fill("answer", " \n "));
    assert_eq!(empty.status, 422);
    assert!(empty.text().contains("Please enter an answer"), "{}", empty.text());
    let long = "x".repeat(2001);
    let too_long = story.browser.submit(&page.form_to("answer").fill("answer", &long));
    assert_eq!((too_long.status, too_long.form_to("answer").value("answer")), (422, long.as_str()), "nothing typed is lost");
    let german = story.browser.submit(&in_german(too_long.form_to("answer").fill("answer", "I am")));
    assert_eq!((german.status, german.form_to("answer").value("answer")), (200, "I am"), "nor when the language is changed");
    assert!(german.text().contains("Deine Adresse ist bestätigt"), "{}", german.text());
    let form = page.form_to("answer").fill("answer", "I am Ada\u{202e}.\nFrom the <choir>");
    for _ in 0..2 {
        let answered = story.browser.submit(&form);
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert!(answered.text().contains("From the <choir>") && !answered.body.contains('\u{202e}'), "{}", answered.text());
    }
    assert!(story.browser.submit(&form.fill("answer", "I am Eve")).text().contains("I am Ada"), "the first answer counts");
    let decide = story.browser.get(&story.room_message(&ada).link());
    for text in ["Who are <you>?", "I am Ada", "From the <choir>"] {
        assert!(decide.text().contains(text), "{text}: {}", decide.text());
    }
    story.decide(&ada, "approve", "");
    assert!(!story.site.run_cron_with(&["--ask", &id, "Too late?"]).status.success());
}

fn a_question_waits_for_the_mail_server_and_is_sent_once(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let id = story.text("SELECT id FROM registrations");
    story.mails.stop();
    assert!(story.site.run_cron_with(&["--ask", &id, "Are you there?"]).status.success(), "the question is on the page");
    story.mails = MailCatcher::start();
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", port);
    for _ in 0..2 {
        story.sql("UPDATE owed_actions SET due_at = 0 WHERE kind = 1");
        story.site.run_cron();
    }
    assert_eq!(story.mails.wait_for(&address_of(&ada), 1).len(), 1);
    assert_eq!(story.number("SELECT count(*) FROM owed_actions WHERE kind = 1"), 0);
}

fn who_withdraws_is_out_and_nobody_can_decide_any_more(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    story.ask(&ada);
    story.ask_and_confirm(&eve);
    let decide = story.browser.get(&story.room_message(&eve).link());
    for name in [&ada, &eve] {
        let link = story.verify_mail(name).link();
        let form = story.browser.get(&link).form_to("withdraw");
        let forged = story.browser.submit(&form.clone().put("form_token", "AAAA"));
        assert_eq!((forged.status, story.browser.get(&link).status), (409, 200));
        for _ in 0..2 {
            let page = story.browser.submit(&form);
            assert!(page.status == 200 && page.text().contains("You have withdrawn your request"), "{}", page.text());
        }
        assert!(story.browser.get(&link).text().contains("You have withdrawn your request"));
        assert_eq!(story.text(&format!("SELECT concat(first_name, email, note) FROM registrations WHERE username = '{name}'")), "");
        assert_eq!(story.state(name), 15);
    }
    let late = story.browser.submit(&crate::decision_form(&decide, "approve", ""));
    assert!(late.status == 410 && late.text().contains("withdrawn"), "{}", late.text());
    story.site.run_cron();
    assert!(!story.synapse.exists(&eve));
    assert_eq!(story.mails.count(), 2, "no mail about it");
    story.ask(&eve);
}

fn the_page_tells_the_decision_with_its_reason_and_works_until_the_request_is_forgotten(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let link = story.verify_mail(&ada).link();
    let waiting = story.browser.get(&link);
    story.decide(&ada, "decline", "We are full.\nSorry <3");
    let declined = story.browser.get(&link);
    for text in ["Your request was declined", "We are full.", "Sorry <3"] {
        assert!(declined.text().contains(text), "{text}: {}", declined.text());
    }
    let late = story.browser.submit(&waiting.form_to("withdraw"));
    assert!(late.status == 200 && late.text().contains("Your request was declined"), "{}", late.text());
    story.sql("UPDATE registrations SET state_since = state_since - 31 * 86400");
    story.site.let_cron_succeed();
    let forgotten = story.browser.get(&link);
    assert!(forgotten.status == 404 && forgotten.text().contains("no longer have"), "{}", forgotten.text());
}

fn a_link_finds_its_page_whatever_a_mail_program_did_to_it(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask(&ada);
    let link = story.verify_mail(&ada).link();
    for damaged in [link.clone() + ".", link.clone() + "%3E", link.clone() + ")", link.replace("t=", "t=3D"), link.clone() + "%20"] {
        assert_eq!(story.browser.get(&damaged).status, 200, "{damaged}");
    }
    let page = story.browser.get(&(link.replace("t=", "t=3D") + "."));
    assert_eq!(story.browser.submit(&page.form()).status, 200);
    let room = story.room_message(&ada).link();
    assert!(story.browser.get(&(room + "%3E.")).text().contains("Account request"));
}

#[test]
fn a_slash_before_the_question_mark_leads_to_the_same_page_behind_every_web_server() {
    for host in Host::ALL {
        let story = Story::start("synapse", host);
        let ada = fresh("ada");
        story.ask(&ada);
        let page = story.browser.get(&story.verify_mail(&ada).link().replace("verify?", "verify/?"));
        assert!(page.status == 200 && page.text().contains("Confirm your email address"), "{host:?}: {} {}", page.status, page.text());
        let confirmed = story.browser.submit(&page.form());
        assert_eq!(confirmed.status, 200, "{host:?}: {}", confirmed.text());
        let decide = story.browser.get(&story.room_message(&ada).link().replace("verify_admin?", "verify_admin/?"));
        assert!(decide.text().contains("Account request"), "{host:?}: {}", decide.text());
    }
}

on_every_database! {
    who_confirms_second_chooses_another_name_and_keeps_everything_else,
    a_silent_homeserver_keeps_nobody_from_confirming,
    while_people_decide_the_page_says_since_when_and_how_long_it_usually_takes,
    a_question_is_mailed_answered_on_the_page_and_read_by_those_who_decide,
    a_question_waits_for_the_mail_server_and_is_sent_once,
    who_withdraws_is_out_and_nobody_can_decide_any_more,
    the_page_tells_the_decision_with_its_reason_and_works_until_the_request_is_forgotten,
    a_link_finds_its_page_whatever_a_mail_program_did_to_it,
}

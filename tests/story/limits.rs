//! What strangers can use up: the form must not become a means to send mail to others, to block names, or to flood the room.

use crate::world::impostor::impostor;
use crate::world::{Engine, Host, MailCatcher, Page, on_every_database};
use crate::{Story, address_of, fresh};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn whoever_is_faster_than_people_sends_the_same_form_again(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("limits.form_minimum_seconds", 2));
    let ada = fresh("ada");
    let mut page = story.browser.submit(&story.filled_form(&ada));
    assert_eq!(page.status, 422);
    let end = Instant::now() + Duration::from_secs(30);
    while page.status == 422 && Instant::now() < end {
        assert!(page.text().contains("faster than people type"), "{}", page.text());
        thread::sleep(Duration::from_millis(100));
        // Sent as shown again: no field is lost, and the time counts from when the form was opened.
        page = story.browser.submit(&page.form().press("send", "1"));
    }
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(story.state(&ada), 1);
}

fn who_fills_the_hidden_field_in_is_shown_it_and_a_person_can_go_on(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    let page = story.browser.submit(&story.filled_form(&ada).put("topic", "https://casino.example"));
    assert_eq!(page.status, 422);
    assert!(page.text().contains("A hidden field was filled in") && !page.body.contains("casino"), "{}", page.text());
    assert!(page.text().contains("please clear it"), "the field explains itself: {}", page.text());
    assert!(story.browser.get("/register").texts(".unseen label").len() == 1 && page.texts(".unseen label").is_empty());
    assert_eq!(story.browser.submit(&page.form().press("send", "1")).status, 200);
    assert_eq!(story.number("SELECT count(*) FROM registrations"), 1);
    assert_eq!(story.confirm(&ada).status, 200);
    assert!(!story.room_message(&ada).body.contains("hidden field"));
}

/// For example by a password manager that always does so. A program must not get through unnoticed, either.
fn what_fills_the_hidden_field_in_each_time_is_told_to_the_deciders(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    let page = story.browser.submit(&story.filled_form(&ada).put("topic", "ada"));
    let typo = story.browser.submit(&page.form().fill("topic", "ada").fill("email", "no").press("send", "1"));
    assert!(typo.status == 422 && !typo.text().contains("A hidden field"), "{}", typo.text());
    let form = typo.form().fill("topic", "ada").fill("email", &address_of(&ada)).press("send", "1");
    assert_eq!(story.browser.submit(&form).status, 200);
    assert_eq!(story.confirm(&ada).status, 200);
    let message = story.room_message(&ada);
    assert!(message.body.contains("The hidden field of the form was filled in"), "{}", message.body);
    let page = story.browser.get(&message.link());
    assert!(page.text().contains("The hidden field of the form was filled in"), "{}", page.text());
}

fn one_network_files_no_more_than_its_share(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| {
        site.set("limits.requests_per_network_per_day", 2).set("internal.trusted_proxies", vec!["127.0.0.1"])
    });
    let ask_from = |address: &str| story.browser.clone().with_header("X-Forwarded-For", address).submit(&story.filled_form(&fresh("ada")));
    assert_eq!([ask_from("192.0.2.1").status, ask_from("192.0.2.99").status], [200, 200]);
    let refused = ask_from("192.0.2.200");
    assert_eq!(refused.status, 429);
    assert_comes_back_within(&refused, 43_200);
    assert!(refused.text().contains("Many requests have come from your network"), "{}", refused.text());
    assert_eq!(refused.form().value("first_name"), "Ada", "nothing that was typed is lost");
    // A visitor who forges the header counts with the address that the proxy saw.
    assert_eq!(ask_from("198.51.100.1, 192.0.2.7").status, 429);
    assert_eq!(ask_from("198.51.100.1").status, 200, "other networks have their own");
    assert!(story.web.log().contains("request_refused: limits.requests_per_network_per_day"), "{}", story.web.log());
    let stored = story.text("SELECT subject FROM allowances WHERE kind = 'requests of network' ORDER BY subject LIMIT 1");
    assert!(!stored.contains("192.0") && stored.len() == 32, "{stored}");
}

/// Neither rows in the table of allowances, nor questions to the homeserver, which answers only a limited number from our
/// address.
fn refused_requests_leave_no_rows_and_ask_the_homeserver_nothing(engine: Engine) {
    let (homeserver, asked) = counting_homeserver();
    let story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| {
        let site = site.set("homeserver_url", homeserver).set("internal.trusted_proxies", vec!["127.0.0.1"]);
        site.set("limits.requests_per_network_per_day", 2).set("limits.requests_per_address_per_day", 5)
    });
    let form = story.browser.get("/register").form();
    let send = |network: usize, name: &str, address: &str| {
        let browser = story.browser.clone().with_header("X-Forwarded-For", &format!("10.0.{network}.7"));
        browser.submit(&story.fill(story.browser.get("/register").form(), name).fill("email", address)).status
    };
    let left = || (story.number("SELECT count(*) FROM allowances"), asked.load(Ordering::SeqCst));
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    assert_eq!([send(0, &ada, &address_of(&ada)), send(0, &bob, &address_of(&bob))], [200, 200]);
    assert_eq!(left().1, 2, "each was looked up");
    // From now on the name is taken.
    story.confirm(&ada);
    let before = left();
    for number in 0..25 {
        let taken = send(number + 1, &ada, &format!("taken{number}@applicants.example.org"));
        let used_up = send(0, &fresh("eve"), &format!("used{number}@applicants.example.org"));
        assert_eq!([taken, used_up], [422, 429]);
    }
    let unreadable = story.browser.submit(&form.put("form_token", "forged"));
    assert_eq!((unreadable.status, left()), (422, before));
}

fn one_network_has_no_more_than_its_share_of_names_looked_up(engine: Engine) {
    let (homeserver, asked) = counting_homeserver();
    let story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| {
        site.set("homeserver_url", homeserver).set("limits.name_checks_per_network_per_day", 3)
    });
    let check = |name: &str| story.browser.submit(&story.filled_form(name).press("action", "check"));
    let (asking, name) = (fresh("ada"), fresh("ada"));
    story.ask(&asking);
    assert_eq!([0, 1].map(|_| check(&name).status), [200, 200], "the form needed one");
    let refused = check(&name);
    assert!(refused.status == 429 && refused.text().contains("Many usernames have been checked"), "{}", refused.text());
    assert_comes_back_within(&refused, 28_800);
    assert_eq!(refused.form().value("first_name"), "Ada", "nothing that was typed is lost");
    assert_eq!(story.browser.submit(&story.filled_form(&name)).status, 429, "a form, too");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    story.confirm(&asking);
    let asked_before = asked.load(Ordering::SeqCst);
    assert_eq!((check(&asking).status, asked.load(Ordering::SeqCst)), (422, asked_before), "our own table has it");
}

/// Reports every name as free, and counts the questions.
fn counting_homeserver() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let body = r#"{"available":true}"#;
    let port = impostor(move |mut stream| {
        let mut start = [0; 4096];
        let length = stream.read(&mut start).unwrap_or(0);
        counter.fetch_add(usize::from(start[..length].starts_with(b"GET /_matrix/client/v3/register/available")), Ordering::SeqCst);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    });
    (format!("http://127.0.0.1:{port}"), asked)
}

fn one_address_gets_no_more_requests_than_its_share_whatever_its_tag(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| {
        site.set("limits.requests_per_address_per_day", 2).set("limits.unconfirmed_per_address", 100)
    });
    let eve = fresh("eve");
    let ask_with = |tag: &str| {
        let form = story.filled_form(&fresh("ada")).fill("email", &format!("{eve}{tag}@applicants.example.org"));
        story.browser.submit(&form)
    };
    assert_eq!([ask_with("").status, ask_with("+1").status], [200, 200]);
    let refused = ask_with("+2");
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("Many requests have been made with this address"), "{}", refused.text());
    assert_comes_back_within(&refused, 43_200);
}

fn a_mail_box_is_not_filled_and_what_waits_is_sent_later(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("limits.mails_per_address_per_day", 1));
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask(&ada);
    let page = story.browser.submit(&story.filled_form(&bob).fill("email", &address_of(&ada)));
    assert_eq!(page.status, 200);
    assert_eq!((story.state(&ada), story.state(&bob)), (1, 0));
    assert!(story.web.log().contains("limits.mails_per_address_per_day"), "{}", story.web.log());
    story.sql("UPDATE registrations SET due_at = 1");
    story.site.run_cron();
    assert_eq!((story.state(&bob), story.mails.wait_for(&address_of(&ada), 1).len()), (0, 1), "the day is not over");
    story.sql("UPDATE registrations SET due_at = 1");
    story.sql("UPDATE allowances SET whole_at = 1");
    story.site.run_cron();
    assert_eq!((story.state(&bob), story.mails.wait_for(&address_of(&ada), 2).len()), (1, 2));
}

fn a_mail_server_that_is_away_uses_up_nobodys_mails(engine: Engine) {
    let mut story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| {
        site.set("limits.confirm_mails_per_day", 2).set("limits.mails_per_address_per_day", 1)
    });
    story.mails.stop();
    let names = [fresh("ada"), fresh("bob")];
    for name in &names {
        story.ask(name);
    }
    for _ in 0..3 {
        story.sql("UPDATE registrations SET due_at = 0");
        story.site.run_cron();
    }
    let said = story.text("SELECT last_error FROM registrations ORDER BY id LIMIT 1");
    assert!(said.contains("the mail server"), "the sysadmin reads what is wrong: {said}");
    story.mails = MailCatcher::start();
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", port);
    story.sql("UPDATE registrations SET due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!([story.state(&names[0]), story.state(&names[1])], [1, 1], "both mails leave at once");
}

fn a_page_elsewhere_files_nothing_from_its_visitors_networks(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    story.ask(&fresh("bob"));
    let form = story.filled_form(&fresh("ada"));
    let page = story.browser.clone().with_header("Sec-Fetch-Site", "cross-site").submit(&form);
    assert_eq!((page.status, story.number("SELECT count(*) FROM registrations")), (422, 1));
    // A person sends the form that was shown again, from our page.
    let page = story.browser.clone().with_header("Sec-Fetch-Site", "same-origin").submit(&page.form().press("send", "1"));
    assert_eq!(page.status, 200, "{}", page.text());
}

fn confirm_mails_have_a_limit_for_all_and_answers_of_the_room_have_none(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("limits.confirm_mails_per_day", 1));
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask_and_confirm(&ada);
    story.ask(&bob);
    assert_eq!(story.state(&bob), 0, "waits for cron");
    assert_eq!(story.decide(&ada, "decline", "").status, 200);
    assert_eq!(story.state(&ada), 13);
    assert_eq!(story.mails.wait_for(&address_of(&ada), 2).len(), 2);
}

fn the_form_closes_politely_and_opens_again(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| site.set("limits.open_requests", 1));
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    let opened_before = story.filled_form(&bob);
    let first = story.filled_form(&ada);
    assert_eq!(story.browser.submit(&first).status, 200);
    for page in [story.browser.get("/register"), story.browser.submit(&opened_before)] {
        assert_eq!(page.status, 429, "503 would be a sick machine to a load balancer");
        assert_comes_back_within(&page, 3600);
        assert!(page.text().contains("Sign-up is closed for the moment"), "{}", page.text());
    }
    let german = story.browser.clone().with_language("de").get("/register");
    assert!(german.text().contains("Die Registrierung ist im Moment geschlossen"), "{}", german.text());
    assert_eq!(story.browser.submit(&first).status, 200, "who clicked twice hears what he heard before");
    let cron = String::from_utf8(story.site.run_cron().stderr).unwrap();
    assert!(cron.contains("form_closed") && cron.contains("limits.open_requests"), "{cron}");
    assert_eq!(story.confirm(&ada).status, 200);
    assert_eq!(story.decide(&ada, "decline", "").status, 200);
    assert_opens_soon(&story);
    assert_eq!(story.browser.submit(&opened_before).status, 200);
}

fn a_full_day_closes_the_form_until_it_is_over(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| site.set("limits.requests_per_day", 1));
    story.ask(&fresh("ada"));
    let page = story.browser.get("/register");
    assert_eq!(page.status, 429, "503 would be a sick machine to a load balancer");
    assert_comes_back_within(&page, 86_400);
    story.sql("UPDATE registrations SET requested_at = requested_at - 86400");
    assert_opens_soon(&story);
}

/// The program of the form asks the database once a second.
fn assert_opens_soon(story: &Story) {
    let begun = Instant::now();
    while story.browser.get("/register").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the form stays closed");
        thread::sleep(Duration::from_millis(20));
    }
}

fn the_form_of_one_visitor_shows_nothing_of_another(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    let typed = story.filled_form(&ada).fill("username", "no such name").put("topic_shown", "1").put("topic", "frobnicated");
    let again = story.browser.submit(&typed);
    assert!(again.status == 422 && again.body.contains("Lovelace"), "{}", again.text());
    let mut tokens = HashSet::new();
    for _ in 0..4 {
        for (language, word) in [("en", "First name"), ("de", "Vorname")] {
            let page = story.browser.clone().with_language(language).get("/register");
            assert!(page.status == 200 && page.text().contains(word), "{}", page.text());
            let form = page.form();
            for typed in ["Lovelace", "Hello &", "no such name", "frobnicated", &ada, &address_of(&ada)] {
                assert!(!page.body.contains(typed), "{typed}: {}", page.body);
            }
            assert!(form.value("first_name").is_empty() && form.value("email").is_empty());
            assert!(tokens.insert(form.value("form_token").to_owned()), "each visitor has a token of their own");
        }
    }
    assert!(!tokens.contains(typed.value("form_token")));
    assert_eq!(story.browser.submit(&story.filled_form(&ada)).status, 200, "the token counts");
    story.site.set("pages.title", "Another title");
    assert!(story.browser.get("/register").text().contains("Another title"), "a change of the configuration shows at once");
}

/// Checks that `Retry-After` is present and close to this many seconds.
fn assert_comes_back_within(page: &Page, seconds: i64) {
    let retry_after: i64 = page.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((seconds - 60..=seconds).contains(&retry_after), "{retry_after}");
}

on_every_database! {
    the_form_of_one_visitor_shows_nothing_of_another,
    whoever_is_faster_than_people_sends_the_same_form_again,
    who_fills_the_hidden_field_in_is_shown_it_and_a_person_can_go_on,
    what_fills_the_hidden_field_in_each_time_is_told_to_the_deciders,
    refused_requests_leave_no_rows_and_ask_the_homeserver_nothing,
    one_network_has_no_more_than_its_share_of_names_looked_up,
    one_network_files_no_more_than_its_share,
    one_address_gets_no_more_requests_than_its_share_whatever_its_tag,
    a_mail_box_is_not_filled_and_what_waits_is_sent_later,
    a_mail_server_that_is_away_uses_up_nobodys_mails,
    a_page_elsewhere_files_nothing_from_its_visitors_networks,
    confirm_mails_have_a_limit_for_all_and_answers_of_the_room_have_none,
    the_form_closes_politely_and_opens_again,
    a_full_day_closes_the_form_until_it_is_over,
}

//! Required actions and their obstacles: pauses, clocks, silent peers, invalid rows. Nothing is given up untried, and nothing
//! holds up the rest.

use crate::world::impostor::impostor;
use crate::world::{Engine, Host, MailCatcher, on_every_database};
use crate::{Story, address_of, decision_form, fresh, now};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const DAY: i64 = 86_400;

/// A server that accepts connections and never answers.
fn silent() -> u16 {
    let mut held = Vec::new();
    impostor(move |stream| held.push(stream))
}

/// A mail server that takes every mail, but asks the mail servers of `slow` about recipients there, and hears nothing.
fn mail_server_that_waits_for(slow: &'static str) -> u16 {
    impostor(move |mut stream| {
        std::thread::spawn(move || {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let _ = stream.write_all(b"220 here\r\n");
            let mut is_mail = false;
            for line in lines.map_while(Result::ok) {
                let answer: &[u8] = match line.as_str() {
                    "." => b"250 taken\r\n",
                    _ if is_mail => continue,
                    "DATA" => b"354 go on\r\n",
                    line if line.starts_with("RCPT") && line.contains(slow) => continue,
                    _ => b"250 yes\r\n",
                };
                is_mail = line == "DATA";
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn cron(story: &Story, arguments: &[&str]) -> Output {
    Command::new(story.site.program("cron")).args(arguments).output().unwrap()
}

/// Shifts all times, as if everything had happened this much earlier.
fn days_pass(story: &Story, days: i64) {
    let seconds = days * DAY;
    let earlier = |column: &str| format!("{column} = {column} - {seconds}");
    let registrations = ["requested_at", "state_since", "due_at", "decided_at", "failing_since", "tried_at"].map(earlier).join(", ");
    story.sql(&format!("UPDATE registrations SET {registrations}"));
    story.sql(&format!("UPDATE owed_actions SET {}, {}", earlier("owed_since"), earlier("due_at")));
    story.sql(&format!("UPDATE cron_clock SET {}, {}", earlier("ran_at"), earlier("trusted_at")));
}

/// Changes the mail server.
fn mail_at(story: &mut Story, port: u16) {
    story.site.set("mail.smtp.port", i64::from(port));
}

fn after_a_month_without_cron_or_mail_server_everything_is_tried_and_nothing_given_up(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask_and_confirm(&ada);
    let port = story.mails.port;
    mail_at(&mut story, 9);
    story.decide(&ada, "approve", "");
    story.ask(&bob);
    story.site.run_cron();
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [8, 0]);
    days_pass(&story, 31);
    mail_at(&mut story, port);
    let first = story.site.run_cron();
    assert!(first.status.success() && !said(&first).contains("mail_given_up"), "{first:?}");
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [100, 1]);
    assert_eq!(story.mails.wait_for(&address_of(&ada), 2).len(), 2);
}

fn a_clock_that_is_ahead_for_one_run_ends_and_forgets_nothing(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask_and_confirm(&ada);
    story.decide(&ada, "decline", "");
    story.ask(&bob);
    story.site.let_cron_succeed();
    days_pass(&story, 45);
    let ahead = story.site.run_cron();
    assert!(said(&ahead).contains("did not run for 45 days, or the clock jumped"), "{ahead:?}");
    days_pass(&story, -45);
    story.sql(&format!("UPDATE cron_clock SET ran_at = ran_at + {}", 45 * DAY));
    let right_again = story.site.run_cron();
    assert!(said(&right_again).contains("the clock went back"), "{right_again:?}");
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [13, 1]);
    assert_eq!(story.confirm(&bob).status, 200);
    assert!(said(&story.site.run_cron()).is_empty(), "told once");
}

/// Such a clock takes all that happened for the future.
fn a_clock_that_is_behind_overwrites_no_times(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let bob = fresh("bob");
    story.ask(&bob);
    days_pass(&story, -45);
    let times = || ["requested_at", "state_since"].map(|time| story.number(&format!("SELECT {time} FROM registrations")));
    let before = times();
    let first_of_all = story.site.run_cron();
    assert!(said(&first_of_all).contains("the clock went back by"), "{first_of_all:?}");
    assert_eq!(times(), before);
    let even = format!("even_seconds = {}, trusted_at = {}", 2 * DAY, now() + 45 * DAY);
    story.sql(&format!("UPDATE cron_clock SET {even}"));
    story.site.let_cron_succeed();
    assert_eq!(times(), before, "although it has gone evenly for days");
    days_pass(&story, 45);
    story.site.let_cron_succeed();
    assert_eq!(story.state(&bob), 1);
}

fn a_silent_homeserver_holds_up_no_mail_and_costs_one_time_out(engine: Engine) {
    let mut story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("room.ballot", false));
    let waiting: Vec<String> = (0..3).map(|_| fresh("wait")).collect();
    waiting.iter().for_each(|name| story.ask_and_confirm(name));
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask(&ada);
    story.ask(&bob);
    story.sql("UPDATE registrations SET state = 0 WHERE state = 1");
    story.sql("DELETE FROM owed_actions WHERE kind <> 0");
    story.sql(&format!("UPDATE owed_actions SET owed_since = owed_since - {}", 2 * DAY));
    story.site.set("homeserver_url", format!("http://127.0.0.1:{}", silent()));
    let begun = Instant::now();
    let run = story.site.run_cron();
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [1, 1], "{run:?}");
    assert!(begun.elapsed() < Duration::from_secs(28), "{:?}", begun.elapsed());
    assert_eq!(run.status.code(), Some(75));
    let tried = story.number("SELECT COUNT(*) FROM owed_actions WHERE attempts > 0");
    assert_eq!((tried, story.number("SELECT COUNT(*) FROM owed_actions")), (1, 3), "the others wait, and nothing counts against them");
}

fn a_silent_mail_server_holds_up_no_room_message_and_costs_one_time_out(engine: Engine) {
    let mut story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("mail.smtp.timeout_seconds", 4));
    let declined: Vec<String> = (0..4).map(|_| fresh("no")).collect();
    declined.iter().for_each(|name| story.ask_and_confirm(name));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.sql("UPDATE registrations SET state = 12, due_at = 0, decided_at = 1");
    story.sql(&format!("UPDATE registrations SET state = 5 WHERE username = '{ada}'"));
    mail_at(&mut story, silent());
    let begun = Instant::now();
    let run = story.site.run_cron();
    // Four time-outs would take longer.
    assert!(begun.elapsed() < Duration::from_secs(16), "{:?}", begun.elapsed());
    assert_eq!(story.state(&ada), 6, "{run:?}");
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations WHERE attempts > 0"), 1);
    assert!(said(&run).contains("mail server, since"), "{run:?}");
}

fn a_mail_domain_that_does_not_answer_holds_up_its_own_mails_only(engine: Engine) {
    let mut story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("mail.smtp.timeout_seconds", 2));
    let (slow, held_up, other) = (fresh("slow"), fresh("held"), fresh("other"));
    mail_at(&mut story, 9);
    for name in [&slow, &held_up] {
        let form = story.filled_form(name).fill("email", &format!("{name}@slow.example"));
        story.browser.submit(&form);
    }
    story.ask(&other);
    story.sql("UPDATE registrations SET attempts = 0, due_at = id");
    mail_at(&mut story, mail_server_that_waits_for("@slow.example"));
    let run = story.site.run_cron();
    assert_eq!([&slow, &held_up, &other].map(|name| story.state(name)), [0, 0, 1], "{run:?}");
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations WHERE attempts > 0"), 1, "one time-out for the domain");
    assert!(said(&run).contains("mail addresses, since"), "{run:?}");
}

/// Postfix's answer to a typo in the domain.
fn a_domain_that_does_not_exist_is_tried_rarely_ends_after_days_and_frees_its_name(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    let rejected = address_of(&ada);
    story.mails = MailCatcher::start_with(&["--reject-recipient", &rejected, "--rejection", "450 4.1.2 Domain not found"]);
    let port = story.mails.port;
    mail_at(&mut story, port);
    story.ask(&ada);
    assert_eq!(story.state(&ada), 0);
    story.sql("UPDATE registrations SET due_at = 0, attempts = 12, refusals = 12, refused_seconds = 3 * 86400, tried_seconds = 3 * 86400");
    let run = story.site.run_cron();
    assert!(said(&run).contains("mail addresses") && said(&run).contains("4.1.2 Domain not found"), "{run:?}");
    let wait = story.number("SELECT due_at FROM registrations") - now();
    assert!((11 * 3600..=12 * 3600).contains(&wait), "{wait}");
    let between = story.site.run_cron();
    assert!(between.status.success() && between.stderr.is_empty(), "a slip of a stranger's keeps no monitoring red: {between:?}");
    story.sql("UPDATE registrations SET due_at = 0, refused_seconds = 5 * 86400");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 14);
    let form = story.filled_form(&ada).fill("email", &address_of(&bob));
    assert_eq!(story.browser.submit(&form).status, 200, "the name is free");
}

fn a_request_filed_while_the_clock_was_ahead_goes_at_the_next_run(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, port) = (fresh("ada"), story.mails.port);
    mail_at(&mut story, 9);
    story.ask(&ada);
    let ahead = 40 * 3600;
    story.sql(&format!(
        "UPDATE registrations SET attempts = 0, due_at = due_at + {ahead}, state_since = state_since + {ahead}, requested_at = requested_at + {ahead}"
    ));
    mail_at(&mut story, port);
    let run = story.site.run_cron();
    assert!(said(&run).contains("a clock was wrong"), "{run:?}");
    assert_eq!(story.state(&ada), 1);
}

fn cron_says_when_something_begins_to_fail_once_a_day_and_when_it_is_well_again(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob, port) = (fresh("ada"), fresh("bob"), story.mails.port);
    mail_at(&mut story, 9);
    story.ask(&ada);
    let mut runs = Vec::new();
    for passes in [0, 0, 0, 1, 0] {
        if passes > 0 {
            story.ask(&bob);
            story.sql(&format!("UPDATE troubles SET since = since - {DAY}, told_at = told_at - {DAY}"));
        }
        story.sql("UPDATE registrations SET due_at = 0");
        let run = story.site.run_cron();
        assert_eq!(run.status.code(), Some(75));
        runs.push(said(&run));
    }
    assert!(runs[0].contains("mail server, since") && runs[0].contains("1 failing") && runs[0].contains("refused"), "{runs:#?}");
    assert!(runs[3].contains("mail server: still, since") && runs[3].contains("2 failing"), "{runs:#?}");
    assert!([1, 2, 4].iter().all(|run| runs[*run].is_empty()), "{runs:#?}");
    let all = String::from_utf8(cron(&story, &["-v"]).stdout).unwrap();
    assert!(all.contains("mail server, since") && all.contains("2 wait for the mail to confirm the address"), "{all}");
    mail_at(&mut story, port);
    story.sql("UPDATE registrations SET due_at = 0");
    let well_again = story.site.run_cron();
    assert!(well_again.status.success() && said(&well_again).contains("mail server: well again"), "{well_again:?}");
    let quiet = story.site.run_cron();
    assert!(quiet.status.success() && quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet:?}");
}

fn the_operator_can_end_what_would_wait_for_ever(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask_and_confirm(&ada);
    let page = story.browser.get(&story.room_message(&ada).link());
    story.site.wait_for_programs();
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    story.browser.submit(&decision_form(&page, "approve", ""));
    story.ask_and_confirm(&bob);
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [7, 5]);
    let listed = String::from_utf8(cron(&story, &["--waiting"]).stdout).unwrap();
    assert!(listed.lines().count() == 2 && listed.contains("waits for the account since") && listed.contains("last error"), "{listed}");
    let id = |name: &str| story.text(&format!("SELECT id FROM registrations WHERE username = '{name}'"));
    let ended = cron(&story, &["--end", &id(&ada), "The homeserver is gone."]);
    assert!(ended.status.success(), "{ended:?}");
    let mail = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(mail.text.contains("The homeserver is gone."), "{}", mail.text);
    assert!(cron(&story, &["--end", &id(&bob)]).status.success());
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [13, 13]);
    assert_eq!(cron(&story, &["--end", &id(&ada)]).status.code(), Some(75), "it is over already");
    assert_eq!(cron(&story, &["--end", "ada"]).status.code(), Some(64));
    story.site.wait_for_programs();
    story.site.set("homeserver_url", story.synapse.base_url.clone());
    story.sql("UPDATE owed_actions SET due_at = 0, owed_since = 0");
    assert!(story.site.run_cron().status.success(), "nothing fails any more");
}

fn the_kinds_take_turns_what_has_waited_longest_first_and_reminders_come_last(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("room.ballot", false));
    let names: Vec<String> = (0..6).map(|_| fresh("turn")).collect();
    names.iter().for_each(|name| story.ask_and_confirm(name));
    story.sql(&format!("UPDATE owed_actions SET owed_since = owed_since - {}", 2 * DAY));
    let row = |number: usize, change: &str| story.sql(&format!("UPDATE registrations SET {change} WHERE username = '{}'", names[number]));
    // The confirmation mails have waited longest.
    [0, 1].iter().for_each(|number| row(*number, "state = 0, due_at = 1"));
    [2, 3].iter().for_each(|number| row(*number, "state = 12, due_at = 2, decided_at = 1"));
    row(4, "state = 5, due_at = 3");
    let run = cron(&story, &["-v"]);
    let order: Vec<String> = said(&run)
        .lines()
        .filter(|line| line.contains("moved_on") || line.contains("done_beside"))
        .map(|line| line.rsplit(": ").next().unwrap().split(" -> ").next().unwrap().to_owned())
        .collect();
    assert_eq!(order, ["EmailSend", "DeclineSend", "AdminSend", "EmailSend", "DeclineSend", "Remind"], "{run:?}");
}

fn a_long_time_limit_for_the_mail_server_leaves_time_for_all_mails(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("mail.smtp.timeout_seconds", 60));
    let names: Vec<String> = (0..3).map(|_| fresh("long")).collect();
    names.iter().for_each(|name| story.ask_and_confirm(name));
    story.sql("UPDATE registrations SET state = 12, due_at = 1, decided_at = 1");
    story.sql(&format!("UPDATE registrations SET state = 0 WHERE username = '{}'", names[2]));
    let run = cron(&story, &["-v"]);
    assert_eq!([0, 1, 2].map(|number| story.state(&names[number])), [13, 13, 1], "{run:?}");
}

fn a_run_begins_nothing_that_might_not_end_in_its_time_and_each_run_begins_something(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    [&ada, &bob].iter().for_each(|name| story.ask_and_confirm(name));
    story.sql(&format!("UPDATE registrations SET state = 12, due_at = 1, decided_at = 1 WHERE username = '{ada}'"));
    story.sql(&format!("UPDATE registrations SET state = 5, due_at = 1 WHERE username = '{bob}'"));
    story.site.set("times.cron_budget_seconds", 10);
    let first = String::from_utf8(cron(&story, &["-v"]).stdout).unwrap();
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [13, 5], "a silent homeserver would cost more than what is left");
    assert!(first.contains("time was up"), "{first}");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&bob), 6);
}

/// Only SQLite stores text in a number column.
#[test]
fn a_row_that_cannot_be_read_is_named_and_holds_nobody_up() {
    let story = Story::start("synapse", Host::NginxCgi);
    let (ada, bob, eve) = (fresh("ada"), fresh("bob"), fresh("eve"));
    [&ada, &bob, &eve].iter().for_each(|name| drop(story.ask(name)));
    story.sql("UPDATE registrations SET state = 0, due_at = 0");
    story.sql(&format!("UPDATE registrations SET password_chosen = 'yes' WHERE username = '{ada}'"));
    story.sql(&format!("UPDATE registrations SET due_at = 'soon', requested_at = 'today' WHERE username = '{bob}'"));
    let run = story.site.run_cron();
    assert_eq!(story.state(&eve), 1, "{run:?}");
    assert!(said(&run).contains("password_chosen in row 1 of registrations is text where a number belongs"), "{run:?}");
    assert_eq!(run.status.code(), Some(75));
    story.sql("UPDATE registrations SET password_chosen = 0, due_at = 0 WHERE state = 0");
    story.site.run_cron();
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [1, 1]);
    story.sql(&format!("UPDATE registrations SET state = 'lost' WHERE username = '{ada}'"));
    let lost = story.site.run_cron();
    assert!(lost.status.code() == Some(75) && said(&lost).contains("a state that this program does not know"), "{lost:?}");
}

#[test]
fn a_step_that_panics_is_put_off_and_holds_nobody_up() {
    let story = Story::start("synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    [&ada, &bob].iter().for_each(|name| drop(story.ask(name)));
    story.sql("UPDATE registrations SET state = 0, due_at = 0");
    let mut command = Command::new(story.site.program("cron"));
    let run = command.env("MATRIX_REGISTER_BOT_DIE_AT", "panic mail begun").output().unwrap();
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [0, 1], "{run:?}");
    assert!(said(&run).contains("the program panicked at src/outside/fault.rs") && said(&run).lines().count() == 1, "{run:?}");
    story.sql("UPDATE registrations SET due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 1);
}

on_every_database! {
    after_a_month_without_cron_or_mail_server_everything_is_tried_and_nothing_given_up,
    a_clock_that_is_ahead_for_one_run_ends_and_forgets_nothing,
    a_clock_that_is_behind_overwrites_no_times,
    a_silent_homeserver_holds_up_no_mail_and_costs_one_time_out,
    a_silent_mail_server_holds_up_no_room_message_and_costs_one_time_out,
    a_mail_domain_that_does_not_answer_holds_up_its_own_mails_only,
    a_domain_that_does_not_exist_is_tried_rarely_ends_after_days_and_frees_its_name,
    a_request_filed_while_the_clock_was_ahead_goes_at_the_next_run,
    cron_says_when_something_begins_to_fail_once_a_day_and_when_it_is_well_again,
    the_operator_can_end_what_would_wait_for_ever,
    the_kinds_take_turns_what_has_waited_longest_first_and_reminders_come_last,
    a_long_time_limit_for_the_mail_server_leaves_time_for_all_mails,
    a_run_begins_nothing_that_might_not_end_in_its_time_and_each_run_begins_something,
}

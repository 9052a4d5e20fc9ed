//! Forgotten passwords in local mode: who asks, who gets a mail, and what its link does.

use crate::world::impostor::impostor;
use crate::world::{Engine, Host, Mail, MailCatcher, Page, cheap_hash, on_every_database};
use crate::{Story, address_of, fresh, now};
use matrix_register_bot::domain::password;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const OLD: &str = "the forgotten password";
const NEW: &str = "a Bätterie of horses";

/// An account with an initial password that has run out.
fn account(story: &Story, name: &str, address: &str) {
    story.site.run_cron(); // the database is there from now on
    let hash = cheap_hash(OLD);
    let folded = address.to_lowercase();
    story.sql(&format!(
        "INSERT INTO logins (localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at, initial_password_until)
         VALUES ('{name}', 'Ada', '', '{hash}', '{address}', '{folded}', 1, 1, 1000)"
    ));
}

fn ask(story: &Story, typed: &str) -> Page {
    let form = story.browser.get("/reset_password").form();
    story.browser.submit(&form.fill("account", typed))
}

/// Asks, and waits for the mail with this number.
fn mail_after_asking(story: &Story, typed: &str, address: &str, number: usize) -> Mail {
    let page = ask(story, typed);
    assert_eq!((page.status, page.texts("h1")), (200, vec!["Check your email".to_owned()]), "{}\n{}", page.text(), story.web.log());
    wait_until(|| story.number("SELECT count(*) FROM password_resets WHERE is_done = 0 AND attempts = 0") == 0);
    let failed = story.database.rows("SELECT last_error FROM password_resets WHERE attempts > 0").concat();
    assert!(failed.is_empty(), "{failed:?}");
    story.mails.wait_for(address, number).remove(number - 1)
}

fn choose(story: &Story, link: &str, password: &str) -> Page {
    let form = story.browser.get(link).form();
    story.browser.submit(&form.fill("password", password).fill("password_again", password))
}

fn has_password(story: &Story, name: &str, password: &str) -> bool {
    password::verify(password, &story.text(&format!("SELECT password_hash FROM logins WHERE localpart = '{name}'")))
}

fn a_forgotten_password_is_set_anew_by_name_by_id_and_by_address(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxSystemd);
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    let server = story.synapse.user_id(&ada);
    let ways = [ada.to_uppercase(), format!(" {server} "), address_of(&ada).to_uppercase()];
    for (number, typed) in ways.iter().enumerate() {
        let chosen = format!("{NEW} {number}");
        let mail = mail_after_asking(&story, typed, &address_of(&ada), number + 1);
        assert!(mail.text.contains(&server) && mail.text.contains("1 hour"), "{}", mail.text);
        let page = story.browser.get(&mail.link());
        assert!(page.status == 200 && page.text().contains(&server), "{}", page.text());
        let page = choose(&story, &mail.link(), &chosen);
        assert_eq!((page.status, page.texts("h1")), (200, vec!["Your new password is set".to_owned()]), "{}", story.web.log());
        assert!(has_password(&story, &ada, &chosen), "{typed}");
    }
    let until = "SELECT count(*) FROM logins WHERE initial_password_until IS NOT NULL";
    assert_eq!(story.number(until), 0, "a password that was chosen does not run out");
    let kept = "SELECT count(*) FROM password_resets WHERE asked_for IS NOT NULL OR is_done = 0";
    assert_eq!((story.number(kept), story.number("SELECT count(*) FROM reset_links")), (0, 0), "what was typed is not kept");
}

fn nobody_learns_from_the_answer_who_has_an_account(engine: Engine) {
    let story = Story::on_with(engine, "local", Host::NginxSystemd, |site| site.set("limits.requests_per_address_per_day", 5));
    let (ada, off) = (fresh("ada"), fresh("off"));
    account(&story, &ada, &address_of(&ada));
    account(&story, &off, &address_of(&off));
    story.sql(&format!("UPDATE logins SET active = 0 WHERE localpart = '{off}'"));
    let typed = [ada.clone(), fresh("nobody"), address_of(&fresh("nobody")), off.clone(), address_of(&off), "@x:example.net".into()];
    let answers: Vec<Page> = typed.iter().map(|typed| ask(&story, typed)).collect();
    let comparable = |page: &Page| {
        let headers = page.headers.iter().filter(|(name, _)| name != "date").cloned();
        (page.status, headers.collect::<Vec<_>>(), page.body.clone())
    };
    assert!(answers.iter().all(|page| comparable(page) == comparable(&answers[0])));
    story.mails.wait_for(&address_of(&ada), 1);
    story.site.let_cron_succeed();
    // A program that has just sent the mail may still hold the lease.
    wait_until(|| story.number("SELECT count(*) FROM password_resets WHERE is_done = 0") == 0);
    assert_eq!(story.mails.count(), 1);
    // A limit is reached by a name without an account as well.
    let nobody = fresh("nobody");
    let statuses = |typed: &str| (0..6).map(|_| ask(&story, typed).status).collect::<Vec<_>>();
    let (of_nobody, of_account) = (statuses(&nobody), statuses(&address_of(&ada)));
    assert_eq!((&of_nobody, of_nobody[5]), (&of_account, 429));
    let refused = ask(&story, &nobody);
    assert!(refused.text().contains("has been entered here several times today") && refused.header("retry-after").is_some());
}

fn neither_names_of_nobody_nor_requests_for_accounts_hold_up_an_owners_mail(engine: Engine) {
    let story = Story::on_with(engine, "local", Host::NginxSystemd, |site| {
        site.set("limits.confirm_mails_per_day", 3).set("limits.mails_per_address_per_day", 1)
    });
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    assert_eq!([(); 6].map(|()| ask(&story, &fresh("nobody")).status), [200; 6]);
    let form = story.browser.get("/register").form().fill("first_name", "Ada").fill("username", &fresh("other"));
    assert_eq!(story.browser.submit(&form.fill("email", &address_of(&ada)).press("send", "1")).status, 200, "{}", story.web.log());
    story.mails.wait_for(&address_of(&ada), 1);
    let link = mail_after_asking(&story, &ada, &address_of(&ada), 2).link();
    assert_eq!(choose(&story, &link, NEW).status, 200);
}

fn opening_a_link_changes_nothing_and_it_sets_one_password(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    let first = mail_after_asking(&story, &ada, &address_of(&ada), 1).link();
    let second = mail_after_asking(&story, &ada, &address_of(&ada), 2).link();
    let token = second.split_once("t=").unwrap().1.to_owned();
    for method in ["GET", "HEAD", "GET"] {
        assert_eq!(story.browser.request(method, &second, "", b"").status, 200);
    }
    let forged = story.browser.post("/reset_password", &[("t", &token), ("password", NEW), ("password_again", NEW)]);
    assert_eq!(forged.status, 409, "a button on another page");
    let other_form = story.browser.get(&first).form().value("form_token").to_owned();
    let forged =
        story.browser.post("/reset_password", &[("t", &token), ("form_token", &other_form), ("password", NEW), ("password_again", NEW)]);
    assert_eq!(forged.status, 409, "the button of another link");
    let form = story.browser.get(&second).form();
    let short = story.browser.submit(&form.clone().fill("password", "short").fill("password_again", "short"));
    assert!(short.status == 422 && short.text().contains("at least 10 characters"), "{}", short.text());
    let differs = story.browser.submit(&form.clone().fill("password", NEW).fill("password_again", OLD));
    assert!(differs.status == 422 && differs.text().contains("do not match"), "{}", differs.text());
    assert!(has_password(&story, &ada, OLD));

    let filled = form.fill("password", NEW).fill("password_again", NEW);
    assert_eq!(story.browser.submit(&filled).status, 200);
    assert!(has_password(&story, &ada, NEW));
    assert_eq!(story.browser.get(&second).status, 404, "the link is over");
    let again = story.browser.submit(&filled.fill("password", "another password").fill("password_again", "another password"));
    assert_eq!((again.status, again.texts("h1")), (404, vec!["This link does not work".to_owned()]));
    assert_eq!(story.browser.get(&first).status, 404, "all other links of the account are over, too");
    assert!(has_password(&story, &ada, NEW));
    let way_out = again.texts(".actions a");
    assert_eq!(way_out, ["Ask for a new link"]);
    assert_eq!(story.number("SELECT failures FROM guesses WHERE network = 'web everywhere'"), 1, "a used link is no way to guess");
}

fn a_form_for_a_new_password_that_comes_again_says_that_the_password_is_set_while_that_is_true(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxCgi);
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    let link = mail_after_asking(&story, &ada, &address_of(&ada), 1).link();
    let filled = story.browser.get(&link).form().fill("password", NEW).fill("password_again", NEW);
    for _ in 0..2 {
        let page = story.browser.submit(&filled);
        assert_eq!((page.status, page.texts("h1")), (200, vec!["Your new password is set".to_owned()]), "{}", story.web.log());
    }
    story.sql("UPDATE used_reset_links SET used_at = used_at - 3600");
    assert_eq!(story.browser.submit(&filled).status, 404, "for an hour");
    let link = mail_after_asking(&story, &ada, &address_of(&ada), 2).link();
    let page = choose(&story, &link, "yet another password");
    assert_eq!(page.status, 200);
    story.sql("UPDATE used_reset_links SET used_at = used_at - 60");
    assert_eq!(story.browser.submit(&filled).status, 404, "the password is another one by now");
    assert!(has_password(&story, &ada, "yet another password"));
}

fn a_link_works_for_an_hour_and_for_active_accounts(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxSystemd);
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    let link = mail_after_asking(&story, &ada, &address_of(&ada), 1).link();
    let ends = story.number("SELECT expires_at FROM reset_links");
    assert!((3500..=3600).contains(&(ends - now())), "{}", ends - now());
    let form = story.browser.get(&link).form().fill("password", NEW).fill("password_again", NEW);
    for change in [format!("UPDATE reset_links SET expires_at = {}", now() - 1), "UPDATE logins SET active = 0".into()] {
        story.sql(&change);
        assert_eq!((story.browser.get(&link).status, story.browser.submit(&form).status), (404, 404), "{change}");
        story.sql(&format!("UPDATE reset_links SET expires_at = {}", now() + 3000));
    }
    assert!(has_password(&story, &ada, OLD));
    story.sql(&format!("UPDATE reset_links SET expires_at = {}", now() - 1));
    story.site.let_cron_succeed();
    assert_eq!(story.number("SELECT count(*) FROM reset_links"), 0, "cron deletes what has expired");
}

fn accounts_with_one_address_are_in_one_mail_each_with_its_own_link(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxSystemd);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    account(&story, &ada, &address_of(&ada));
    account(&story, &bob, &address_of(&ada));
    let mail = mail_after_asking(&story, &address_of(&ada), &address_of(&ada), 1);
    let links: Vec<&str> = mail.text.split_whitespace().filter(|word| word.contains("reset_password?t=")).collect();
    assert_eq!(links.len(), 2, "{}", mail.text);
    assert_eq!(choose(&story, links[1], NEW).status, 200);
    assert!(has_password(&story, &ada, OLD) && has_password(&story, &bob, NEW));
    assert_eq!(story.browser.get(links[0]).status, 200, "the other account's link is as good as before");
    let one = mail_after_asking(&story, &bob, &address_of(&ada), 2);
    assert!(one.text.contains(&bob) && !one.text.contains(&story.synapse.user_id(&ada)), "{}", one.text);
}

fn a_form_sent_twice_is_one_mail_and_no_mailbox_is_flooded(engine: Engine) {
    let story = Story::on_with(engine, "local", Host::NginxSystemd, |site| {
        site.set("limits.mails_per_address_per_day", 2).set("limits.requests_per_address_per_day", 0)
    });
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    let form = story.browser.get("/reset_password").form().fill("account", &ada);
    assert_eq!([(); 3].map(|()| story.browser.submit(&form).status), [200; 3]);
    story.mails.wait_for(&address_of(&ada), 1);
    for _ in 0..4 {
        assert_eq!(ask(&story, &ada).status, 200);
    }
    story.mails.wait_for(&address_of(&ada), 2);
    assert!([Some(0), Some(75)].contains(&story.site.run_cron().status.code()));
    assert_eq!(story.mails.count(), 2, "as many as limits.mails_per_address_per_day allows");
    let waiting = "SELECT count(*) FROM password_resets WHERE is_done = 0 AND attempts > 0 AND trouble = 'limits'";
    // A program that sends at this moment has the lease, and not cron.
    wait_until(|| story.number(waiting) == 3);
}

fn wrong_guesses_at_the_old_password_do_not_count_against_the_new_one(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxSystemd);
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    let link = mail_after_asking(&story, &ada, &address_of(&ada), 1).link();
    let account = matrix_register_bot::domain::token::hash(&ada);
    story
        .sql(&format!("INSERT INTO guesses (account, network, failures, first_at) VALUES ('{account}', 'web 127.0.0.0', 5000, {})", now()));
    story.sql(&format!("INSERT INTO familiar_networks SELECT id, 'a thief''s', {} FROM logins", now()));
    assert_eq!(choose(&story, &link, NEW).status, 200);
    assert_eq!(story.number("SELECT count(*) FROM guesses"), 0);
    let networks = story.database.rows("SELECT network FROM familiar_networks").concat();
    assert!(networks.len() == 1 && networks[0].len() == 32, "only the one from which the password was set: {networks:?}");
}

/// The credentials mail that waited for the mail server must not hand out the initial password.
fn a_credentials_mail_that_comes_later_names_no_password_that_no_longer_works(engine: Engine) {
    let mut story = Story::on(engine, "local", Host::NginxSystemd);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", 1);
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 8, "{}", story.web.log());
    story.site.set("mail.smtp.port", port);
    let mails = story.mails.mails(&address_of(&ada)).len();
    let link = mail_after_asking(&story, &ada, &address_of(&ada), mails + 1).link();
    assert_eq!(choose(&story, &link, NEW).status, 200);
    story.sql("UPDATE registrations SET due_at = 0");
    story.site.let_cron_succeed();
    let mail = story.mails.wait_for(&address_of(&ada), mails + 2).remove(mails + 1);
    assert!(mail.text.contains("the one you chose"), "{}", mail.text);
    assert!(has_password(&story, &ada, NEW));
}

fn whoever_keeps_the_initial_password_is_reminded_once_before_it_ends(engine: Engine) {
    let story = Story::on(engine, "local", Host::NginxSystemd);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    for name in [&ada, &bob] {
        story.ask_and_confirm(name);
        story.decide(name, "approve", "");
        assert_eq!(story.state(name), 100, "{}", story.web.log());
    }
    let credentials = story.mails.wait_for(&address_of(&ada), 2).remove(1);
    assert!(credentials.text.contains("/reset_password"), "what to do at the end: {}", credentials.text);
    story.sql(&format!("UPDATE logins SET initial_password_until = NULL WHERE localpart = '{bob}'"));
    let cron_after = |days: i64| {
        story.sql(&format!("UPDATE owed_actions SET owed_since = {} WHERE kind = 3", now() - days * 86_400));
        story.site.let_cron_succeed();
    };
    cron_after(4);
    assert_eq!(story.mails.wait_for(&address_of(&ada), 2).len(), 2, "two days before the end of seven");
    cron_after(5);
    let reminder = story.mails.wait_for(&address_of(&ada), 3).remove(2);
    assert!(reminder.subject().contains("expires soon") && reminder.text.contains("/reset_password"), "{}", reminder.text);
    cron_after(6);
    assert_eq!(
        (story.mails.mails(&address_of(&ada)).len(), story.mails.mails(&address_of(&bob)).len()),
        (3, 2),
        "once, and not who chose one"
    );
    assert_eq!(story.number("SELECT count(*) FROM owed_actions WHERE kind = 3"), 0);
}

fn cron_sends_what_was_left(engine: Engine) {
    let mut story = Story::on(engine, "local", Host::NginxSystemd);
    let ada = fresh("ada");
    account(&story, &ada, &address_of(&ada));
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", 1);
    assert_eq!(ask(&story, &ada).status, 200);
    wait_until(|| story.number("SELECT count(*) FROM password_resets WHERE attempts = 1") == 1);
    let output = story.site.run_cron();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    assert!(said.contains("password_reset="), "cron says what fails: {said}");
    story.site.set("mail.smtp.port", port);
    story.sql("UPDATE password_resets SET due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!(choose(&story, &story.mails.wait_for(&address_of(&ada), 1)[0].link(), NEW).status, 200);
    story.sql(&format!("UPDATE password_resets SET asked_at = {}", now() - 3 * 86_400));
    story.site.let_cron_succeed();
    assert_eq!(story.number("SELECT count(*) FROM password_resets"), 0);
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "not within 30 s");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn in_synapse_mode_the_page_says_whom_to_ask() {
    let story = Story::start("synapse", Host::NginxSystemd);
    for page in [story.browser.get("/reset_password"), story.browser.post("/reset_password", &[("account", "ada")])] {
        assert_eq!(page.status, 404);
        assert!(page.text().contains("contact the admins"), "{}", page.text());
    }
    assert!(!story.browser.get("/register").body.contains("reset_password"));
}

#[test]
fn the_form_leads_to_the_page_for_forgotten_passwords() {
    let story = Story::start("local", Host::NginxSystemd);
    assert!(story.browser.get("/register").body.contains("/reset_password?lang=en"));
    for typed in ["", " ", "a\u{202e}b", &"x".repeat(300)] {
        let page = ask(&story, typed);
        assert_eq!((page.status, page.texts(".error").len()), (422, 1), "{typed:?}: {}", page.text());
    }
}

/// A mail server that accepts a connection and never says a word. Returns its port and the number of connections.
fn silent_mail_server() -> (u16, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let port = impostor(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(30));
            let _ = stream.write_all(b"421 too late\r\n");
        });
    });
    (port, asked)
}

/// The answer is complete, and the connection closed, as fast for an account as for nobody, while the mail server is silent.
#[test]
fn on_every_web_server_the_answer_waits_for_no_mail() {
    for host in Host::ALL {
        let (port, asked) = silent_mail_server();
        let story =
            Story::start_with("local", host, |site| site.set("mail.smtp.port", i64::from(port)).set("mail.smtp.timeout_seconds", 20));
        let ada = fresh("ada");
        account(&story, &ada, &address_of(&ada));
        let mut slowest = Duration::ZERO;
        for typed in [fresh("nobody"), ada.clone(), fresh("nobody"), ada.clone()] {
            let form = story.browser.clone().with_header("Connection", "close").get("/reset_password").form().fill("account", &typed);
            let begun = Instant::now();
            assert_eq!(story.browser.clone().with_header("Connection", "close").submit(&form).status, 200, "{host:?} {}", story.web.log());
            slowest = slowest.max(begun.elapsed());
        }
        assert!(slowest < Duration::from_secs(8), "{host:?}: {slowest:?}");
        wait_until(|| asked.load(Ordering::SeqCst) > 0);
    }
}

/// The same with a mail server that works: the mail is sent although the web server has had its answer.
#[test]
fn on_every_web_server_the_mail_is_sent_after_the_answer() {
    for host in Host::ALL {
        let story = Story::start("local", host);
        let ada = fresh("ada");
        account(&story, &ada, &address_of(&ada));
        let mail = mail_after_asking(&story, &ada, &address_of(&ada), 1);
        assert_eq!(choose(&story, &mail.link(), NEW).status, 200, "{host:?}");
    }
}

/// What the mails are sent to if the account has an address that nobody can write to.
#[test]
fn an_account_without_an_address_gets_no_mail_and_fails_nothing() {
    let story = Story::start("local", Host::NginxSystemd);
    let ada = fresh("ada");
    account(&story, &ada, "");
    assert_eq!(ask(&story, &ada).status, 200);
    wait_until(|| story.number("SELECT count(*) FROM password_resets WHERE is_done = 1") == 1);
    assert_eq!(MailCatcher::count(&story.mails), 0);
}

on_every_database! {
    neither_names_of_nobody_nor_requests_for_accounts_hold_up_an_owners_mail,
    a_forgotten_password_is_set_anew_by_name_by_id_and_by_address,
    nobody_learns_from_the_answer_who_has_an_account,
    opening_a_link_changes_nothing_and_it_sets_one_password,
    a_form_for_a_new_password_that_comes_again_says_that_the_password_is_set_while_that_is_true,
    a_link_works_for_an_hour_and_for_active_accounts,
    accounts_with_one_address_are_in_one_mail_each_with_its_own_link,
    a_form_sent_twice_is_one_mail_and_no_mailbox_is_flooded,
    wrong_guesses_at_the_old_password_do_not_count_against_the_new_one,
    a_credentials_mail_that_comes_later_names_no_password_that_no_longer_works,
    whoever_keeps_the_initial_password_is_reminded_once_before_it_ends,
    cron_sends_what_was_left,
}

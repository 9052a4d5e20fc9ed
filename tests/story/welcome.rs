//! With `credentials = "link"` the approved applicant chooses a password by a one-time link, and the account is made then.

use crate::world::http::read_request;
use crate::world::impostor::impostor;
use crate::world::{Engine, Host, Mail, OwnSynapse, Page, SiteBuilder, on_every_database};
use crate::{Story, address_of, fresh};
use matrix_register_bot::domain::password;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

const CHOSEN: &str = "correct horse Bätterie";
const DAY: i64 = 86_400;

/// The states while nobody has chosen: the mail is to be sent, and it was sent.
const CHOOSING: i64 = 10;

fn with_link(engine: Engine, mode: &str) -> Story {
    Story::on_with(engine, mode, Host::NginxSystemd, SiteBuilder::send_link)
}

/// Until the mail with the link.
fn approve(story: &Story, localpart: &str) -> Page {
    story.ask_and_confirm(localpart);
    let page = story.decide(localpart, "approve", "");
    assert_eq!(story.state(localpart), CHOOSING, "{}\n{}", page.text(), story.web.log());
    page
}

fn choose_mail(story: &Story, localpart: &str) -> Mail {
    story.mails.wait_for(&address_of(localpart), 2).remove(1)
}

fn choose(story: &Story, localpart: &str, password: &str) -> Page {
    let page = story.browser.get(&choose_mail(story, localpart).link());
    assert_eq!(page.status, 200, "{}\n{}", page.text(), story.web.log());
    story.browser.submit(&page.form().fill("password", password).fill("password_again", password))
}

/// Where nothing can be chosen any more, the link leads to the applicant's own page.
fn own_page(story: &Story, page: &Page) -> Page {
    assert_eq!(page.status, 303, "{}", page.text());
    story.browser.get(page.header("location").expect("a Location"))
}

/// Whether the account opens with the password, in Synapse or by the program that Synapse asks in local mode.
fn opens(story: &Story, mode: &str, localpart: &str, password: &str) -> bool {
    if mode == "synapse" {
        return story.synapse.login(localpart, password).is_ok();
    }
    let hash = story.text(&format!("SELECT password_hash FROM logins WHERE localpart = '{localpart}'"));
    let until = story.text(&format!("SELECT initial_password_until FROM logins WHERE localpart = '{localpart}'"));
    assert_eq!(until, "NULL", "a chosen password does not expire");
    password::verify(password, &hash)
}

fn whoever_chooses_a_password_by_the_link_gets_in_with_it_and_no_mail_contains_it(engine: Engine) {
    for mode in ["synapse", "local"] {
        let story = with_link(engine, mode);
        let ada = fresh("ada");
        let decided = approve(&story, &ada);
        assert!(decided.text().contains("We are sending a link"), "{}", decided.text());
        assert!(!story.synapse.exists(&ada), "no account before the password is chosen");
        let mail = choose_mail(&story, &ada);
        assert!(mail.link().contains("/welcome?t=") && mail.text.contains("Hello Ada"), "{}", mail.text);
        let page = story.browser.get(&mail.link());
        assert!(page.text().contains(&story.synapse.user_id(&ada)), "{}", page.text());
        let page = choose(&story, &ada, CHOSEN);
        assert!(page.status == 200 && page.text().contains("Your account is ready"), "{}\n{}", page.text(), story.web.log());
        assert_eq!(story.state(&ada), 100);
        assert!(opens(&story, mode, &ada, CHOSEN), "{mode}");
        assert_eq!(story.synapse.display_name(&ada).as_deref(), Some("Ada Lovelace-Größe"));
        let told = story.mails.wait_for(&address_of(&ada), 3).remove(2);
        assert!(told.text.contains("the one you chose"), "{}", told.text);
        assert!(story.mails.all().iter().all(|mail| !mail.text.contains(CHOSEN) && !mail.text.contains("correct horse")));
    }
}

fn looking_at_the_link_changes_nothing_before_and_after_the_choice(engine: Engine) {
    let story = with_link(engine, "local");
    let ada = fresh("ada");
    approve(&story, &ada);
    let link = choose_mail(&story, &ada).link();
    let row = || story.database.rows("SELECT state, state_since, password, password_chosen, attempts, lease FROM registrations");
    let before = row();
    for _ in 0..2 {
        assert_eq!(story.browser.get(&link).status, 200);
        assert_eq!(story.browser.request("HEAD", &link, "", b"").status, 200);
    }
    assert_eq!(row(), before);
    choose(&story, &ada, CHOSEN);
    let (after, mails) = (row(), story.mails.count());
    let page = story.browser.get(&link);
    assert!(page.status == 200 && page.text().contains("Your account is ready") && page.texts("form").is_empty(), "{}", page.text());
    assert_eq!((row(), story.mails.count()), (after, mails));
}

fn of_two_windows_with_two_passwords_one_counts_and_the_other_is_told(engine: Engine) {
    let story = with_link(engine, "local");
    let ada = fresh("ada");
    approve(&story, &ada);
    let form = story.browser.get(&choose_mail(&story, &ada).link()).form();
    let passwords = ["the first window's", "the second window's"];
    let together = Barrier::new(2);
    let pages: Vec<Page> = std::thread::scope(|scope| {
        let send = |password: &'static str| {
            let (form, together, story) = (form.clone(), &together, &story);
            scope.spawn(move || {
                together.wait();
                story.browser.submit(&form.fill("password", password).fill("password_again", password))
            })
        };
        passwords.map(send).into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let was_late: Vec<bool> = pages.iter().map(|page| page.text().contains("The first password counts")).collect();
    assert_eq!(was_late.iter().filter(|late| **late).count(), 1, "{} | {}", pages[0].text(), pages[1].text());
    story.sql("UPDATE registrations SET due_at = 0");
    story.site.run_cron();
    assert_eq!(story.number("SELECT count(*) FROM logins"), 1);
    for (password, late) in passwords.into_iter().zip(was_late) {
        assert_eq!(opens(&story, "local", &ada, password), !late, "{password}");
    }
}

fn a_password_that_breaks_a_rule_moves_nothing_and_the_page_says_which(engine: Engine) {
    let story = with_link(engine, "synapse");
    let ada = fresh("maximilian");
    approve(&story, &ada);
    let form = story.browser.get(&choose_mail(&story, &ada).link()).form();
    let long = "x".repeat(513);
    for (password, again, sentence) in [
        ("", "", "Please choose a password"),
        ("short", "short", "too short"),
        (ada.as_str(), ada.as_str(), "not a safe password"),
        (CHOSEN, "correct horse", "The two passwords do not match"),
        (&long, &long, "too long"),
    ] {
        let page = story.browser.submit(&form.clone().fill("password", password).fill("password_again", again));
        assert!(page.status == 422 && page.text().contains(sentence), "{password}: {}", page.text());
        assert!(password.is_empty() || !page.body.contains(&format!("\"{password}\"")), "the page sends no password back");
        assert_eq!((story.state(&ada), story.text("SELECT password FROM registrations")), (CHOOSING, "NULL".into()));
    }
}

fn a_link_that_is_nobodys_or_a_form_from_elsewhere_opens_nothing(engine: Engine) {
    let story = with_link(engine, "synapse");
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    approve(&story, &ada);
    approve(&story, &eve);
    let token = |link: String| link.split_once("t=").unwrap().1.to_owned();
    let (choose_token, verify_token) = (token(choose_mail(&story, &ada).link()), token(story.verify_mail(&ada).link()));
    let room_message = story.synapse.messages(&story.room).into_iter().find(|message| message.body.contains(&ada)).unwrap();
    for other in ["", "x", "0123456789abcdef0123456789abcdef", &verify_token, &token(room_message.link())] {
        let page = story.browser.get(&format!("/welcome?t={other}"));
        assert!(page.status == 404 && page.texts("form").is_empty(), "{other}: {}", page.text());
    }
    let form_of_eve = story.browser.get(&choose_mail(&story, &eve).link()).form();
    let foreign = [form_of_eve.value("form_token").to_owned(), "AAAA".into(), String::new()];
    for form_token in &foreign {
        let fields = [("t", choose_token.as_str()), ("form_token", form_token), ("password", CHOSEN), ("password_again", CHOSEN)];
        assert_eq!(story.browser.post("/welcome", &fields).status, 409, "{form_token}");
    }
    assert_eq!(story.state(&ada), CHOOSING);
}

fn an_unused_link_is_reminded_of_once_then_ends_and_frees_the_name(engine: Engine) {
    let story = with_link(engine, "synapse");
    let ada = fresh("ada");
    approve(&story, &ada);
    let mails = || story.mails.mails(&address_of(&ada)).len();
    let days_pass = |days: i64| {
        story.sql(&format!("UPDATE registrations SET state_since = state_since - {}", days * DAY));
        story.sql(&format!("UPDATE owed_actions SET owed_since = owed_since - {}", days * DAY));
        story.site.let_cron_succeed();
    };
    days_pass(10);
    assert_eq!((mails(), story.state(&ada)), (2, CHOOSING));
    days_pass(1);
    days_pass(0);
    let reminder = story.mails.wait_for(&address_of(&ada), 3).remove(2);
    assert_eq!(mails(), 3);
    assert!(reminder.subject().contains("Reminder") && reminder.link() == choose_mail(&story, &ada).link(), "{}", reminder.text);
    days_pass(2);
    assert_eq!(story.state(&ada), CHOOSING);
    days_pass(2);
    assert_eq!((story.state(&ada), mails()), (14, 3));
    let page = own_page(&story, &story.browser.get(&reminder.link()));
    assert!(page.status == 410 && page.text().contains("no password was chosen in time"), "{}", page.text());
    let room = story.browser.get(&story.room_message(&ada).link());
    assert!(room.text().contains("did not choose a password in time"), "{}", room.text());
    assert_eq!(story.text("SELECT claimed_username FROM registrations"), "NULL");
    story.ask(&ada);
}

/// After a pause of cron the reminder comes late, and the applicant still has the time that it promises.
fn nobody_loses_the_name_because_cron_paused(engine: Engine) {
    let story = with_link(engine, "synapse");
    let ada = fresh("ada");
    approve(&story, &ada);
    for _ in 0..2 {
        story.sql(&format!("UPDATE registrations SET state_since = state_since - {}", 40 * DAY));
        story.sql(&format!("UPDATE owed_actions SET owed_since = owed_since - {}", 40 * DAY));
        story.site.let_cron_succeed();
        if story.state(&ada) == CHOOSING {
            assert!(choose(&story, &ada, CHOSEN).text().contains("Your account is ready"));
            return;
        }
    }
    panic!("the request ended although its reminder was never mailed: {}", story.web.log());
}

fn whatever_ends_a_request_leaves_no_password_in_the_database(engine: Engine) {
    for mode in ["synapse", "local"] {
        let mut story = with_link(engine, mode);
        let (made, refused, ended) = (fresh("made"), fresh("refused"), fresh("ended"));
        for name in [&made, &refused, &ended] {
            approve(&story, name);
        }
        choose(&story, &made, CHOSEN);
        story.synapse.register(&refused, "somebody else's");
        let page = own_page(&story, &choose(&story, &refused, CHOSEN));
        assert!(page.text().contains("not available"), "{}", page.text());
        // The homeserver is away, and the operator ends the request before the account is made.
        story.site.set("homeserver_url", "http://127.0.0.1:9");
        let page = choose(&story, &ended, CHOSEN);
        assert!(page.text().contains("Your password is saved"), "{}", page.text());
        let sealed = story.text(&format!("SELECT password FROM registrations WHERE username = '{ended}'"));
        assert!(sealed != "NULL" && !sealed.contains("correct horse"), "{sealed}");
        let id = story.text(&format!("SELECT id FROM registrations WHERE username = '{ended}'"));
        let done = std::process::Command::new(story.site.program("cron")).args(["--end", &id]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let kept = |name: &str| story.text(&format!("SELECT password FROM registrations WHERE username = '{name}'"));
        assert_eq!([&made, &refused, &ended].map(|name| kept(name)), ["NULL", "NULL", "NULL"], "{mode}");
        if engine == Engine::Sqlite {
            let bytes = std::fs::read(story.database.name()).unwrap();
            assert!(bytes.windows(sealed.len()).all(|window| window != sealed.as_bytes()), "a free page of the file has the password");
        }
    }
}

/// Whoever confirmed with a password under `credentials = "confirm"` need not choose another after the key was changed.
fn a_password_that_was_chosen_at_the_confirmation_is_used(engine: Engine) {
    let mut story = Story::on_with(engine, "synapse", Host::NginxSystemd, SiteBuilder::ask_password);
    let ada = fresh("ada");
    story.ask(&ada);
    assert_eq!(story.confirm_choosing(&ada, CHOSEN).status, 200);
    story.site.set("credentials", "link");
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 100, "{}", story.web.log());
    assert!(story.synapse.login(&ada, CHOSEN).is_ok());
}

fn while_the_homeserver_is_away_the_choice_is_kept_and_the_account_made_later(engine: Engine) {
    let mut story = with_link(engine, "synapse");
    let ada = fresh("ada");
    approve(&story, &ada);
    let form = story.browser.get(&choose_mail(&story, &ada).link()).form().fill("password", CHOSEN).fill("password_again", CHOSEN);
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    let page = story.browser.submit(&form);
    assert!(page.status == 200 && page.text().contains("Your password is saved"), "{}\n{}", page.text(), story.web.log());
    assert_eq!(story.state(&ada), 7);
    let again = story.browser.submit(&form.put("password", "another one").put("password_again", "another one"));
    assert!(again.text().contains("The first password counts"), "{}", again.text());
    story.site.set("homeserver_url", story.synapse.base_url.clone());
    story.sql("UPDATE registrations SET due_at = 0");
    // What the room is shown may be tried later than that, and cron says so.
    story.site.run_cron();
    assert_eq!(story.state(&ada), 100);
    assert!(story.synapse.login(&ada, CHOSEN).is_ok());
}

/// Synapse accepts any password by shared secret; other homeservers have rules, and say so only then.
fn a_password_that_the_homeserver_refuses_is_chosen_anew_at_once_or_by_the_mail(engine: Engine) {
    let mut story = with_link(engine, "synapse");
    let ada = fresh("ada");
    approve(&story, &ada);
    let is_strict = Arc::new(AtomicBool::new(true));
    story.site.set("homeserver_url", strict_homeserver(&story.synapse.base_url, is_strict.clone()));
    let page = choose(&story, &ada, CHOSEN);
    assert_eq!(page.status, 422, "{}", story.web.log());
    assert!(page.text().contains("rejected this password") && page.text().contains("no horses here"), "{}", page.text());
    assert_eq!((story.state(&ada), story.text("SELECT password FROM registrations")), (CHOOSING, "NULL".into()));
    let again = story.mails.wait_for(&address_of(&ada), 3).remove(2);
    assert!(again.text.contains("no horses here") && again.link() == choose_mail(&story, &ada).link(), "{}", again.text);
    is_strict.store(false, Ordering::SeqCst);
    let page = story.browser.submit(&page.form().fill("password", "a stable battery").fill("password_again", "a stable battery"));
    assert!(page.text().contains("Your account is ready"), "{}\n{}", page.text(), story.web.log());
    assert!(story.synapse.login(&ada, "a stable battery").is_ok() && story.synapse.login(&ada, CHOSEN).is_err());
}

/// Passes everything on to a homeserver, but refuses passwords while it is strict.
fn strict_homeserver(real: &str, is_strict: Arc<AtomicBool>) -> String {
    let real = real.trim_start_matches("http://").to_owned();
    let port = impostor(move |mut client| {
        let Ok(request) = read_request(&client) else { return };
        if request.starts_with(b"POST /_synapse/admin/v1/register") && is_strict.load(Ordering::SeqCst) {
            let body = r#"{"errcode":"M_WEAK_PASSWORD","error":"no horses here"}"#;
            let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = client.write_all((head + body).as_bytes());
            return;
        }
        let Ok(mut server) = std::net::TcpStream::connect(&real) else { return };
        let mut answer = Vec::new();
        if server.write_all(&request).and_then(|()| server.read_to_end(&mut answer)).is_ok() {
            let _ = client.write_all(&answer);
        }
    });
    format!("http://127.0.0.1:{port}")
}

/// Synapse's own rules for passwords are on the page before anybody types.
#[test]
fn a_password_has_to_follow_the_homeservers_policy() {
    let policy = r#"password_config={"policy":{"enabled":true,"minimum_length":15,"require_digit":true,"require_uppercase":true}}"#;
    let own = OwnSynapse::start(&["--set", policy]);
    let room = own.synapse.create_room();
    let mut story =
        Story::on_with(Engine::Sqlite, "synapse", Host::NginxSystemd, |site| site.synapse(&own.synapse).room(&room).send_link());
    (story.synapse, story.room) = (own.synapse.clone(), room);
    let ada = fresh("ada");
    approve(&story, &ada);
    let page = story.browser.get(&choose_mail(&story, &ada).link());
    let text = page.text();
    assert!(text.contains("At least 15 characters") && text.contains("At least one digit") && text.contains("capital letter"), "{text}");
    for (password, sentence) in
        [("short", "at least 15 characters"), ("correct horse battery", "at least one digit"), ("correct horse 1", "at least one capital")]
    {
        let page = story.browser.submit(&page.form().fill("password", password).fill("password_again", password));
        assert!(page.status == 422 && page.text().contains(sentence), "{password}: {}", page.text());
    }
    assert!(choose(&story, &ada, "Correct horse 15").text().contains("Your account is ready"), "{}", story.web.log());
    assert!(own.synapse.login(&ada, "Correct horse 15").is_ok());
}

on_every_database! {
    whoever_chooses_a_password_by_the_link_gets_in_with_it_and_no_mail_contains_it,
    looking_at_the_link_changes_nothing_before_and_after_the_choice,
    of_two_windows_with_two_passwords_one_counts_and_the_other_is_told,
    a_password_that_breaks_a_rule_moves_nothing_and_the_page_says_which,
    a_link_that_is_nobodys_or_a_form_from_elsewhere_opens_nothing,
    an_unused_link_is_reminded_of_once_then_ends_and_frees_the_name,
    nobody_loses_the_name_because_cron_paused,
    whatever_ends_a_request_leaves_no_password_in_the_database,
    a_password_that_was_chosen_at_the_confirmation_is_used,
    while_the_homeserver_is_away_the_choice_is_kept_and_the_account_made_later,
    a_password_that_the_homeserver_refuses_is_chosen_anew_at_once_or_by_the_mail,
}

//! A whole registration over HTTP: from the empty form to a login with the new account.

use super::Demo;
use super::world::{Browser, Mail, Page};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use rusqlite::{Connection, OpenFlags};
use std::thread;
use std::time::Duration;

/// More than `limits.form_minimum_seconds`.
const LONGER_THAN_A_PROGRAM: Duration = Duration::from_secs(4);

/// Goes through a registration; panics at the first unexpected result.
pub fn go_through(demo: &Demo) {
    let name = format!("ada_{}", demo.mode);
    let address = format!("{name}@example.org");
    let say = |step: &str| println!("{} mode: {step}", demo.mode);
    let browser = Browser::new(&demo.web.url());

    send_form(&browser, &name, &address);
    say("the form is sent");
    confirm(&browser, &demo.surroundings.mails.wait_for(&address, 1)[0]);
    say("the mail address is confirmed");
    approve(&browser, demo);
    say("the room saw the request, and alice approved it");
    let password = password_in(&demo.surroundings.mails.wait_for(&address, 2)[1]);
    say("the credentials came by mail");
    match demo.mode.as_str() {
        "local" => check_stored_hash(demo, &name, &password),
        _ => log_in(demo, &name, &password),
    }
    say("the password is good");
    let cron = demo.site.run_cron();
    assert!(cron.status.success(), "cron: {}", String::from_utf8_lossy(&cron.stderr));
    assert_eq!(demo.surroundings.mails.mails(&address).len(), 2, "cron sent a mail again");
    say("cron has nothing left to do");
}

fn send_form(browser: &Browser, name: &str, address: &str) {
    let form = ok(browser.get("/")).form();
    let form = form.fill("first_name", "Ada").fill("last_name", "Lovelace").fill("username", name);
    let form = form.fill("email", address).fill("note", "Hello, I like engines").press("send", "1");
    thread::sleep(LONGER_THAN_A_PROGRAM);
    ok(browser.submit(&form));
}

fn confirm(browser: &Browser, mail: &Mail) {
    ok(browser.submit(&ok(browser.get(&mail.link())).form()));
}

fn approve(browser: &Browser, demo: &Demo) {
    let messages = demo.surroundings.homeserver.synapse.wait_for_messages(&demo.room, 1);
    let form = ok(browser.get(&messages[0].link())).form();
    ok(browser.submit(&form.put("decision", "approve")));
}

fn ok(page: Page) -> Page {
    assert_eq!(page.status, 200, "{}:\n{}", page.url, page.text());
    page
}

/// The word that follows `Password:`.
fn password_in(mail: &Mail) -> String {
    let after = mail.text.split_once("assword:").unwrap_or_else(|| panic!("no password in the mail:\n{}", mail.text)).1;
    after.split_whitespace().next().unwrap_or_default().to_owned()
}

fn log_in(demo: &Demo, name: &str, password: &str) {
    let synapse = &demo.surroundings.homeserver.synapse;
    synapse.login(name, password).unwrap_or_else(|cause| panic!("the login with the password of the mail fails: {cause}"));
    assert_eq!(synapse.display_name(name).as_deref(), Some("Ada Lovelace"));
}

/// In local mode Synapse would ask the site; here the table is checked directly.
fn check_stored_hash(demo: &Demo, name: &str, password: &str) {
    let database = Connection::open_with_flags(demo.site.database_path(), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the database opens");
    let hash: String = database
        .query_row("SELECT password_hash FROM logins WHERE localpart = ?1", [name], |row| row.get(0))
        .expect("the account is in the table of logins");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    let parsed = PasswordHash::new(&hash).expect("a password hash");
    Argon2::default().verify_password(password.as_bytes(), &parsed).expect("the password of the mail fits the stored hash");
}

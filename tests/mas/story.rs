//! From the form to the login, for each way of credentials.

use crate::world::{Engine, Host, Mas, on_every_database};
use crate::{Story, address_of, approve, credentials, fresh, is_complete, wait_for_state};
use serde_json::{Value, json};

const CHOSEN: &str = "correct horse Bätterie";

fn a_stranger_gets_an_account_in_mas(engine: Engine) {
    let hosts: &[Host] = if engine == Engine::Sqlite { &[Host::NginxCgi, Host::NginxFastCgi, Host::ApacheCgi] } else { &[Host::NginxCgi] };
    for host in hosts.iter().copied() {
        let mas = Mas::start();
        let story = Story::under_mas(&mas, engine, host, |site| site);
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        assert_eq!(mas.user(&ada), Value::Null, "no account before the room says yes");
        let link = story.room_message(&ada).link();
        let page = story.decide(&ada, "approve", "");
        assert!(page.text().contains("Approved"), "{}", page.text());
        wait_for_state(&story, &ada, 100);
        is_complete(&story, &mas, &ada);
        assert!(story.browser.get(&link).text().contains("pproved"));
        let (made, revoked) = mas.tokens();
        assert!(made == 1 && revoked == 1, "{made} tokens, {revoked} revoked");
        assert!(mas.calls().iter().all(|(_, _, body)| !body.contains("skip_homeserver_check")), "{:?}", mas.calls());
        assert!(!story.web.log().contains("mat_") && !story.web.log().contains(&mas.client_secret));
        assert!(story.room_shows(&ada, "has been created").contains(" Approved: "));
    }
}

/// The page answers at once, and looks again by itself: MAS may take minutes, and whoever hangs up cancels its work.
fn the_page_of_a_yes_does_not_wait_for_mas(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    mas.fail("create", "slow", 1);
    let before = std::time::Instant::now();
    let page = story.decide(&ada, "approve", "");
    assert!(before.elapsed() < std::time::Duration::from_millis(2500), "{:?}", before.elapsed());
    assert!(page.text().contains("almost done") && page.text().contains("reloads by itself"), "{}", page.text());
    let refresh = page.body.lines().find(|line| line.contains("http-equiv=\"refresh\"")).expect("the page looks again").to_owned();
    let again = refresh.split("url=").nth(1).unwrap().trim_end_matches("\">").replace("&amp;", "&");
    let own = story.browser.get(&story.verify_mail(&ada).link());
    assert!(own.text().contains("reloads by itself"), "{}", own.text());
    wait_for_state(&story, &ada, 100);
    let done = story.browser.get(&again);
    assert!(done.status == 200 && !done.body.contains("http-equiv=\"refresh\""), "{}", done.text());
    let own = story.browser.get(&story.verify_mail(&ada).link());
    assert!(own.text().contains("Your account is ready") && !own.body.contains("http-equiv=\"refresh\""), "{}", own.text());
    is_complete(&story, &mas, &ada);
}

fn whoever_chooses_a_password_by_the_link_gets_in_with_it(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxFastCgi, |site| site.send_link());
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    approve(&story, &ada);
    assert_eq!(mas.user(&ada), Value::Null, "no account before the password is chosen");
    let form = story.browser.get(&credentials(&story, &ada).link()).form();
    let page = story.browser.submit(&form.fill("password", CHOSEN).fill("password_again", CHOSEN));
    assert!(page.text().contains("Your password is saved"), "{}", page.text());
    wait_for_state(&story, &ada, 100);
    assert!(mas.synapse.login(&ada, CHOSEN).is_ok());
    assert!(story.mails.wait_for(&address_of(&ada), 3)[2].text.contains("the one you chose"));
    assert!(story.mails.all().iter().all(|mail| !mail.text.contains(CHOSEN)));
}

fn a_password_that_mas_finds_too_weak_is_chosen_again(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxFastCgi, |site| site.send_link());
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    approve(&story, &ada);
    let weak = "qwertzqwertz12345";
    let form = story.browser.get(&credentials(&story, &ada).link()).form();
    story.browser.submit(&form.fill("password", weak).fill("password_again", weak));
    let again = story.mails.wait_for(&address_of(&ada), 3).remove(2);
    wait_for_state(&story, &ada, 10);
    assert!(mas.synapse.login(&ada, weak).is_err());
    let form = story.browser.get(&again.link()).form();
    story.browser.submit(&form.fill("password", CHOSEN).fill("password_again", CHOSEN));
    wait_for_state(&story, &ada, 100);
    assert!(mas.synapse.login(&ada, CHOSEN).is_ok());
}

fn a_password_chosen_with_the_address_logs_in(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site.ask_password());
    let ada = fresh("ada");
    story.ask(&ada);
    assert_eq!(story.confirm_choosing(&ada, CHOSEN).status, 200);
    approve(&story, &ada);
    wait_for_state(&story, &ada, 100);
    assert!(mas.synapse.login(&ada, CHOSEN).is_ok());
    assert!(!credentials(&story, &ada).text.contains("horse"));
    assert_eq!(story.number("SELECT count(*) FROM registrations WHERE password IS NOT NULL"), 0);
}

/// No password travels, and none is made: MAS's own recovery sets the first one.
fn whoever_recovers_the_account_needs_no_password_in_a_mail(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site.set("credentials", "recovery"));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    approve(&story, &ada);
    wait_for_state(&story, &ada, 100);
    let mail = credentials(&story, &ada);
    for part in [&mail.text, &mail.html] {
        assert!(part.contains("https://auth.example.test/recover"), "{part}");
    }
    let user = mas.user(&ada);
    assert_eq!((&user["has_password"], &user["emails"]), (&json!(false), &json!([address_of(&ada)])));
    let own = story.browser.get(&story.verify_mail(&ada).link());
    assert!(own.body.contains("https://auth.example.test/recover"), "{}", own.text());
}

/// Recovery by that address would lead to the other account.
fn an_address_of_another_account_stays_there_and_the_room_hears_of_it(engine: Engine) {
    for credentials_way in ["mail", "recovery"] {
        let mas = Mas::start();
        let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site.set("credentials", credentials_way));
        let (ada, other) = (fresh("ada"), fresh("other"));
        mas.somebody(&other, "reserved", json!({"email": address_of(&ada).to_uppercase()}));
        story.ask_and_confirm(&ada);
        approve(&story, &ada);
        wait_for_state(&story, &ada, 100);
        assert_eq!(mas.user(&ada)["emails"], json!([]));
        assert_eq!(mas.user(&other)["emails"], json!([address_of(&ada).to_uppercase()]));
        let password = crate::password_in(&credentials(&story, &ada));
        assert!(mas.synapse.login(&ada, &password).is_ok());
        crate::run_cron(&story);
        story.room_shows(&ada, "already belongs to another account");
    }
}

/// Recovery goes by the address, so without one the mail has a password.
fn whoever_has_an_address_that_mas_refuses_gets_a_password_instead_of_recovery(engine: Engine) {
    let mas = Mas::start();
    mas.fail("bind", "not-valid", 0);
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site.set("credentials", "recovery"));
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    approve(&story, &ada);
    wait_for_state(&story, &ada, 100);
    let mail = credentials(&story, &ada);
    assert!(!mail.text.contains("/recover"), "{}", mail.text);
    assert!(mas.synapse.login(&ada, &crate::password_in(&mail)).is_ok());
}

/// MAS dropped the display name before 1.18, and did not say its version before 1.4.
fn the_display_name_is_shown_by_older_versions_too(engine: Engine) {
    for version in [json!("v1.17.3"), Value::Null] {
        let mas = Mas::start();
        mas.set(json!({"version": version}));
        let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        approve(&story, &ada);
        wait_for_state(&story, &ada, 100);
        is_complete(&story, &mas, &ada);
    }
}

on_every_database! {
    a_stranger_gets_an_account_in_mas,
    whoever_recovers_the_account_needs_no_password_in_a_mail,
    an_address_of_another_account_stays_there_and_the_room_hears_of_it,
}

// What follows depends on no database.
on_every_database!(once Sqlite: the_page_of_a_yes_does_not_wait_for_mas whoever_chooses_a_password_by_the_link_gets_in_with_it a_password_that_mas_finds_too_weak_is_chosen_again a_password_chosen_with_the_address_logs_in whoever_has_an_address_that_mas_refuses_gets_a_password_instead_of_recovery the_display_name_is_shown_by_older_versions_too);

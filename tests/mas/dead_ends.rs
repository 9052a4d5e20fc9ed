//! Names that somebody has, and configurations that cannot work: nobody's account is taken over, and the sentence says what to do.

use crate::world::impostor::http_impostor;
use crate::world::{Engine, Host, Mas, SiteBuilder, on_every_database};
use crate::{Story, address_of, approve, fresh, is_complete, run_cron, wait_for_state};
use serde_json::{Value, json};

/// The applicant hears that the name is not available, and the account is as it was.
fn is_refused(story: &Story, localpart: &str) {
    wait_for_state(story, localpart, 13);
    let mail = story.mails.wait_for(&address_of(localpart), 2).remove(1);
    assert!(mail.subject().contains("username not available"), "{}", mail.subject());
}

fn a_name_that_somebody_took_meanwhile_is_refused(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    for kind in ["mas", "used", "synapse", "reserved"] {
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        mas.somebody(
            &ada,
            kind,
            json!({"password": "somebody else's", "displayname": "Somebody", "email": format!("{ada}@elsewhere.test")}),
        );
        let before = mas.user(&ada);
        approve(&story, &ada);
        is_refused(&story, &ada);
        assert_eq!(mas.user(&ada)["id"], before["id"], "{kind}");
        assert_eq!(mas.synapse.display_name(&ada).as_deref(), Some("Somebody"), "{kind}");
        if kind != "synapse" {
            assert!(mas.synapse.login(&ada, "somebody else's").is_ok(), "{kind}: the other's account is untouched");
        }
    }
    assert!(mas.calls().iter().all(|(_, _, body)| !body.contains("skip_homeserver_check")));
}

/// MAS compares names without case, and an old account may have capital letters.
fn a_name_is_taken_in_any_case_of_letters(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    mas.somebody(&ada.to_uppercase(), "mas", json!({"password": "somebody else's"}));
    approve(&story, &ada);
    is_refused(&story, &ada);
}

/// Somebody was faster by a moment: their account is as young as ours would be, unused, and shows the applicant's name, because the
/// homeserver was told by both.
fn whoever_is_faster_by_a_moment_keeps_the_account(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    mas.fail("create", "race", 1);
    approve(&story, &ada);
    let said = run_cron(&story);
    assert!(story.state(&ada) == 7 && said.contains("cron --end"), "{said}");
    assert_eq!((&mas.user(&ada)["has_password"], &mas.user(&ada)["emails"]), (&json!(false), &json!([])));
    mas.somebody_binds(&ada, &format!("{ada}@elsewhere.test"));
    run_cron(&story);
    is_refused(&story, &ada);
    assert_eq!(&mas.user(&ada)["has_password"], &json!(false));
}

/// A try that died before it asked for anything proves nothing about an account that came later.
fn an_account_that_somebody_made_after_our_try_is_not_taken_over(engine: Engine) {
    for kind in ["mas", "synapse"] {
        let mas = Mas::start();
        let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
        mas.fail("create", "refused", 1);
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        approve(&story, &ada);
        assert_eq!(story.number("SELECT count(*) FROM account_notes WHERE first_try_at IS NOT NULL"), 1);
        // An hour ago.
        story.sql("UPDATE account_notes SET first_try_at = first_try_at - 3600, last_try_at = last_try_at - 3600");
        mas.somebody(&ada, kind, json!({"displayname": "Somebody"}));
        let said = run_cron(&story);
        assert_eq!(story.state(&ada), 7, "{kind}: {said}");
        assert!(said.contains("cron --end"), "{kind}: {said}");
        assert_eq!(mas.synapse.display_name(&ada).as_deref(), Some("Somebody"), "{kind}");
        assert_ne!(mas.user(&ada)["has_password"], json!(true), "{kind}");
        assert!(mas.calls().iter().all(|(_, _, body)| !body.contains("skip_homeserver_check")));
    }
}

fn two_sites_that_want_one_name_at_once_make_one_account(engine: Engine) {
    let mases = [Mas::start(), Mas::start()];
    let stories = [0, 1].map(|which| Story::under_mas(&mases[which], engine, Host::NginxFastCgi, |site| site));
    let ada = fresh("ada");
    // The second address differs, so that it is another person's.
    stories[0].ask_and_confirm(&ada);
    let form = stories[1].filled_form(&ada).fill("email", &format!("{ada}@others.example.org"));
    assert_eq!(stories[1].browser.submit(&form).status, 200);
    let mail = stories[1].mails.wait_for(&format!("{ada}@others.example.org"), 1).remove(0);
    stories[1].browser.submit(&stories[1].browser.get(&mail.link()).form());
    std::thread::scope(|scope| {
        for story in &stories {
            scope.spawn(|| approve(story, &ada));
        }
    });
    for story in &stories {
        for _ in 0..4 {
            if ![13, 100].contains(&story.state(&ada)) {
                run_cron(story);
            }
        }
    }
    let mut ends = stories.each_ref().map(|story| story.state(&ada));
    let winner = usize::from(ends[1] == 100);
    ends.sort_unstable();
    assert_eq!(ends, [13, 100], "one has it, the other hears that it is taken");
    let expected = [address_of(&ada), format!("{ada}@others.example.org")];
    assert_eq!(mases[0].user(&ada)["emails"], json!([expected[winner]]));
}

fn two_programs_at_once_make_one_account(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxFastCgi, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    mas.fail("token", "refused", 1);
    approve(&story, &ada);
    mas.fail("create", "slow", 1);
    story.sql("UPDATE registrations SET due_at = 0");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                story.site.run_cron();
            });
        }
    });
    crate::finish(&story, &ada);
    is_complete(&story, &mas, &ada);
    let asked = mas.calls().iter().filter(|(call, ..)| call == "POST /api/admin/v1/users").count();
    assert_eq!(asked, 1);
}

/// One line of cron's words for each mistake of the operator, which names the key.
fn a_wrong_configuration_is_named_with_its_key(engine: Engine) {
    let wrong = |settings: Value, site: fn(SiteBuilder) -> SiteBuilder, words: &str| {
        let mas = Mas::start();
        mas.set(settings.clone());
        let story = Story::under_mas(&mas, engine, Host::NginxCgi, site);
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        approve(&story, &ada);
        let said = run_cron(&story);
        assert!(said.contains(words), "{settings}: {words:?} is not in {said}");
        assert!(!said.contains(&mas.client_secret) && !said.contains("mat_"), "{said}");
        assert_eq!(story.state(&ada), 7, "{settings}");
    };
    let same: fn(SiteBuilder) -> SiteBuilder = |site| site;
    wrong(json!({"admin": false}), same, "policy.data.admin_clients");
    wrong(json!({"auth_method": "client_secret_post"}), same, "client_secret_basic");
    wrong(json!({}), |site| site.set("mas.client_secret", "wrong"), "client_secret");
    wrong(json!({"admin_api": false}), same, "adminapi");
    wrong(json!({"passwords": false}), same, "passwords.enabled");
    wrong(json!({}), |site| site.set("mas.admin_url", "http://127.0.0.1:9"), "admin_url");
}

/// MAS counts every login: while it takes none, nobody is told that a name is somebody else's.
#[test]
fn a_limit_on_logins_only_delays_the_proof() {
    let mas = Mas::start_own("");
    let story = Story::under_mas(&mas, Engine::Sqlite, Host::NginxCgi, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    mas.somebody(&ada, "mas", json!({"password": "somebody else's"}));
    mas.limit_logins(true);
    for _ in 0..3 {
        assert!(mas.synapse.login("alice", "pw-alice").is_ok());
    }
    approve(&story, &ada);
    assert_eq!(story.state(&ada), 7);
    mas.limit_logins(false);
    run_cron(&story);
    is_refused(&story, &ada);
}

/// Whatever answers in MAS's place: nothing is made, nobody hears that the name is taken, and the line names the section.
#[test]
fn nonsense_in_the_place_of_mas_only_delays() {
    let answer = |status: &str, kind: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let token = |token: Value| answer("200 OK", "application/json", token.to_string().as_bytes());
    let mut nonsense = vec![
        answer("200 OK", "text/html", b"<html><h1>Welcome</h1></html>"),
        answer("200 OK", "application/json", b"{}"),
        answer("200 OK", "application/json", b"\xff\xfe\x00"),
        answer("200 OK", "application/json", &vec![b'['; 2_000_000]),
        answer("200 OK", "application/json", b"[[[[[[[[[["),
        answer("204 No Content", "application/json", b""),
        answer("301 Moved Permanently", "text/html", b""),
        answer("401 Unauthorized", "application/json", b"{\"error\":\"\\u202e\\n\\u0000 evil\"}"),
        answer("418 I'm a teapot", "text/plain", b"short and stout"),
        answer("500 Internal Server Error", "text/plain", b"pool timed out"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"acc".to_vec(),
        b"SSH-2.0-OpenSSH\r\n".to_vec(),
    ];
    nonsense.push(token(json!({"access_token": 5, "scope": "urn:mas:admin"})));
    nonsense.push(token(json!({"access_token": "mat_x\r\nX-Evil: 1", "scope": "urn:mas:admin"})));
    nonsense.push(token(json!({"access_token": "mat_x", "scope": "urn:mas:administrator"})));
    // The same answer to every call: a token that is no account.
    nonsense.push(token(json!({"access_token": "mat_x", "scope": "urn:mas:admin", "data": {"id": "x", "attributes": {"username": 7}}})));
    let mas = Mas::start();
    let mut story = Story::under_mas(&mas, Engine::Sqlite, Host::NginxCgi, |site| site);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    mas.fail("token", "refused", 1);
    approve(&story, &ada);
    for bytes in nonsense {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        story.site.set("mas.admin_url", http_impostor(bytes));
        run_cron(&story);
        let why = story.text("SELECT last_error FROM registrations");
        assert_eq!(story.state(&ada), 7, "{shown}: {why}");
        assert!(why.contains("[mas]") || why.contains("MAS"), "{shown}: {why}");
        assert!(!why.contains("panicked") && !why.contains("mat_x") && !why.contains('\u{202e}'), "{shown}: {why}");
    }
    assert_eq!(story.number("SELECT count(*) FROM account_notes"), 0);
    story.site.set("mas.admin_url", mas.admin_url.as_str());
    crate::finish(&story, &ada);
    is_complete(&story, &mas, &ada);
}

/// A title that no MAS has today means "later".
fn an_answer_that_nobody_knows_means_later(engine: Engine) {
    let mas = Mas::start();
    let story = Story::under_mas(&mas, engine, Host::NginxCgi, |site| site);
    mas.fail("create", "strange", 1);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    approve(&story, &ada);
    assert_eq!(story.state(&ada), 7);
    assert!(story.text("SELECT last_error FROM registrations").contains("constellation"));
    crate::finish(&story, &ada);
    is_complete(&story, &mas, &ada);
}

on_every_database! {
    a_name_that_somebody_took_meanwhile_is_refused,
    an_account_that_somebody_made_after_our_try_is_not_taken_over,
    two_programs_at_once_make_one_account,
}

// What follows depends on no database.
on_every_database!(once Sqlite: a_name_is_taken_in_any_case_of_letters whoever_is_faster_by_a_moment_keeps_the_account two_sites_that_want_one_name_at_once_make_one_account a_wrong_configuration_is_named_with_its_key an_answer_that_nobody_knows_means_later);

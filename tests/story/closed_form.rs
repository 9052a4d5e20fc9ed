//! `matrix-register-bot close` and `open`: the form, closed on purpose.

use crate::operator::{NOWHERE, json, refusal, says};
use crate::world::{Engine, Host, Page, on_every_database, pause};
use crate::{Story, address_of, fresh, now};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The form, once its page has this status: a program may ask only once a second whether the form is closed.
fn form_with(story: &Story, status: u16) -> Page {
    let start = Instant::now();
    loop {
        let page = story.browser.get("/register");
        if page.status == status {
            return page;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{}: {}", page.status, page.text());
        std::thread::sleep(pause(start));
    }
}

fn retry_after(page: &Page) -> i64 {
    page.header("retry-after").expect("Retry-After").parse().unwrap()
}

fn the_operator_closes_the_form_with_his_own_words_and_it_opens_by_itself(engine: Engine) {
    let mut story = Story::on_with(engine, "synapse", Host::NginxFastCgi, |site| site.set("time_zone", "Europe/Berlin"));
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    let opened_before = story.filled_form(&bob);
    story.ask(&ada);
    let url = story.synapse.base_url.clone();
    story.site.set("homeserver_url", NOWHERE);
    let day = jiff::Timestamp::from_second(now() + 3 * 86_400).unwrap().strftime("%Y-%m-%d").to_string();
    let (english, german) = ("Back <b>after</b> the concert & the holidays", "de=Wieder da nach dem Konzert");
    let closed = json(&story, &["close", "--until", &format!("{day} 18:30"), "--text", english, "--text", german]);
    let opens_at = closed["form_closed"]["opens_at"].as_i64().unwrap();
    assert!(closed["form_closed"]["closed_by"].as_str().is_some_and(|user| !user.is_empty()), "{closed}");
    story.site.set("homeserver_url", url);

    let page = form_with(&story, 429);
    assert!((opens_at - now() - 60..=opens_at - now() + 1).contains(&retry_after(&page)));
    let text = page.text();
    assert!(text.contains("Sign-up is closed") && text.contains(english) && text.contains("18:30 CE"), "{text}");
    assert!(!page.body.contains("<b>after"), "{}", page.body);
    let text = story.browser.clone().with_language("de").get("/register").text();
    assert!(
        text.contains("Die Registrierung ist geschlossen") && text.contains("nach dem Konzert") && text.contains("öffnet wieder"),
        "{text}"
    );
    let page = story.browser.submit(&opened_before);
    assert!(page.status == 429 && page.text().contains(english) && page.body.contains(&bob), "what was typed is kept: {}", page.text());
    assert!(!page.body.contains("<b>after"), "{}", page.body);
    assert_eq!(story.number("SELECT COUNT(*) FROM registrations"), 1);

    // Requests that were filed before go on.
    says(&story, &["resend", &ada]);
    assert_eq!(story.confirm(&ada).status, 200);
    assert_eq!(story.decide(&ada, "approve", "").status, 200);
    assert!(story.synapse.exists(&ada));

    for subcommand in ["list", "stats"] {
        let said = says(&story, &[subcommand]);
        assert!(said.starts_with("the form is closed by ") && said.contains("until "), "{said}");
    }
    assert_eq!(json(&story, &["stats"])["form_closed"]["opens_at"].as_i64(), Some(opens_at));
    let checked = story.site.run_with("matrix-register-bot", &["check", "--json"], &[], b"").stdout;
    let checked: Value = serde_json::from_slice(&checked).unwrap();
    let of_form = checked["findings"].as_array().unwrap().iter().find(|finding| finding["subject"] == "form").unwrap();
    assert_eq!(of_form["verdict"], "warning", "{of_form}");
    let quiet = story.site.run_cron();
    assert!(quiet.status.success() && !format!("{quiet:?}").contains("closed"), "no trouble: {quiet:?}");
    let told = story.site.run_with("cron", &["-v"], &[], b"");
    assert!(format!("{told:?}").contains("the form is closed by "), "{told:?}");

    story.sql(&format!("UPDATE form_closed SET opens_at = {}", now()));
    form_with(&story, 200);
    assert_eq!(story.browser.submit(&opened_before).status, 200);
    assert_eq!(json(&story, &["stats"])["form_closed"], Value::Null);
    assert_eq!(refusal(&story, &["open"]).0, Some(1));
}

fn a_form_that_is_closed_without_a_date_waits_for_open(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let opened_before = story.filled_form(&fresh("bob"));
    assert!(says(&story, &["close"]).contains("matrix-register-bot open opens it"));
    let page = story.browser.get("/register");
    assert!(page.status == 429 && page.text().contains("not accepting requests"), "{}", page.text());
    assert_eq!(retry_after(&page), 86_400);
    says(&story, &["close", "--text", "Until Monday"]);
    assert!(story.browser.get("/register").text().contains("Until Monday"), "closing again changes the words");
    assert!(says(&story, &["open"]).contains("the form is open"));
    assert_eq!(story.browser.submit(&opened_before).status, 200);
    assert_eq!(story.browser.get("/register").status, 200);
    assert_eq!(refusal(&story, &["open"]), (Some(1), "matrix-register-bot: the form is open already\n".into()));
    assert_eq!(refusal(&story, &["close", "--until", "2001-01-01"]).0, Some(1));
    assert_eq!(refusal(&story, &["close", "--until", "tomorrow"]).0, Some(64));
    assert_eq!(refusal(&story, &["close", "--text", &"x".repeat(5000)]).0, Some(1));
    assert_eq!(story.browser.get("/register").status, 200, "a mistake closes nothing");
}

fn a_form_that_is_full_is_no_form_that_was_closed_by_hand(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("limits.open_requests", 1));
    let ada = fresh("ada");
    story.ask(&ada);
    let (status, sentence) = refusal(&story, &["open"]);
    assert!(status == Some(1) && sentence.contains("limits.open_requests"), "{sentence}");
    says(&story, &["close"]);
    assert!(says(&story, &["open"]).contains("limits.open_requests"), "it is still full");
    assert_eq!(json(&story, &["stats"])["form_closed"]["by_hand"], false);
    says(&story, &["correct", &ada, "--email", &address_of(&fresh("other"))]);
}

on_every_database! {
    the_operator_closes_the_form_with_his_own_words_and_it_opens_by_itself,
    a_form_that_is_closed_without_a_date_waits_for_open,
    a_form_that_is_full_is_no_form_that_was_closed_by_hand,
}

//! The thank-you page: a mail that got lost is sent again, and a mistyped address is corrected.

use crate::world::{Engine, Form, Host, MailCatcher, Page, on_every_database};
use crate::{Story, address_of, fresh};

const GONE: &str = "The mail server says that this mailbox does not exist";
const AGAIN: &str = "We have sent the email again";

fn send_again(page: &Page) -> Form {
    page.forms().remove(0)
}

fn correct(page: &Page, address: &str) -> Form {
    page.forms().remove(1).fill("email", address)
}

fn a_mistyped_address_is_corrected_in_place_and_its_link_leads_nowhere(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let (ada, typo) = (fresh("ada"), fresh("typo"));
    let thanks = story.browser.submit(&story.filled_form(&ada).fill("email", &address_of(&typo)));
    let dead = story.mails.wait_for(&address_of(&typo), 1)[0].link();
    let opened = story.browser.get(&dead).form();
    assert_eq!(thanks.forms()[1].value("email"), address_of(&typo), "the field is filled in");

    let page = story.browser.submit(&correct(&thanks, "ada@example"));
    assert!(page.status == 422 && page.text().contains("does not look like an email address"), "{}", page.text());
    assert_eq!(page.forms()[1].value("email"), "ada@example");
    let correction = correct(&page, &address_of(&ada));
    let page = story.browser.submit(&correction);
    assert!(page.status == 200 && page.text().contains("The address has been corrected"), "{}\n{}", page.text(), story.web.log());
    assert!(page.text().contains(&address_of(&ada)) && !page.text().contains(&address_of(&typo)), "{}", page.text());
    let second = story.browser.submit(&correction);
    assert!(second.status == 200 && second.text().contains(&address_of(&ada)), "a second click: {}", second.text());

    assert_eq!(story.browser.get(&dead).status, 404, "the wrong address belongs to somebody else");
    assert_eq!(story.browser.submit(&opened).status, 404, "also if the page was open before");
    assert_eq!(story.state(&ada), 1);
    assert_eq!(story.confirm(&ada).status, 200);
    let message = story.room_message(&ada);
    assert!(message.body.contains("Ada Lovelace-Größe") && message.body.contains("second line"), "{}", message.body);
    assert!(message.body.contains(&address_of(&ada)) && !message.body.contains(&address_of(&typo)), "{}", message.body);
    assert_eq!((story.mails.count(), story.number("SELECT count(*) FROM registrations")), (2, 1));
}

fn a_lost_mail_is_sent_again_and_a_second_click_sends_none(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    let thanks = story.ask(&ada);
    let first = story.verify_mail(&ada);
    for _ in 0..2 {
        let page = story.browser.submit(&send_again(&thanks));
        assert!(page.status == 200 && page.text().contains(AGAIN), "{}\n{}", page.text(), story.web.log());
    }
    let mails = story.mails.wait_for(&address_of(&ada), 2);
    assert_eq!(mails.len(), 2);
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"), "mail servers drop copies");
    assert_eq!(first.link(), mails[1].link(), "whichever mail is read first");
    let page = story.browser.submit(&send_again(&story.browser.get(&thanks.forms()[0].action)));
    assert!(page.status == 200 && page.text().contains(AGAIN), "{}", page.text());
    assert_eq!(story.mails.wait_for(&address_of(&ada), 3).len(), 3);
    assert_eq!(story.confirm(&ada).status, 200);
}

fn the_page_is_there_again_and_in_the_other_language_until_the_address_is_confirmed(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    let thanks = story.ask(&ada);
    let (again, correction) = (send_again(&thanks), correct(&thanks, &address_of(&fresh("eve"))));
    let place = thanks.forms()[0].action.clone();
    for method in ["GET", "HEAD", "GET"] {
        assert_eq!(story.browser.request(method, &place, "", b"").status, 200);
    }
    let german = story.browser.get(&place.replace("lang=en", "lang=de"));
    assert!(german.text().contains("Falsche Adresse?") && german.text().contains(&address_of(&ada)), "{}", german.text());
    assert_eq!((story.mails.wait_for(&address_of(&ada), 1).len(), story.state(&ada)), (1, 1), "opening it changes nothing");

    assert_eq!(story.confirm(&ada).status, 200);
    for page in [story.browser.get(&place), story.browser.submit(&again), story.browser.submit(&correction)] {
        assert!(page.status == 200 && page.text().contains("already confirmed"), "{}", page.text());
    }
    story.decide(&ada, "decline", "secret reason");
    let page = story.browser.get(&place);
    assert!(page.text().contains("already confirmed") && !page.text().contains("declined"), "the owner's answer: {}", page.text());
    let kept = story.text("SELECT email FROM registrations");
    assert_eq!((kept, story.mails.wait_for(&address_of(&ada), 2).len()), (address_of(&ada), 2));
}

fn nobody_else_reaches_the_page(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    let (filled, of_eve) = (story.filled_form(&ada), story.ask(&eve));
    let of_ada = story.browser.submit(&filled);
    let eves = of_eve.forms()[0].clone();
    let token = of_ada.forms()[0].value("t").to_owned();
    let target = address_of(&fresh("target"));
    let form_token = filled.value("form_token").to_owned();
    let attempts = [
        correct(&of_ada, &target).put("t", &form_token[..32]),
        correct(&of_ada, &target).put("t", "0123456789abcdef0123456789abcdef"),
        correct(&of_ada, &target).put("form_token", eves.value("form_token")),
        correct(&of_ada, &target).put("form_token", &form_token),
        correct(&of_eve, &target).put("t", &token),
    ];
    for form in attempts {
        let page = story.browser.submit(&form);
        assert!([404, 422].contains(&page.status), "{}", page.text());
    }
    // The form itself, held by somebody who does not know all that was typed.
    let page = story.browser.submit(&filled.clone().fill("note", "another"));
    assert!(page.status == 422 && !page.body.contains(&token), "{}", page.text());
    // The same entries from somebody else: a request of its own, with a page of its own.
    let same = story.browser.submit(&story.filled_form(&ada));
    assert!(same.status == 200 && !same.body.contains(&token), "{}", same.text());
    assert_eq!(story.browser.submit(&correct(&same, &target)).status, 200);
    assert_eq!(story.browser.get(&story.mails.wait_for(&address_of(&ada), 1)[0].link()).status, 200, "the first link is as good as before");
    let addresses = story.database.rows("SELECT email FROM registrations ORDER BY id").concat();
    assert_eq!(addresses, [address_of(&eve), address_of(&ada), target]);
}

fn what_the_mail_server_says_at_once_stands_beside_the_address(engine: Engine) {
    let (gone, unknown) = (fresh("gone"), fresh("unknown"));
    let refusing = MailCatcher::start_with(&["--reject-recipient", &address_of(&gone), "--rejection", "550 5.1.1 No such user"]);
    let deferring = MailCatcher::start_with(&["--reject-recipient", &address_of(&unknown), "--rejection", "450 4.1.2 Domain not found"]);
    let mut story = Story::on(engine, "synapse", Host::NginxSystemd);
    for (mails, name, sentence) in [(&refusing, &gone, GONE), (&deferring, &unknown, "cannot deliver to this address right now")] {
        story.site.set("mail.smtp.port", i64::from(mails.port));
        let thanks = story.browser.submit(&story.filled_form(name));
        assert_eq!((thanks.status, thanks.texts("#email-error").len()), (200, 1), "{}\n{}", thanks.text(), story.web.log());
        assert!(thanks.text().contains(sentence), "{}", thanks.text());
        assert_eq!(thanks.forms()[1].value("email"), address_of(name));
        let right = fresh("right");
        let page = story.browser.submit(&correct(&thanks, &address_of(&right)));
        assert!(page.text().contains("The address has been corrected") && page.texts("#email-error").is_empty(), "{}", page.text());
        let link = mails.wait_for(&address_of(&right), 1)[0].link();
        assert_eq!(story.browser.submit(&story.browser.get(&link).form()).status, 200);
    }
}

fn while_the_mail_server_is_away_the_page_says_that_the_mail_will_come(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    let port = i64::from(story.mails.port);
    story.site.set("mail.smtp.port", 1);
    let thanks = story.ask(&ada);
    assert!(thanks.text().contains("has not been sent yet"), "{}", thanks.text());
    story.site.set("mail.smtp.port", port);
    let page = story.browser.submit(&send_again(&thanks));
    assert!(page.text().contains(AGAIN) && !page.text().contains("has not been sent yet"), "{}", page.text());
    assert_eq!(story.mails.wait_for(&address_of(&ada), 1).len(), 1);
}

fn the_same_form_sent_again_sends_another_mail_and_either_link_works(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| {
        site.set("limits.unconfirmed_per_address", 1).set("limits.requests_per_address_per_day", 4)
    });
    let ada = fresh("ada");
    let pages: Vec<Page> = (0..3).map(|_| story.ask(&ada)).collect();
    let mails = story.mails.wait_for(&address_of(&ada), 3);
    // Each has a number of its own, as any two requests have.
    let words: Vec<String> = pages.iter().zip(1..).map(|(page, number)| page.text().replace(&format!("#{number}"), "#")).collect();
    assert!(words.iter().all(|of_page| *of_page == words[0]), "nobody learns that there was a request before");
    let other = story.browser.submit(&story.filled_form(&fresh("other")).fill("email", &address_of(&ada)));
    assert!(other.status == 429 && other.text().contains("still waiting to be confirmed"), "{}", other.text());
    let other = story.browser.submit(&story.filled_form(&fresh("other")).fill("email", &address_of(&ada)));
    assert!(other.status == 429 && other.text().contains("today"), "a refusal counts, or usernames could be tried out: {}", other.text());
    for (number, mail) in mails.iter().enumerate() {
        let page = story.browser.get(&mail.link());
        let page = if number == 0 { story.browser.submit(&page.form()) } else { page };
        assert!(page.status == 200 && page.text().contains("confirmed"), "{number}: {}", page.text());
    }
    assert_eq!(story.number("SELECT count(*) FROM registrations WHERE state = 6"), 1);
}

fn the_limits_hold_for_mails_that_are_wanted_again(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| site.set("limits.requests_per_address_per_day", 2));
    let ada = fresh("ada");
    let thanks = story.ask(&ada);
    let page = story.browser.submit(&send_again(&thanks));
    assert_eq!(page.status, 200);
    let page = story.browser.submit(&send_again(&page));
    assert!(page.status == 429 && page.header("retry-after").is_some() && page.texts("#email-error").len() == 1, "{}", page.text());
    assert_eq!(story.mails.wait_for(&address_of(&ada), 2).len(), 2);
    // The new address has its own count, and one request gets few corrections.
    let mut page = page;
    let statuses: Vec<u16> = (0..4)
        .map(|number| {
            page = story.browser.submit(&correct(&page, &address_of(&format!("{ada}n{number}"))));
            page.status
        })
        .collect();
    assert_eq!(statuses, [200, 200, 200, 429], "{}", page.text());
    assert!(page.text().contains("sent several times already"), "{}", page.text());
}

on_every_database! {
    a_mistyped_address_is_corrected_in_place_and_its_link_leads_nowhere,
    a_lost_mail_is_sent_again_and_a_second_click_sends_none,
    the_page_is_there_again_and_in_the_other_language_until_the_address_is_confirmed,
    nobody_else_reaches_the_page,
    what_the_mail_server_says_at_once_stands_beside_the_address,
    while_the_mail_server_is_away_the_page_says_that_the_mail_will_come,
    the_same_form_sent_again_sends_another_mail_and_either_link_works,
    the_limits_hold_for_mails_that_are_wanted_again,
}

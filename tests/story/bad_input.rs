use crate::world::{Engine, Host, Page, on_every_database};
use crate::{Story, address_of, fresh};

fn wrong_entries_come_back_with_a_sentence_and_everything_that_was_typed(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let form = story.filled_form("ab").fill("first_name", "").fill("email", "nonsense");
    let page = story.browser.submit(&form);
    assert_eq!(page.status, 422);
    for sentence in ["Please enter your name", "too short", "does not look like an email address"] {
        assert!(page.text().contains(sentence), "{sentence}: {}", page.text());
    }
    assert_eq!(page.texts("nav a"), [] as [&str; 0], "no link leads away from what was typed");
    let shown = page.form();
    assert_eq!((shown.value("username"), shown.value("email"), shown.value("last_name")), ("ab", "nonsense", "Lovelace-Größe"));
    let name = fresh("ada");
    let mended = shown.fill("first_name", "Ada").fill("email", &address_of(&name)).fill("username", &name).press("send", "1");
    assert_eq!(story.browser.submit(&mended).status, 200);
    assert_eq!(story.state(&name), 1);
}

fn the_other_language_after_an_error_keeps_everything_that_was_typed(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    let page = story.browser.submit(&story.filled_form(&ada).fill("email", "nonsense").press("send", "1"));
    assert_eq!((page.status, page.texts("nav button[name=switch_language]")), (422, vec!["Deutsch".to_owned()]));
    let mut switched = page.form().put("switch_language", "de");
    switched.action = format!("{}?lang=de", page.url.split('?').next().unwrap());
    let german = story.browser.submit(&switched);
    assert!(german.status == 200 && german.text().contains("Alle Felder ohne den Hinweis"), "{}", german.text());
    let form = german.form();
    assert_eq!((form.value("username"), form.value("email"), form.value("last_name")), (ada.as_str(), "nonsense", "Lovelace-Größe"));
    let thanks = story.browser.submit(&form.fill("email", &address_of(&ada)).press("send", "1"));
    assert!(thanks.status == 200 && thanks.text().contains("Danke!"), "the answer stays German: {}", thanks.text());
    assert_eq!(story.state(&ada), 1);
}

fn a_form_sent_twice_is_one_request_and_both_hear_thank_you(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    let form = story.filled_form(&ada);
    std::thread::scope(|scope| {
        let twice: Vec<_> = (0..2).map(|_| scope.spawn(|| story.browser.submit(&form).status)).collect();
        for status in twice {
            assert_eq!(status.join().unwrap(), 200);
        }
    });
    assert_eq!(story.browser.submit(&form).status, 200);
    let rows = story.number("SELECT count(*) FROM registrations");
    assert_eq!((rows, story.mails.wait_for(&address_of(&ada), 1).len()), (1, 1));
    let renamed = story.browser.submit(&form.clone().fill("first_name", "Eve"));
    assert!(renamed.text().contains("already been sent"), "{}", renamed.text());
    let other = story.browser.submit(&form.fill("email", "other@applicants.example.org"));
    assert_eq!(other.status, 422);
    assert!(other.text().contains("already been sent"), "{}", other.text());
}

fn the_same_form_again_is_told_how_far_the_request_has_come(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, eve) = (fresh("ada"), fresh("eve"));
    let form = story.filled_form(&ada);
    let deadline = |page: &Page| page.texts("ol strong").concat();
    let first = story.browser.submit(&form);
    story.sql("UPDATE registrations SET state_since = state_since - 72000");
    let later = story.browser.submit(&form);
    assert_eq!((first.status, later.status), (200, 200));
    assert!(!deadline(&first).is_empty() && deadline(&first) != deadline(&later), "the time runs from the mail on");
    assert_eq!(story.confirm(&ada).status, 200);
    let confirmed = story.browser.submit(&form);
    assert!(confirmed.text().contains("already confirmed") && confirmed.texts("nav a").is_empty(), "{}", confirmed.text());

    let form = story.filled_form(&eve);
    assert_eq!(story.browser.submit(&form).status, 200);
    story.sql(&format!("UPDATE registrations SET state_since = 1000 WHERE username = '{eve}'"));
    story.site.let_cron_succeed();
    let again = story.browser.submit(&form);
    assert!(again.status == 422 && again.text().contains("please send it again"), "{}", again.text());
    assert_eq!(story.browser.submit(&again.form().press("send", "1")).status, 200);
    assert_eq!(story.state(&eve), 1, "a request of its own");
}

fn a_taken_name_is_told_before_the_request_and_by_the_check_button(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    let free = story.browser.submit(&story.filled_form(&ada).press("action", "check"));
    assert_eq!(free.status, 200);
    assert!(free.text().contains("This username is available"), "{}", free.text());
    assert_eq!(free.form().value("email"), address_of(&ada), "what was typed is kept");
    story.ask_and_confirm(&ada);
    for name in [ada.as_str(), "alice", "admin", "register_bot", "ALICE"] {
        for (button, value) in [("action", "check"), ("send", "1")] {
            let page = story.browser.submit(&story.filled_form(name).fill("email", "x@applicants.example.org").press(button, value));
            assert_eq!(page.status, 422, "{name} {button}");
            assert!(page.text().contains("not available"), "{name} {button}: {}", page.text());
        }
    }
}

fn nonsense_gets_a_sentence_and_never_a_server_error(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, status) in [
        ("text/plain", b"x=1".to_vec(), 415),
        ("multipart/form-data; boundary=x", b"--x--".to_vec(), 415),
        ("", b"".to_vec(), 415),
        (form, b"first_name=%FF%FE".to_vec(), 400),
        (form, b"first_name=\xff".to_vec(), 400),
        (form, b"first_name=a&first_name=b".to_vec(), 400),
        (form, vec![b'a'; 100_000], 413),
        (form, b"".to_vec(), 422),
        (form, b"=&&&%%%===&form_token=%00".to_vec(), 422),
        (form, b"form_token=x&unknown=1&first_name=A".to_vec(), 422),
    ] {
        for place in ["/register", "/verify", "/verify_admin", "/welcome"] {
            let page = story.browser.request("POST", place, content_type, &body);
            // The other two pages have no such fields and see a form without a token.
            let unknown_link = place != "/register" && (status == 422 || body.starts_with(b"first_name=a&"));
            let expected = if unknown_link { 404 } else { status };
            assert_eq!(page.status, expected, "{place} {content_type} {}", String::from_utf8_lossy(&body[..body.len().min(60)]));
            assert!(page.text().len() > 40, "{place} {status} says only {:?}", page.body);
        }
    }
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let page = story.browser.request(method, "/register", "", b"");
        assert_eq!((page.status, page.header("allow")), (405, Some("GET, HEAD, POST")), "{method}");
    }
}

fn names_cannot_inject_headers_into_a_mail(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    for (field, value) in [
        ("first_name", "Ada\r\nBcc: victim@example.org"),
        ("email", "ada@applicants.example.org\r\nBcc: victim@example.org"),
        ("email", "ada@applicants.example.org, victim@example.org"),
        ("email", "<ada@applicants.example.org>"),
    ] {
        let page = story.browser.submit(&story.filled_form(&ada).fill(field, value));
        assert_eq!(page.status, 422, "{field} {value:?}");
    }
    assert_eq!(story.mails.count(), 0);
}

fn terms_must_be_accepted_where_there_are_some(engine: Engine) {
    let story = Story::on_with(engine, "synapse", Host::NginxCgi, |site| site.set("form.terms_url", "https://example.org/terms"));
    let ada = fresh("ada");
    let page = story.browser.submit(&story.filled_form(&ada));
    assert_eq!(page.status, 422);
    assert!(page.text().contains("accept the terms"), "{}", page.text());
    assert_eq!(story.browser.submit(&page.form().put("terms", "1").press("send", "1")).status, 200);
}

/// Characters that phones and web pages add to pasted text must not turn anybody away, and must not reach anybody.
fn what_cannot_be_seen_in_a_pasted_form_is_dropped_or_refused_with_a_sentence(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let ada = fresh("ada");
    let pasted = story
        .filled_form(&format!("\u{feff}{ada}\u{200b}"))
        .fill("first_name", "\u{2068}A\u{ad}da\u{2069}")
        .fill("last_name", "Love\u{61c}\u{34f}lace\u{200f}")
        .fill("email", &format!("\u{200e}{}\u{200b}", address_of(&ada)))
        .fill("note", &format!("Hello\u{202e}{}\u{3164}Zal{}", "\n".repeat(1900), "\u{300}".repeat(50)));
    let thanks = story.browser.submit(&pasted);
    assert_eq!(thanks.status, 200, "{}", thanks.text());
    let stored = story.text(&format!("SELECT email FROM registrations WHERE username = '{ada}'"));
    assert_eq!(stored, address_of(&ada));
    assert_eq!(story.confirm(&ada).status, 200);
    let message = story.room_message(&ada);
    let hides = |c: char| "\u{200b}\u{200e}\u{200f}\u{202e}\u{2068}\u{2069}\u{feff}\u{ad}\u{61c}\u{34f}\u{3164}".contains(c);
    assert!(message.body.contains("Ada Lovelace") && message.body.contains("> Hello\n>\n> Zal\u{300}"), "{}", message.body);
    assert!(!message.body.contains(hides) && message.body.lines().count() < 15, "{}", message.body);

    for (field, typed) in [("first_name", "Ada\u{202e}nimda"), ("username", "a\u{3164}da"), ("email", "ada@exam\u{202d}ple.org")] {
        let page = story.browser.submit(&story.filled_form(&fresh("eve")).fill(field, typed));
        assert!(page.status == 422 && page.text().contains("an invisible character"), "{field}: {}", page.text());
    }
    let page = story.browser.submit(&story.filled_form(&fresh("eve")).fill("email", "-oQ@example.org"));
    assert!(page.status == 422 && page.text().contains("starts with a dash"), "{}", page.text());
}

on_every_database! {
    what_cannot_be_seen_in_a_pasted_form_is_dropped_or_refused_with_a_sentence,
    wrong_entries_come_back_with_a_sentence_and_everything_that_was_typed,
    the_other_language_after_an_error_keeps_everything_that_was_typed,
    a_form_sent_twice_is_one_request_and_both_hear_thank_you,
    the_same_form_again_is_told_how_far_the_request_has_come,
    a_taken_name_is_told_before_the_request_and_by_the_check_button,
    nonsense_gets_a_sentence_and_never_a_server_error,
    names_cannot_inject_headers_into_a_mail,
    terms_must_be_accepted_where_there_are_some,
}

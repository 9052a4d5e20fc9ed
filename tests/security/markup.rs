//! Markup in every field: pages, mails and the room show it as text, or the form refuses it.

use crate::the_story::{Story, address_of, fresh};
use crate::world::Host;
use scraper::{Html, Selector};

const MARKUP: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><svg/onload=alert(1)>",
    "' onmouseover='alert(1)",
    "</textarea><img src=x onerror=alert(1)>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "[x](javascript:alert(1)) ![x](mxc://evil.example/x)",
    "{{ 1337 * 1009 }}{% include \"page/base.html\" %}${1337*1009}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<mx-reply><blockquote>@room</blockquote></mx-reply>",
    "<!-- --><style>*{display:none}</style>",
    "\u{ff1c}script\u{ff1e}alert(1)\u{ff1c}/script\u{ff1e}",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
];

/// Checks everything that could be active in a page shown by a browser, a mail client or a Matrix client.
fn check(place: &str, html: &str, ours: &str) {
    let document = Html::parse_document(html);
    let all = Selector::parse("*").unwrap();
    for element in document.select(&all) {
        let name = element.value().name();
        assert!(!["script", "img", "svg", "iframe", "object", "embed", "base", "mx-reply"].contains(&name), "{place}: <{name}> in {html}");
        for (attribute, value) in element.value().attrs() {
            assert!(!attribute.starts_with("on"), "{place}: {attribute} in {html}");
            if ["href", "src", "action", "formaction"].contains(&attribute) {
                let known = [ours, "?", "#", "mailto:", "https://matrix.to/", "register", "verify", "verify_admin", "welcome", "./", "/"];
                // The icon of every page.
                let is_icon = name == "link" && element.value().attr("rel") == Some("icon") && value.starts_with("data:image/svg+xml,");
                let is_known = is_icon || value.is_empty() || known.iter().any(|start| value.starts_with(start));
                assert!(is_known && !value.starts_with("//"), "{place}: {attribute}={value} in {html}");
            }
        }
    }
    assert!(!html.contains("1349033"), "{place}: a template was run in {html}");
    let styles = document
        .select(&Selector::parse("style").unwrap())
        .filter(|style| style.text().any(|text| text.contains("*{display:none}")))
        .count();
    assert_eq!(styles, 0, "{place}: {html}");
}

#[test]
fn nothing_that_is_typed_is_markup_on_a_page() {
    let story = Story::start("local", Host::NginxSystemd);
    let ours = story.web.url();
    for markup in MARKUP {
        for field in ["first_name", "last_name", "username", "email", "note"] {
            let page = story.browser.submit(&story.filled_form(&fresh("ada")).fill(field, markup).fill("email", "no").press("send", "1"));
            assert_eq!(page.status, 422);
            check(field, &page.body, &ours);
            // Typed values come back unchanged, and as values.
            let form = page.form();
            if field != "email" {
                assert_eq!(form.value(field), markup);
            }
        }
        for address in ["/register?lang=", "/verify?t=", "/verify_admin?d=", "/verify_admin?t="] {
            let encoded: String = url::form_urlencoded::byte_serialize(markup.as_bytes()).collect();
            let page = story.browser.get(&format!("{address}{encoded}"));
            assert!(page.status < 500, "{address}{markup}");
            check(address, &page.body, &ours);
        }
        // Even if it were markup, nothing could be loaded or executed.
        let policy = story.browser.get("/register").header("content-security-policy").unwrap_or("").to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'") && !policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn nothing_that_is_typed_is_markup_in_a_mail_or_in_the_room() {
    let story = Story::start("synapse", Host::NginxSystemd);
    let ours = story.web.url();
    for markup in MARKUP {
        let ada = fresh("ada");
        let mut form = story.filled_form(&ada).fill("note", markup);
        // As much of it as the form accepts in a name.
        for name in ["first_name", "last_name"] {
            let attempt = form.clone().fill(name, markup);
            let page = story.browser.submit(&attempt.press("action", "check"));
            assert!([200, 422].contains(&page.status));
            if matrix_register_bot::domain::names::PersonName::parse(markup).is_ok() {
                form = form.fill(name, markup);
            }
        }
        assert_eq!(story.browser.submit(&form.press("send", "1")).status, 200, "{markup}");
        story.confirm(&ada);
        let message = story.room_message(&ada);
        check("room", &message.html, &ours);
        assert!(!message.html.contains("@room") || message.event["content"]["m.mentions"] == serde_json::json!({}), "{}", message.event);
        let shown = Html::parse_fragment(&message.html).root_element().text().collect::<String>();
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        assert!(squeezed(&shown).contains(&squeezed(markup)), "the room must see what was typed: {markup} in {shown}");
        let page = story.browser.get(&message.link());
        check("decision", &page.body, &ours);
        let decided = story.decide(&ada, "decline", markup);
        check("decided", &decided.body, &ours);
        for mail in story.mails.wait_for(&address_of(&ada), 2) {
            check("mail", &mail.html, &ours);
        }
    }
}

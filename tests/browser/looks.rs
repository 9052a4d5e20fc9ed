//! Readability: space on a small screen, and contrast, on every page, in both languages, light and dark.

use crate::visitor::Visitor;
use crate::world::Host;
use crate::{Story, fresh};
use serde_json::json;

/// A homeserver whose name is wider than a small screen.
const SERVER: &str = "matrix.faculty-of-extraordinarily-long-names.university.example.org";

/// Elements that are wider than the window: the tag, and how far it reaches.
const TOO_WIDE: &str = "const width = document.documentElement.clientWidth; if (document.documentElement.scrollWidth <= width) return []; \
     return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > width) \
     .map(e => `${e.outerHTML.slice(0, 80)} reaches to ${e.getBoundingClientRect().right} of ${width}`).concat('scrolls')";

/// Texts with a contrast below 4.5 to their background (WCAG 2.2, 1.4.3).
const TOO_PALE: &str = "const parse = colour => colour.match(/[\\d.]+/g).map(Number), solid = colour => colour.length < 4 || colour[3] > 0; \
     const light = colour => colour.slice(0, 3).map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4) \
         .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0); \
     const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (solid(c)) return c; } return [255, 255, 255]; }; \
     const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05); \
     const own = e => e.matches('input, textarea') || [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()); \
     return [...document.querySelectorAll('body *')].filter(e => own(e) && e.checkVisibility()) \
         .map(e => [ratio(light(parse(getComputedStyle(e).color)), light(behind(e))), e.outerHTML.slice(0, 80)]).filter(([r]) => r < 4.5)";

#[test]
fn nothing_scrolls_sideways_and_all_text_has_contrast_in_english() {
    every_page_fits("en");
}

#[test]
fn nothing_scrolls_sideways_and_all_text_has_contrast_in_german() {
    every_page_fits("de");
}

/// Visits every page, with the longest names allowed.
fn every_page_fits(language: &str) {
    let story = Story::start_with("local", Host::NginxSystemd, |site| {
        let site = site.set("server_name", SERVER).set("form.terms_url", "https://example.org/terms").language(language);
        site.set("pages.title", "Donaudampfschifffahrtsgesellschaftskapitänsvereinigung").ask_password()
    });
    let visitor = Visitor::new(language, &story.web.url());
    let longest = Longest::new();
    ask_before(&story, &longest);
    asking_fits(&visitor, &story.web.url(), &longest);
    confirming_fits(&visitor, &story.mails.wait_for(&longest.email, 3)[2].link());
    deciding_fits(&visitor, &story.synapse.wait_for_messages(&story.room, 1)[0].link());
    forgetting_fits(&story, &visitor);
    dead_ends_fit(&visitor, &story.web.url());
    visitor.was_left_alone();
}

/// Entries that are hard to fit on a page.
struct Longest {
    name: String,
    username: String,
    email: String,
    note: String,
}

impl Longest {
    fn new() -> Longest {
        let username = format!("{:m<64}", fresh("m"));
        let email = format!("{}@{}.{}.example.org", "m".repeat(64), "w".repeat(60), "w".repeat(40));
        Longest { name: "W".repeat(100), username, email, note: "x".repeat(1990) + "\n\n" + "العربية" }
    }

    fn fields(&self) -> [(&str, &str); 6] {
        let who = [("first_name", self.name.as_str()), ("last_name", &self.name), ("email", &self.email), ("note", &self.note)];
        let [first_name, last_name, email, note] = who;
        let username = ("username", self.username.as_str());
        [first_name, last_name, email, note, username, ("terms", "1")]
    }
}

/// Another request with the same address, for the list on the decision page.
fn ask_before(story: &Story, longest: &Longest) {
    let other = Longest { username: format!("{:w<64}", fresh("w")), ..Longest::new() };
    assert_eq!(other.email, longest.email);
    let form = story.browser.get("/register").form().press("send", "1");
    let form = other.fields().into_iter().fold(form, |form, (name, value)| form.put(name, value));
    assert_eq!(story.browser.submit(&form).status, 200);
}

fn asking_fits(visitor: &Visitor, form: &str, longest: &Longest) {
    let send = ".actions button";
    visitor.open(form);
    fits(visitor);
    visitor.send(&[], send);
    fits(visitor);
    let [first, last, email, note, ..] = longest.fields();
    visitor.send(&[first, last, email, note, ("username", &"W ".repeat(200))], send);
    fits(visitor);
    visitor.send(&[("username", &longest.username)], ".with-button button");
    fits(visitor);
    visitor.send(&longest.fields(), send);
    visitor.sees_heading("registered.heading");
    fits(visitor);
    let correct = "form:last-of-type button";
    visitor.send(&[("email", &"m@".repeat(100))], correct);
    assert!(visitor.chromium.text().contains(&visitor.words("form.error.email_invalid")));
    fits(visitor);
    visitor.send(&[], "form button");
    assert!(visitor.chromium.text().contains(&visitor.words("registered.sent_again")));
    fits(visitor);
}

/// An account with the longest name, whose password was forgotten.
fn forgetting_fits(story: &Story, visitor: &Visitor) {
    let (name, address) = (format!("{:f<64}", fresh("f")), crate::address_of(&fresh("f")));
    story.sql(&format!(
        "INSERT INTO logins (localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at)
         VALUES ('{name}', '', '', '$argon2id$', '{address}', '{address}', 1, 1)"
    ));
    visitor.open(&format!("{}reset_password", story.web.url()));
    fits(visitor);
    visitor.send(&[("account", "")], "main button");
    fits(visitor);
    visitor.send(&[("account", &name)], "main button");
    visitor.sees_heading("message.reset_asked.title");
    fits(visitor);
    visitor.open(&story.mails.wait_for(&address, 1)[0].link());
    visitor.sees_heading("new_password.heading");
    fits(visitor);
    visitor.send(&[("password", "short"), ("password_again", "short")], "main button");
    assert!(visitor.chromium.text().contains(&visitor.words("verify.password_retype")));
    fits(visitor);
    let password = "correct horse battery";
    visitor.send(&[("password", password), ("password_again", password)], "main button");
    visitor.sees_heading("message.password_set.title");
    fits(visitor);
    visitor.open(&format!("{}reset_password?t=1", story.web.url()));
    visitor.sees_heading("message.reset_link_over.title");
    fits(visitor);
}

fn confirming_fits(visitor: &Visitor, link: &str) {
    visitor.open(link);
    visitor.sees_heading("verify.heading");
    fits(visitor);
    visitor.send(&[("password", "short"), ("password_again", "short")], "main button");
    assert!(visitor.chromium.text().contains(&visitor.words("verify.password_retype")));
    fits(visitor);
    let password = "correct horse battery";
    visitor.send(&[("password", password), ("password_again", password)], "main button");
    visitor.sees_heading("verified.heading");
    fits(visitor);
    visitor.open(link);
    visitor.sees_heading("verified.heading");
    fits(visitor);
}

fn deciding_fits(visitor: &Visitor, link: &str) {
    visitor.open(link);
    visitor.sees_heading("decide.heading");
    fits(visitor);
    visitor.send(&[("reason", &"W".repeat(2001))], "button.danger");
    visitor.sees_heading("decide.heading");
    assert!(visitor.chromium.text().contains(&visitor.words("form.error.reason_too_long")));
    fits(visitor);
    visitor.send(&[("reason", &"W".repeat(2000))], "button.danger");
    visitor.sees_heading("decided.declined_heading");
    fits(visitor);
    visitor.open(link);
    visitor.sees_heading("message.decided_declined.title");
    fits(visitor);
}

fn dead_ends_fit(visitor: &Visitor, site: &str) {
    for (page, heading) in [("verify", "link_missing"), ("verify?t=1", "link_unknown"), ("verify_admin?t=1", "request_unknown")] {
        visitor.open(&format!("{site}{page}"));
        visitor.sees_heading(&format!("message.{heading}.title"));
        fits(visitor);
    }
    visitor.open(&format!("{site}register?lang=%ff"));
    fits(visitor);
}

/// Checks the page at the widths of small phones (and of a large window at 400 % zoom), in both colour schemes.
pub fn fits(visitor: &Visitor) {
    for (width, dark) in [(280, false), (320, false), (320, true), (1280, true), (1280, false)] {
        visitor.chromium.resize(width, 640);
        visitor.chromium.prefer_dark(dark);
        for (what, script) in [("too wide", TOO_WIDE), ("too pale", TOO_PALE)] {
            let found = visitor.chromium.script(script, json!([]));
            assert_eq!(found, json!([]), "{what} at {width}, dark: {dark}, on {}: {}", visitor.chromium.url(), visitor.chromium.text());
        }
    }
}

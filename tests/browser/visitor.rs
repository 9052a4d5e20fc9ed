//! A visitor at a real browser, with a keyboard and no mouse.

use crate::words::words;
use crate::world::{Chromium, Focus, Key};
use serde_json::{Value, json};

/// The focus ring; the box around the username shows it for its field.
const RING: &str = "const e = document.activeElement.closest('.address') || document.activeElement, s = getComputedStyle(e); \
                    return s.outlineStyle === 'none' ? 0 : parseFloat(s.outlineWidth)";

/// The accessible description and state of the focused field.
const FIELD: &str = "const e = document.activeElement; return {invalid: e.getAttribute('aria-invalid'), about: \
                     (e.getAttribute('aria-describedby') || '').split(' ').map(id => document.getElementById(id)?.innerText)}";

/// Fills in `arguments[0]` and presses the button `arguments[1]` after the script ends.
const SEND: &str = "document.documentElement.dataset.left = 'yes'; for (const [name, value] of arguments[0]) { \
                    const e = document.querySelector(`[name=${name}]`); e.type === 'checkbox' ? e.checked = value : e.value = value } \
                    const button = document.querySelector(arguments[1]); setTimeout(() => button.click())";

/// A browser at one site.
pub struct Visitor {
    pub chromium: Chromium,
    language: String,
    /// The URL of the site.
    site: String,
}

impl Visitor {
    /// `language` is the browser's; `site` is the URL of the form.
    pub fn new(language: &str, site: &str) -> Visitor {
        let visitor = Visitor { chromium: Chromium::start(language), language: language.to_owned(), site: site.to_owned() };
        visitor.chromium.open("about:blank");
        visitor.forget_requests();
        visitor
    }

    /// From now on no page can run scripts.
    pub fn without_scripts(self) -> Visitor {
        self.chromium.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}));
        self.chromium.open("data:text/html,<title>none</title><script>document.title = 'scripts run'</script>");
        assert_eq!(self.chromium.title(), "none");
        self.forget_requests();
        self
    }

    /// The browser's own start page does not count.
    fn forget_requests(&self) {
        self.chromium.requests();
    }

    /// A text of the pages in the visitor's language.
    pub fn words(&self, key: &str) -> String {
        words(&self.language, key, &[])
    }

    pub fn open(&self, url: &str) {
        self.chromium.open(url);
    }

    /// Checks that the heading of the page says this, and that the page is in the visitor's language.
    pub fn sees_heading(&self, key: &str) {
        self.sees_heading_in(&self.language, key);
    }

    pub fn sees_heading_in(&self, language: &str, key: &str) {
        self.chromium.wait_until("return document.readyState === 'complete' && document.querySelector('h1') !== null");
        let seen = self.chromium.script("return [document.documentElement.lang, document.querySelector('h1')?.innerText]", json!([]));
        assert_eq!(seen, json!([language, words(language, key, &[])]), "{}: {}", self.chromium.url(), self.chromium.text());
    }

    /// Presses Tab until the field with this name has the focus, and types.
    pub fn fill(&self, name: &str, value: &str) {
        let focus = self.tab_until(name, |focus| focus.name == name);
        let label = words(&self.language, &format!("field.{name}"), &[]);
        assert!(focus.label.starts_with(&label), "{name} is called {:?}", focus.label);
        self.chromium.type_text(value);
        assert_eq!(self.chromium.focus().value, value);
    }

    /// Presses Tab until the field with this name has the focus, and types, whatever the field is called.
    pub fn type_into(&self, name: &str, value: &str) {
        self.tab_until(name, |focus| focus.name == name);
        self.chromium.type_text(value);
        assert_eq!(self.chromium.focus().value, value);
    }

    /// Presses Tab until the button, link or summary with this text has the focus.
    pub fn tab_to(&self, text: &str) -> Focus {
        self.tab_until(text, |focus| focus.text == text)
    }

    fn tab_until(&self, what: &str, is_it: impl Fn(&Focus) -> bool) -> Focus {
        for _ in 0..30 {
            self.chromium.press(Key::Tab);
            let focus = self.chromium.focus();
            if focus.tag != "body" {
                let ring = self.chromium.script(RING, json!([])).as_f64();
                assert!(focus.visible && ring >= Some(2.0), "one sees that {focus:?} has the keyboard; its ring is {ring:?} wide");
            }
            if is_it(&focus) {
                return focus;
            }
        }
        panic!("the keyboard does not reach {what} on {}", self.chromium.url())
    }

    /// Presses a key that leads to another page, and waits for that.
    pub fn leave_by(&self, key: Key) {
        self.chromium.script("document.documentElement.dataset.left = 'yes'", json!([]));
        self.chromium.press(key);
        self.arrive();
    }

    /// Fills in a form and presses the button that matches a CSS selector, for tests not about the keyboard.
    pub fn send(&self, fields: &[(&str, &str)], button: &str) {
        self.chromium.script(SEND, json!([fields, button]));
        self.arrive();
    }

    fn arrive(&self) {
        // The focus moves to its place when the page is drawn, which may be after it is complete.
        self.chromium.wait_until(
            "return !document.documentElement.dataset.left && document.readyState === 'complete' \
             && (!document.querySelector('[autofocus]') || document.activeElement !== document.body)",
        );
    }

    /// Goes from the focused error summary to the field of its only error.
    pub fn follows_the_mistake_to(&self, name: &str, sentence: &str) {
        let summary = self.chromium.focus();
        assert_eq!(summary.id, "problems", "the keyboard is at the summary: {summary:?}");
        assert_eq!(summary.label, self.words("register.problems_one"));
        assert!(summary.text.contains(sentence), "{}", summary.text);
        self.tab_to(&self.words(&format!("field.{name}")));
        self.chromium.press(Key::Enter);
        assert_eq!(self.chromium.focus().name, name, "the link leads to the field");
        let field = self.chromium.script(FIELD, json!([]));
        assert_eq!(field["invalid"], "true");
        let about = field["about"].as_array().unwrap();
        assert!(about.iter().all(Value::is_string) && about.iter().any(|text| text == sentence), "{about:?}");
    }

    /// Checks that a page with one field has the keyboard there, and says what is wrong with it.
    pub fn is_at_the_mistake(&self, name: &str, sentence: &str) {
        assert_eq!(self.chromium.focus().name, name);
        let field = self.chromium.script(FIELD, json!([]));
        assert_eq!(field["invalid"], "true");
        assert!(field["about"].as_array().is_some_and(|about| about.iter().any(|text| text == sentence)), "{field}");
    }

    /// Presses Tab until the field with this name has the focus.
    pub fn reach(&self, name: &str) {
        self.tab_until(name, |focus| focus.name == name);
    }

    /// Replaces the content of the focused field.
    pub fn replace(&self, value: &str) {
        self.chromium.press(Key::End);
        for _ in self.chromium.focus().value.chars() {
            self.chromium.press(Key::Backspace);
        }
        self.chromium.type_text(value);
        assert_eq!(self.chromium.focus().value, value);
    }

    /// Checks that nothing has been requested from another host, and that the browser has reported no problem.
    pub fn was_left_alone(&self) {
        let requests = self.chromium.requests();
        assert!(!requests.is_empty() && requests.iter().all(|url| url.starts_with(&self.site)), "{requests:#?}");
        let console: Vec<_> = self.chromium.console().into_iter().filter(|line| !is_our_answer(line)).collect();
        assert!(console.is_empty(), "{console:#?}");
    }
}

/// The console repeats the error status of a page that asks for corrections, or says that a link has expired.
fn is_our_answer(line: &str) -> bool {
    line.contains("the server responded with a status of 4")
}

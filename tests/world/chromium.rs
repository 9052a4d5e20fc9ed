//! A real browser, driven by keyboard over WebDriver (<https://www.w3.org/TR/webdriver2/>).

use super::process::{Process, guarded, log_to};
use super::{TempFolder, free_port, http};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A headless Chromium with a profile of its own.
#[derive(Debug)]
pub struct Chromium {
    agent: ureq::Agent,
    /// The URL of the WebDriver session.
    session: String,
    driver: Process,
    folder: TempFolder,
}

/// Keys that are not characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Tab,
    ShiftTab,
    Enter,
    Space,
    Escape,
    Backspace,
    End,
    ArrowDown,
    ArrowUp,
}

impl Key {
    /// WebDriver's characters for the keys, in the order in which they are pressed.
    fn codes(self) -> &'static [char] {
        match self {
            Key::Tab => &['\u{e004}'],
            Key::ShiftTab => &['\u{e008}', '\u{e004}'],
            Key::Enter => &['\u{e007}'],
            Key::Space => &[' '],
            Key::Escape => &['\u{e00c}'],
            Key::Backspace => &['\u{e003}'],
            Key::End => &['\u{e010}'],
            Key::ArrowDown => &['\u{e015}'],
            Key::ArrowUp => &['\u{e013}'],
        }
    }
}

/// The element with the keyboard focus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Focus {
    /// In lower case, such as `input`; `body` if nothing has the focus.
    pub tag: String,
    pub id: String,
    pub name: String,
    pub kind: String,
    pub value: String,
    pub text: String,
    /// The accessible name, as a screen reader says it.
    pub label: String,
    /// Whether the browser shows that the element has the focus.
    pub visible: bool,
}

impl Chromium {
    /// Starts a browser for a visitor who prefers this language.
    pub fn start(language: &str) -> Chromium {
        let folder = TempFolder::new("web");
        let port = free_port();
        let mut command = guarded("chromedriver");
        // A killed Chromium leaves its temporary files.
        command.env("TMPDIR", folder.path()).env("HOME", folder.path()).env("LANGUAGE", language);
        command.arg(format!("--port={port}"));
        let log = folder.join("chromedriver.log");
        log_to(&mut command, &log);
        let mut driver = Process::start("chromedriver", command, Some(&log));
        let agent = http::agent(60);
        let base = format!("http://127.0.0.1:{port}");
        driver.wait_until(20, || http::json(&agent, "GET", &format!("{base}/status"), None, None).is_ok());
        let session = new_session(&agent, &base, folder.path(), language);
        Chromium { agent, session, driver, folder }
    }

    /// Opens a URL and waits until the page is loaded.
    pub fn open(&self, url: &str) {
        self.post("url", json!({"url": url}));
    }

    /// The URL of the page.
    pub fn url(&self) -> String {
        text(&self.call("GET", "url", None))
    }

    pub fn title(&self) -> String {
        text(&self.call("GET", "title", None))
    }

    /// The visible text of the page.
    pub fn text(&self) -> String {
        text(&self.script("return document.body.innerText", json!([])))
    }

    /// Presses one key.
    pub fn press(&self, key: Key) {
        let down = key.codes().iter().map(|code| json!({"type": "keyDown", "value": code}));
        let up = key.codes().iter().rev().map(|code| json!({"type": "keyUp", "value": code}));
        self.keys(down.chain(up).collect());
    }

    /// Types a text, key by key, into the focused element.
    pub fn type_text(&self, text: &str) {
        let strokes = text.chars().flat_map(|c| [json!({"type": "keyDown", "value": c}), json!({"type": "keyUp", "value": c})]);
        self.keys(strokes.collect());
    }

    /// Presses Tab until the field or button with this name or id has the focus; panics after 50 attempts.
    pub fn tab_to(&self, name: &str) -> Focus {
        for _ in 0..50 {
            self.press(Key::Tab);
            let focus = self.focus();
            if focus.name == name || focus.id == name {
                return focus;
            }
        }
        panic!("the keyboard does not reach {name} on {}", self.url())
    }

    /// The element with the focus.
    pub fn focus(&self) -> Focus {
        let element = self.call("GET", "element/active", None);
        let found = self.script(
            "const e = arguments[0]; return {tag: e.tagName.toLowerCase(), id: e.id, name: e.name || '', kind: e.type || '', \
             value: e.value || '', text: e.innerText || '', visible: e.matches(':focus-visible')}",
            json!([element]),
        );
        let id = element.as_object().and_then(|element| element.values().next()).map(text).unwrap_or_default();
        let label = text(&self.call("GET", &format!("element/{id}/computedlabel"), None));
        let get = |key: &str| text(&found[key]);
        let visible = found["visible"] == true;
        Focus {
            tag: get("tag"),
            id: get("id"),
            name: get("name"),
            kind: get("kind"),
            value: get("value"),
            text: get("text"),
            label,
            visible,
        }
    }

    /// Waits until a script returns true; panics after ten seconds.
    pub fn wait_until(&self, script: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.script(script, json!([])) != true {
            assert!(Instant::now() < end, "`{script}` does not come true on {}; the page says:\n{}", self.url(), self.text());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs JavaScript in the page; `arguments` is an array.
    pub fn script(&self, script: &str, arguments: Value) -> Value {
        self.post("execute/sync", json!({"script": script, "args": arguments}))
    }

    /// Sets the size of the window in CSS pixels; it may be narrower than a real window can be.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// Sets the preferred colour scheme, and no motion, so that colours change at once.
    pub fn prefer_dark(&self, dark: bool) {
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        let motion = json!({"name": "prefers-reduced-motion", "value": "reduce"});
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [scheme, motion]}));
    }

    /// Saves the content of the window as a PNG.
    pub fn screenshot(&self, file: &Path) {
        let base64 = text(&self.call("GET", "screenshot", None));
        let png = data_encoding::BASE64.decode(base64.as_bytes()).expect("a screenshot is base64");
        fs::write(file, png).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
    }

    /// The console messages since the last call: errors, and violations of the page's policy.
    pub fn console(&self) -> Vec<String> {
        self.log("browser").iter().map(|entry| text(&entry["message"])).collect()
    }

    /// The URLs requested since the last call, including what the page loaded.
    pub fn requests(&self) -> Vec<String> {
        let events = self.log("performance").into_iter();
        let events = events.map(|entry| serde_json::from_str::<Value>(&text(&entry["message"])).unwrap_or_default()["message"].take());
        events
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .map(|event| text(&event["params"]["request"]["url"]))
            .collect()
    }

    /// A log of chromedriver; each entry is returned once.
    fn log(&self, kind: &str) -> Vec<Value> {
        self.post("se/log", json!({"type": kind})).as_array().cloned().unwrap_or_default()
    }

    /// A command of the Chrome DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({"cmd": command, "params": parameters}))
    }

    fn keys(&self, strokes: Vec<Value>) {
        self.post("actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}));
    }

    fn post(&self, what: &str, body: Value) -> Value {
        self.call("POST", what, Some(&body))
    }

    fn call(&self, method: &str, what: &str, body: Option<&Value>) -> Value {
        webdriver(&self.agent, method, &format!("{}/{what}", self.session), body)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = http::json(&http::agent(10), "DELETE", &self.session, None, None);
    }
}

fn new_session(agent: &ureq::Agent, base: &str, folder: &Path, language: &str) -> String {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &format!("--lang={language}"),
        &format!("--accept-lang={language}"),
        &profile,
    ];
    let options = json!({"binary": browser(folder), "args": arguments, "prefs": {"intl.accept_languages": language}});
    let logs = json!({"browser": "ALL", "performance": "ALL"});
    let body = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}});
    let url = format!("{base}/session");
    // On a busy machine Chromium sometimes ends while it starts.
    let is_open = |answer: &Result<(u16, Value), String>| answer.as_ref().is_ok_and(|(status, _)| *status == 200);
    let open = || http::json(agent, "POST", &url, None, Some(&body));
    let answer = (0..2).map(|_| open()).find(is_open).unwrap_or_else(open);
    let answer = value_of(answer, "POST", &url);
    format!("{url}/{}", text(&answer["sessionId"]))
}

/// A script that starts Chromium so that it ends with chromedriver, even if chromedriver is killed.
fn browser(folder: &Path) -> String {
    let script = folder.join("chromium");
    fs::write(&script, "#!/bin/sh\nexec setpriv --pdeathsig TERM -- chromium \"$@\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    script.to_string_lossy().into_owned()
}

/// Runs a WebDriver command and returns its value; panics on an error.
fn webdriver(agent: &ureq::Agent, method: &str, url: &str, body: Option<&Value>) -> Value {
    value_of(http::json(agent, method, url, None, body), method, url)
}

fn value_of(answer: Result<(u16, Value), String>, method: &str, url: &str) -> Value {
    let (status, mut answer) = answer.unwrap_or_else(|cause| panic!("chromedriver: {cause}"));
    assert!(status == 200, "chromedriver: {method} {url}: {status} {}: {}", answer["value"]["error"], answer["value"]["message"]);
    answer["value"].take()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

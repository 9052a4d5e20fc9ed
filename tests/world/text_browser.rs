//! Text browsers, controlled by keys in a tmux terminal.

use super::process::{Process, guarded};
use super::{Page, TempFolder};
use scraper::{ElementRef, Selector};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a screen may take to appear, in seconds.
const PATIENCE: u64 = 30;

/// The browsers, as packaged by Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Lynx,
    W3m,
    Links2,
    Elinks,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Kind::Lynx => "lynx",
            Kind::W3m => "w3m",
            Kind::Links2 => "links2",
            Kind::Elinks => "elinks",
        }
    }

    /// The key that moves to the next link or field.
    fn next(self) -> &'static str {
        match self {
            Kind::Lynx | Kind::W3m => "Tab",
            Kind::Links2 | Kind::Elinks => "Down",
        }
    }

    /// Keys to press before the first link or field has the focus.
    fn first(self) -> &'static [&'static str] {
        match self {
            Kind::W3m => &["Tab"],
            _ => &[],
        }
    }

    /// Keys to press before and after typing into a field.
    fn around(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Kind::Lynx | Kind::Links2 => (&[], &[]),
            Kind::Elinks => (&["Enter"], &[]),
            Kind::W3m => (&["Enter"], &["Enter"]),
        }
    }
}

/// A terminal with a browser in it; dropping this value ends both.
#[derive(Debug)]
pub struct TextBrowser {
    kind: Kind,
    socket: PathBuf,
    terminal: Process,
    _home: TempFolder,
}

impl TextBrowser {
    /// Opens a page and waits until `shown` is on the screen.
    pub fn open(kind: Kind, url: &str, shown: &str) -> TextBrowser {
        let home = TempFolder::new("text-browser");
        // Turns off the greeting and the confirmation before sending a form.
        for (folder, file, line) in
            [(".elinks", "elinks.conf", "set document.browse.forms.confirm_submit = 0\n"), (".links2", "links.cfg", "")]
        {
            fs::create_dir(home.join(folder)).unwrap();
            fs::write(home.join(folder).join(file), line).unwrap();
        }
        let socket = home.join("tmux");
        let mut server = guarded("tmux");
        server.env("HOME", home.path()).env("LANG", "C.UTF-8").env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null());
        server.args(["-f", "/dev/null", "-D", "-S"]).arg(&socket);
        let mut terminal = Process::start("tmux", server, None);
        terminal.wait_until(PATIENCE, || socket.exists());
        let browser = TextBrowser { kind, socket, terminal, _home: home };
        // As high as the page, so that nothing has to be scrolled.
        browser.tmux(&["new-session", "-d", "-x", "100", "-y", "200", kind.program(), url]);
        browser.wait_for(shown);
        if browser.screen().contains("[ OK ]") {
            browser.keys(&["Enter"]);
        }
        browser
    }

    /// Fills in fields in the order of the page and presses a button; fields and button are CSS selectors. `page` is the same
    /// page as HTML, to count the links and fields before each of them.
    pub fn send(&self, page: &Page, fields: &[(&str, &str)], button: &str) {
        let html = page.html();
        let stops: Vec<ElementRef> = html.select(&parse("a[href], input:not([type=hidden]), textarea, select, button")).collect();
        let place = |selector: &str| {
            let found = stops.iter().rposition(|element| parse(selector).matches(element));
            found.unwrap_or_else(|| panic!("nothing on the page is {selector}"))
        };
        self.keys(self.kind.first());
        let mut now = 0;
        for (selector, text) in fields {
            now = self.go_on(now, place(selector));
            let (before, after) = self.kind.around();
            self.keys(before);
            self.tmux(&["send-keys", "-l", "--", text]);
            let is_hidden = stops[now].attr("type") == Some("password");
            self.wait_for(if is_hidden { "****" } else { &text[text.len().saturating_sub(8)..] });
            self.keys(after);
        }
        self.go_on(now, place(button));
        self.keys(&["Enter"]);
    }

    fn go_on(&self, from: usize, to: usize) -> usize {
        assert!(from <= to, "in the order of the page");
        self.keys(&vec![self.kind.next(); to - from]);
        to
    }

    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// Waits until the screen shows a text, wherever its lines break. Returns the screen.
    pub fn wait_for(&self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(PATIENCE);
        loop {
            let screen = self.screen();
            if fold(&screen).contains(&fold(text)) {
                return screen;
            }
            assert!(Instant::now() < end, "{:?} does not show {text:?}:\n{}", self.kind, screen.trim_end());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn keys(&self, keys: &[&str]) {
        if !keys.is_empty() {
            self.tmux(&[&["send-keys"], keys].concat());
        }
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let done = Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).output().expect("tmux runs; see tests/world/install");
        assert!(done.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

impl Drop for TextBrowser {
    /// A browser that is asked to end writes its history into a folder that is removed already.
    fn drop(&mut self) {
        self.terminal.kill_all();
    }
}

fn parse(selector: &str) -> Selector {
    Selector::parse(selector).unwrap_or_else(|cause| panic!("{selector} is no CSS selector: {cause}"))
}

fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

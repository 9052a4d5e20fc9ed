//! One applicant's story: a site with all servers around it, and the steps of a registration.
//!
//! Not part of `world` itself, because it needs the programs that Cargo built for an integration test.
#![allow(dead_code, unused_imports)] // no test binary uses all of it

use crate::world::{
    Browser, Database, Engine, Form, Host, Mail, MailCatcher, Mas, Message, Page, SiteBuilder, SiteFolder, Synapse, WebServer,
    built_programs, pause,
};

pub use crate::world::fresh;

/// A site with all servers around it, for one test.
pub struct Story {
    // Before what its programs use, because fields are dropped in order.
    pub web: WebServer,
    pub synapse: Synapse,
    pub room: String,
    pub browser: Browser,
    pub mails: MailCatcher,
    pub site: SiteFolder,
    pub database: Database,
}

impl Story {
    /// With an SQLite database.
    pub fn start(mode: &str, host: Host) -> Story {
        Story::start_with(mode, host, |site| site)
    }

    /// `settings` changes the configuration before the servers start.
    pub fn start_with(mode: &str, host: Host, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Story {
        Story::on_with(Engine::Sqlite, mode, host, settings)
    }

    pub fn on(engine: Engine, mode: &str, host: Host) -> Story {
        Story::on_with(engine, mode, host, |site| site)
    }

    pub fn on_with(engine: Engine, mode: &str, host: Host, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Story {
        Story::in_database(Database::new(engine), mode, host, settings)
    }

    pub fn in_database(database: Database, mode: &str, host: Host, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Story {
        Story::at(Synapse::shared(), database, mode, host, settings)
    }

    /// With accounts in the stand-in for matrix-authentication-service.
    pub fn under_mas(mas: &Mas, engine: Engine, host: Host, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Story {
        Story::at(mas.synapse.clone(), Database::new(engine), "mas", host, |site| settings(site.mas(mas)))
    }

    /// At this homeserver.
    pub fn at(synapse: Synapse, database: Database, mode: &str, host: Host, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Story {
        let room = synapse.create_room();
        Story::in_room((synapse, room), database, host, |site| settings(site.mode(mode)))
    }

    /// In this room of a homeserver.
    pub fn in_room(
        (synapse, room): (Synapse, String),
        database: Database,
        host: Host,
        settings: impl FnOnce(SiteBuilder) -> SiteBuilder,
    ) -> Story {
        let mails = MailCatcher::start();
        let site = SiteFolder::new(&built_programs!()).synapse(&synapse).room(&room).mail(&mails).database(&database);
        let site = settings(site).create();
        let web = WebServer::start(&site, host);
        let browser = web.browser();
        Story { synapse, room, mails, site, web, browser, database }
    }

    /// The form, filled in for `localpart`.
    pub fn filled_form(&self, localpart: &str) -> Form {
        self.fill(self.browser.get("/register").form(), localpart)
    }

    /// Fills in the form as `localpart`.
    pub fn fill(&self, form: Form, localpart: &str) -> Form {
        let form = form.fill("first_name", "Ada").fill("last_name", "Lovelace-Größe").fill("username", localpart);
        form.fill("email", &address_of(localpart)).fill("note", "Hello & <b>welcome</b>\nsecond line").press("send", "1")
    }

    /// Sends the form and checks that the page confirms it.
    pub fn ask(&self, localpart: &str) -> Page {
        let page = self.browser.submit(&self.filled_form(localpart));
        assert_eq!(page.status, 200, "{}\n{}", page.text(), self.web.log());
        page
    }

    pub fn verify_mail(&self, localpart: &str) -> Mail {
        self.mails.wait_for(&address_of(localpart), 1).remove(0)
    }

    /// Opens the link in the mail and presses the button.
    pub fn confirm(&self, localpart: &str) -> Page {
        let page = self.browser.get(&self.verify_mail(localpart).link());
        assert_eq!(page.status, 200, "{}", page.text());
        self.browser.submit(&page.form())
    }

    /// Confirms the address and chooses a password.
    pub fn confirm_choosing(&self, localpart: &str, password: &str) -> Page {
        let form = self.browser.get(&self.verify_mail(localpart).link()).form();
        self.browser.submit(&form.fill("password", password).fill("password_again", password))
    }

    /// The room's message about `localpart`.
    pub fn room_message(&self, localpart: &str) -> Message {
        let mxid = self.synapse.user_id(localpart);
        let mut messages = self.synapse.wait_for_messages(&self.room, 1).into_iter().filter(|message| message.body.contains(&mxid));
        messages.next().unwrap_or_else(|| panic!("no message about {mxid}"))
    }

    /// What the message about `localpart` shows, once that contains `words`; panics after 30 seconds.
    pub fn room_shows(&self, localpart: &str, words: &str) -> String {
        let message = self.room_message(localpart);
        let start = std::time::Instant::now();
        loop {
            let shown = self.synapse.shown(&self.room, &message.event_id);
            if shown.contains(words) {
                return shown;
            }
            assert!(start.elapsed() < std::time::Duration::from_secs(30), "not {words:?}, but: {shown}\n{}", self.web.log());
            std::thread::sleep(pause(start));
        }
    }

    /// Opens the link in the room and sends a decision.
    pub fn decide(&self, localpart: &str, decision: &str, reason: &str) -> Page {
        let page = self.browser.get(&self.room_message(localpart).link());
        assert_eq!(page.status, 200, "{}", page.text());
        self.browser.submit(&decision_form(&page, decision, reason))
    }

    /// All steps before the decision.
    pub fn ask_and_confirm(&self, localpart: &str) {
        self.ask(localpart);
        assert_eq!(self.confirm(localpart).status, 200);
    }

    /// The state in the database.
    pub fn state(&self, localpart: &str) -> i64 {
        self.number(&format!("SELECT state FROM registrations WHERE username = '{localpart}' ORDER BY id DESC LIMIT 1"))
    }

    pub fn sql(&self, sql: &str) {
        self.database.sql(sql);
    }

    /// The single value that a query returns.
    pub fn text(&self, select: &str) -> String {
        let found = self.database.rows(select).concat();
        <[String; 1]>::try_from(found).unwrap_or_else(|found| panic!("{select}: {found:?}"))[0].clone()
    }

    pub fn number(&self, select: &str) -> i64 {
        self.text(select).parse().unwrap_or_else(|_| panic!("{select} gives no number"))
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

pub fn address_of(localpart: &str) -> String {
    format!("{localpart}@applicants.example.org")
}

/// The form of the decision page with the button `decision`.
pub fn decision_form(page: &Page, decision: &str, reason: &str) -> Form {
    let form = page.form();
    let form = form.put("decision", decision);
    if reason.is_empty() { form } else { form.put("reason", reason) }
}

/// The initial password in a credentials mail: four groups of five.
pub fn password_in(mail: &Mail) -> String {
    let is_password = |word: &&str| word.len() == 23 && word.split('-').count() == 4 && word.split('-').all(|group| group.len() == 5);
    mail.text.split_whitespace().find(is_password).unwrap_or_else(|| panic!("no password in {}", mail.text)).to_owned()
}

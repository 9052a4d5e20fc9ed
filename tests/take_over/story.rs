//! Continuing from a database of the PHP program: its links, its stuck rows and its passwords, with a real homeserver, a real
//! mail server and a real web server.

use crate::fixture::{Fixture, KnownRegistration};
use crate::world::{Browser, Host, MailCatcher, OwnSynapse, WebServer};
use crate::{decision_form, password_in};
use matrix_register_bot::domain::password;
use matrix_register_bot::outside::state_file::StateFile;
use std::process::Command;

/// An installation after the take-over.
struct Continued {
    own: OwnSynapse,
    mails: MailCatcher,
    fixture: Fixture,
    web: WebServer,
    browser: Browser,
    room: String,
}

impl Continued {
    /// `made_by_php`: accounts that the PHP program created in Synapse, but did not record or mail.
    fn start(folder: &str, made_by_php: &[&str]) -> Continued {
        let (own, mails) = (OwnSynapse::start(&[]), MailCatcher::start());
        let synapse = &own.synapse;
        for name in made_by_php {
            synapse.register(name, "what PHP made up");
        }
        // The bot is an administrator, as it must be to set a lost password.
        let room = synapse.create_room_of(&synapse.admin, &[&synapse.alice]);
        synapse.join(&room, &synapse.alice);
        let fixture = Fixture::load_with(folder, |site| {
            site.synapse(synapse).room(&room).mail(&mails).set("room.access_token", synapse.admin.token.as_str())
        });
        let web = WebServer::start(&fixture.site, Host::NginxSystemd);
        let browser = web.browser().with_language("en");
        Continued { own, mails, fixture, web, browser, room }
    }

    fn run_cron(&self) -> String {
        let output = self.fixture.site.run_cron();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn known(&self, username: &str) -> Vec<&KnownRegistration> {
        self.fixture.known.registrations.iter().filter(|row| row.username == username).collect()
    }

    /// Presses the button behind the link in PHP's mail.
    fn confirm(&self, username: &str) {
        let page = self.browser.get(&format!("//verify.php?t={}", self.known(username)[0].user.token));
        assert_eq!(page.status, 200, "{username}: {}\n{}", page.text(), self.web.log());
        assert_eq!(self.browser.submit(&page.form()).status, 200);
        let mxid = self.own.synapse.user_id(username);
        let told = self.own.synapse.messages(&self.room).iter().filter(|message| message.body.contains(&mxid)).count();
        assert_eq!(told, 1, "{username}");
    }

    /// Approves with the link that PHP posted.
    fn approve(&self, row: &KnownRegistration) -> String {
        let page = self.browser.get(&format!("//verify_admin.php?t={}&d=allow", row.admin.token));
        assert_eq!(page.status, 200, "{}: {}\n{}", row.username, page.text(), self.web.log());
        self.browser.submit(&decision_form(&page, "approve", "")).text()
    }

    /// Checks that the credentials arrived and work; or, if the room had approved before, the password that was typed in PHP's
    /// form.
    fn assert_account(&self, username: &str) {
        let row = self.known(username)[0];
        let mail = self.mails.wait_for(&row.email, 1).pop().expect("a mail");
        assert!(mail.text.contains(&self.own.synapse.user_id(username)), "{}", mail.text);
        let password = row.clear.clone().filter(|_| row.state >= 7).unwrap_or_else(|| password_in(&mail));
        let is_in = match self.fixture.known.mode.as_str() {
            "local" => self.fixture.logs_in(username, &password),
            _ => self.own.synapse.login(username, &password).is_ok(),
        };
        assert!(is_in, "{username}");
    }

    fn goes_on(&self) {
        let said = self.run_cron();
        assert!(said.contains("php_database_taken_over"), "{said}");
        self.assert_account("register7");
        self.assert_account("mail8");
        self.confirm("verifyme");
        assert!(self.approve(self.known("waitadmin")[0]).contains("Approved"));
        self.assert_account("waitadmin");
        let mails = self.mails.count();
        assert_eq!(self.run_cron(), "", "nothing is left to do, and nothing is done twice");
        assert_eq!(self.mails.count(), mails);
    }

    fn a_name_that_two_have_goes_to_one(&self) {
        let racers: Vec<_> =
            self.fixture.known.registrations.iter().filter(|row| row.username.starts_with("racer") && row.state == 6).collect();
        let [first, second] = racers[..] else { panic!("{racers:?}") };
        assert_eq!(first.username, second.username);
        assert!(self.approve(first).contains("Approved"));
        self.approve(second);
        let told = self.mails.wait_for(&second.email, 1).pop().expect("a mail");
        assert!(told.text.contains("did not create the account"), "{}", told.text);
        assert_eq!(self.mails.mails(&first.email).len(), 1);
    }
}

#[test]
fn sqlite_in_synapse_mode_goes_on() {
    let continued = Continued::start("sqlite-synapse", &["cronregister", "mail8"]);
    continued.goes_on();
    assert!(continued.fixture.states().contains(&("cronregister".into(), 100)), "PHP's cron made it again and again");
    assert_eq!(continued.mails.mails("cronregister@example.org").len(), 0, "and mailed it");
    assert_eq!(continued.mails.mails("cronmail@example.org").len(), 1);
    continued.confirm("cronmail");
}

/// Our own account, created before the answer was lost. It must not be taken for one of PHP, whose password was mailed already.
#[test]
fn an_account_of_ours_whose_answer_was_lost_gets_its_mail() {
    let continued = Continued::start("sqlite-synapse", &["mail8"]);
    continued.fixture.start_a_program(None);
    let row = &continued.fixture.database.rows("SELECT seed, account_tried_at FROM registrations WHERE username = 'register7'")[0];
    assert_ne!(row[1], "NULL", "PHP's cron tried, too");
    let secret = StateFile::inside(continued.fixture.site.path()).secret().unwrap();
    continued.own.synapse.register("register7", &password::initial(&secret, &row[0]));
    continued.run_cron();
    continued.assert_account("register7");
}

#[test]
fn mariadb_in_local_mode_goes_on() {
    let continued = Continued::start("mariadb-local", &[]);
    continued.goes_on();
    continued.a_name_that_two_have_goes_to_one();
}

#[test]
fn postgresql_in_synapse_mode_with_typed_passwords_goes_on() {
    let continued = Continued::start("postgresql-synapse-getpw", &[]);
    continued.own.synapse.register("mail8", "Typed-mail8-1");
    continued.goes_on();
}

/// An account that PHP's cron may have created is older than the take-over.
#[test]
fn a_yes_of_today_takes_nobodys_account_for_phps() {
    let continued = Continued::start("sqlite-synapse", &["waitadmin", "mail8"]);
    continued.fixture.start_a_program(None);
    // Approved here; the homeserver's first answer was lost, in the second of the decision.
    let row = "state = 7, state_since = 1700000000, decided_at = 1700000000, account_tried_at = 1700000000";
    continued.fixture.database.sql(&format!("UPDATE registrations SET {row} WHERE username = 'waitadmin'"));
    continued.run_cron();
    let told = continued.mails.wait_for(&continued.known("waitadmin")[0].email, 1).pop().expect("a mail");
    assert!(told.text.contains("did not create the account"), "{}", told.text);
}

#[test]
fn an_account_that_was_used_gets_no_new_password() {
    let continued = Continued::start("postgresql-synapse", &["mail8"]);
    let token = continued.own.synapse.login("mail8", "what PHP made up").unwrap();
    // Synapse records the use of a token with a delay of some seconds.
    let path = "/_matrix/client/v3/account/whoami";
    let facts = format!("/_synapse/admin/v2/users/{}", continued.own.synapse.user_id("mail8"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while continued.own.synapse.call("GET", &facts, Some(&continued.own.synapse.admin.token), None).1["last_seen_ts"].is_null() {
        assert_eq!(continued.own.synapse.call("GET", path, Some(&token), None).0, 200);
        assert!(std::time::Instant::now() < end, "Synapse never noted the use");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    continued.fixture.start_a_program(None);
    for forgotten in ["", "DELETE FROM user_ips"] {
        continued.own.sql(forgotten);
        continued.fixture.database.sql("UPDATE registrations SET due_at = 0");
        let output = Command::new(continued.fixture.site.program("cron")).arg("-v").output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{forgotten}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("was used already"), "{forgotten}: {output:?}");
    }
    assert!(continued.own.synapse.login("mail8", "what PHP made up").is_ok());
    assert_eq!(continued.mails.mails("mail8@example.org").len(), 0);
}

//! What the sysadmin and the users find after the take-over.

use crate::fixture::Fixture;
use crate::world::Engine;
use std::process::Command;

pub fn everything_goes_on_where_it_was(folder: &str) {
    let fixture = Fixture::load_with_phps_hashes(folder, 2);
    let original = fixture.database.dump();
    a_dry_run_says_what_would_happen_and_changes_nothing(&fixture, &original);

    let first = fixture.start_a_program(None);
    assert!(String::from_utf8_lossy(&first.stdout).contains("\"success\":false"), "{first:?}");
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(said.contains("php_database_taken_over"), "{said}");
    assert_eq!(fixture.states(), fixture.expected_states());
    no_password_is_left_in_clear(&fixture, &original);
    usernames_are_claimed_once(&fixture, &said);
    the_second_time_changes_nothing(&fixture);
    links_that_were_handed_out_work(&fixture);
    the_bots_password_is_hashed_anew(&fixture);
    everybody_logs_in_with_the_old_password(&fixture);
    the_bots_account_is_found_by_nobody(&fixture);
}

fn a_dry_run_says_what_would_happen_and_changes_nothing(fixture: &Fixture, original: &[u8]) {
    let preview = Command::new(fixture.site.program("cron")).arg("--dry-run").output().unwrap();
    let text = String::from_utf8_lossy(&preview.stdout).into_owned();
    let expected = format!("{} requests, {} accounts", fixture.known.registrations.len(), fixture.known.logins.len());
    assert!(preview.status.success() && text.contains(&expected) && text.contains("Nothing was changed"), "{preview:?}");
    assert!(without_noise(&fixture.database.dump()) == without_noise(original), "the dry run changed something");
}

fn no_password_is_left_in_clear(fixture: &Fixture, original: &[u8]) {
    fixture.assert_no_clear_password();
    if fixture.database.engine() == Engine::Sqlite {
        let opened = Command::new(fixture.site.program("cron")).arg("--open-backup").arg(fixture.backup()).output().unwrap();
        assert!(opened.status.success() && opened.stdout == original, "the backup is the database as it was");
    }
}

fn usernames_are_claimed_once(fixture: &Fixture, said: &str) {
    let rows = fixture.database.rows("SELECT username, claimed_username FROM registrations WHERE state NOT IN (13)");
    let twice: Vec<&str> = rows.iter().filter(|row| row[1] == "NULL").map(|row| row[0].as_str()).collect();
    for name in &twice {
        assert!(rows.iter().any(|row| row[1] == *name), "{name} is claimed by one of both");
        assert!(said.contains(&format!("asks for the username \"{name}\"")), "{said}");
    }
    let claims = rows.iter().filter(|row| row[1] != "NULL").count();
    assert_eq!(claims + twice.len(), rows.len());
}

fn the_second_time_changes_nothing(fixture: &Fixture) {
    let forget_guesses = || fixture.database.sql("DELETE FROM guesses");
    forget_guesses();
    let before = fixture.states_and_all();
    let second = fixture.start_a_program(None);
    assert!(!String::from_utf8_lossy(&second.stderr).contains("taken_over"), "{second:?}");
    forget_guesses();
    assert_eq!(before, fixture.states_and_all());
    let preview = Command::new(fixture.site.program("cron")).arg("--dry-run").output().unwrap();
    assert!(String::from_utf8_lossy(&preview.stdout).contains("nothing to take over"), "{preview:?}");
}

fn links_that_were_handed_out_work(fixture: &Fixture) {
    for row in &fixture.known.registrations {
        for (program, link) in [("verify", &row.user), ("verify_admin", &row.admin)] {
            let page = fixture.open_link(program, &link.token);
            // To confirm, or to approve. The applicant can also withdraw, and a moderator take a "no" back.
            let has_button = page.contains("<button>") && !page.contains("value=\"take_back\"");
            // Links that were not sent yet will be; anybody who has one already may use it.
            let works = link.works || (program, row.state) == ("verify", 0) || (program, row.state) == ("verify_admin", 5);
            assert_eq!(has_button, works, "{program} of {} in state {}: {page}", row.username, row.state);
            assert!(
                !page.contains("does not work") && !page.contains("could not find"),
                "{program} of {} in state {}",
                row.username,
                row.state
            );
        }
    }
}

fn everybody_logs_in_with_the_old_password(fixture: &Fixture) {
    for login in &fixture.known.logins {
        let was_told = fixture.known.registrations.iter().all(|row| row.username != login.localpart || row.state != 8);
        assert_eq!(fixture.logs_in(&login.localpart, &login.clear_password), was_told, "{}", login.localpart);
    }
}

/// The only known password in clear: the bot may never log in with it again, and would keep a PHP hash forever.
fn the_bots_password_is_hashed_anew(fixture: &Fixture) {
    let rows = fixture.database.rows("SELECT password_hash FROM logins WHERE localpart = 'register_bot'");
    assert!(rows.iter().all(|row| row[0].starts_with("$argon2id$")), "{rows:?}");
    let others = fixture.database.rows("SELECT password_hash FROM logins WHERE localpart <> 'register_bot'");
    assert!(others.is_empty() || others.iter().any(|row| row[0].starts_with("$2y$")), "{others:?}");
}

fn the_bots_account_is_found_by_nobody(fixture: &Fixture) {
    for (program, body) in [
        ("directory_search", r#"{"by":"name","search_term":"register"}"#),
        ("directory_search", r#"{"by":"threepid","search_term":"register_bot"}"#),
        ("identity_single", r#"{"lookup":{"medium":"email","address":"register_bot@example.test"}}"#),
    ] {
        let answer = fixture.post(program, &[], None, body.as_bytes());
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(text.contains("200") && !text.contains("register_bot\""), "{text}");
    }
}

impl Fixture {
    /// All of our tables, for a comparison.
    fn states_and_all(&self) -> Vec<Vec<Vec<String>>> {
        ["registrations", "logins", "php_links", "directory_terms", "schema_version"]
            .map(|table| {
                let mut rows = self.database.rows(&format!("SELECT * FROM {table}"));
                rows.sort();
                rows
            })
            .into()
    }
}

/// A dump without lines that always differ.
fn without_noise(dump: &[u8]) -> Vec<u8> {
    let is_noise =
        |line: &&[u8]| !(line.starts_with(b"-- Dump completed") || line.starts_with(b"\\restrict") || line.starts_with(b"\\unrestrict"));
    dump.split(|byte| *byte == b'\n').filter(is_noise).collect::<Vec<_>>().join(&b'\n')
}

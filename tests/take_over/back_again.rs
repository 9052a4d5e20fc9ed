//! Returning to the PHP program without dropping our tables, and moving a second time.

use crate::fixture::Fixture;
use crate::world::Engine;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDERS: [&str; 3] = ["sqlite-local", "mariadb-local", "postgresql-local"];

fn files(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/php").join(folder)
}

/// Replaces our two tables by those of the PHP program, and leaves all others.
fn load_over_ours(fixture: &Fixture, folder: &str) {
    match fixture.database.engine() {
        Engine::Sqlite => fixture.database.sql(&format!(
            "PRAGMA foreign_keys = OFF; DROP TABLE registrations; DROP TABLE logins; ATTACH '{}' AS php;
             CREATE TABLE registrations AS SELECT * FROM php.registrations; CREATE TABLE logins AS SELECT * FROM php.logins",
            files(folder).join("db_file.sqlite").display()
        )),
        Engine::Postgres => {
            fixture.database.sql("DROP TABLE registrations, logins CASCADE");
            fixture.database.load_dump(&files(folder).join("dump.sql"));
        }
        // The dump itself drops both tables.
        Engine::Mariadb => fixture.database.load_dump(&files(folder).join("dump.sql")),
    }
}

fn is_taken_over(fixture: &Fixture) {
    let again = fixture.start_a_program(None);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("php_database_taken_over"), "{again:?}");
    assert_eq!(fixture.states(), fixture.expected_states());
    let login = fixture.known.logins.iter().find(|login| login.localpart != "mail8").unwrap();
    assert!(fixture.logs_in(&login.localpart, &login.clear_password), "{}", login.localpart);
}

#[test]
fn who_went_back_to_php_can_move_a_second_time() {
    for folder in FOLDERS {
        let fixture = Fixture::load(folder);
        is_taken_over(&fixture);
        load_over_ours(&fixture, folder);
        let preview = Command::new(fixture.site.program("cron")).arg("--dry-run").output().unwrap();
        let text = String::from_utf8_lossy(&preview.stdout).into_owned();
        let expected = format!("{} requests, {} accounts", fixture.known.registrations.len(), fixture.known.logins.len());
        assert!(text.contains(&expected), "{folder}: {preview:?}");
        let killed = fixture.start_a_program(Some("take-over former table dropped"));
        assert_eq!(killed.status.signal(), Some(9), "{folder}: {killed:?}");
        is_taken_over(&fixture);
        assert!(fixture.site.run_cron().status.code().is_some_and(|code| code == 0 || code == 75));
        fixture.assert_no_clear_password();
    }
}

#[test]
fn accounts_of_ours_are_not_dropped_where_only_the_requests_were_put_back() {
    let fixture = Fixture::load("mariadb-local");
    is_taken_over(&fixture);
    fixture.database.sql("RENAME TABLE logins TO kept");
    load_over_ours(&fixture, "mariadb-local");
    fixture.database.sql("DROP TABLE logins; RENAME TABLE kept TO logins");
    let refused = fixture.start_a_program(None);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds accounts"), "{refused:?}");
    assert_ne!(fixture.database.rows("SELECT COUNT(*) FROM logins"), [["0"]]);
}

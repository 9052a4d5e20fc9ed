//! Rows and tables that differ from what the PHP program usually left.

use crate::fixture::{Fixture, KnownLogin};

const FOLDERS: [&str; 3] = ["sqlite-local", "mariadb-local", "postgresql-local"];

fn in_each_database(test: fn(&Fixture)) {
    FOLDERS.into_iter().map(Fixture::load).for_each(|fixture| test(&fixture));
}

/// An account whose owner knows the password.
fn somebody(fixture: &Fixture) -> &KnownLogin {
    let was_told = |login: &&KnownLogin| fixture.known.registrations.iter().all(|row| row.username != login.localpart || row.state != 8);
    fixture.known.logins.iter().find(was_told).expect("a fixture has such an account")
}

fn take_over(fixture: &Fixture) -> String {
    let output = fixture.start_a_program(None);
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"success\":false"), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn of_two_accounts_with_one_name_the_active_one_keeps_it() {
    in_each_database(|fixture| {
        let login = somebody(fixture);
        let columns = "first_name, last_name, localpart, password_hash, email, create_date";
        fixture.database.sql(&format!(
            "INSERT INTO logins (active, {columns}) SELECT 1, {columns} FROM logins WHERE localpart = '{}'",
            login.localpart
        ));
        let first = fixture.database.rows(&format!("SELECT MIN({}) FROM logins WHERE localpart = '{}'", fixture.id(), login.localpart));
        fixture.database.sql(&format!("UPDATE logins SET active = 0 WHERE {} = {}", fixture.id(), first[0][0]));
        let said = take_over(fixture);
        assert!(said.contains("is switched off"), "{said}");
        assert!(fixture.logs_in(&login.localpart, &login.clear_password));
    });
}

/// The site was switched to local mode, and Synapse has the account with the typed password.
#[test]
fn an_account_that_only_synapse_has_is_remarked_in_local_mode() {
    let fixture = Fixture::load_with("sqlite-synapse-getpw", |site| site.mode("local"));
    let said = take_over(&fixture);
    assert!(said.contains("localdb_enabled") && said.contains("\"mail8\""), "{said}");
}

/// Anybody could have typed it for any address.
#[test]
fn a_password_typed_in_phps_form_never_becomes_that_of_an_account_in_our_table() {
    in_each_database(|fixture| {
        fixture.database.sql("UPDATE registrations SET password = 'a stranger typed it' WHERE username = 'register7'");
        take_over(fixture);
        let kept = fixture.database.rows("SELECT state, password, password_chosen FROM registrations WHERE username = 'register7'");
        assert_eq!(kept, [["7", "NULL", "0"]]);
    });
}

#[test]
fn who_was_not_quite_active_stays_out() {
    in_each_database(|fixture| {
        let login = somebody(fixture);
        fixture.database.sql(&format!("UPDATE logins SET active = NULL WHERE localpart = '{}'", login.localpart));
        take_over(fixture);
        assert!(!fixture.logs_in(&login.localpart, &login.clear_password));
    });
}

#[test]
fn an_address_that_was_corrected_in_the_account_gets_no_password_at_the_old_one() {
    in_each_database(|fixture| {
        fixture.database.sql("UPDATE logins SET email = 'right@example.org' WHERE localpart = 'mail8'");
        let said = take_over(fixture);
        assert!(said.contains("has another mail address"), "{said}");
        assert!(fixture.states().contains(&("mail8".into(), 100)), "{:?}", fixture.states());
    });
}

#[test]
fn a_database_from_before_there_were_typed_passwords_is_taken_over() {
    in_each_database(|fixture| {
        fixture.database.sql("ALTER TABLE registrations DROP COLUMN password");
        take_over(fixture);
        assert_eq!(fixture.states(), fixture.expected_states());
    });
}

#[test]
fn a_database_that_cannot_be_read_is_left_as_it_is() {
    in_each_database(|fixture| {
        fixture.database.sql("ALTER TABLE registrations DROP COLUMN note");
        let output = fixture.start_a_program(None);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("\"success\""), "{output:?}");
        let rows = fixture.database.rows("SELECT verify_token FROM registrations");
        assert_eq!(rows.len(), fixture.known.registrations.len());
    });
}

#[test]
fn what_keeps_phps_tables_from_being_dropped_keeps_cron_from_nothing_else() {
    let fixture = Fixture::load("postgresql-local-getpw");
    fixture.database.sql("CREATE VIEW waiting AS SELECT username FROM registrations; CREATE VIEW people AS SELECT localpart FROM logins");
    let said = take_over(&fixture);
    assert!(said.contains("php_tables_left"), "{said}");
    fixture.assert_no_clear_password();
    fixture.database.sql("UPDATE registrations SET state = 1, state_since = 1000 WHERE username = 'verifyme'");
    let said = String::from_utf8_lossy(&fixture.site.run_cron().stderr).into_owned();
    assert!(said.contains("php_tables_left") && said.contains("depend on it"), "{said}");
    assert!(fixture.states().contains(&("verifyme".into(), 14)), "{:?}", fixture.states());
}

impl Fixture {
    /// On SQLite the PHP program's rows have no ids.
    fn id(&self) -> &'static str {
        if self.known.engine == "sqlite" { "rowid" } else { "id" }
    }
}

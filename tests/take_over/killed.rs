//! Power failures during the take-over.

use crate::fixture::Fixture;
use crate::world::Engine;
use std::os::unix::process::ExitStatusExt;

/// The points of a take-over in order.
fn points(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Sqlite => &[
            "take-over locked",
            "take-over backup written",
            "take-over put aside",
            "take-over tables made",
            "take-over copied",
            "take-over committed",
            "take-over emptied",
            "take-over vacuumed",
            "take-over dropped",
        ],
        Engine::Postgres => &[
            "take-over locked",
            "take-over put aside",
            "take-over tables made",
            "take-over copied",
            "take-over committed",
            "take-over dropped",
        ],
        Engine::Mariadb => &[
            "take-over locked",
            "take-over put aside",
            "take-over schema started",
            "take-over tables made",
            "take-over copied",
            "take-over committed",
            "take-over dropped",
        ],
    }
}

/// Killed at each point in turn, with one database: each program continues where the last one died, or starts again.
pub fn a_program_killed_at_any_step_only_delays(folder: &str) {
    for point in points(Fixture::engine_of(folder)) {
        let fixture = Fixture::load(folder);
        let killed = fixture.start_a_program(Some(point));
        assert_eq!(killed.status.signal(), Some(9), "{point}: {killed:?}");
        let again = fixture.start_a_program(None);
        assert!(again.status.success() && String::from_utf8_lossy(&again.stdout).contains("\"success\":false"), "{point}: {again:?}");
        assert_eq!(fixture.states(), fixture.expected_states(), "{point}");
        // If the first program died after the database became ours, cron wipes the rest; mail server and homeserver are
        // unavailable.
        let cron = fixture.site.run_cron();
        assert!(cron.status.code().is_some_and(|code| code == 0 || code == 75), "{point}: {cron:?}");
        fixture.assert_no_clear_password();
        assert_eq!(tables_left(&fixture), 0, "{point}");
    }
}

fn tables_left(fixture: &Fixture) -> usize {
    let catalog = match fixture.database.engine() {
        Engine::Sqlite => "SELECT name FROM sqlite_master WHERE name IN ('php_registrations', 'php_logins')",
        Engine::Postgres => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name IN ('php_registrations', 'php_logins')"
        }
        Engine::Mariadb => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ('php_registrations', 'php_logins')"
        }
    };
    fixture.database.rows(catalog).len()
}

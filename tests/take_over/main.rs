//! Taking over databases written by the PHP program: `tests/fixtures/php` says what must still work afterwards.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod afterwards;
mod back_again;
mod files;
mod fixture;
mod killed;
mod odd_rows;
mod story;

use fixture::Fixture;
use the_story::{decision_form, password_in};

/// A test for each fixture.
macro_rules! for_every_fixture {
    ($($module:ident $folder:literal)*) => {$(
        mod $module {
            #[test]
            fn everything_goes_on_where_it_was() {
                crate::afterwards::everything_goes_on_where_it_was($folder);
            }

            #[test]
            fn a_program_killed_at_any_step_only_delays() {
                crate::killed::a_program_killed_at_any_step_only_delays($folder);
            }
        }
    )*};
}
for_every_fixture! {
    sqlite_local "sqlite-local"
    sqlite_local_getpw "sqlite-local-getpw"
    sqlite_switched "sqlite-switched"
    sqlite_synapse "sqlite-synapse"
    sqlite_synapse_getpw "sqlite-synapse-getpw"
    mariadb_local "mariadb-local"
    mariadb_local_getpw "mariadb-local-getpw"
    mariadb_synapse "mariadb-synapse"
    mariadb_synapse_getpw "mariadb-synapse-getpw"
    postgresql_local "postgresql-local"
    postgresql_local_getpw "postgresql-local-getpw"
    postgresql_synapse "postgresql-synapse"
    postgresql_synapse_getpw "postgresql-synapse-getpw"
}

#[test]
fn every_fixture_has_its_tests() {
    let known = include_str!("main.rs");
    for folder in Fixture::all_folders() {
        assert!(known.contains(&format!("\"{folder}\"")), "{folder}");
    }
}

//! The steps of the schema, the same for all databases, and the errors about databases with another schema.

use super::{Driver, Error};

/// One step: its statements in the SQL dialect of each database. `0001_initial` is step 1.
pub(super) struct Step {
    #[cfg(feature = "sqlite")]
    pub sqlite: &'static str,
    #[cfg(feature = "postgres")]
    pub postgres: &'static str,
    /// Each statement can be repeated, because MariaDB and MySQL cannot roll back a `CREATE TABLE`.
    #[cfg(feature = "mysql")]
    pub mysql: &'static str,
}

impl Step {
    /// In the dialect of some database; all have the same tables.
    #[allow(unreachable_code)] // where several drivers are built in
    fn any(&self) -> &'static str {
        #[cfg(feature = "sqlite")]
        return self.sqlite;
        #[cfg(feature = "postgres")]
        return self.postgres;
        #[cfg(feature = "mysql")]
        return self.mysql;
    }
}

macro_rules! steps {
    ($($name:literal),*) => {
        [$(Step {
            #[cfg(feature = "sqlite")]
            sqlite: include_str!(concat!("schema/sqlite/", $name, ".sql")),
            #[cfg(feature = "postgres")]
            postgres: include_str!(concat!("schema/postgres/", $name, ".sql")),
            #[cfg(feature = "mysql")]
            mysql: include_str!(concat!("schema/mysql/", $name, ".sql")),
        }),*]
    };
}

/// All steps. `schema_version` stores the number of completed ones.
pub(super) const STEPS: [Step; 27] = steps!(
    "0001_initial",
    "0002_php_links",
    "0003_allowances",
    "0004_typed_passwords",
    "0005_directory_folding",
    "0006_former_links",
    "0007_familiar_networks",
    "0008_queue",
    "0009_hidden_field",
    "0010_trusted_clock",
    "0011_own_page",
    "0012_password_resets",
    "0013_thanks",
    "0014_decisions",
    "0015_room_messages",
    "0016_live_messages",
    "0017_memory",
    "0018_room_words",
    "0019_modes",
    "0020_account_notes",
    "0021_form_closed",
    "0022_words_put_off",
    "0023_former_numbers",
    "0024_tallies",
    "0025_indexes",
    "0026_used_reset_links",
    "0027_weeks"
);

/// Runs before the first step.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) const START: &str = "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0)";

/// The schema version; an error if the tables are not ours although `schema_version` exists.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) const VERSION_IF_OURS: &str =
    "SELECT version FROM schema_version WHERE NOT EXISTS (SELECT seed FROM registrations WHERE id < 0)";

/// All tables of the steps, later ones first, so that none is dropped before tables that refer to it.
pub(super) fn tables() -> Vec<&'static str> {
    let statements = STEPS.iter().rev().flat_map(|step| step.any().split(';').rev());
    let made = statements.filter_map(|statement| Some(statement.split_once("CREATE TABLE ")?.1));
    made.filter_map(|made| made.trim_start_matches("IF NOT EXISTS ").split(' ').next()).collect()
}

/// The schema version of this program.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// The PHP program's table of registrations, as a take-over renames it.
pub(super) const PHP_REGISTRATIONS: &str = "php_registrations";

/// The steps that a database of `version` still needs; an error if a newer program has upgraded it.
pub(super) fn steps_after(version: i64) -> Result<&'static [Step], Error> {
    usize::try_from(version).ok().and_then(|done| STEPS.get(done..)).ok_or_else(|| {
        Error::Unfit(format!(
            "the database has schema version {version} and this program knows {KNOWN}: it was used by a newer version; install that one again"
        ))
    })
}

/// Checks that the tables of a database with this schema version are not those of another program.
///
/// Loading a dump of the PHP program's database over our tables does not change `schema_version`.
pub(super) fn check_for_others(driver: &mut dyn Driver, version: Option<i64>) -> Result<(), Error> {
    let begun = version.unwrap_or(0) > 0;
    if driver.has("registrations", "verify_token")? || (!begun && driver.has(PHP_REGISTRATIONS, "verify_token")?) {
        return Err(Error::OfPhp);
    }
    if version.is_none() && (driver.has("registrations", "id")? || driver.has("logins", "id")?) {
        return Err(Error::Unfit(
            "the database was made by another program (there are tables, but no schema_version); name another database".into(),
        ));
    }
    Ok(())
}

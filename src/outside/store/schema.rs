//! The steps of the schema, the same for all databases, and what is said about a database that they do not fit.

use super::{Driver, Error};

/// One step: its statements in the language of each database. `0001_initial` is step 1.
pub(super) struct Step {
    #[cfg(feature = "sqlite")]
    pub sqlite: &'static str,
    #[cfg(feature = "postgres")]
    pub postgres: &'static str,
    /// Each can be repeated: this server cannot undo a `CREATE TABLE`.
    #[cfg(feature = "mysql")]
    pub mysql: &'static str,
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

/// The number of steps that were done is kept in `schema_version`.
pub(super) const STEPS: [Step; 7] = steps!(
    "0001_initial",
    "0002_php_links",
    "0003_allowances",
    "0004_typed_passwords",
    "0005_directory_folding",
    "0006_former_links",
    "0007_familiar_networks"
);

/// What comes before the first step.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) const START: &str = "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0)";

/// The version that this program works with.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// The PHP program's table of registrations, once a take-over has put it aside.
pub(super) const PHP_REGISTRATIONS: &str = "php_registrations";

/// The steps that a database of `version` still needs; an error where a newer program was at it.
pub(super) fn steps_after(version: i64) -> Result<&'static [Step], Error> {
    usize::try_from(version).ok().and_then(|done| STEPS.get(done..)).ok_or_else(|| {
        Error::Unfit(format!(
            "the database has schema version {version} and this program knows {KNOWN}: it was used by a newer version; install that one again"
        ))
    })
}

/// Whether the tables of an empty schema may be made: not beside those of another program.
pub(super) fn check_for_others(driver: &mut dyn Driver) -> Result<(), Error> {
    if driver.has("registrations", "verify_token")? || driver.has(PHP_REGISTRATIONS, "verify_token")? {
        return Err(Error::OfPhp);
    }
    if driver.has("registrations", "id")? || driver.has("logins", "id")? {
        return Err(Error::Unfit(
            "the database was made by another program (there are tables, but no schema_version); name another database".into(),
        ));
    }
    Ok(())
}

//! SQLite: the embedded default.
//!
//! WAL mode, so that readers and a writer do not block each other, with `synchronous = FULL`, so that accepted requests survive
//! a power failure. Writers take the lock at the start of a transaction (`BEGIN IMMEDIATE`) and wait for it.

use super::row::list_of;
use super::{Access, Driver, Error, HASTY_WAIT, Owners, Row, Value, WAIT, schema};
use crate::outside::watched::Stamp;
use crate::outside::{disk, ownership};
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, params_from_iter};
use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// Device and inode of the file that was opened.
    file: Option<(u64, u64)>,
}

/// How long SQLite may take to hand over the files beside the database. It makes them with the first connection, and if that is one of
/// root's (cron, say), gives them to the owner of the database in a second step.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(2);

impl Sqlite {
    pub(super) fn open(path: &Path, access: Access) -> Result<Sqlite, Error> {
        let opened = Sqlite::open_now(path, access);
        // A missing one may have been root's, and been removed since.
        if opened.is_ok() || !path.exists() || beside(path).all(|file| file.is_some_and(|stamp| stamp.is_settled())) {
            return opened;
        }
        let is_young = || beside(path).flatten().any(|stamp| !stamp.is_settled());
        let deadline = Instant::now() + if access == Access::Hasty { HASTY_WAIT } else { HANDED_OVER_WITHIN };
        while is_young() && ownership::hindrance(path).is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        Sqlite::open_now(path, access)
    }

    fn open_now(path: &Path, access: Access) -> Result<Sqlite, Error> {
        if access != Access::Read && !path.exists() {
            create(path).map_err(|cause| cannot_create(path, &cause))?;
        }
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(|cause| {
                not_ours(path).or_else(|| no_room(path, &cause)).unwrap_or_else(|| {
                    Error::Unavailable(format!(
                        "cannot open the SQLite database {}: {cause} (it is made by the first request for an account, or by cron)",
                        path.display()
                    ))
                })
            })?;
        if access != Access::Read && connection.is_readonly(rusqlite::MAIN_DB)? {
            return Err(not_ours(path)
                .unwrap_or_else(|| Error::Unfit(format!("the SQLite database {} can only be read; {}", path.display(), remedy(path)))));
        }
        let mut sqlite = Sqlite { connection, path: path.to_owned(), file: identity(path) };
        sqlite.prepare(access).map_err(|cause| match (cause, not_ours(path), disk::full_now(path)) {
            (Error::Unavailable(_), Some(not_ours), _) => not_ours,
            (Error::Unavailable(cause), None, Some(full)) => {
                Error::Unavailable(format!("cannot use the SQLite database {}: {full} ({cause})", path.display()))
            }
            (cause, ..) => name_the_file(path, cause),
        })?;
        Ok(sqlite)
    }

    /// Opens a file of the PHP program, without changing anything.
    pub(super) fn of_php(path: &Path) -> Result<Sqlite, Error> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(WAIT)?;
        let sqlite = Sqlite { connection, path: path.to_owned(), file: identity(path) };
        sqlite.write_carefully()?;
        Ok(sqlite)
    }

    /// The whole database in the format of its file.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.connection.serialize(rusqlite::MAIN_DB)?.to_vec())
    }

    /// Runs `work` on the connection.
    fn ask<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        work(&self.connection).map_err(|cause| no_room(&self.path, &cause).unwrap_or_else(|| Error::from(cause)))
    }

    fn prepare(&mut self, access: Access) -> Result<(), Error> {
        self.connection.busy_timeout(WAIT)?;
        // Otherwise SQLite plans anew for each value, and compiles the statement again for that: half of a lookup.
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        if access != Access::Read {
            self.write_carefully()?;
        }
        if !self.has_our_schema()? {
            self.write_carefully()?;
            self.upgrade()?;
        }
        if access != Access::Read {
            // After the upgrade, so that a file of another program stays unchanged.
            self.use_wal()?;
        }
        if access == Access::Hasty {
            self.connection.busy_timeout(HASTY_WAIT)?;
        }
        if access == Access::Read {
            // The last connection to close copies the WAL into the file; readers must not do that ([`super::Store::close_before_the_end`]).
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            self.connection.pragma_update(None, "query_only", true)?;
        }
        Ok(())
    }

    /// What was answered survives a power failure, and deleted secrets disappear from the file, too.
    fn write_carefully(&self) -> Result<(), Error> {
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(self.connection.pragma_update(None, "secure_delete", true)?)
    }

    /// WAL is a property of the file, and one restored from a backup may have lost it. Switching does not wait for other
    /// programs, so this function does.
    fn use_wal(&self) -> Result<(), Error> {
        let mode: String = self.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode == "wal" {
            return Ok(());
        }
        let deadline = Instant::now() + WAIT;
        loop {
            match self.connection.pragma_update(None, "journal_mode", "WAL") {
                Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                switched => return Ok(switched?),
            }
        }
    }

    /// The number of completed schema steps; `None` if the table does not exist yet.
    fn schema_version(&self) -> Result<Option<i64>, Error> {
        let there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'";
        if self.connection.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(None);
        }
        Ok(Some(self.connection.query_row("SELECT version FROM schema_version", [], |row| row.get(0))?))
    }

    /// Whether all steps are completed and the registrations are ours: somebody may have replaced our tables by the PHP program's.
    /// One statement, because each start as CGI asks this.
    fn has_our_schema(&self) -> Result<bool, Error> {
        let version = "SELECT version FROM schema_version WHERE NOT EXISTS (SELECT seed FROM registrations LIMIT 0)";
        match self.connection.query_row(version, [], |row| row.get::<_, i64>(0)) {
            Ok(version) => Ok(version == schema::KNOWN),
            // There is no such table or column.
            Err(rusqlite::Error::SqliteFailure(error, _) | rusqlite::Error::SqlInputError { error, .. })
                if error.extended_code == rusqlite::ffi::SQLITE_ERROR =>
            {
                Ok(false)
            }
            Err(cause) => Err(cause.into()),
        }
    }

    /// Brings the schema up to date in one transaction. Programs that start at the same time wait for the first.
    fn upgrade(&mut self) -> Result<(), Error> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let result = self.upgrade_inside().and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if result.is_err() {
            self.rollback();
        }
        result
    }

    fn upgrade_inside(&mut self) -> Result<(), Error> {
        let version = self.schema_version()?;
        schema::check_for_others(self, version)?;
        if version.is_none() {
            self.connection.execute_batch(schema::START)?;
        }
        let done = version.unwrap_or(0);
        for step in schema::steps_after(done)? {
            self.connection.execute_batch(step.sqlite)?;
        }
        self.connection.execute("UPDATE schema_version SET version = ?", [schema::KNOWN])?;
        Ok(())
    }
}

impl Driver for Sqlite {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        self.ask(|connection| Ok(connection.prepare_cached(sql)?.execute(params_from_iter(values))? as u64))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.ask(|connection| rows(&mut *connection.prepare_cached(sql)?, values))
    }

    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.ask(|connection| rows(&mut connection.prepare(sql)?, values))
    }

    fn rows_with(&self, table: &str, column: &str, texts: &[&str]) -> (String, Vec<Value>) {
        rows_with(table, column, texts)
    }

    fn owners(&mut self, sql: &str, values: &[Value]) -> Result<Owners, Error> {
        self.ask(|connection| owners(&mut connection.prepare(sql)?, values))
    }

    fn has(&mut self, table: &str, column: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?";
        Ok(!self.query_once(sql, &[table.into(), column.into()])?.is_empty())
    }

    fn run(&mut self, statements: &str) -> Result<(), Error> {
        self.ask(|connection| connection.execute_batch(statements))
    }

    /// A read-only connection cannot become writable.
    fn turns(&self) -> bool {
        false
    }

    fn turn_to(&mut self, _access: Access) -> Result<(), Error> {
        Ok(())
    }

    fn ping(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn is_current(&self) -> bool {
        self.file.is_some() && identity(&self.path) == self.file
    }

    fn tidy(&mut self) -> Result<(), Error> {
        self.ask(|connection| connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.ask(|connection| connection.execute_batch("BEGIN IMMEDIATE"))
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.ask(|connection| connection.execute_batch("COMMIT"))
    }

    fn rollback(&mut self) {
        // This fails only if SQLite has rolled back already.
        let _ = self.connection.execute_batch("ROLLBACK");
    }
}

/// One value for all texts, which are then searched for one after the other. With a value for each, SQLite would first sort them into
/// a table of its own, which takes half as long again.
pub(super) fn rows_with(table: &str, column: &str, texts: &[&str]) -> (String, Vec<Value>) {
    (format!("(SELECT value FROM json_each(?)) AS asked CROSS JOIN {table} WHERE {column} = asked.value"), vec![list_of(texts)])
}

fn rows(statement: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(values))?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for index in 0..columns {
            values.push(value(row.get_ref(index)?));
        }
        read.push(Row::new(values));
    }
    Ok(read)
}

/// Without a value of its own for each column, unlike [`rows`].
fn owners(statement: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<Owners> {
    let mut rows = statement.query(params_from_iter(values))?;
    let mut owners = Owners::default();
    while let Some(row) = rows.next()? {
        let (address, localpart) = (row.get_ref(0)?.as_bytes()?, row.get_ref(2)?.as_bytes()?);
        owners.add(&text(address), row.get(1)?, &text(localpart));
    }
    Ok(owners)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Value::Null => Ok(rusqlite::types::Null.into()),
            Value::Integer(number) => number.to_sql(),
            Value::Text(text) => text.to_sql(),
        }
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Integer(number as i64),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Value::Text(text(bytes).into_owned()),
        ValueRef::Null => Value::Null,
    }
}

/// `from_utf8_lossy` alone takes three times as long for what is UTF-8.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::from)
}

impl From<rusqlite::Error> for Error {
    fn from(cause: rusqlite::Error) -> Error {
        match cause.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) if is_unique(&cause) => Error::Conflict,
            Some(ErrorCode::ConstraintViolation) => Error::Unfit(format!("the SQLite database refuses what was to be written: {cause}")),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Error::Unavailable(format!("the SQLite database is damaged; restore it from a backup: {cause}"))
            }
            _ => Error::Unavailable(format!("the SQLite database: {cause}")),
        }
    }
}

/// Whether a unique value exists already; other constraint errors are our own mistakes.
fn is_unique(cause: &rusqlite::Error) -> bool {
    let unique = [rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE, rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY];
    cause.sqlite_error().is_some_and(|error| unique.contains(&error.extended_code))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Creates the file and its folder, readable only for the owner, because the database contains names and mail addresses.
fn create(path: &Path) -> std::io::Result<()> {
    let folder = ownership::above(path);
    ownership::make_folder(folder, 0o750)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => ownership::hand_over(&made?, folder),
    }
}

fn cannot_create(path: &Path, cause: &std::io::Error) -> Error {
    let what = format!("cannot make the SQLite database {}", path.display());
    match disk::full(path, cause) {
        Some(full) => Error::Unavailable(format!("{what}: {full}")),
        None => Error::Unfit(format!("{what}: {cause}; {}", remedy(path))),
    }
}

/// On a full disk SQLite reports "full" when it writes, but an I/O error when it extends its journals.
fn no_room(path: &Path, cause: &rusqlite::Error) -> Option<Error> {
    let full = match cause.sqlite_error_code()? {
        ErrorCode::DiskFull => disk::sentence(path),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => disk::full_now(path)?,
        _ => return None,
    };
    Some(Error::Unavailable(format!("cannot write the SQLite database {}: {full}", path.display())))
}

/// What the operator can do if a file cannot be created or opened.
fn remedy(path: &Path) -> String {
    ownership::hindrance(path).unwrap_or_else(|| {
        format!(
            "the user that runs the programs must be able to write to its folder, for example: install -d -o www-data -m 750 {}",
            ownership::above(path).display()
        )
    })
}

/// The files that SQLite keeps beside a database while it is open.
fn beside(path: &Path) -> impl Iterator<Item = Option<Stamp>> {
    ["-wal", "-shm"].into_iter().map(move |ending| {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        Stamp::of(Path::new(&file))
    })
}

/// The error if the file belongs to another user: the database is fine, and waiting does not help.
fn not_ours(path: &Path) -> Option<Error> {
    ownership::hindrance(path).map(|whose| Error::Unfit(format!("cannot use the SQLite database {}: {whose}", path.display())))
}

fn name_the_file(path: &Path, cause: Error) -> Error {
    cause.map(|cause| format!("{cause} ({})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::StatementStatus;

    #[test]
    fn a_statement_is_compiled_once_whatever_values_it_gets() {
        let folder = std::env::temp_dir().join(format!("sqlite-{}", crate::domain::token::new_seed()));
        let mut sqlite = Sqlite::open(&folder.join("a.sqlite"), Access::Write).unwrap();
        let sql = "SELECT localpart FROM logins WHERE email_folded = ? AND active = 1 ORDER BY id LIMIT 1";
        for address in ["a@example.org", "b@example.org", "c@example.org"] {
            assert!(sqlite.query(sql, &[address.into()]).unwrap().is_empty());
        }
        let statement = sqlite.connection.prepare_cached(sql).unwrap();
        let [runs, compiled_again] = [StatementStatus::Run, StatementStatus::RePrepare].map(|count| statement.get_status(count));
        assert_eq!((runs, compiled_again), (3, 0));
        fs::remove_dir_all(folder).unwrap();
    }
}

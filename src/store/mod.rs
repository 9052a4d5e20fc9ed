//! The database: one place for each query, one small driver for each kind of database.
//!
//! Queries are written once, with `?` for values, in `registrations`, `logins` and `locks`; what differs between
//! databases is in the driver's file. A schema is made and brought up to date at the first use, under a lock.

mod guesses;
mod locks;
mod logins;
mod registrations;
mod sqlite;

pub use logins::{Found, Login, NewLogin};
pub use registrations::{Filed, NewRegistration, Registration, SameAddress};

use crate::config::DatabaseUrl;
use std::fmt;

/// What a program is going to do with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing but reading: the database itself refuses to change anything, and none is made. For GET.
    Read,
    Write,
    /// Writing that is rather left out than waited for: Synapse stands still while a login is checked.
    Hasty,
}

/// Why the database did not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// Busy or away; the request may be repeated.
    Unavailable(String),
    /// A `UNIQUE` column has this value already.
    Conflict,
    /// It is there but not fit for this program; a person has to look.
    Unfit(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unavailable(cause) | Error::Unfit(cause) => write!(f, "{cause}; see the key database in config.toml"),
            Error::Conflict => f.write_str("the database has such an entry already"),
        }
    }
}

impl std::error::Error for Error {}

/// A value on its way into or out of the database.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// One row, its values in the order of the `SELECT`.
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Row {
        Row(values.into_iter())
    }

    fn next(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Null)
    }

    pub(crate) fn integer(&mut self) -> Result<i64, Error> {
        self.optional_integer()?.ok_or_else(|| Error::Unfit("a number is missing in the database".into()))
    }

    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>, Error> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            Value::Text(_) => Err(Error::Unfit("there is text where a number should be in the database".into())),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        self.optional_text()?.ok_or_else(|| Error::Unfit("a text is missing in the database".into()))
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, Error> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Integer(number) => Ok(Some(number.to_string())),
        }
    }
}

/// What a kind of database must be able to do.
pub(crate) trait Driver: Send {
    /// Runs a statement; the number of rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error>;
    /// Runs a `SELECT`; the prepared statement is kept.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error>;
    /// Runs a `SELECT` whose text will hardly come again.
    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error>;
    /// Whether this is still the database that the configuration names: a file may have been replaced by a backup.
    fn is_current(&self) -> bool;
    /// Takes traces of what was deleted from the disk.
    fn tidy(&mut self) -> Result<(), Error>;
    /// Starts a transaction that may write.
    fn begin(&mut self) -> Result<(), Error>;
    fn commit(&mut self) -> Result<(), Error>;
    fn rollback(&mut self);
}

/// Seconds by which a time in the database can lie in the future at the most. One beyond that was written under a wrong
/// clock, and means nothing.
const LONGEST_WAIT: i64 = 2 * 86_400;

/// An open database with a schema that this program knows.
pub struct Store {
    driver: Box<dyn Driver>,
    /// Something went wrong on the way to the database; nobody knows in which state the connection is.
    is_suspect: bool,
}

impl Store {
    /// Opens the database; makes or upgrades the schema where needed.
    pub fn open(url: &DatabaseUrl, access: Access) -> Result<Store, Error> {
        match url {
            DatabaseUrl::Sqlite(path) => Ok(Store { driver: Box::new(sqlite::Sqlite::open(path, access)?), is_suspect: false }),
        }
    }

    /// Whether it may be used for another request.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.is_suspect && self.driver.is_current()
    }

    /// For cron: takes traces of what was deleted from the disk.
    pub fn tidy(&mut self) -> Result<(), Error> {
        let done = self.driver.tidy();
        self.noting(done)
    }

    fn noting<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.is_suspect |= matches!(result, Err(Error::Unavailable(_) | Error::Unfit(_)));
        result
    }

    /// All or nothing: commits if `work` ends well, rolls back if not.
    pub(crate) fn transaction<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        let begun = self.driver.begin();
        self.noting(begun)?;
        let outcome = work(self).and_then(|done| self.driver.commit().map(|()| done));
        if outcome.is_err() {
            self.driver.rollback();
        }
        self.noting(outcome)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        let done = self.driver.execute(sql, values);
        self.noting(done)
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let rows = self.driver.query(sql, values);
        self.noting(rows)
    }

    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let rows = self.driver.query_once(sql, values);
        self.noting(rows)
    }

    /// The first row, read by `read`.
    fn first<T>(&mut self, sql: &str, values: &[Value], read: impl FnOnce(Row) -> Result<T, Error>) -> Result<Option<T>, Error> {
        self.query(sql, values)?.into_iter().next().map(read).transpose()
    }
}

#[cfg(test)]
mod lookups;
#[cfg(test)]
mod tests;

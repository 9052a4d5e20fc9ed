//! The database: one place for each query, and a small driver for each kind of database.
//!
//! Queries are written once, with `?` for values, in modules named after their tables or tasks, such as `logins` and `filing`;
//! the differences between databases are in the drivers' files. The schema is created and upgraded at the first use, under a
//! lock.
//!
//! Failures are repeated only where that is safe:
//!
//! | failure | repeated |
//! |---|---|
//! | other programs used the same rows (deadlock, certification, serialization), and the database undid everything | the statement or the whole transaction, up to [`TRIES`] times |
//! | a cluster node reports that it left the cluster, and did nothing | the same, on a new connection |
//! | the connection broke in a `SELECT` or before a `COMMIT` | once, on a new connection |
//! | the connection broke in a single writing statement, or in a `COMMIT` | no: it may have been executed |
//!
//! A statement waits up to [`WAIT`] for other programs, and up to [`BOUND`] for the server. A connection on which the server
//! did not answer in time is not used again.

mod account_notes;
mod accounts_by_hand;
mod allowances;
mod closing;
mod columns;
mod decisions;
mod error;
mod figures;
mod filing;
mod guarded;
mod guesses;
mod keys;
mod listing;
mod live_messages;
mod locks;
mod logins;
mod median;
mod memory;
mod moves;
#[cfg(feature = "mysql")]
mod mysql;
mod owed;
mod owners;
mod patience;
pub mod php;
#[cfg(feature = "postgres")]
mod postgres;
mod questions;
mod registrations;
mod resets;
mod room_messages;
mod room_words;
mod row;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod troubles;
mod unconfirmed;

pub use account_notes::{AccountNote, WasFree};
pub use accounts_by_hand::{Account, AccountSearch};
pub(crate) use allowances::{Allowance, AllowanceKind};
pub use closing::{ClosedByHand, ClosingTexts};
use columns::{Column, Selection};
pub use decisions::Decided;
pub use error::Error;
pub use figures::Waiting;
pub(crate) use filing::Closed;
pub use filing::{Filed, FilingLimits, NewRegistration};
pub(crate) use keys::{FirstPassword, NewKey, ReplacedKey};
pub use listing::{Listed, OfWeek, OwedNow, Which};
pub use live_messages::LiveMessage;
pub(crate) use live_messages::{Settled, Shown};
pub(crate) use logins::Login;
pub use logins::{Found, NewLogin};
pub use memory::{Earlier, Leaves};
pub use moves::{Confirmed, TakenBack};
pub(crate) use owed::{Due, Failing, Owed, OwedRow, Postponed};
use owners::Owners;
pub(crate) use patience::threads;
pub use questions::{Asked, MOST_QUESTIONS, Question};
pub use registrations::Registration;
pub(crate) use registrations::SameAddress;
pub(crate) use resets::{LINK_SECONDS, NewReset, Reset, ResetAsked, ResetLink};
pub use room_messages::{MessageToRead, RoomEvent, RoomMessageKind};
pub use room_words::{RoomInUse, WordsToRead};
use row::NamedRow;
pub(crate) use row::{Row, Value};
pub(crate) use troubles::{CronClock, Told};
pub(crate) use unconfirmed::{Again, Correction};

#[cfg(any(feature = "mysql", feature = "postgres"))]
use error::untrusted;

use crate::domain::config::DatabaseUrl;
use crate::domain::seconds::DAY;
use crate::domain::token;
use crate::outside::fault;
use crate::outside::log;
use std::thread;
use std::time::Duration;

/// How long a statement waits for other writers.
const WAIT: Duration = Duration::from_secs(8);
/// The same for [`Access::Hasty`]; MariaDB and MySQL count in whole seconds.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const HASTY_WAIT: Duration = Duration::from_millis(250);
/// How long the server may take to answer; longer than [`WAIT`].
#[cfg(any(feature = "mysql", feature = "postgres"))]
const BOUND: Duration = Duration::from_secs(15);
/// How long connecting to one host may take.
#[cfg(any(feature = "mysql", feature = "postgres"))]
const CONNECT_BOUND: Duration = Duration::from_secs(4);
/// How often a transaction is tried after conflicts with other programs.
const TRIES: u32 = 8;

/// How a program will use the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read-only: the database itself refuses changes and is not created. For GET.
    Read,
    Write,
    /// For writing that is omitted rather than waited for: Synapse waits while a login is checked.
    Hasty,
}

/// The operations of a database driver.
pub(crate) trait Driver: Send {
    /// Runs a statement; returns the number of rows that it found and changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error>;
    /// Runs a `SELECT` and keeps the prepared statement.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error>;
    /// Runs a `SELECT` whose text is unlikely to be used again.
    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error>;
    /// The rows of a table whose column has one of these texts, for `SELECT ... FROM`, and the values of its `?`. Other conditions
    /// follow with `AND`.
    fn rows_with(&self, table: &str, column: &str, texts: &[&str]) -> (String, Vec<Value>) {
        let places = vec!["?"; texts.len()].join(", ");
        (format!("{table} WHERE {column} IN ({places})"), texts.iter().map(|text| Value::from(*text)).collect())
    }
    /// Runs a `SELECT` of folded address, id and localpart whose text is unlikely to be used again.
    fn owners(&mut self, sql: &str, values: &[Value]) -> Result<Owners, Error> {
        Owners::of_rows(self.query_once(sql, values)?)
    }
    /// Whether there is a table with this column.
    fn has(&mut self, table: &str, column: &str) -> Result<bool, Error>;
    /// Runs statements without values.
    fn run(&mut self, statements: &str) -> Result<(), Error>;
    /// Whether [`Driver::turn_to`] can be called.
    fn turns(&self) -> bool;
    /// Changes the connection to another access.
    fn turn_to(&mut self, access: Access) -> Result<(), Error>;
    /// Whether the server still answers on this connection.
    fn ping(&mut self) -> Result<(), Error>;
    /// Whether this is still the configured database: a file may have been replaced by a backup.
    fn is_current(&self) -> bool;
    /// Removes traces of deleted data from the disk, if the server does not do this.
    fn tidy(&mut self) -> Result<(), Error>;
    /// Starts a transaction that may write.
    fn begin(&mut self) -> Result<(), Error>;
    fn commit(&mut self) -> Result<(), Error>;
    fn rollback(&mut self);
}

/// How the work in a transaction ended.
enum End<T> {
    Commit(T),
    RollBack(T),
}

/// How far a time in the database may lie in the future, in seconds. A later one was written under a wrong clock and is
/// ignored.
const LONGEST_WAIT: i64 = 2 * DAY;

/// How far the clocks of several machines may differ, in seconds.
const CLOCK_SKEW: i64 = 300;

/// The longest lease, in seconds. One that ends later was taken under a wrong clock.
pub(crate) const LONGEST_LEASE: i64 = 3600;

/// An open database with a schema of this program's version.
pub struct Store {
    driver: Box<dyn Driver>,
    url: DatabaseUrl,
    access: Access,
    /// A database error occurred, and the state of the connection is unknown.
    is_suspect: bool,
    /// Whether the connection has worked since the store was taken up.
    is_proven: bool,
    in_transaction: bool,
}

impl Store {
    /// Opens the database; creates or upgrades the schema if necessary.
    pub fn open(url: &DatabaseUrl, access: Access) -> Result<Store, Error> {
        Ok(Store::on(open_driver(url, access)?, url.clone(), access))
    }

    fn on(driver: Box<dyn Driver>, url: DatabaseUrl, access: Access) -> Store {
        Store { driver, url, access, is_suspect: false, is_proven: true, in_transaction: false }
    }

    /// Whether the store may be used for another request: it is intact, and its file is still the one at its path.
    pub(crate) fn is_reusable(&self) -> bool {
        self.is_intact() && self.driver.is_current()
    }

    /// Whether nothing has gone wrong with the connection.
    pub(crate) fn is_intact(&self) -> bool {
        !self.is_suspect
    }

    /// Whether [`Store::take_up`] may prepare the store for this access to this database.
    pub(crate) fn serves(&self, url: &DatabaseUrl, access: Access) -> bool {
        self.url == *url && (self.access == access || self.driver.turns())
    }

    /// Closes the store at the end of the process, if that matters: a server hears of it, and SQLite's last writer puts the WAL into
    /// the database. A reader of SQLite would not do so, and its locks end with the process.
    pub(crate) fn close_before_the_end(self) {
        if matches!(self.url, DatabaseUrl::Sqlite(_)) && self.access == Access::Read {
            std::mem::forget(self);
        }
    }

    /// Prepares the store for another request. `false`: the connection broke in the meantime. An error if another connection
    /// would not help: a request waits only once for a server that does not answer.
    pub(crate) fn take_up(&mut self, access: Access) -> Result<bool, Error> {
        self.is_proven = false;
        if self.access != access {
            match self.driver.turn_to(access) {
                Ok(()) => self.access = access,
                Err(Error::Lost(_)) => return Ok(false),
                Err(cause) => return Err(cause),
            }
        }
        Ok(true)
    }

    /// For cron: removes traces of deleted data from the disk.
    pub fn tidy(&mut self) -> Result<(), Error> {
        let done = self.driver.tidy();
        self.noting(done)
    }

    /// All or nothing: commits if `work` succeeds, rolls back otherwise. `work` may run more than once.
    pub(crate) fn transaction<T>(&mut self, mut work: impl FnMut(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        self.transaction_that_may_end(|store| work(store).map(End::Commit))
    }

    /// The same for `work` that may decide to roll back.
    fn transaction_that_may_end<T>(&mut self, mut work: impl FnMut(&mut Store) -> Result<End<T>, Error>) -> Result<T, Error> {
        let (mut tries, mut is_renewed) = (0, false);
        loop {
            tries += 1;
            match self.attempt(&mut work) {
                Err(Error::Contended(cause)) if tries < TRIES => self.step_back(tries, &cause)?,
                Err(Error::Lost(_)) if !is_renewed => {
                    is_renewed = true;
                    self.reconnect()?;
                }
                outcome => return self.noting(outcome),
            }
        }
    }

    /// A transaction that is `Lost` here was not committed; a lost answer to a commit is `Unavailable`.
    fn attempt<T>(&mut self, work: &mut impl FnMut(&mut Store) -> Result<End<T>, Error>) -> Result<T, Error> {
        self.driver.begin()?;
        self.in_transaction = true;
        let worked = work(self);
        self.in_transaction = false;
        fault::point("commit");
        let outcome = match worked {
            Ok(End::RollBack(found)) => {
                self.driver.rollback();
                return Ok(found);
            }
            Ok(End::Commit(done)) => match self.driver.commit() {
                Ok(()) => {
                    fault::point("committed");
                    Ok(done)
                }
                Err(Error::Lost(cause)) => {
                    Err(Error::Unavailable(format!("{cause}, while a change was being written for good; whether it was is not known")))
                }
                Err(cause) => Err(cause),
            },
            Err(cause) => Err(cause),
        };
        if outcome.is_err() {
            self.driver.rollback();
        }
        outcome
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        // A lost statement may or may not have been executed, so a connection that may have died is tested first.
        if !self.in_transaction && !self.is_proven {
            match self.driver.ping() {
                Err(Error::Lost(_)) => self.reconnect()?,
                answered => self.noting(answered)?,
            }
        }
        self.persisting(|driver| driver.execute(sql, values))
    }

    /// Tests the connection before the next change, because it may have died in the meantime.
    pub(crate) fn distrust_connection(&mut self) {
        self.is_proven = false;
    }

    /// Reconnects after a panic, which may have interrupted the use of the connection.
    pub(crate) fn recover(&mut self) -> Result<(), Error> {
        self.in_transaction = false;
        self.reconnect()
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.reading(|driver| driver.query(sql, values))
    }

    /// Selects these columns from their table, with `rest` as the remaining clauses, and reads each row with `read`.
    fn select<T>(
        &mut self,
        selection: &'static Selection,
        rest: &str,
        values: &[Value],
        read: impl Fn(NamedRow) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let sql = format!("SELECT {} FROM {} {rest}", selection.list(), selection.table);
        self.query(&sql, values)?.into_iter().map(|row| read(row.named(selection))).collect()
    }

    /// The same for the first row.
    fn select_first<T>(
        &mut self,
        selection: &'static Selection,
        rest: &str,
        values: &[Value],
        read: impl FnOnce(NamedRow) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let sql = format!("SELECT {} FROM {} {rest}", selection.list(), selection.table);
        self.first(&sql, values, |row| read(row.named(selection)))
    }

    /// The first row, read by `read`.
    fn first<T>(&mut self, sql: &str, values: &[Value], read: impl FnOnce(Row) -> Result<T, Error>) -> Result<Option<T>, Error> {
        self.query(sql, values)?.into_iter().next().map(read).transpose()
    }

    fn reading<T>(&mut self, mut read: impl FnMut(&mut dyn Driver) -> Result<T, Error>) -> Result<T, Error> {
        match self.persisting(&mut read) {
            Err(Error::Lost(_)) if !self.in_transaction => {
                self.reconnect()?;
                self.persisting(read)
            }
            outcome => outcome,
        }
    }

    /// Repeats `work` after conflicts with other programs; within a transaction, the whole transaction is repeated instead.
    fn persisting<T>(&mut self, mut work: impl FnMut(&mut dyn Driver) -> Result<T, Error>) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            match work(self.driver.as_mut()) {
                Err(Error::Contended(cause)) if tries < TRIES && !self.in_transaction => self.step_back(tries, &cause)?,
                outcome => return self.noting(outcome),
            }
        }
    }

    /// The database undid the work. Waits before the next attempt, and reconnects if the server is of no use.
    fn step_back(&mut self, tries: u32, cause: &str) -> Result<(), Error> {
        log::info("database_conflict_retried", None, &format!("try {tries} of {TRIES}: {cause}"));
        pause(tries);
        match self.driver.is_current() {
            true => Ok(()),
            false => self.reconnect(),
        }
    }

    fn reconnect(&mut self) -> Result<(), Error> {
        log::info("database_connection_renewed", None, "");
        let opened = open_driver(&self.url, self.access);
        self.driver = self.noting(opened)?;
        self.is_suspect = false;
        self.is_proven = true;
        Ok(())
    }

    fn noting<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.is_suspect |= matches!(result, Err(Error::Unavailable(_) | Error::Contended(_) | Error::Lost(_) | Error::Unfit(_)));
        self.is_proven |= result.is_ok();
        result
    }
}

fn open_driver(url: &DatabaseUrl, access: Access) -> Result<Box<dyn Driver>, Error> {
    let driver: Box<dyn Driver> = guarded::guarded(|| match url {
        #[cfg(feature = "sqlite")]
        DatabaseUrl::Sqlite(path) => Ok(Box::new(sqlite::Sqlite::open(path, access)?) as Box<dyn Driver>),
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(server) => Ok(Box::new(postgres::Postgres::open(server, access)?)),
        #[cfg(feature = "mysql")]
        DatabaseUrl::Mysql(server) => Ok(Box::new(mysql::Mysql::open(server, access)?)),
        #[allow(unreachable_patterns)] // if all drivers are built in
        _ => Err(Error::Unfit(
            "these programs were built without the driver for this database (Cargo features sqlite, postgres, mysql)".into(),
        )),
    })?;
    Ok(Box::new(guarded::Guarded::new(driver)))
}

/// Programs in conflict return at different times: after 5 to 10 ms, then after up to twice as long each time.
fn pause(tries: u32) {
    let longest = 10_u64 << tries.min(6);
    let [random] = token::random::<1>();
    thread::sleep(Duration::from_millis(longest / 2 + longest / 2 * u64::from(random) / 255));
}

#[cfg(test)]
mod lookups;
#[cfg(test)]
mod tests;

//! The database: one place for each query, one small driver for each kind of database.
//!
//! Queries are written once, with `?` for values, in `registrations`, `owed`, `troubles`, `logins`, `guesses`, `allowances` and `locks`; what differs between
//! databases is in the driver's file. A schema is made and brought up to date at the first use, under a lock.
//!
//! What goes wrong on the way is repeated where that is safe, and only there:
//!
//! | what | repeated |
//! |---|---|
//! | others were at the same rows (deadlock, certification, serialization): the database undid all of it | the statement or the whole transaction, up to [`TRIES`] times |
//! | a cluster node says that it is none any more: it did nothing | the same, on a new connection |
//! | the connection broke in a `SELECT` or before a `COMMIT` | once, on a new connection |
//! | the connection broke in a statement that writes by itself, or in a `COMMIT` | no: nobody knows whether it was done |
//!
//! A statement waits [`WAIT`] for others at the most, and [`BOUND`] for the server; a connection on which the server did not
//! answer in time is not waited for again.

mod allowances;
mod error;
mod guarded;
mod guesses;
mod keys;
mod locks;
mod logins;
#[cfg(feature = "mysql")]
mod mysql;
mod owed;
mod patience;
pub mod php;
#[cfg(feature = "postgres")]
mod postgres;
mod registrations;
mod row;
mod schema;
#[cfg(feature = "sqlite")]
mod sqlite;
mod troubles;

pub use allowances::{Allowance, AllowanceKind};
pub use error::Error;
pub use keys::{FirstPassword, KeyOfRequest, NewKey};
pub use logins::{Found, Login, NewLogin};
pub use owed::{Due, Failing, Owed, OwedRow, Postponed};
pub(crate) use patience::threads;
pub use registrations::{Closed, Filed, FilingLimits, NewRegistration, Registration, SameAddress, Waiting};
pub(crate) use row::{Row, Value};
pub use troubles::{CronClock, Told};

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
/// The same where nobody should wait ([`Access::Hasty`]); MariaDB and MySQL count in whole seconds.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const HASTY_WAIT: Duration = Duration::from_millis(250);
/// How long the server may take to answer at all. Longer than [`WAIT`].
#[cfg(any(feature = "mysql", feature = "postgres"))]
const BOUND: Duration = Duration::from_secs(15);
/// How long one host may take to be connected to.
#[cfg(any(feature = "mysql", feature = "postgres"))]
const CONNECT_BOUND: Duration = Duration::from_secs(4);
/// How often a transaction is tried that others got in the way of.
const TRIES: u32 = 8;

/// What a program is going to do with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing but reading: the database itself refuses to change anything, and none is made. For GET.
    Read,
    Write,
    /// Writing that is rather left out than waited for: Synapse stands still while a login is checked.
    Hasty,
}

/// What a kind of database must be able to do.
pub(crate) trait Driver: Send {
    /// Runs a statement; the number of rows it found and changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error>;
    /// Runs a `SELECT`; the prepared statement is kept.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error>;
    /// Runs a `SELECT` whose text will hardly come again.
    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error>;
    /// Whether there is a table with such a column.
    fn has(&mut self, table: &str, column: &str) -> Result<bool, Error>;
    /// Runs statements without values.
    fn run(&mut self, statements: &str) -> Result<(), Error>;
    /// Whether [`Driver::turn_to`] can be called.
    fn turns(&self) -> bool;
    /// Makes the connection one for another access.
    fn turn_to(&mut self, access: Access) -> Result<(), Error>;
    /// Whether the server still answers on this connection.
    fn ping(&mut self) -> Result<(), Error>;
    /// Whether this is still the database that the configuration names: a file may have been replaced by a backup.
    fn is_current(&self) -> bool;
    /// Takes traces of what was deleted from the disk, where that is not the server's own business.
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

/// Seconds by which a time in the database can lie in the future at the most. One beyond that was written under a wrong
/// clock, and means nothing.
const LONGEST_WAIT: i64 = 2 * DAY;

/// Seconds by which the clocks of several machines may differ.
const CLOCK_SKEW: i64 = 300;

/// Seconds that a lease lasts at the most. One that ends later was taken under a wrong clock.
pub const LONGEST_LEASE: i64 = 3600;

/// An open database with a schema that this program knows.
pub struct Store {
    driver: Box<dyn Driver>,
    url: DatabaseUrl,
    access: Access,
    /// Something went wrong on the way to the database; nobody knows in which state the connection is.
    is_suspect: bool,
    /// The connection was used successfully since the store was taken up.
    is_proven: bool,
    in_transaction: bool,
}

impl Store {
    /// Opens the database; makes or upgrades the schema where needed.
    pub fn open(url: &DatabaseUrl, access: Access) -> Result<Store, Error> {
        Ok(Store::on(open_driver(url, access)?, url.clone(), access))
    }

    fn on(driver: Box<dyn Driver>, url: DatabaseUrl, access: Access) -> Store {
        Store { driver, url, access, is_suspect: false, is_proven: true, in_transaction: false }
    }

    /// Whether it may be used for another request.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.is_suspect && self.driver.is_current()
    }

    /// Whether [`Store::take_up`] may make it one for this access to this database.
    pub(crate) fn serves(&self, url: &DatabaseUrl, access: Access) -> bool {
        self.url == *url && (self.access == access || self.driver.turns())
    }

    /// Takes it up for another request. `false`: the connection broke meanwhile. An error where another connection would do no
    /// better: a server that does not answer is waited for once in a request.
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

    /// For cron: takes traces of what was deleted from the disk.
    pub fn tidy(&mut self) -> Result<(), Error> {
        let done = self.driver.tidy();
        self.noting(done)
    }

    /// All or nothing: commits if `work` ends well, rolls back if not. `work` may run more than once.
    pub(crate) fn transaction<T>(&mut self, mut work: impl FnMut(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        self.transaction_that_may_end(|store| work(store).map(End::Commit))
    }

    /// The same for `work` that may find that it is better not done.
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

    /// A transaction that is `Lost` here was not committed: a commit whose answer is lost is `Unavailable`.
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
        // Once it is sent, nobody knows whether it was done: a connection that may have died meanwhile is tried before.
        if !self.in_transaction && !self.is_proven {
            match self.driver.ping() {
                Err(Error::Lost(_)) => self.reconnect()?,
                answered => self.noting(answered)?,
            }
        }
        self.persisting(|driver| driver.execute(sql, values))
    }

    /// Before the next change it is looked whether the connection is still there: time passed in which it may have died.
    pub fn distrust_connection(&mut self) {
        self.is_proven = false;
    }

    /// A panic may have left the connection in the middle of something: it is made anew.
    pub fn recover(&mut self) -> Result<(), Error> {
        self.in_transaction = false;
        self.reconnect()
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.reading(|driver| driver.query(sql, values))
    }

    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.reading(|driver| driver.query_once(sql, values))
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

    /// Repeats what others got in the way of; within a transaction that is for the transaction to do.
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

    /// The database undid what was begun; after a while it can be tried again, elsewhere if the server is of no use any more.
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
        #[allow(unreachable_patterns)] // where all drivers are built in
        _ => Err(Error::Unfit(
            "these programs were built without the driver for this database (Cargo features sqlite, postgres, mysql)".into(),
        )),
    })?;
    Ok(Box::new(guarded::Guarded::new(driver)))
}

/// Those who got in each other's way come back at different times: after 5 to 10 ms, then up to twice as long each time.
fn pause(tries: u32) {
    let longest = 10_u64 << tries.min(6);
    let [random] = token::random::<1>();
    thread::sleep(Duration::from_millis(longest / 2 + longest / 2 * u64::from(random) / 255));
}

#[cfg(test)]
mod lookups;
#[cfg(test)]
mod tests;

//! Drivers are third-party crates: a panic in one becomes an error that names its place, and ends the connection.

use super::{Access, Driver, Error, Owners, Row, Value};
use crate::outside::panics;

/// Runs a driver's function. A panic is reported as one, and not as a silent or unavailable server.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    panics::guard(work).unwrap_or_else(|panic| Err(failed(&panic.place)))
}

fn failed(place: &str) -> Error {
    Error::Unavailable(format!("the driver for this kind of database failed (panic at {place}); please report this"))
}

/// A driver that is not used again after a panic.
pub(super) struct Guarded {
    driver: Box<dyn Driver>,
    has_panicked: bool,
}

impl Guarded {
    pub(super) fn new(driver: Box<dyn Driver>) -> Guarded {
        Guarded { driver, has_panicked: false }
    }

    fn ask<T>(&mut self, work: impl FnOnce(&mut dyn Driver) -> Result<T, Error>) -> Result<T, Error> {
        if self.has_panicked {
            return Err(failed("an earlier statement"));
        }
        let driver = self.driver.as_mut();
        let asked = panics::guard(|| work(driver));
        self.has_panicked = asked.is_err();
        asked.unwrap_or_else(|panic| Err(failed(&panic.place)))
    }
}

impl Driver for Guarded {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        self.ask(|driver| driver.execute(sql, values))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.ask(|driver| driver.query(sql, values))
    }

    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.ask(|driver| driver.query_once(sql, values))
    }

    fn rows_with(&self, table: &str, column: &str, texts: &[&str]) -> (String, Vec<Value>) {
        self.driver.rows_with(table, column, texts)
    }

    fn owners(&mut self, sql: &str, values: &[Value]) -> Result<Owners, Error> {
        self.ask(|driver| driver.owners(sql, values))
    }

    fn has(&mut self, table: &str, column: &str) -> Result<bool, Error> {
        self.ask(|driver| driver.has(table, column))
    }

    fn run(&mut self, statements: &str) -> Result<(), Error> {
        self.ask(|driver| driver.run(statements))
    }

    fn turns(&self) -> bool {
        self.driver.turns()
    }

    fn turn_to(&mut self, access: Access) -> Result<(), Error> {
        self.ask(|driver| driver.turn_to(access))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.ask(|driver| driver.ping())
    }

    fn is_current(&self) -> bool {
        !self.has_panicked && self.driver.is_current()
    }

    fn tidy(&mut self) -> Result<(), Error> {
        self.ask(|driver| driver.tidy())
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.ask(|driver| driver.begin())
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.ask(|driver| driver.commit())
    }

    fn rollback(&mut self) {
        // After a panic the connection is gone, and the transaction with it.
        let _ = self.ask(|driver| {
            driver.rollback();
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A driver that always panics.
    struct Broken;

    impl Driver for Broken {
        fn execute(&mut self, _sql: &str, _values: &[Value]) -> Result<u64, Error> {
            panic!("secret")
        }
        fn query(&mut self, _sql: &str, _values: &[Value]) -> Result<Vec<Row>, Error> {
            panic!("secret")
        }
        fn query_once(&mut self, _sql: &str, _values: &[Value]) -> Result<Vec<Row>, Error> {
            panic!("secret")
        }
        fn has(&mut self, _table: &str, _column: &str) -> Result<bool, Error> {
            panic!("secret")
        }
        fn run(&mut self, _statements: &str) -> Result<(), Error> {
            panic!("secret")
        }
        fn turns(&self) -> bool {
            true
        }
        fn turn_to(&mut self, _access: Access) -> Result<(), Error> {
            panic!("secret")
        }
        fn ping(&mut self) -> Result<(), Error> {
            panic!("secret")
        }
        fn is_current(&self) -> bool {
            true
        }
        fn tidy(&mut self) -> Result<(), Error> {
            panic!("secret")
        }
        fn begin(&mut self) -> Result<(), Error> {
            panic!("secret")
        }
        fn commit(&mut self) -> Result<(), Error> {
            panic!("secret")
        }
        fn rollback(&mut self) {
            panic!("secret")
        }
    }

    #[test]
    fn a_driver_that_panics_is_an_error_that_names_the_place_and_is_asked_no_more() {
        panics::keep_quiet();
        let mut driver = Guarded::new(Box::new(Broken));
        assert!(driver.is_current());
        let sentence = driver.begin().unwrap_err().to_string();
        assert!(sentence.contains("driver") && sentence.contains("outside/store/guarded.rs:"), "{sentence}");
        assert!(!sentence.contains("secret") && !sentence.contains("did not answer"), "{sentence}");
        assert!(!driver.is_current());
        driver.rollback();
        assert!(driver.query("SELECT 1", &[]).is_err());
    }
}

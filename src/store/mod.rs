//! The database.

use std::fmt;

/// Why the database did not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// Busy, away, or out of order for now; the request may be repeated.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error::Unavailable(cause) = self;
        f.write_str(cause)
    }
}

impl std::error::Error for Error {}

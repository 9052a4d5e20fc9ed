//! Errors of the database, and what they mean for a request.

use std::fmt;

/// Why a database operation failed.
#[derive(Debug)]
pub enum Error {
    /// Busy or unavailable; the request may be repeated.
    Unavailable(String),
    /// Other programs used the same rows, or the server is not in its cluster; the database undid everything. Repeated here, so
    /// callers rarely see it.
    Contended(String),
    /// The connection broke, and the statement may or may not have been executed.
    Lost(String),
    /// A `UNIQUE` column contains this value already.
    Conflict,
    /// This is a database of the PHP program that was not taken over yet.
    OfPhp,
    /// The database exists but does not suit this program; a person has to look.
    Unfit(String),
    /// A row contains invalid data; others are fine. The message names table, column and row.
    Unreadable(String),
}

impl Error {
    /// Whether the error would affect every statement, and not only those about one row.
    pub(crate) fn is_about_the_database(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Contended(_) | Error::Lost(_) | Error::OfPhp)
    }

    /// The same error with another message.
    pub(super) fn map(self, more: impl FnOnce(String) -> String) -> Error {
        match self {
            Error::Unavailable(cause) => Error::Unavailable(more(cause)),
            Error::Contended(cause) => Error::Contended(more(cause)),
            Error::Lost(cause) => Error::Lost(more(cause)),
            Error::Unfit(cause) => Error::Unfit(more(cause)),
            Error::Unreadable(cause) => Error::Unreadable(more(cause)),
            Error::Conflict => Error::Conflict,
            Error::OfPhp => Error::OfPhp,
        }
    }
}

/// The server is reachable, but its identity cannot be verified.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn untrusted(cause: &str) -> Error {
    Error::Unfit(format!("no trusted connection to the database server: {cause}; see ca_file and tls behind the ? of its URL"))
}

/// The server works except for one thing.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn full(said: &str) -> Error {
    Error::Unavailable(format!(
        "the disk of the database server is full: make room there; what could not be written is tried again ({said})"
    ))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unavailable(cause) | Error::Contended(cause) | Error::Lost(cause) | Error::Unfit(cause) => {
                write!(f, "{cause}; see the key database in config.toml")
            }
            Error::Unreadable(cause) => write!(f, "{cause}; mend that value in the database, or delete the row"),
            Error::Conflict => f.write_str("the database has such an entry already"),
            Error::OfPhp => f.write_str("the database is the PHP program's, and not taken over yet; see the key database in config.toml"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for crate::domain::error::Error {
    fn from(cause: Error) -> crate::domain::error::Error {
        match cause {
            Error::Unfit(_) | Error::Unreadable(_) | Error::OfPhp => crate::domain::error::Error::internal(cause.to_string()),
            Error::Unavailable(_) | Error::Contended(_) | Error::Lost(_) | Error::Conflict => {
                crate::domain::error::Error::unavailable(cause.to_string())
            }
        }
    }
}

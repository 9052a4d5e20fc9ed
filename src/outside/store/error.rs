//! Why the database did not do what was asked, and what that means for a request.

use std::fmt;

/// Why the database did not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// Busy or away; the request may be repeated.
    Unavailable(String),
    /// Others were at the same rows, or the server is not in its cluster; the database undid everything. Repeated here, so
    /// callers hardly see it.
    Contended(String),
    /// The connection broke; whether the statement was done is not known.
    Lost(String),
    /// A `UNIQUE` column has this value already.
    Conflict,
    /// It is the PHP program's, and not taken over yet.
    OfPhp,
    /// It is there but not fit for this program; a person has to look.
    Unfit(String),
    /// One row has something that makes no sense; others are fine. The sentence names table, column and row.
    Unreadable(String),
}

impl Error {
    /// Whether it would meet every statement, and not only those about one row.
    pub fn is_about_the_database(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Contended(_) | Error::Lost(_) | Error::OfPhp)
    }

    /// The same with more words.
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

/// The server may be there, but nothing proves that it is the right one.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) fn untrusted(cause: &str) -> Error {
    Error::Unfit(format!("no trusted connection to the database server: {cause}; see ca_file and tls behind the ? of its URL"))
}

/// The server is well but for one thing.
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

//! What stands in the way of a step, for the log and for the next try.

use crate::domain::config;
use crate::domain::error;
use crate::domain::password;
use crate::outside::mail;
use crate::outside::matrix;
use crate::outside::state_file;
use crate::outside::store;

/// A step that could not be done now.
#[derive(Debug)]
pub struct Failure {
    /// For the log and the column `last_error`: what was tried, what came back, where to look.
    pub sentence: String,
    /// Seconds that the other side asked us to wait.
    pub retry_after: Option<i64>,
    /// The mail server will not take mail for this address, now or later.
    pub undeliverable: bool,
}

impl Failure {
    /// Try again at the next turn.
    pub fn later(sentence: impl Into<String>) -> Failure {
        Failure { sentence: sentence.into(), retry_after: None, undeliverable: false }
    }
}

impl From<matrix::Error> for Failure {
    fn from(cause: matrix::Error) -> Failure {
        let retry_after = match cause {
            matrix::Error::Limited { retry_after_seconds, .. } => i64::try_from(retry_after_seconds).ok(),
            _ => None,
        };
        Failure { retry_after, ..Failure::later(cause.to_string()) }
    }
}

impl From<mail::Error> for Failure {
    fn from(cause: mail::Error) -> Failure {
        Failure { undeliverable: matches!(cause, mail::Error::Refused(_)), ..Failure::later(cause.to_string()) }
    }
}

/// Failures that only waiting, or the sysadmin, can mend.
macro_rules! later {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(cause: $error) -> Failure {
                Failure::later(cause.to_string())
            }
        }
    )*};
}
later!(store::Error, config::Error, state_file::Error, error::Error, password::Error);

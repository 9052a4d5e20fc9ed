//! Failures of a step, for the log and for the next attempt.

use crate::domain::back_off::{AddressFault, Blame, Peer};
use crate::domain::config;
use crate::domain::error;
use crate::domain::password;
use crate::outside::mail;
use crate::outside::mas;
use crate::outside::matrix;
use crate::outside::state_file;
use crate::outside::store;

/// A step that failed for now.
#[derive(Debug)]
pub struct Failure {
    /// For the log and the column `last_error`: what was tried, what came back, where to look.
    pub sentence: String,
    /// Seconds that the other side asked us to wait.
    pub retry_after: Option<i64>,
    /// What failed, which decides about the next attempts.
    pub blame: Blame,
}

impl Failure {
    /// A failure in which nothing outside was involved; try again at the next opportunity.
    pub fn later(sentence: impl Into<String>) -> Failure {
        Failure { sentence: sentence.into(), retry_after: None, blame: Blame::Ours }
    }

    /// The same for an action that uses `way` to the homeserver, so that a wait that the homeserver asks for applies only to
    /// such actions.
    pub fn on_the_way(self, way: Peer) -> Failure {
        let blame = match self.blame {
            Blame::Answer(Peer::Homeserver) if self.retry_after.is_some() => Blame::Peer(way),
            Blame::Answer(Peer::Homeserver) => Blame::Answer(way),
            other => other,
        };
        Failure { blame, ..self }
    }
}

impl From<matrix::Error> for Failure {
    fn from(cause: matrix::Error) -> Failure {
        let retry_after = match cause {
            matrix::Error::Limited { retry_after_seconds, .. } => i64::try_from(retry_after_seconds).ok(),
            _ => None,
        };
        let blame = match cause {
            matrix::Error::Unreachable(_) => Blame::Peer(Peer::Homeserver),
            _ => Blame::Answer(Peer::Homeserver),
        };
        Failure { sentence: cause.to_string(), retry_after, blame }
    }
}

impl From<mas::Error> for Failure {
    fn from(cause: mas::Error) -> Failure {
        let blame = match cause {
            mas::Error::Unreachable(_) | mas::Error::Away(_) | mas::Error::Misconfigured(_) => Blame::Peer(Peer::Accounts),
            mas::Error::Unexpected(_) => Blame::Answer(Peer::Accounts),
        };
        Failure { sentence: cause.to_string(), retry_after: None, blame }
    }
}

impl From<mail::Error> for Failure {
    fn from(cause: mail::Error) -> Failure {
        let blame = match &cause {
            mail::Error::Later(_) => Blame::Answer(Peer::MailServer),
            mail::Error::Unreachable(_) | mail::Error::PerhapsSent(_) => Blame::Peer(Peer::MailServer),
            mail::Error::SlowDomain { domain, .. } => Blame::Peer(Peer::MailDomain(domain.clone())),
            mail::Error::PutOff(_) => Blame::Address(AddressFault::PutOff),
            mail::Error::Refused(_) => Blame::Address(AddressFault::Gone),
            mail::Error::Config(_) => Blame::Ours,
        };
        Failure { sentence: cause.to_string(), retry_after: None, blame }
    }
}

/// Failures that only waiting, or the sysadmin, can fix.
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

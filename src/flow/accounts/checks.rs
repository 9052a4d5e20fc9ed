//! What can be told about a way to accounts without creating one: for cron, which says what is wrong, and for whoever sets it up.

use std::fmt;

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// As it should be.
    Fine,
    /// It works, and could be better or cannot be told.
    Advice,
    /// Strangers may get accounts without a moderator's yes, or people cannot use theirs.
    Warning,
    /// No account can be made.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A word for this finding that does not change.
    pub name: &'static str,
    pub weight: Weight,
    /// What it means and what to do; names the homeserver.
    pub sentence: String,
}

impl Finding {
    pub(super) fn new(weight: Weight, name: &'static str, sentence: impl Into<String>) -> Finding {
        Finding { name, weight, sentence: sentence.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.sentence)
    }
}

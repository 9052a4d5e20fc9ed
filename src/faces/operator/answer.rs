//! What a subcommand says.

use crate::domain::error::Error;
use crate::outside::{state_file, store};
use serde_json::Value;

/// For people, and for scripts.
#[derive(Debug)]
pub struct Answer {
    /// Whole lines.
    pub text: String,
    pub json: Value,
}

/// Why a subcommand did nothing, in one sentence.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such request, or what is wanted is not possible for it.
    No(String),
    /// Something that is needed does not work at present.
    Failed(String),
}

impl Refusal {
    pub fn sentence(&self) -> &str {
        match self {
            Refusal::No(sentence) | Refusal::Failed(sentence) => sentence,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        match error.status {
            400..500 => Refusal::No(error.cause),
            _ => Refusal::Failed(error.cause),
        }
    }
}

impl From<store::Error> for Refusal {
    fn from(cause: store::Error) -> Refusal {
        Error::from(cause).into()
    }
}

impl From<state_file::Error> for Refusal {
    fn from(cause: state_file::Error) -> Refusal {
        Error::from(cause).into()
    }
}

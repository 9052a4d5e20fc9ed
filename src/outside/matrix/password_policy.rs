//! The homeserver's rules for passwords (`GET /password_policy`, MSC2000). Synapse applies them when a user changes the password
//! but not to accounts by shared secret, so the page that asks for a password applies them.

use super::{Call, Error, Homeserver};
use serde::Deserialize;
use std::time::Duration;

/// Time limit, as a visitor is waiting.
const PATIENCE: Duration = Duration::from_secs(3);

/// The rules; without any, every password is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PasswordPolicy {
    /// In characters.
    #[serde(rename = "m.minimum_length")]
    pub minimum_length: u64,
    #[serde(rename = "m.require_digit")]
    pub require_digit: bool,
    #[serde(rename = "m.require_symbol")]
    pub require_symbol: bool,
    #[serde(rename = "m.require_uppercase")]
    pub require_uppercase: bool,
    #[serde(rename = "m.require_lowercase")]
    pub require_lowercase: bool,
}

/// A rule that a password breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFault {
    TooShort,
    NoDigit,
    NoSymbol,
    NoUppercase,
    NoLowercase,
}

impl PasswordPolicy {
    /// The first rule that the password breaks, as Synapse judges it: only ASCII counts as digit or letter, anything else is a
    /// symbol.
    pub fn fault(&self, password: &str) -> Option<PolicyFault> {
        let lacks = |is_wanted: bool, kind: fn(&char) -> bool| is_wanted && !password.chars().any(|character| kind(&character));
        if (password.chars().count() as u64) < self.minimum_length {
            Some(PolicyFault::TooShort)
        } else if lacks(self.require_digit, char::is_ascii_digit) {
            Some(PolicyFault::NoDigit)
        } else if lacks(self.require_symbol, |character| !character.is_ascii_alphanumeric()) {
            Some(PolicyFault::NoSymbol)
        } else if lacks(self.require_uppercase, char::is_ascii_uppercase) {
            Some(PolicyFault::NoUppercase)
        } else if lacks(self.require_lowercase, char::is_ascii_lowercase) {
            Some(PolicyFault::NoLowercase)
        } else {
            None
        }
    }
}

/// The homeserver's rules. A homeserver that does not know the question has none.
pub fn password_policy(homeserver: &Homeserver) -> Result<PasswordPolicy, Error> {
    let call = Call::get("/_matrix/client/v3/password_policy".into()).patience(PATIENCE);
    match homeserver.ask::<PasswordPolicy>(&call)? {
        Ok(policy) => Ok(policy),
        Err(refusal) if refusal.status == 404 => Ok(PasswordPolicy::default()),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_judged_as_synapse_judges_it() {
        let all = PasswordPolicy {
            minimum_length: 6,
            require_digit: true,
            require_symbol: true,
            require_uppercase: true,
            require_lowercase: true,
        };
        for (password, fault) in [
            ("aB1-5", Some(PolicyFault::TooShort)),
            ("aBcd-ef", Some(PolicyFault::NoDigit)),
            ("aBcd1ef", Some(PolicyFault::NoSymbol)),
            ("abcd-1Ä", Some(PolicyFault::NoUppercase)),
            ("ABCD-1ä", Some(PolicyFault::NoLowercase)),
            ("aBcd1ä", None),
        ] {
            assert_eq!(all.fault(password), fault, "{password}");
        }
        assert_eq!(PasswordPolicy::default().fault(""), None);
    }
}

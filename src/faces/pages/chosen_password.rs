//! A password that the owner of an account chooses: the two fields, the rules for it, and how it is kept.

use super::{Faults, Field};
use crate::domain::config::OperationMode;
use crate::domain::error::Error;
use crate::domain::password::{self, PasswordFault};
use crate::domain::text_key::form::error as text;
use crate::flow::keys;
use crate::outside::log;
use crate::outside::matrix::Homeserver;
use crate::outside::matrix::password_policy::{PasswordPolicy, PolicyFault, password_policy};
use crate::outside::site::Site;
use crate::outside::store::Registration;
use serde::Serialize;

/// A kind of character that a password needs: the texts `password_needs.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Need {
    Digit,
    Symbol,
    Uppercase,
    Lowercase,
}

/// The rules without the homeserver's: `form.password_min_length`.
pub(super) fn own_rules(site: &Site) -> PasswordPolicy {
    PasswordPolicy { minimum_length: site.config.form.password_min_length.0, ..PasswordPolicy::default() }
}

/// The rules for a new password: ours and, where the homeserver has the passwords, the homeserver's. Takes up to 3 seconds. If
/// the homeserver does not tell, ours alone: it applies its own rules to changes, and no account by shared secret depends on
/// them.
pub(super) fn rules(site: &Site) -> PasswordPolicy {
    let own = own_rules(site);
    // matrix-authentication-service measures how easily a password is guessed, and says so only when it is set.
    if site.config.operation_mode.has_own_passwords() || site.config.operation_mode == OperationMode::Mas {
        return own;
    }
    match password_policy(&Homeserver::new(&site.config)) {
        Ok(policy) => PasswordPolicy { minimum_length: policy.minimum_length.max(own.minimum_length), ..policy },
        Err(cause) => {
            log::warn("password_rules_unknown", None, &cause.to_string());
            own
        }
    }
}

/// The kinds of characters that the rules demand, for the page.
pub(super) fn needs(rules: &PasswordPolicy) -> Vec<Need> {
    let all = [
        (rules.require_digit, Need::Digit),
        (rules.require_symbol, Need::Symbol),
        (rules.require_uppercase, Need::Uppercase),
        (rules.require_lowercase, Need::Lowercase),
    ];
    all.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, need)| need).collect()
}

/// What is wrong with a password, typed twice.
pub(super) fn faults(rules: &PasswordPolicy, password: &str, again: &str, localpart: &str, address: &str) -> Faults {
    let fault = match password::fault(password, rules.minimum_length, localpart, address) {
        _ if password.is_empty() => (Field::Password, text::PASSWORD_MISSING),
        Some(PasswordFault::TooShort) => (Field::Password, text::PASSWORD_TOO_SHORT),
        Some(PasswordFault::TooLong) => (Field::Password, text::PASSWORD_TOO_LONG),
        Some(PasswordFault::Weak) => (Field::Password, text::PASSWORD_WEAK),
        None => match rules.fault(password) {
            Some(PolicyFault::TooShort) => (Field::Password, text::PASSWORD_TOO_SHORT),
            Some(PolicyFault::NoDigit) => (Field::Password, text::PASSWORD_NO_DIGIT),
            Some(PolicyFault::NoSymbol) => (Field::Password, text::PASSWORD_NO_SYMBOL),
            Some(PolicyFault::NoUppercase) => (Field::Password, text::PASSWORD_NO_UPPERCASE),
            Some(PolicyFault::NoLowercase) => (Field::Password, text::PASSWORD_NO_LOWERCASE),
            None if password != again => (Field::PasswordAgain, text::PASSWORD_DIFFERS),
            None => return Faults::new(),
        },
    };
    Faults::from([fault])
}

/// The form in which the database keeps a chosen password until the account is made.
pub(super) fn kept(site: &Site, registration: &Registration, password: &str) -> Result<String, Error> {
    let kept = match registration.mode(&site.config).has_own_passwords() {
        true => password::hash(password),
        false => password::seal(&keys::of(site, registration)?, &registration.seed, password),
    };
    kept.map_err(|cause| Error::internal(format!("cannot keep the password: {cause}")))
}

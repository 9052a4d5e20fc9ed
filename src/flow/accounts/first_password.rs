//! The first password of an account whose passwords the homeserver has.

use super::Outcome;
use crate::domain::password;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store};

/// Derived from the secret key or sealed with it, so a repeated attempt has the same one, and nobody else knows it: an account that it
/// opens was created for this request.
pub(super) struct FirstPassword {
    pub text: String,
    /// Otherwise it is the initial one.
    pub is_chosen: bool,
}

impl FirstPassword {
    /// A password chosen while `operation_mode` was "local" is stored only as a hash, which no homeserver takes; then an initial one
    /// is mailed.
    pub fn of(site: &Site, store: &mut Store, registration: &Registration) -> Result<FirstPassword, Failure> {
        let initial = FirstPassword { text: super::initial_password(site, registration)?, is_chosen: false };
        match registration.password.as_deref() {
            None => Ok(initial),
            Some(hash) if password::is_hash(hash) => {
                store.forget_chosen_password(registration.id)?;
                Ok(initial)
            }
            Some(sealed) => Ok(FirstPassword { text: open(site, registration, sealed)?, is_chosen: true }),
        }
    }

    /// Only a password that somebody chose can be replaced by another one.
    pub fn judge(&self, outcome: Outcome) -> Result<Outcome, Failure> {
        match outcome {
            Outcome::PasswordRefused(error) if !self.is_chosen => {
                Err(Failure::later(format!("the homeserver does not accept an initial password: {error}")))
            }
            outcome => Ok(outcome),
        }
    }
}

/// A page may have sealed the password with the former key while its request got the new one.
pub(super) fn open(site: &Site, registration: &Registration, sealed: &str) -> Result<String, Failure> {
    let keys = [Some(keys::of(site, registration)?), site.state.secret()?.former()];
    keys.iter().flatten().find_map(|secret| password::open(secret, &registration.seed, sealed)).ok_or_else(|| {
        Failure::later(
            "the password that the applicant chose cannot be opened: config.json has another secret_key than when it was typed, restore it",
        )
    })
}

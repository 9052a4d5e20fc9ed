//! The two fields of a new password.

use super::{Faults, Field};
use crate::domain::password::{self, PasswordFault};
use crate::domain::text_key::form::error as text;
use crate::outside::site::Site;

/// What is wrong with a password that the owner of an account chooses: the policy of `form.password_min_length`, and the two
/// fields must be the same.
pub(super) fn faults(site: &Site, password: &str, again: &str, localpart: &str, address: &str) -> Faults {
    let least = site.config.form.password_min_length.0;
    let fault = match password::fault(password, least, localpart, address) {
        _ if password.is_empty() => (Field::Password, text::PASSWORD_MISSING),
        Some(PasswordFault::TooShort) => (Field::Password, text::PASSWORD_TOO_SHORT),
        Some(PasswordFault::TooLong) => (Field::Password, text::PASSWORD_TOO_LONG),
        Some(PasswordFault::Weak) => (Field::Password, text::PASSWORD_WEAK),
        None if password != again => (Field::PasswordAgain, text::PASSWORD_DIFFERS),
        None => return Faults::new(),
    };
    Faults::from([fault])
}

//! Accounts in our own table, which Synapse asks for passwords.

use super::{Outcome, open, synapse};
use crate::password;
use crate::site::Site;
use crate::steps::Failure;
use crate::store::{NewLogin, Registration, Store};
use crate::token::Secret;

/// Prepares the row of the account. Where a shared secret is configured, the account is made in Synapse first: that
/// reserves the name there, and published password modules fail at the first login of an account that is not there yet
/// (contract synapse 2.1).
pub(super) fn make(site: &Site, store: &mut Store, registration: &Registration, secret: &Secret) -> Result<Outcome, Failure> {
    if site.config.registration_shared_secret()?.is_some() {
        let unused = password::for_homeserver(secret, &registration.seed);
        if let Outcome::Refused(reason) = synapse::make(site, store, registration, &unused)? {
            return Ok(Outcome::Refused(reason));
        }
    }
    Ok(Outcome::ForOurTable(Box::new(row(site, registration, secret)?)))
}

fn row(site: &Site, registration: &Registration, secret: &Secret) -> Result<NewLogin, Failure> {
    let now = site.now();
    let (password_hash, initial_password_until) = match registration.password.as_deref() {
        Some(hash) if password::is_hash(hash) => (hash.to_owned(), None),
        Some(sealed) => (password::hash(&open(secret, registration, sealed)?)?, None),
        None => {
            let days = site.config.times.initial_password_days.0 as i64;
            let until = (days > 0).then_some(now + days * 86_400);
            (password::hash(&password::initial(secret, &registration.seed))?, until)
        }
    };
    Ok(NewLogin {
        localpart: registration.username.clone(),
        first_name: registration.first_name.clone(),
        last_name: registration.last_name.clone(),
        password_hash,
        email: registration.email.clone(),
        email_folded: registration.email_folded.clone(),
        created_at: now,
        initial_password_until,
    })
}

//! Where an approved account comes to be: in Synapse, or in our own table.

mod local;
mod php;
mod synapse;

pub use php::renew_lost_password;

use crate::domain::config::OperationMode;
use crate::domain::password;
use crate::domain::token::Secret;
use crate::flow::failure::Failure;
use crate::outside::site::Site;
use crate::outside::store::{NewLogin, Registration, Store};

/// What became of the wish for an account.
#[derive(Debug)]
pub enum Outcome {
    /// It is there, at the homeserver.
    Made,
    /// It is ready to be written into our own table.
    ForOurTable(Box<NewLogin>),
    /// It is there, and the PHP program, whose registration this was, mailed its password: it could not write that down.
    MadeByPhp,
    /// The homeserver will never make it; the text is its reason.
    Refused(String),
}

/// Makes the account of an approved registration. Safe to repeat: an account that a former try made is found to be ours.
pub fn make(site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure> {
    let secret = site.state.secret()?;
    match site.config.operation_mode {
        OperationMode::Synapse => {
            let password = first_password(store, &secret, registration)?;
            synapse::make(site, store, registration, &password)
        }
        OperationMode::Local => local::make(site, store, registration, &secret),
    }
}

/// The password with which an account in Synapse starts: the one that the applicant typed, or the initial one.
///
/// A password that was typed while `operation_mode` was "local" is there as a hash only, which Synapse cannot take; an
/// initial one is mailed then.
fn first_password(store: &mut Store, secret: &Secret, registration: &Registration) -> Result<String, Failure> {
    match registration.password.as_deref() {
        None => Ok(password::initial(secret, &registration.seed)),
        Some(hash) if password::is_hash(hash) => {
            store.forget_chosen_password(registration.id)?;
            Ok(password::initial(secret, &registration.seed))
        }
        Some(sealed) => open(secret, registration, sealed),
    }
}

fn open(secret: &Secret, registration: &Registration, sealed: &str) -> Result<String, Failure> {
    password::open(secret, &registration.seed, sealed).ok_or_else(|| {
        Failure::later(
            "the password that the applicant chose cannot be opened: config.json has another secret_key than when it was typed, restore it",
        )
    })
}

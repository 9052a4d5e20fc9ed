//! Creates approved accounts: in Synapse, or in our own table.

mod local;
mod php;
mod synapse;

pub(crate) use php::renew_lost_password;

use crate::domain::config::OperationMode;
use crate::domain::password;
use crate::domain::token::Secret;
use crate::flow::failure::Failure;
use crate::outside::site::Site;
use crate::outside::store::{NewLogin, Registration, Store};

/// The outcome of creating an account.
#[derive(Debug)]
pub enum Outcome {
    /// The account exists in Synapse.
    Made,
    /// The account is ready to be written into our own table.
    ForOurTable(Box<NewLogin>),
    /// The account exists. The PHP program, which this registration came from, mailed its password but could not record that.
    MadeByPhp,
    /// The homeserver will never create it; the text is the reason.
    Refused(String),
    /// The homeserver does not accept the password that the applicant chose; the text is its sentence.
    PasswordRefused(String),
}

/// Creates the account of an approved registration. Safe to repeat: an account that an earlier attempt made is recognised.
pub fn make(site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure> {
    let secret = site.state.secret()?;
    match site.config.operation_mode {
        OperationMode::Synapse => {
            let (password, is_chosen) = first_password(store, &secret, registration)?;
            match synapse::make(site, store, registration, &password)? {
                Outcome::PasswordRefused(error) if !is_chosen => {
                    Err(Failure::later(format!("the homeserver does not accept an initial password: {error}")))
                }
                outcome => Ok(outcome),
            }
        }
        OperationMode::Local => local::make(site, store, registration, &secret),
    }
}

/// The first password of an account in Synapse, and whether the applicant chose it; otherwise it is the initial one.
///
/// A password chosen while `operation_mode` was "local" is stored only as a hash, which Synapse cannot use; then an initial one
/// is mailed.
fn first_password(store: &mut Store, secret: &Secret, registration: &Registration) -> Result<(String, bool), Failure> {
    let initial = (password::initial(secret, &registration.seed), false);
    match registration.password.as_deref() {
        None => Ok(initial),
        Some(hash) if password::is_hash(hash) => {
            store.forget_chosen_password(registration.id)?;
            Ok(initial)
        }
        Some(sealed) => Ok((open(secret, registration, sealed)?, true)),
    }
}

fn open(secret: &Secret, registration: &Registration, sealed: &str) -> Result<String, Failure> {
    password::open(secret, &registration.seed, sealed).ok_or_else(|| {
        Failure::later(
            "the password that the applicant chose cannot be opened: config.json has another secret_key than when it was typed, restore it",
        )
    })
}

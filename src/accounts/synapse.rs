//! Accounts in Synapse, by shared-secret registration.

use super::Outcome;
use crate::config::OperationMode;
use crate::matrix::{Homeserver, availability, login, register};
use crate::names;
use crate::site::Site;
use crate::steps::Failure;
use crate::store::{Registration, Store};

/// Asks the homeserver for the account.
///
/// A lost answer: the next try hears "in use" (contract synapse 3). At the first try that means somebody else's; later
/// the account may be ours, so it is asked for proof.
pub(super) fn make(site: &Site, store: &mut Store, registration: &Registration, password: &str) -> Result<Outcome, Failure> {
    let Some(shared_secret) = site.config.registration_shared_secret()? else {
        return Err(Failure::later("registration_shared_secret is not set in config.toml; without it no account can be made"));
    };
    let homeserver = Homeserver::new(&site.config);
    let first_try = registration.account_tried_at.is_none();
    store.note_account_try(registration.id, site.now())?;
    let display_name = names::display_name(&registration.first_name, &registration.last_name);
    let account = register::NewAccount { localpart: &registration.username, password, display_name: Some(&display_name) };
    match register::register(&homeserver, &shared_secret, &account)? {
        register::Registered::Made => Ok(Outcome::Made),
        register::Registered::NameInUse if !first_try && is_ours(site, &homeserver, registration, password, &display_name)? => {
            Ok(Outcome::Made)
        }
        register::Registered::NameInUse => Ok(Outcome::Refused("M_USER_IN_USE".into())),
        register::Registered::NameRefused { errcode, error } => Ok(Outcome::Refused(format!("{errcode}: {error}"))),
    }
}

/// Whether an account that exists was made by a former try of ours.
///
/// Its password is the proof. In local mode Synapse may have its own password table switched off, so that nothing can be
/// proved; there, a name that was free before our first try and now carries our display name is taken for ours.
fn is_ours(site: &Site, homeserver: &Homeserver, registration: &Registration, password: &str, display_name: &str) -> Result<bool, Failure> {
    if login::proves(homeserver, &registration.username, password)? {
        return Ok(true);
    }
    if site.config.operation_mode == OperationMode::Synapse {
        return Ok(false);
    }
    Ok(availability::display_name(homeserver, &registration.username)?.as_deref() == Some(display_name))
}

//! Accounts by the specification's own registration with a token, for homeservers without shared-secret registration.
//!
//! Each step can be repeated after any lost answer, from the beginning: `outside/matrix/token_registration.rs` says why no answer
//! of the homeserver proves anything. Only the login with our password does, in both directions; it is done once, before the mail.

use super::first_password::FirstPassword;
use super::{Accounts, Finding, Outcome, php, synapse, token_checks};
use crate::domain::names;
use crate::domain::password;
use crate::domain::token::Secret;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::outside::log;
use crate::outside::matrix::login::{self, Login};
use crate::outside::matrix::token_registration::{self as wire, Answered, Begun, Means, NewAccount};
use crate::outside::matrix::{self, Homeserver, delegation, profile};
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store};
use std::thread;
use std::time::Duration;

/// Between a registration and its proof: on Conduit somebody else's registration of the same name can be under way, and its
/// password, which is being hashed, would replace ours after a proof that came too early.
const SETTLING: Duration = Duration::from_secs(2);

pub(super) struct ByToken;

impl Accounts for ByToken {
    fn make(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure> {
        let password = FirstPassword::of(site, store, registration)?;
        password.judge(make(site, store, registration, &password.text)?)
    }

    /// The homeserver's rules for passwords apply to registrations.
    fn initial_password(&self, secret: &Secret, seed: &str) -> String {
        password::initial_of_all_kinds(secret, seed)
    }

    fn check(&self, site: &Site) -> Vec<Finding> {
        token_checks::check(site)
    }

    fn renew_lost_password(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
        let initial = self.initial_password(&keys::of(site, registration)?, &registration.seed);
        php::renew_lost_password(site, store, registration, &initial).map_err(|failure| Failure {
            sentence: format!(
                "{}; if the homeserver has no /_synapse/admin, set a password as its administrator (Conduit: reset-password {} in the admin room), tell it to the \
                 person, and end the request: cron --end {}",
                failure.sentence, registration.username, registration.id
            ),
            ..failure
        })
    }
}

fn make(site: &Site, store: &mut Store, registration: &Registration, password: &str) -> Result<Outcome, Failure> {
    let Some(token) = site.config.registration_token()? else {
        return Err(Failure::later("token is not set in [registration_token] in config.toml; without it no account can be made"));
    };
    let homeserver = Homeserver::new(&site.config);
    if !delegation::takes_passwords(&homeserver)? {
        return Err(matrix::Error::Misconfigured(token_checks::NO_PASSWORDS.into()).into());
    }
    let account = NewAccount { localpart: &registration.username, password };
    let means = Means { token: &token, accepts_terms: site.config.registration_token.accept_terms };
    let first_try = registration.account_tried_at.is_none();
    let answered = match wire::begin(&homeserver, &account, &means)? {
        Begun::Answered(answered) => answered,
        Begun::Open(session) => {
            store.note_account_try(registration.id, site.now())?;
            match wire::finish(&homeserver, &account, &means, &session) {
                Err(cause) if first_try && synapse::did_nothing(&cause) => {
                    store.forget_account_try(registration.id)?;
                    return Err(cause.into());
                }
                answered => answered?,
            }
        }
    };
    if answered == Answered::Made {
        thread::sleep(SETTLING);
    }
    conclude(store, &homeserver, registration, password, answered)
}

/// What the answer means, once we know whose account it is.
fn conclude(
    store: &mut Store,
    homeserver: &Homeserver,
    registration: &Registration,
    password: &str,
    answered: Answered,
) -> Result<Outcome, Failure> {
    let first_try = registration.account_tried_at.is_none();
    match answered {
        Answered::NameRefused { errcode, error } => return Ok(Outcome::Refused(format!("{errcode}: {error}"))),
        // An earlier attempt may have made the account before the homeserver's rules changed.
        Answered::PasswordRefused(error) if first_try => return Ok(Outcome::PasswordRefused(error)),
        Answered::Made | Answered::InUse | Answered::TokenGone | Answered::PasswordRefused(_) => {}
    }
    if let Some(login) = login::proof(homeserver, &registration.username, password)? {
        if first_try && answered == Answered::InUse {
            log::warn(
                "account_found",
                Some(registration.id),
                "the account exists, with the password of this request: it was made before the database was restored, and counts as made",
            );
        }
        return complete(homeserver, registration, &login).map(|()| Outcome::Made);
    }
    match answered {
        Answered::PasswordRefused(error) => Ok(Outcome::PasswordRefused(error)),
        Answered::TokenGone => Err(Failure::later(
            "the homeserver removed the registration token while an account was made, and there is no account; set token in [registration_token] to the new one",
        )),
        _ if php::may_have_made(store, registration)? => Ok(Outcome::MadeByPhp),
        _ => Ok(Outcome::Refused("M_USER_IN_USE".into())),
    }
}

/// Gives the account its display name, which a registration cannot, and leaves no device behind.
fn complete(homeserver: &Homeserver, registration: &Registration, login: &Login) -> Result<(), Failure> {
    let name = names::display_name(&registration.first_name, &registration.last_name);
    if !name.is_empty() {
        match profile::set_display_name(homeserver, &login.access_token, &registration.username, &name) {
            // The account is theirs, and they can set the name.
            Err(cause @ (matrix::Error::Forbidden(_) | matrix::Error::Unexpected(_))) => {
                log::warn("display_name_refused", Some(registration.id), &cause.to_string());
            }
            outcome => outcome?,
        }
    }
    match login::logout(homeserver, &login.access_token) {
        // An earlier answer was lost.
        Err(matrix::Error::UnknownToken { .. }) => Ok(()),
        Err(cause @ (matrix::Error::Forbidden(_) | matrix::Error::Unexpected(_))) => {
            log::warn("proof_device_left", Some(registration.id), &cause.to_string());
            Ok(())
        }
        outcome => Ok(outcome?),
    }
}

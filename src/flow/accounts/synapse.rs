//! Accounts in Synapse, by shared-secret registration.

use super::Weight::Fault;
use super::first_password::FirstPassword;
use super::{Accounts, Finding, Outcome, php, secret_checks};
use crate::domain::names;
use crate::flow::addresses;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::outside::log;
use crate::outside::matrix::register::{self, NewAccount, Registered};
use crate::outside::matrix::{self, Homeserver, bot, login};
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store};

const NO_SECRET: &str = "registration_shared_secret is not set in config.toml; without it no account can be made";

pub(super) struct InSynapse;

impl Accounts for InSynapse {
    fn make(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure> {
        let password = FirstPassword::of(site, store, registration)?;
        password.judge(make(site, store, registration, &password.text)?)
    }

    fn check(&self, site: &Site) -> Vec<Finding> {
        secret_checks::check(site, Finding::new(Fault, "shared_secret_missing", NO_SECRET))
    }

    fn renew_lost_password(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
        php::renew_lost_password(site, store, registration, &self.initial_password(&keys::of(site, registration)?, &registration.seed))
    }

    fn bind_address(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<bool, Failure> {
        addresses::bind(site, store, registration)
    }
}

/// Asks the homeserver for the account.
///
/// If the name is in use, the account may still be ours: an answer was lost, or the database was restored from a backup that is
/// older than the account. So it counts as somebody else's only if the proof fails. A display name proves nothing, because
/// anybody can choose it.
pub(super) fn make(site: &Site, store: &mut Store, registration: &Registration, password: &str) -> Result<Outcome, Failure> {
    let Some(shared_secret) = site.config.registration_shared_secret()? else {
        return Err(Failure::later(NO_SECRET));
    };
    let homeserver = Homeserver::new(&site.config);
    let nonce = register::nonce(&homeserver)?;
    let first_try = registration.account_tried_at.is_none();
    store.note_account_try(registration.id, site.now())?;
    let display_name = names::display_name(&registration.first_name, &registration.last_name);
    let display_name = Some(display_name.as_str()).filter(|name| !name.is_empty());
    let account = NewAccount { localpart: &registration.username, password, display_name, is_bot: false };
    match register::register_with(&homeserver, &shared_secret, &account, nonce) {
        Ok(Registered::Made) => Ok(Outcome::Made),
        Ok(Registered::NameInUse { asked_again: false }) if first_try => {
            let outcome = before_the_first_try(site, &homeserver, registration, password);
            if outcome.is_err() {
                // This attempt created nothing and the proof has to wait, so the next attempt counts as the first.
                store.forget_account_try(registration.id)?;
            }
            outcome
        }
        Ok(Registered::NameInUse { .. }) => whose_account(site, store, &homeserver, registration, password),
        Ok(Registered::NameRefused { errcode, error }) => Ok(Outcome::Refused(format!("{errcode}: {error}"))),
        // An earlier attempt may have made the account before the homeserver's rules changed.
        Ok(Registered::PasswordRefused(_)) if !first_try && login::proves(&homeserver, &registration.username, password)? => {
            Ok(Outcome::Made)
        }
        Ok(Registered::PasswordRefused(error)) => Ok(Outcome::PasswordRefused(error)),
        Err(cause) => {
            if first_try && did_nothing(&cause) {
                store.forget_account_try(registration.id)?;
            }
            Err(cause.into())
        }
    }
}

/// Whether the homeserver certainly created no account. A lost or unexpected answer leaves that open.
pub(super) fn did_nothing(cause: &matrix::Error) -> bool {
    !matches!(cause, matrix::Error::Unreachable(_) | matrix::Error::Unexpected(_))
}

/// Whether an account that existed before this request's first attempt is the applicant's: made for this very request, before
/// the database was restored to an older state. If it has the password that the new account would get, it is theirs, whoever
/// made it.
fn before_the_first_try(site: &Site, homeserver: &Homeserver, registration: &Registration, password: &str) -> Result<Outcome, Failure> {
    if login::proves(homeserver, &registration.username, password)? {
        log::warn(
            "account_found",
            Some(registration.id),
            "the account exists, with the password of this request: it was made before the database was restored, and counts as made",
        );
        return Ok(Outcome::Made);
    }
    somebody_elses(site, homeserver, registration)
}

/// Whether an existing account was made by an earlier attempt: its password proves that it is ours.
fn whose_account(
    site: &Site,
    store: &mut Store,
    homeserver: &Homeserver,
    registration: &Registration,
    password: &str,
) -> Result<Outcome, Failure> {
    if login::proves(homeserver, &registration.username, password)? {
        return Ok(Outcome::Made);
    }
    if php::may_have_made(store, registration)? {
        return Ok(Outcome::MadeByPhp);
    }
    somebody_elses(site, homeserver, registration)
}

/// After a failed proof: the applicant is asked to choose another name.
///
/// In local mode Synapse's own password table may be switched off, and then no proof can succeed. The request waits until the
/// operator switches the table on or ends the request. No time ends this wait, because the account may be the applicant's.
fn somebody_elses(site: &Site, homeserver: &Homeserver, registration: &Registration) -> Result<Outcome, Failure> {
    if registration.mode(&site.config).has_own_passwords() && !login::has_password_table(homeserver, &bot::access_token(site)?)? {
        return Err(Failure::later(format!(
            "{} exists on the homeserver, and whether we made it cannot be told while password_config.localdb_enabled is false in homeserver.yaml; \
             switch it on until the next try; if the account is somebody else's, end the request: cron --end {}",
            homeserver.mxid(&registration.username),
            registration.id
        )));
    }
    Ok(Outcome::Refused("M_USER_IN_USE".into()))
}

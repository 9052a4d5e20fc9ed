//! Accounts in our own table, for which Synapse checks passwords with us.

use super::Weight::Advice;
use super::first_password::open;
use super::{Accounts, Finding, Outcome, php, secret_checks, synapse};
use crate::domain::password;
use crate::domain::seconds::DAY;
use crate::domain::token::Secret;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::outside::matrix::availability::{Availability, availability};
use crate::outside::matrix::{self, Homeserver};
use crate::outside::site::Site;
use crate::outside::store::{Login, NewLogin, Registration, Store};

const NO_SECRET: &str = "accounts are made in our own table; with registration_shared_secret in config.toml each account is also made in Synapse, \
     which keeps its name from others";

pub(super) struct InOurTable;

impl Accounts for InOurTable {
    fn make(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure> {
        make(site, store, registration, &keys::of(site, registration)?)
    }

    fn check(&self, site: &Site) -> Vec<Finding> {
        secret_checks::check(site, Finding::new(Advice, "own_table", NO_SECRET))
    }

    fn renew_lost_password(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
        match store.login_exists(&registration.username)? {
            true => Ok(()),
            false => php::renew_lost_password(
                site,
                store,
                registration,
                &self.initial_password(&keys::of(site, registration)?, &registration.seed),
            ),
        }
    }

    /// Restores the full time of a password that has nearly expired because the mail was delayed.
    fn initial_password_until(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<Option<i64>, Failure> {
        let Some(until) = store.initial_password_until(&registration.username)? else { return Ok(None) };
        let full = site.config.times.initial_password_days.0 as i64 * DAY;
        if until - site.now() >= full / 2 && full > 0 {
            return Ok(Some(until));
        }
        let until = site.initial_password_until();
        store.extend_initial_password(&registration.username, until)?;
        Ok(until)
    }
}

/// Prepares the row of the account. A name that is already in our table belongs to somebody else. Synapse must not have it
/// either, or the applicant would be let into somebody's account there.
///
/// If a shared secret is configured, the account is first made in Synapse. This reserves the name there, and published password
/// modules fail at the first login of an account that does not exist yet.
fn make(site: &Site, store: &mut Store, registration: &Registration, secret: &Secret) -> Result<Outcome, Failure> {
    if let Some(login) = store.login(&registration.username)? {
        return match is_of_this_request(site, &login, registration, secret) {
            true => Ok(Outcome::Made),
            false => Ok(Outcome::Refused("in use in our own table".into())),
        };
    }
    if site.config.registration_shared_secret()?.is_none() {
        return without_secret(site, registration, secret);
    }
    let unused = password::for_homeserver(secret, &registration.seed);
    match synapse::make(site, store, registration, &unused)? {
        Outcome::Refused(reason) => Ok(Outcome::Refused(reason)),
        Outcome::MadeByPhp => Ok(Outcome::MadeByPhp),
        Outcome::PasswordRefused(error) => Err(Failure::later(format!("the homeserver does not accept a random password: {error}"))),
        _ => Ok(Outcome::ForOurTable(Box::new(row(site, registration, secret)?))),
    }
}

/// Whether a row of our own table was made for this request; the proof is that it has the password of the request.
fn is_of_this_request(site: &Site, login: &Login, registration: &Registration, secret: &Secret) -> bool {
    match registration.password.as_deref() {
        Some(hash) if password::is_hash(hash) => hash == login.password_hash,
        Some(sealed) => open(site, registration, sealed).is_ok_and(|typed| password::verify(&typed, &login.password_hash)),
        None => password::verify(&password::initial(secret, &registration.seed), &login.password_hash),
    }
}

/// Without the shared secret we know only what Synapse tells strangers.
fn without_secret(site: &Site, registration: &Registration, secret: &Secret) -> Result<Outcome, Failure> {
    match availability(&Homeserver::new(&site.config), &registration.username).map_err(not_told)? {
        Availability::Free => Ok(Outcome::ForOurTable(Box::new(row(site, registration, secret)?))),
        Availability::Taken => Ok(Outcome::Refused("M_USER_IN_USE".into())),
    }
}

fn not_told(cause: matrix::Error) -> Failure {
    let failure = Failure::from(cause);
    let sentence = format!(
        "whether the homeserver has this name already cannot be told: {}; \
         with registration_shared_secret in config.toml the account would be made there first",
        failure.sentence
    );
    Failure { sentence, ..failure }
}

fn row(site: &Site, registration: &Registration, secret: &Secret) -> Result<NewLogin, Failure> {
    let now = site.now();
    let (password_hash, initial_password_until) = match registration.password.as_deref() {
        Some(hash) if password::is_hash(hash) => (hash.to_owned(), None),
        Some(sealed) => (password::hash(&open(site, registration, sealed)?)?, None),
        None => (password::hash(&password::initial(secret, &registration.seed))?, site.initial_password_until()),
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

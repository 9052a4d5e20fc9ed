//! Creates approved accounts: one file for each mode, behind [`Accounts`]. [`accounts_of`] is the only list of them.
//!
//! A request remembers the mode in which it was approved ([`Registration::mode`]), so that a switch of `operation_mode` between two
//! tries neither creates a second account nor takes the first one for somebody else's.

mod checks;
mod first_password;
mod local;
mod mas;
mod php;
mod registration_token;
mod secret_checks;
mod synapse;
mod token_checks;

pub use checks::{Finding, Weight};

use crate::domain::config::OperationMode;
use crate::domain::password;
use crate::domain::token::Secret;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::outside;
use crate::outside::log;
use crate::outside::matrix::bot;
use crate::outside::site::Site;
use crate::outside::store::{NewLogin, Registration, Store};

/// The outcome of creating an account.
#[derive(Debug)]
pub enum Outcome {
    /// The account exists at the homeserver.
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

/// What the rest of the program wants of a mode.
trait Accounts {
    /// Creates the account of an approved registration. Safe to repeat: an account that an earlier attempt created is recognised,
    /// and nothing less than a proof makes an existing account the applicant's.
    fn make(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure>;

    /// The first password of an account whose owner chose none: the same each time.
    fn initial_password(&self, secret: &Secret, seed: &str) -> String {
        password::initial(secret, seed)
    }

    /// Before the credentials are mailed: sets the initial password of an account whose password nobody knows. Does nothing for
    /// other accounts.
    fn renew_lost_password(&self, site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure>;

    /// Until when the initial password of an account is good, which is about to be mailed (seconds since 1970); `None`: for ever.
    fn initial_password_until(&self, _site: &Site, _store: &mut Store, _registration: &Registration) -> Result<Option<i64>, Failure> {
        Ok(None)
    }

    /// The page where the person sets the first password of an account that was given none.
    fn recover_link(&self, _site: &Site, _store: &mut Store, _registration: &Registration) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// What can be told about this way to accounts without creating one. Takes a dozen requests at most.
    fn check(&self, site: &Site) -> Vec<Finding>;

    /// Binds the confirmed address to the account. `false`: it stays unbound, and no further try would change that.
    fn bind_address(&self, _site: &Site, _store: &mut Store, _registration: &Registration) -> Result<bool, Failure> {
        Ok(false)
    }
}

fn accounts_of(mode: OperationMode) -> &'static dyn Accounts {
    match mode {
        OperationMode::Synapse => &synapse::InSynapse,
        OperationMode::Local => &local::InOurTable,
        OperationMode::Mas => &mas::InMas,
        OperationMode::RegistrationToken => &registration_token::ByToken,
    }
}

/// See [`Accounts::make`].
pub(crate) fn make(site: &Site, store: &mut Store, registration: &Registration) -> Result<Outcome, Failure> {
    let mode = registration.mode(&site.config);
    if !site.config.can_create_in(mode) {
        return Err(Failure::later(mode_is_gone(mode, registration.id)));
    }
    if registration.approved_mode != Some(mode) {
        // Noted before the first try.
        store.note_mode(registration.id, mode)?;
    }
    if let Some(approved) = registration.approved_mode.filter(|approved| *approved != mode) {
        let what =
            format!("approved with operation_mode = {:?}, goes on with {:?}; nothing was tried before", approved.name(), mode.name());
        log::info("mode_changed", Some(registration.id), &what);
    }
    accounts_of(mode).make(site, store, registration).map_err(|failure| of_another_mode(site, mode, failure))
}

/// The account may exist in the former mode, and only that mode can prove for whom it was created.
fn mode_is_gone(mode: OperationMode, id: i64) -> String {
    format!(
        "the request was approved with operation_mode = {:?}, and its account was asked for in that mode, perhaps with success; set that mode and its keys in \
         config.toml again until the request is done, or end it after a look at whether the account exists: cron --end {id}",
        mode.name()
    )
}

/// A failure in another mode than the configured one would be misleading without the reason for that mode.
fn of_another_mode(site: &Site, mode: OperationMode, failure: Failure) -> Failure {
    if mode == site.config.operation_mode {
        return failure;
    }
    let sentence = format!("{} (the request was approved with operation_mode = {:?})", failure.sentence, mode.name());
    Failure { sentence, ..failure }
}

/// See [`Accounts::initial_password`].
pub(crate) fn initial_password(site: &Site, registration: &Registration) -> Result<String, Failure> {
    Ok(accounts_of(registration.mode(&site.config)).initial_password(&keys::of(site, registration)?, &registration.seed))
}

/// See [`Accounts::renew_lost_password`].
pub(crate) fn renew_lost_password(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    accounts_of(registration.mode(&site.config)).renew_lost_password(site, store, registration)
}

/// See [`Accounts::initial_password_until`].
pub(crate) fn initial_password_until(site: &Site, store: &mut Store, registration: &Registration) -> Result<Option<i64>, Failure> {
    accounts_of(registration.mode(&site.config)).initial_password_until(site, store, registration)
}

/// See [`Accounts::recover_link`].
pub(crate) fn recover_link(site: &Site, store: &mut Store, registration: &Registration) -> Result<Option<String>, Failure> {
    accounts_of(registration.mode(&site.config)).recover_link(site, store, registration)
}

/// Whether creating the account of a request may take longer than a visitor waits, and must not end with the visit.
pub(crate) fn outlives_visits(site: &Site, registration: &Registration) -> bool {
    registration.mode(&site.config).abilities().outlives_visits
}

/// Whether this may be so for any request.
pub(crate) fn any_outlives_visits(site: &Site) -> bool {
    OperationMode::ALL.into_iter().any(|mode| mode.abilities().outlives_visits && site.config.can_create_in(mode))
}

/// The longest time to detect that nothing answers when an account is created, in seconds.
pub(crate) fn silence_seconds(site: &Site) -> u64 {
    if any_outlives_visits(site) { outside::mas::SILENCE_SECONDS } else { bot::SILENCE_SECONDS }
}

/// See [`Accounts::check`]; of the configured mode.
pub fn check(site: &Site) -> Vec<Finding> {
    accounts_of(site.config.operation_mode).check(site)
}

/// See [`Accounts::bind_address`].
pub(crate) fn bind_address(site: &Site, store: &mut Store, registration: &Registration) -> Result<bool, Failure> {
    accounts_of(registration.mode(&site.config)).bind_address(site, store, registration)
}

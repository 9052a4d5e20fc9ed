//! Requests that were filed with another secret key than the present one in `config.json`.
//!
//! Links, transaction ids and passwords are derived from the key. So nothing is sent, posted or made for such a request: the
//! page behind its link says that it has to wait, and cron tells the sysadmin. If another machine has the key, or the key is
//! restored from a backup, the request continues. If the key is lost for good, `cron --rekey` ([`renew`]) gives the requests a
//! new one. This never happens automatically: two machines with different keys would take the requests from each other forever,
//! and send everything twice.

use crate::domain::address::Address;
use crate::domain::config::OperationMode;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::password;
use crate::domain::registration::State;
use crate::domain::token::{self, Secret};
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::state_file;
use crate::outside::store::{Access, Correction, FirstPassword, NewKey, Registration, Store};

/// Seconds for which cron's lock is held.
const LOCK_SECONDS: i64 = 600;
const REMEDY: &str = "restore config.json from a backup, or copy it from the other machine; if it is lost for good, cron --rekey gives these requests a new key";

/// Whether the request was filed with the key in `config.json`, or with the one that this is replacing.
pub fn fits(site: &Site, registration: &Registration) -> Result<bool, state_file::Error> {
    Ok(site.state.secret()?.of_request(&registration.seed, &registration.verify_token_hash).is_some())
}

/// The key with which everything of this request is made.
pub fn of(site: &Site, registration: &Registration) -> Result<Secret, state_file::Error> {
    let secret = site.state.secret()?;
    Ok(secret.of_request(&registration.seed, &registration.verify_token_hash).unwrap_or(secret))
}

/// What a request gets with another address: links of its own, so that those in earlier mails lead nowhere.
pub(crate) fn of_correction(site: &Site, address: &Address) -> Result<Correction, Error> {
    let seed = token::new_seed();
    let (verify_token_hash, admin_token_hash) = site.state.secret()?.link_token_hashes(&seed);
    let (email, email_folded) = (address.as_typed().to_owned(), address.folded());
    Ok(Correction { email, email_folded, seed, verify_token_hash, admin_token_hash })
}

/// For the pages: the error for a request that was filed with another key.
pub fn check(site: &Site, registration: &Registration) -> Result<(), Error> {
    match fits(site, registration)? {
        true => Ok(()),
        false => Err(Error::other_key(format!(
            "registration={} came with another secret_key than config.json has now; {REMEDY}",
            registration.id
        ))),
    }
}

/// The number of open requests with another key, and a message about them.
pub fn others(site: &Site, store: &mut Store) -> Result<Option<(u64, String)>, Error> {
    let ids = ids_of_others(&site.state.secret()?, store)?;
    let Some(first) = ids.first() else { return Ok(None) };
    let count = ids.len() as u64;
    let sentence = format!(
        "open requests that came with another secret_key than config.json has now, and wait: {count} (registration={first} is the first); {REMEDY}"
    );
    Ok(Some((count, sentence)))
}

fn ids_of_others(secret: &Secret, store: &mut Store) -> Result<Vec<i64>, Error> {
    let keys = store.keys_of_open_requests()?;
    Ok(keys.into_iter().filter(|key| secret.of_request(&key.seed, &key.verify_token_hash).is_none()).map(|key| key.id).collect())
}

/// `cron --rekey`: gives all open requests with another key a new one. Returns a message about what was done.
pub fn renew(site: &Site) -> Result<String, Error> {
    let mut store = site.store(Access::Write)?;
    let (holder, now) = (token::new_seed(), site.now());
    if !store.take_lock("cron", &holder, now, now + LOCK_SECONDS)? {
        return Err(Error::unavailable("another run of cron is at work; try again in some minutes"));
    }
    let done = renew_all(site, &mut store);
    store.release_lock("cron", &holder)?;
    done
}

fn renew_all(site: &Site, store: &mut Store) -> Result<String, Error> {
    let secret = site.state.secret()?;
    let (mut renewed, mut remarks) = (0, String::new());
    for id in ids_of_others(&secret, store)? {
        let Some(registration) = store.registration(id)? else { continue };
        let new = new_key(site, &secret, &registration)?;
        if !store.renew_key(&registration, &new, site.now())? {
            remarks += &format!("* registration={id}: a program is at work on it; run this again in a quarter of an hour.\n");
            continue;
        }
        log::info("key_renewed", Some(id), &format!("{:?}", registration.state));
        renewed += 1;
        if let Some(remark) = remark(site, &registration, &new) {
            remarks += &format!("* registration={id}: {remark}\n");
        }
    }
    Ok(match renewed {
        0 if remarks.is_empty() => "All open requests came with the key of config.json; there is nothing to do.\n".into(),
        _ => format!("Requests that go on with a new key: {renewed}. The links that were sent before stay good.\n{remarks}"),
    })
}

fn new_key(site: &Site, secret: &Secret, registration: &Registration) -> Result<NewKey, Error> {
    let seed = token::new_seed();
    let (verify_token_hash, admin_token_hash) = secret.link_token_hashes(&seed);
    let first_password = match (registration.state, registration.mode(&site.config).has_own_passwords()) {
        (State::MailCredentials, _) if registration.password_chosen => FirstPassword::Known,
        (State::MailCredentials, false) => FirstPassword::Lost,
        (State::MailCredentials, true) => {
            let hash = password::hash(&password::initial(secret, &seed));
            let hash = hash.map_err(|cause| Error::internal(format!("cannot make an initial password: {cause}")))?;
            FirstPassword::Renewed { hash, until: site.config.initial_password_until(site.now()) }
        }
        _ => FirstPassword::Known,
    };
    let password_is_lost = registration.password.as_deref().is_some_and(|kept| !password::is_hash(kept));
    let choose_token_hash = token::hash(&secret.choose_token(&seed));
    Ok(NewKey { seed, verify_token_hash, admin_token_hash, choose_token_hash, password_is_lost, first_password })
}

/// What the sysadmin has to know about a request that cannot simply continue.
fn remark(site: &Site, registration: &Registration, new: &NewKey) -> Option<String> {
    let mxid = names::mxid(&registration.username, &site.config.server_name);
    if matches!(new.first_password, FirstPassword::Lost) && registration.mode(&site.config) == OperationMode::Mas {
        return Some(format!(
            "{mxid} is made, and its initial password is lost with the key; a new one is set in MAS and mailed, unless somebody has logged in"
        ));
    }
    if matches!(new.first_password, FirstPassword::Lost) {
        return Some(format!(
            "{mxid} is made, and its initial password is lost with the key. The bot sets a new one and mails it, if its account is a server administrator; or do that yourself"
        ));
    }
    if registration.state == State::Register && registration.account_tried_at.is_some() {
        return Some(format!(
            "{mxid} was asked for before, perhaps with success. If it is there, nobody can prove any more for whom it was made, and the applicant is told that the name is in use; remove the account before, or set its password and tell the applicant"
        ));
    }
    new.password_is_lost.then(|| "the password that the applicant chose is lost; an initial one is mailed after the yes".into())
}

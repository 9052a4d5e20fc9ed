//! A new secret key in place of the present one, while that is still known: nothing that is open is lost.
//!
//! 1. `config.json` gets the new key and keeps the former one. From now on programs make everything new with the new key, and go on with
//!    each request under the key with which it was filed ([`keys::of`]).
//! 2. What only the former key could find is deleted, once. Then the time at which this was done is noted in `config.json`.
//! 3. Each request gets what is derived from the new key. Links that were sent stay valid. A request whose account, mail or message may be
//!    on its way is left: another password, or another transaction id, could make it a second one. It goes on under the former key.
//! 4. After an hour, once no request has the former key, the backup of the PHP program's database is sealed with the new key, and the
//!    former key is forgotten. Until then a page that somebody has open, and a program that has read the former key, may still use it.
//!
//! Each step can be repeated: whoever comes after a crash, or when the requests that were left are done, goes on where it ended. Cron does
//! that at each run.

use crate::domain::address;
use crate::domain::config::DatabaseUrl;
use crate::domain::error::Error;
use crate::domain::password;
use crate::domain::registration::State;
use crate::domain::seconds::HOUR;
use crate::domain::token::{self, Secret};
use crate::outside::fault;
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Registration, ReplacedKey, RoomMessageKind, Store};
use crate::outside::take_over;

/// Seconds for which cron's lock is held.
const LOCK_SECONDS: i64 = 600;

/// How long the former key is kept, in seconds.
const KEPT_SECONDS: i64 = HOUR;

/// How far the replacement of a key has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// A new key was made now; otherwise an earlier replacement goes on.
    pub is_new: bool,
    /// Since when the former key is being replaced (seconds since 1970).
    pub since: i64,
    /// Requests that got the new key now.
    pub renewed: u64,
    /// Requests that still have the former one.
    pub left: Vec<i64>,
    /// Outcomes of deleted requests that are forgotten.
    pub forgotten: u64,
    /// Why the former key is kept although no request has it.
    pub hindrance: Option<String>,
}

/// Begins to replace the key, or goes on with a replacement that has begun.
pub fn replace_key(site: &Site) -> Result<Rotated, Error> {
    let mut store = site.store(Access::Write)?;
    let (holder, now) = (token::new_seed(), site.now());
    if !store.take_lock("cron", &holder, now, now + LOCK_SECONDS)? {
        return Err(Error::unavailable("a run of cron is at work; try again in some minutes"));
    }
    // A key that nothing has been made with would leave nothing to do.
    let begun = site.state.secret().and_then(|_| site.state.begin_new_secret());
    fault::point("new secret");
    // Cron ends it, which knows whether the clock can be trusted.
    let done = begun.map_err(Error::from).and_then(|is_new| Ok((is_new, carry_on(site, &mut store, false)?)));
    store.release_lock("cron", &holder)?;
    let (is_new, rotated) = done?;
    Ok(Rotated { is_new, ..rotated.unwrap_or_default() })
}

/// Goes on with a replacement that has begun; `None`: there is none. The caller holds cron's lock. Under a clock that cannot be trusted
/// the former key is kept.
pub fn carry_on(site: &Site, store: &mut Store, is_clock_trusted: bool) -> Result<Option<Rotated>, Error> {
    let secret = site.state.secret()?;
    let Some(former) = secret.former() else { return Ok(None) };
    let mut rotated = Rotated::default();
    rotated.since = match site.state.secret_replaced_at()? {
        Some(since) => since,
        None => {
            rotated.forgotten = store.forget_keyed_hashes()?;
            fault::point("keyed hashes forgotten");
            note_time(site)?
        }
    };
    for id in ids_with(&former, store)? {
        match renew(site, store, id, (&secret, &former)) {
            Ok(true) => rotated.renewed += 1,
            Ok(false) => rotated.left.push(id),
            Err(cause) if cause.is_about_the_database() => return Err(cause.into()),
            Err(cause) => {
                log::warn("key_not_replaced", Some(id), &cause.to_string());
                rotated.left.push(id);
            }
        }
        fault::point("key replaced");
    }
    if rotated.left.is_empty() && is_clock_trusted {
        rotated.hindrance = end(site, store, (&secret, &former), site.now() - rotated.since)?;
    }
    Ok(Some(rotated))
}

fn note_time(site: &Site) -> Result<i64, Error> {
    let now = site.now();
    site.state.note_secret_replaced_at(now)?;
    Ok(now)
}

/// Forgets the former key, after its hour; returns what stands in the way of that. A clock that was set back a little does not end the
/// hour, and one that was far ahead does not prolong it for long.
fn end(site: &Site, store: &mut Store, keys: (&Secret, &Secret), age: i64) -> Result<Option<String>, Error> {
    if age < -KEPT_SECONDS {
        note_time(site)?;
    }
    if age < KEPT_SECONDS {
        return Ok(None);
    }
    seal_anew(store, keys)?;
    if let DatabaseUrl::Sqlite(database) = site.config.database()?
        && let Err(cause) = take_over::backup::seal_anew(keys, &database)
    {
        return Ok(Some(format!(
            "{} cannot be encrypted with the new secret_key, so config.json keeps the former one: {cause}; make it readable, and its folder writable, for the user that runs the programs, or move it elsewhere together with a copy of config.json",
            take_over::backup::path_of(&database).display()
        )));
    }
    fault::point("backup sealed anew");
    site.state.forget_former_secret()?;
    log::info("secret_key_replaced", None, "");
    Ok(None)
}

/// The number of requests that still have the former key; `None`: none is being replaced.
pub fn unfinished(site: &Site, store: &mut Store) -> Result<Option<usize>, Error> {
    match site.state.secret()?.former() {
        Some(former) => Ok(Some(ids_with(&former, store)?.len())),
        None => Ok(None),
    }
}

fn ids_with(key: &Secret, store: &mut Store) -> Result<Vec<i64>, store::Error> {
    let keys = store.keys_of_all_requests()?;
    Ok(keys.into_iter().filter(|of| key.of_request(&of.seed, &of.verify_token_hash).is_some()).map(|of| of.id).collect())
}

/// `false`: the request has to go on with the former key for now.
fn renew(site: &Site, store: &mut Store, id: i64, (secret, former): (&Secret, &Secret)) -> Result<bool, store::Error> {
    let Some(registration) = store.registration(id)? else { return Ok(true) };
    if is_on_its_way(store, &registration)? {
        return Ok(false);
    }
    let (verify_token_hash, admin_token_hash) = secret.link_token_hashes(&registration.seed);
    let new = ReplacedKey {
        verify_token_hash,
        admin_token_hash,
        choose_token_hash: token::hash(&secret.choose_token(&registration.seed)),
        password: registration.password.as_deref().map(|kept| sealed_anew(&registration.seed, kept, (secret, former))),
        person_hash: secret.token("person", &address::person(&registration.email_folded)),
    };
    let renewed = store.replace_key(&registration, &new, site.now())?;
    if renewed {
        log::info("key_renewed", Some(id), &format!("{:?}", registration.state));
    }
    Ok(renewed)
}

/// Whether a try of something that the key decides may have succeeded without an answer: an account with its initial password, a message
/// to the room, a mail. A program that was killed leaves its lease.
fn is_on_its_way(store: &mut Store, registration: &Registration) -> Result<bool, store::Error> {
    let account = match registration.state {
        State::MailCredentials => true,
        State::Register => registration.account_tried_at.is_some(),
        _ => false,
    };
    let message = store.live_message(registration.id)?.is_some()
        && store.room_message(registration.id, RoomMessageKind::Request)?.is_none()
        && !registration.state.is_final();
    Ok(account || message || store.owed_now(registration.id)?.iter().any(|owed| owed.tries > 0 || owed.has_lease))
}

/// The same password, sealed with the new key; a hash, and what the former key does not open, stays as it is.
fn sealed_anew(seed: &str, kept: &str, (secret, former): (&Secret, &Secret)) -> String {
    let opened = if password::is_hash(kept) { None } else { password::open(former, seed, kept) };
    opened.and_then(|typed| password::seal(secret, seed, &typed).ok()).unwrap_or_else(|| kept.to_owned())
}

/// A page may have sealed a password with the former key while its request got the new one.
fn seal_anew(store: &mut Store, keys: (&Secret, &Secret)) -> Result<(), store::Error> {
    for of in store.keys_of_open_requests()? {
        let Ok(Some(registration)) = store.registration(of.id) else { continue };
        if let Some(kept) = registration.password.as_deref() {
            let anew = sealed_anew(&registration.seed, kept, keys);
            if anew != kept {
                store.replace_sealed(of.id, kept, &anew)?;
            }
        }
    }
    Ok(())
}

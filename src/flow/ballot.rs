//! The bot's ballot: it reacts to its own message with both thumbs, so that whoever decides taps one of them. After the decision
//! both are taken away.
//!
//! Nothing is stored of it. What is there, the homeserver says: a second reaction with the same key is refused, and those of the
//! bot are in the list of reactions. So each step can be repeated.

use crate::domain::back_off::Peer;
use crate::flow::deciding;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::outside::log;
use crate::outside::matrix::{Error, bot};
use crate::outside::site::Site;
use crate::outside::store::{Registration, RoomEvent, RoomMessageKind, Store};

/// With the variation selector, as most clients send them: a tap on one of these and a choice from the client's own list then
/// count as the same reaction.
const KEYS: [&str; 2] = ["👍\u{FE0F}", "👎\u{FE0F}"];

/// Whether the configuration has a use for it.
pub(super) fn is_wanted(site: &Site) -> bool {
    site.config.room.reactions && site.config.room.ballot
}

/// Puts the ballot under the message of a request that waits for a decision, or takes it away. `false`: there is nothing to do.
pub(super) fn update(site: &Site, store: &mut Store, registration: &Registration) -> Result<bool, Failure> {
    let message = store.room_message(registration.id, RoomMessageKind::Request)?;
    let Some(message) = message.filter(|_| is_wanted(site)) else { return Ok(false) };
    if !deciding::is_undecided(registration) {
        return take_away(site, registration, &message);
    }
    let put = put(site, registration, &message)?;
    // Somebody may have decided meanwhile, and the ballot may have been taken away before it was there.
    match store.registration(registration.id)?.filter(|now| !deciding::is_undecided(now)) {
        Some(decided) => take_away(site, &decided, &message),
        None => Ok(put),
    }
}

fn put(site: &Site, registration: &Registration, message: &RoomEvent) -> Result<bool, Failure> {
    let secret = keys::of(site, registration)?;
    for key in KEYS {
        // A request that waits for the second time has a second ballot.
        let txn_id = secret.token(&format!("txnId of {key} since {}", registration.state_since), &registration.seed);
        match bot::react(site, message, key, &txn_id) {
            Ok(()) => {}
            Err(cause) => return without(registration, cause),
        }
    }
    Ok(true)
}

fn take_away(site: &Site, registration: &Registration, message: &RoomEvent) -> Result<bool, Failure> {
    let secret = site.state.secret()?;
    match bot::take_back_reactions(site, message, &KEYS, &|event_id: &str| secret.token("txnId of redaction", event_id)) {
        Ok(()) => Ok(true),
        Err(cause) => without(registration, cause),
    }
}

/// Where the bot may not react, people still may.
fn without(registration: &Registration, cause: Error) -> Result<bool, Failure> {
    match cause {
        Error::Forbidden(sentence) => {
            log::info("ballot_refused", Some(registration.id), &sentence);
            Ok(false)
        }
        cause => Err(Failure::from(cause).on_the_way(Peer::Room)),
    }
}

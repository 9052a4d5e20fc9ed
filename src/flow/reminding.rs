//! One reminder to the room of many undecided requests, instead of one for each.

use crate::domain::names;
use crate::domain::registration::SideAction;
use crate::domain::seconds::DAY;
use crate::domain::token;
use crate::flow::beside;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::flow::room_message;
use crate::outside::log;
use crate::outside::matrix::bot;
use crate::outside::matrix::room::RoomMessage;
use crate::outside::page::{self, RoomPost};
use crate::outside::site::Site;
use crate::outside::store::{self, Due, OwedRow, Registration, Store};
use serde_json::{Value, json};

/// Up to so many requests have a reminder of their own, in the thread under their message.
const MOST_ALONE: usize = 3;
/// How long the rows are held, in seconds: longer than a room message takes.
const LEASE_SECONDS: i64 = 900;

/// Reminds the room of all these due requests, if they are many. Returns their number. If that fails, each is still due.
pub(crate) fn remind_together(site: &Site, store: &mut Store, due: &[Due]) -> Result<u64, store::Error> {
    if due.len() <= MOST_ALONE {
        return Ok(0);
    }
    let (holder, now) = (token::new_seed(), site.now());
    let mut held: Vec<(OwedRow, Registration)> = Vec::new();
    for due in due {
        if store.lease(due.row, &holder, now, now + LEASE_SECONDS)? {
            match undecided(site, store, due.registration) {
                Some(registration) => held.push((due.row, registration)),
                None => store.release(due.row, &holder)?,
            }
        }
    }
    let posted = if held.len() > MOST_ALONE { post(site, store, &held) } else { Ok(false) };
    store.distrust_connection();
    let is_posted = posted.unwrap_or_else(|failure| {
        log::warn("step_failed", None, &format!("one reminder of {} requests: {}", held.len(), failure.sentence));
        false
    });
    for (row, registration) in &held {
        match is_posted {
            true => drop(store.settle_reminder(*row, registration.id, &holder, &beside::delays(site, SideAction::Remind), now)?),
            false => store.release(*row, &holder)?,
        }
    }
    Ok(if is_posted { held.len() as u64 } else { 0 })
}

/// A row that cannot be read has a reminder of its own, which says so.
fn undecided(site: &Site, store: &mut Store, id: i64) -> Option<Registration> {
    let registration = store.registration(id).ok().flatten()?;
    let can_be_decided =
        registration.state.owes_beside().contains(&SideAction::Remind) && !matches!(keys::fits(site, &registration), Ok(false));
    can_be_decided.then_some(registration)
}

fn post(site: &Site, store: &mut Store, held: &[(OwedRow, Registration)]) -> Result<bool, Failure> {
    let secret = site.state.secret()?;
    let mut seeds = Vec::new();
    for (row, registration) in held {
        seeds.push(format!("{} {} {}", registration.seed, registration.state_since, store.round(*row)?));
    }
    let of = |registration: &Registration| {
        secret.of_request(&registration.seed, &registration.verify_token_hash).unwrap_or_else(|| secret.clone())
    };
    let shown = |(_, registration): &(OwedRow, Registration)| -> Value {
        json!({
            "number": registration.number().to_string(),
            "full_name": registration.full_name(),
            "mxid": names::mxid(&registration.username, &site.config.server_name),
            "asked_at": registration.requested_at,
            "link": room_message::decide_link(site, &of(registration), registration),
        })
    };
    let context = json!({ "requests": held.iter().map(shown).collect::<Vec<_>>() });
    let text = page::room(&site.config, site.config.default_language, RoomPost::Reminders, &context)?;
    // While the secret key is being replaced, a repeated try has the key of the first.
    let key = held.first().map_or_else(|| secret.clone(), |(_, registration)| of(registration));
    let txn_id = key.token("txnId of reminders", &seeds.join("\n"));
    let event = bot::say(site, &RoomMessage { text: &text.text, html: &text.html }, &txn_id).map_err(room_message::of_room)?;
    if site.config.room.redact_when_forgotten {
        store.owe_redaction(&event, site.now() + site.config.times.forget_after_days.0 as i64 * DAY)?;
    }
    Ok(true)
}

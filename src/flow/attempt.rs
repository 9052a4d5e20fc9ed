//! One attempt at an action that a row requires: under a lease, and recorded whatever its outcome.
//!
//! A failed attempt is put off with a growing wait ([`crate::domain::back_off`]), and so is one that panics or whose row cannot
//! be read. A mail is given up only right after an attempt that made it fail for long enough, never just because time has
//! passed.

use crate::domain::back_off::{Patience, Tries};
use crate::domain::registration::State;
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::token;
use crate::flow::failure::Failure;
use crate::outside::log;
use crate::outside::mail;
use crate::outside::mas;
use crate::outside::matrix::bot;
use crate::outside::panics;
use crate::outside::site::Site;
use crate::outside::store::{self, LONGEST_LEASE, Owed, OwedRow, Postponed, Store};

/// The shortest lease, in seconds.
const LEASE_SECONDS: u64 = 600;
/// How much longer a lease lasts than the longest step, in seconds.
const LEASE_MARGIN_SECONDS: u64 = 60;
/// How long the mail about a forgotten password is tried: whoever still needs it then has asked again.
const FOR_RESETS: Patience = Patience { gone_for: 6 * HOUR, in_all: DAY };

/// The outcome of an attempt.
#[derive(Debug)]
pub enum Tried {
    Succeeded,
    /// Failed; it will be tried again.
    Failed(Failure),
    /// Failed for long enough; the row no longer requires it.
    GivenUp(Failure),
    /// Another program is doing it, or has done it.
    Elsewhere,
}

/// Tries the action that `row` requires for a registration.
///
/// `act` does it outside and returns `None` if it is no longer required. `settle` records that it is done, as the holder of the
/// lease. An error comes from the database; any other problem is a [`Failure`].
pub fn attempt<T>(
    site: &Site,
    store: &mut Store,
    row: OwedRow,
    registration: i64,
    act: impl FnOnce(&mut Store) -> Result<Option<T>, Failure>,
    settle: impl FnOnce(&mut Store, &str, T) -> Result<Tried, store::Error>,
) -> Result<Tried, store::Error> {
    let (holder, now) = (token::new_seed(), site.now());
    if !store.lease(row, &holder, now, now + lease_seconds(site))? {
        return Ok(Tried::Elsewhere);
    }
    let acted = guarded(store, act)?;
    // The action may have taken so long that the connection was closed.
    store.distrust_connection();
    match acted {
        Ok(Some(done)) => settle(store, &holder, done),
        Ok(None) => store.release(row, &holder).map(|()| Tried::Elsewhere),
        Err(failure) => put_off(site, store, row, registration, &holder, failure),
    }
}

/// How long a lease lasts: longer than a mail or a room message with all time-outs.
fn lease_seconds(site: &Site) -> i64 {
    let longest = mail::longest_seconds(&site.config).max(bot::LONGEST_SECONDS).max(mas::LONGEST_SECONDS);
    LONGEST_LEASE.min(LEASE_SECONDS.max(longest + LEASE_MARGIN_SECONDS) as i64)
}

/// Turns a panic into a failure like any other.
fn guarded<T>(
    store: &mut Store,
    act: impl FnOnce(&mut Store) -> Result<Option<T>, Failure>,
) -> Result<Result<Option<T>, Failure>, store::Error> {
    match panics::guard(|| act(store)) {
        Ok(acted) => Ok(acted),
        Err(panic) => {
            store.recover()?;
            Ok(Err(Failure::later(format!("the program panicked at {}; please report it", panic.place))))
        }
    }
}

fn put_off(site: &Site, store: &mut Store, row: OwedRow, registration: i64, holder: &str, failure: Failure) -> Result<Tried, store::Error> {
    let now = site.now();
    let patience = patience(site, row);
    let tries = store.tries(row)?.and(&failure.blame, patience, now);
    if tries.are_enough(&failure.blame, patience)
        && let Some(settled) = give_up(store, row, registration, holder, now)?
    {
        if settled {
            tell_of_end(registration, row.owed, &tries, &failure);
        }
        return Ok(if settled { Tried::GivenUp(failure) } else { Tried::Elsewhere });
    }
    let wait = tries.wait(&failure.blame, failure.retry_after);
    let registration = row.owed.is_of_request().then_some(registration);
    log::warn("step_failed", registration, &format!("{}, next try in {wait} s: {}", name(row.owed), failure.sentence));
    let postponed = Postponed { tries, due_at: now + wait, trouble: failure.blame.trouble(), error: &failure.sentence };
    store.postpone(row, holder, &postponed, now)?;
    Ok(Tried::Failed(failure))
}

/// Ends what was tried for long enough; `None` for actions that are tried forever. `false`: the lease was lost in the meantime.
fn give_up(store: &mut Store, row: OwedRow, registration: i64, holder: &str, now: i64) -> Result<Option<bool>, store::Error> {
    match row.owed {
        Owed::Step(from) => match from.end_of_tries().and_then(|event| from.after(event)) {
            Some(to) => store.settle_given_up(row.id, from, holder, to, now).map(Some),
            None => Ok(None),
        },
        Owed::Beside(action) if action.is_mail() => store.settle_beside(row, registration, holder, now).map(Some),
        Owed::Beside(_) | Owed::Redaction => Ok(None),
        Owed::ResetMail => store.settle_reset(row.id, holder).map(Some),
    }
}

fn patience(site: &Site, row: OwedRow) -> Patience {
    if row.owed == Owed::ResetMail {
        return FOR_RESETS;
    }
    let times = &site.config.times;
    Patience { gone_for: times.confirm_within_hours.0 as i64 * HOUR, in_all: times.forget_after_days.0 as i64 * DAY }
}

fn tell_of_end(registration: i64, owed: Owed, tries: &Tries, failure: &Failure) {
    let tried = format!("{} tries; the last one: {}", tries.count, failure.sentence);
    match owed {
        // Nobody proved that they own the address, so there is nobody to tell.
        Owed::Step(State::EmailSend) => log::info("unsent_request_expired", Some(registration), &tried),
        Owed::ResetMail => log::info("reset_given_up", None, &tried),
        _ => log::warn(
            "mail_given_up",
            Some(registration),
            &format!("{}: no mail reached this address in {tried}. Tell the applicant in another way", name(owed)),
        ),
    }
}

fn name(owed: Owed) -> String {
    match owed {
        Owed::Step(state) => format!("{state:?}"),
        Owed::Beside(action) => format!("{action:?}"),
        Owed::ResetMail => "ResetMail".into(),
        Owed::Redaction => "Redaction".into(),
    }
}

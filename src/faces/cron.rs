//! `cron/cron`: finishes what was left, ends what ran out, forgets what is over.
//!
//! One function per duty. A lock in the database keeps two runs, on one machine or several, from doing the same work;
//! it ends by itself if its holder dies. A run starts nothing new after `times.cron_budget_seconds`.

use crate::domain::error::Error;
use crate::domain::registration::{Event, State};
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::token;
use crate::flow::keys;
use crate::flow::limits;
use crate::flow::password_check;
use crate::flow::steps::{self, Reached, Step};
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{Access, Closed, Store};
use crate::outside::take_over;
use std::fmt;

/// Seconds that the lock outlasts the budget, for the step that is under way when time is up. A step may take longer: then
/// two runs overlap, and leases keep them apart.
const LOCK_MARGIN_SECONDS: i64 = 120;
/// Registrations that are looked up at a time.
const BATCH: i64 = 50;
/// Accounts whose terms are made anew in one transaction.
const ACCOUNTS_AT_A_TIME: i64 = 500;

/// What a run did, and what is left.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Registrations that went on.
    pub moved: u64,
    /// Registrations whose step failed; they are tried again later.
    pub failed: u64,
    pub reminded: u64,
    pub expired: u64,
    pub forgotten: u64,
    /// Registrations that still owe something outside, be it their turn or not.
    pub open: u64,
    /// Another run holds the lock; this one did nothing.
    pub other_run: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.other_run {
            return f.write_str("another run is at work, nothing done");
        }
        let Summary { moved, failed, reminded, expired, forgotten, open, .. } = self;
        write!(
            f,
            "{moved} finished, {failed} failed (tried again later), {open} still open, {reminded} reminders, {expired} expired, {forgotten} forgotten"
        )
    }
}

/// One run.
pub fn run(site: &Site) -> Result<Summary, Error> {
    let mut store = site.store(Access::Write)?;
    let (holder, now) = (token::new_seed(), site.now());
    let deadline = now + site.config.times.cron_budget_seconds.0 as i64;
    if !store.take_lock("cron", &holder, now, deadline + LOCK_MARGIN_SECONDS)? {
        return Ok(Summary { other_run: true, ..Summary::default() });
    }
    let done = duties(site, &mut store, deadline);
    store.release_lock("cron", &holder)?;
    done
}

fn duties(site: &Site, store: &mut Store, deadline: i64) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    if let Err(cause) = take_over::wipe_rest(&site.config, store) {
        log::warn("php_tables_left", None, &cause.cause);
    }
    store.forget_times_of_a_wrong_clock(site.now())?;
    match keys::others(site, store)? {
        None => expire(site, store, &mut summary)?,
        // Who wanted to confirm in time could not.
        Some((count, sentence)) => {
            log::warn("other_secret_key", None, &sentence);
            summary.failed += count;
        }
    }
    give_up(site, store)?;
    remind(site, store, deadline, &mut summary)?;
    // The end of the way first: who waits for credentials has waited longest.
    for state in State::ALL.into_iter().rev().filter(|state| state.owes().is_some()) {
        finish(site, store, state, deadline, &mut summary)?;
    }
    forget(site, store, &mut summary)?;
    fold_directory_anew(site, store, deadline)?;
    store.tidy()?;
    if let Some(closed) = limits::closed_by(site, store)? {
        log::warn("form_closed", None, closed_because(closed));
    }
    for state in State::ALL.into_iter().filter(|state| state.owes().is_some()) {
        summary.open += store.count(state)? as u64;
    }
    Ok(summary)
}

fn closed_because(closed: Closed) -> &'static str {
    match closed {
        Closed::TooManyOpen => "as many requests wait for confirmation or decision as limits.open_requests in config.toml allows",
        Closed::TooManyToday(_) => "as many requests came in 24 hours as limits.requests_per_day in config.toml allows",
    }
}

/// Repeats what registrations in `state` owe. Each is taken up once in a run: a failure sets the next time.
fn finish(site: &Site, store: &mut Store, state: State, deadline: i64, summary: &mut Summary) -> Result<(), Error> {
    loop {
        let due = store.due(state, site.now(), BATCH)?;
        let mut went_on = false;
        for id in &due {
            if site.now() >= deadline {
                return Ok(());
            }
            match steps::carry_on(site, store, *id)? {
                Reached::Failure(reached) => {
                    summary.failed += 1;
                    went_on |= reached != state;
                }
                Reached::Rest(reached) if reached == Some(state) => {}
                Reached::Rest(_) => {
                    summary.moved += 1;
                    went_on = true;
                }
            }
        }
        if due.len() < BATCH as usize || !went_on {
            return Ok(());
        }
    }
}

/// Requests whose address was not confirmed in time. A mail that could not be sent so far is no fault of the applicant's:
/// it has a month, unless the mail server says that there is no such mail box.
fn expire(site: &Site, store: &mut Store, summary: &mut Summary) -> Result<(), Error> {
    let (confirm_before, forget_before) = limits(site);
    for (from, before, undeliverable_only) in
        [(State::EmailVerify, confirm_before, false), (State::EmailSend, confirm_before, true), (State::EmailSend, forget_before, false)]
    {
        if let Some(to) = from.after(Event::TimeRanOut) {
            summary.expired += store.expire(from, to, before, undeliverable_only, site.now())?;
        }
    }
    Ok(())
}

/// Last mails that reach nobody: cron must not try, and complain, for ever.
fn give_up(site: &Site, store: &mut Store) -> Result<(), Error> {
    let (confirm_before, forget_before) = limits(site);
    for from in [State::MailCredentials, State::DeclineSend] {
        let Some(to) = from.after(Event::GivenUp) else { continue };
        for (before, undeliverable_only) in [(confirm_before, true), (forget_before, false)] {
            for id in store.give_up(from, to, before, undeliverable_only, site.now())? {
                log::warn(
                    "mail_given_up",
                    Some(id),
                    &format!("{from:?}: no mail reached this address in all this time; tell the applicant in another way"),
                );
            }
        }
    }
    Ok(())
}

/// What was left before these times is too old: to be confirmed, and to be kept.
fn limits(site: &Site) -> (i64, i64) {
    let times = &site.config.times;
    (site.now() - times.confirm_within_hours.0 as i64 * HOUR, site.now() - times.forget_after_days.0 as i64 * DAY)
}

/// One reminder to the room for each request that waits for it too long.
fn remind(site: &Site, store: &mut Store, deadline: i64, summary: &mut Summary) -> Result<(), Error> {
    let hours = site.config.times.remind_after_hours.0 as i64;
    if hours == 0 {
        return Ok(());
    }
    for id in store.undecided(site.now() - hours * HOUR, site.now())? {
        if site.now() >= deadline {
            return Ok(());
        }
        match steps::remind_room(site, store, id)? {
            Step::Done => summary.reminded += 1,
            Step::Failed => summary.failed += 1,
            Step::Elsewhere => {}
        }
    }
    Ok(())
}

/// After an upgrade: what the directory finds accounts by, as this version compares it.
fn fold_directory_anew(site: &Site, store: &mut Store, deadline: i64) -> Result<(), Error> {
    while site.now() < deadline && store.fold_directory_anew(ACCOUNTS_AT_A_TIME)? {}
    Ok(())
}

/// Requests that are over: the row goes, and with it the personal data.
fn forget(site: &Site, store: &mut Store, summary: &mut Summary) -> Result<(), Error> {
    let (_, before) = limits(site);
    for state in State::ALL.into_iter().filter(|state| state.is_final()) {
        summary.forgotten += store.forget(state, before)?;
    }
    store.forget_whole_allowances(site.now() - DAY, site.now())?;
    store.forget_old_guesses(site.now() - password_check::WINDOW_SECONDS, site.now())?;
    store.forget_old_networks(site.now())?;
    if summary.forgotten > 0 {
        log::info("forgotten", None, &format!("{} requests", summary.forgotten));
    }
    Ok(())
}

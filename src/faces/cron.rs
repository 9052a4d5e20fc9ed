//! `cron/cron`: completes what was left, ends what expired, deletes what is over, and reports what fails.
//!
//! One function per task. A lock in the database keeps two runs, on one machine or several, from doing the same work; it
//! expires if its holder dies. A run starts nothing that would outlast `times.cron_budget_seconds`.

mod asking;
mod clock;
mod command;
mod ending;
mod service;
mod word;

pub use asking::ask;
pub use command::command;
pub use ending::{end, waiting};
pub use service::{registration as print_service, trouble as service_trouble};

use crate::domain::back_off;
use crate::domain::error::Error;
use crate::domain::registration::{Event, State};
use crate::domain::seconds::{DAY, HOUR, span};
use crate::domain::token;
use crate::flow::accounts::{self, Weight};
use crate::flow::addresses;
use crate::flow::keys;
use crate::flow::limits;
use crate::flow::listening;
use crate::flow::looking;
use crate::flow::password_check;
use crate::flow::queue::{self, Worked};
use crate::flow::resets;
use crate::flow::rotation;
use crate::flow::steps;
use crate::outside::exposure;
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{Access, Closed, Failing, Leaves, Store, Told, Waiting};
use crate::outside::take_over;
use clock::Judged;
use std::fmt;
use std::time::{Duration, Instant};
use word::Trouble;

/// How much longer the lock lasts than the budget, in seconds, for the step that is running when the time is up. If that takes
/// even longer, two runs overlap, and leases keep them apart.
const LOCK_MARGIN_SECONDS: i64 = 120;
/// Accounts whose terms are renewed in one transaction.
const ACCOUNTS_AT_A_TIME: i64 = 500;
const WEEK: i64 = 7 * DAY;

/// What a run did, what is left, and what a person should know.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    pub worked: Worked,
    /// Requests that were decided by reactions in the room.
    pub decided: u64,
    pub expired: u64,
    pub forgotten: u64,
    /// Requests that still require an action, due or not.
    pub open: u64,
    /// Open requests by whom they wait for, with the time since which the first does.
    pub waiting: Vec<(&'static str, Waiting)>,
    /// When the run began (seconds since 1970).
    pub now: i64,
    /// Another run holds the lock, so this one did nothing.
    pub other_run: bool,
    /// What to report now, one line each.
    pub said: Vec<String>,
    /// Everything that fails or waits, reported before or not, one line each.
    pub all: Vec<String>,
    /// Something fails that the sysadmin can fix.
    pub is_failing: bool,
}

impl Summary {
    /// Whether the exit status should report a failure.
    pub fn fails(&self) -> bool {
        self.is_failing || self.worked.failed > 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.other_run {
            return f.write_str("another run is at work, nothing done");
        }
        let Summary { worked: Worked { moved, reminded, failed, held_up, ran_out_of_time }, decided, expired, forgotten, open, .. } = self;
        write!(
            f,
            "{moved} finished, {failed} failed (tried again later), {open} still open, {reminded} reminders, {expired} expired, {forgotten} forgotten"
        )?;
        if *decided > 0 {
            write!(f, ", {decided} decided by reactions in the room")?;
        }
        if *held_up > 0 {
            write!(f, ", {held_up} not tried as somebody whom they need is away")?;
        }
        if *ran_out_of_time {
            f.write_str(", time was up before all were tried")?;
        }
        for (whom, waiting) in &self.waiting {
            write!(f, ", {} {} for {whom}", waiting.count, if waiting.count == 1 { "waits" } else { "wait" })?;
            if let Some(since) = waiting.since {
                write!(f, " (the longest for {})", span((self.now - since).max(0)))?;
            }
        }
        Ok(())
    }
}

/// One run.
pub fn run(site: &Site) -> Result<Summary, Error> {
    let mut store = site.store(Access::Write)?;
    let (holder, now, begun) = (token::new_seed(), site.now(), Instant::now());
    let budget = site.config.times.cron_budget_seconds.0;
    if !store.take_lock("cron", &holder, now, now + budget as i64 + LOCK_MARGIN_SECONDS)? {
        return Ok(Summary { other_run: true, ..Summary::default() });
    }
    let done = duties(site, &mut store, begun + Duration::from_secs(budget));
    store.release_lock("cron", &holder)?;
    done
}

fn duties(site: &Site, store: &mut Store, deadline: Instant) -> Result<Summary, Error> {
    if let Err(cause) = take_over::wipe_rest(&site.config, store) {
        log::warn("php_tables_left", None, &cause.cause);
    }
    let mut summary = Summary::default();
    let judged = judge_clock(site, store)?;
    summary.said.extend(judged.sentence());
    correct_times(site, store, &judged, &mut summary)?;
    // Before the queue, which carries out what was decided.
    let service_trouble = if site.config.room.reactions || site.config.room.words { service::check(site)? } else { None };
    let looked = looking::look_in_turn(site, store, deadline)?;
    summary.decided = looked.decided;
    let deaf = if looked.is_away { None } else { listening::listen_in_turn(site, store, deadline)? };
    summary.worked = queue::work(site, store, deadline)?;
    // After the queue, so that everything waiting for cron has been tried. Not under a clock that may be wrong, because nothing
    // of this can be undone.
    let kept_key = rotation::carry_on(site, store, judged.is_trusted())?.and_then(|rotated| rotated.hindrance).map(of_kept_key);
    let others = keys::others(site, store)?;
    if judged.is_trusted() {
        // If the key had changed, nobody could have confirmed in time.
        if others.is_none() {
            expire(site, store, &mut summary)?;
        }
        forget(site, store, &mut summary)?;
    }
    fold_directory_anew(store, deadline)?;
    store.tidy()?;
    // A homeserver that does not answer costs one time-out in a run.
    if !looked.is_away {
        check_accounts(site, store, &mut summary)?;
    }
    store.count_kept(site.now())?;
    (summary.waiting, summary.now) = (waiting_for_people(store)?, site.now());
    let found = [looked.hindrance.or(deaf).map(of_unread_reactions), service_trouble, kept_key];
    speak(site, store, others, found, &mut summary)?;
    for state in State::ALL.into_iter().filter(|state| state.owes().is_some()) {
        summary.open += store.count(state)? as u64;
    }
    Ok(summary)
}

/// What nothing but a person moves on.
fn waiting_for_people(store: &mut Store) -> Result<Vec<(&'static str, Waiting)>, Error> {
    let open = store.open_by_state()?;
    let people = [(State::AdminVerify, "a decision"), (State::EmailVerify, "a confirmed address"), (State::Choosing, "a chosen password")];
    let of = |state: State| open.iter().find(|(found, _)| *found == state).map(|(_, waiting)| *waiting);
    Ok(people.into_iter().filter_map(|(state, whom)| Some((whom, of(state)?))).collect())
}

/// Once a day, and each hour while accounts cannot be made: says what stands in the way of accounts, or lets strangers go round the
/// moderation, as far as that can be told without making any.
fn check_accounts(site: &Site, store: &mut Store, summary: &mut Summary) -> Result<(), Error> {
    let now = site.now();
    let fail = store.failing()?.iter().any(|failing| failing.trouble == back_off::Trouble::Accounts);
    let pause = if fail { HOUR } else { DAY };
    let is_recent = |told: &Told| told.name == word::LOOKED_AT_ACCOUNTS && (0..pause).contains(&(now - told.told_at));
    if store.told_troubles()?.iter().any(is_recent) {
        return Ok(());
    }
    let findings = accounts::check(site);
    store.note_told(&Told { name: word::LOOKED_AT_ACCOUNTS.into(), since: now, told_at: now })?;
    summary.said.extend(findings.iter().filter(|finding| finding.weight >= Weight::Warning).map(|finding| finding.to_string()));
    Ok(())
}

fn judge_clock(site: &Site, store: &mut Store) -> Result<Judged, Error> {
    let now = site.now();
    let last = store.cron_clock()?;
    let newest = if last.is_none() { store.newest_time(now)? } else { None };
    let judged = clock::judge(last, newest, now);
    store.note_cron_clock(&judged.clock)?;
    Ok(judged)
}

/// Corrects times that were written under a wrong clock.
fn correct_times(site: &Site, store: &mut Store, judged: &Judged, summary: &mut Summary) -> Result<(), Error> {
    let brought_back = store.bring_back(site.now())?;
    if brought_back > 0 {
        let hours = back_off::LONGEST / HOUR;
        summary.said.push(format!(
            "{brought_back} requests were to wait for longer than the {hours} hours that a wait can last: a clock was wrong when that was written. They are due now"
        ));
    }
    if judged.is_trusted() {
        // A clock may go evenly and yet be far behind; what it takes for the future has perhaps passed.
        store.forget_times_of_a_wrong_clock(judged.clock.trusted_at)?;
    }
    Ok(())
}

/// Ends requests whose address was not confirmed in time, or whose password was not chosen in time. The time starts when the mail
/// was sent; a mail that cannot be sent is given up after its attempts ([`crate::flow::attempt`]).
fn expire(site: &Site, store: &mut Store, summary: &mut Summary) -> Result<(), Error> {
    let before = site.now() - site.config.times.confirm_within_hours.0 as i64 * HOUR;
    if let Some(to) = State::EmailVerify.after(Event::TimeRanOut) {
        summary.expired = store.expire(State::EmailVerify, to, before, site.now())?;
    }
    let undecided_days = site.config.times.undecided_after_days.0 as i64;
    if undecided_days > 0 {
        let ended = store.end_undecided(site.now() - undecided_days * DAY, site.now())?;
        if ended > 0 {
            log::info("ended_undecided", None, &format!("{ended} requests"));
        }
        summary.expired += ended;
    }
    summary.expired += store.expire_unchosen(site.now() - steps::choose_seconds(site), site.now())?;
    Ok(())
}

/// After an upgrade: renews the terms of the directory for the folding of this version.
fn fold_directory_anew(store: &mut Store, deadline: Instant) -> Result<(), Error> {
    while Instant::now() < deadline && store.fold_directory_anew(ACCOUNTS_AT_A_TIME)? {}
    Ok(())
}

/// Deletes requests that are over, and their personal data with them.
fn forget(site: &Site, store: &mut Store, summary: &mut Summary) -> Result<(), Error> {
    let before = site.now() - site.config.times.forget_after_days.0 as i64 * DAY;
    let leaves = Leaves {
        outcome: site.config.times.remember_days.0 > 0,
        redactions_at: site.config.room.redact_when_forgotten.then(|| site.now()),
    };
    for state in State::ALL.into_iter().filter(|state| state.is_final()) {
        summary.forgotten += store.forget(state, before, leaves)?;
    }
    store.forget_remembered(before - site.config.times.remember_days.0 as i64 * DAY)?;
    store.forget_whole_allowances(site.now() - DAY, site.now())?;
    store.forget_old_guesses(site.now() - password_check::WINDOW_SECONDS, site.now())?;
    store.forget_old_networks(site.now())?;
    store.forget_old_resets(site.now() - resets::KEPT_SECONDS, site.now())?;
    if summary.forgotten > 0 {
        log::info("forgotten", None, &format!("{} requests", summary.forgotten));
    }
    Ok(())
}

/// Collects everything that is wrong, and reports what is new.
fn speak(
    site: &Site,
    store: &mut Store,
    others: Option<(u64, String)>,
    found: [Option<Trouble>; 3],
    summary: &mut Summary,
) -> Result<(), Error> {
    let failing = store.failing()?;
    let mut troubles: Vec<Trouble> = failing.iter().map(of_failing).collect();
    let lost = store.of_unknown_state()?;
    // A typo in a stranger's address is nothing that the sysadmin could fix.
    summary.is_failing = !lost.is_empty() || others.is_some() || failing.iter().any(|failing| failing.trouble.is_the_sysadmins());
    troubles.extend(of_lost_rows(&lost));
    troubles.extend(others.map(|(_, what)| Trouble { name: "other_secret_key".into(), since: None, what, again_after: DAY }));
    troubles.extend(found.into_iter().flatten());
    let closed = limits::closed_by(site, store)?;
    troubles.extend(closed.as_ref().and_then(of_closed_form));
    troubles.extend(of_open_files(&exposure::close(&site.config)));
    troubles.extend(of_undecided(site, store)?);
    troubles.extend(of_unbound_addresses(site, store)?);
    summary.said.extend(word::say(store, &troubles, site.now())?);
    summary.all = troubles.iter().map(word::full).collect();
    summary.all.extend(closed.iter().filter(|closed| closed.is_by_hand()).map(limits::why_closed));
    summary.all.extend(ending::counts(store)?);
    Ok(())
}

fn of_failing(failing: &Failing) -> Trouble {
    let Failing { trouble, count, since, sentence, registration, subject } = failing;
    let what = format!("{count} failing; newest error, {subject}={registration}: {sentence}");
    Trouble { name: trouble.name().into(), since: *since, what, again_after: DAY }
}

fn of_lost_rows(ids: &[i64]) -> Option<Trouble> {
    let first = ids.first()?;
    let what = format!(
        "{} have a state that this program does not know, so nothing is done for them: registration={first}; mend the column state, or delete the rows",
        ids.len()
    );
    Some(Trouble { name: "rows of registrations".into(), since: None, what, again_after: DAY })
}

fn of_unread_reactions(why: String) -> Trouble {
    let what = format!("what people react to requests with in the room decides nothing at present, the links work: {why}");
    Trouble { name: "reactions_unread".into(), since: None, what, again_after: DAY }
}

fn of_kept_key(what: String) -> Trouble {
    Trouble { name: "former_secret_key_kept".into(), since: None, what, again_after: DAY }
}

/// What the operator closed on purpose is no trouble.
fn of_closed_form(closed: &Closed) -> Option<Trouble> {
    (!closed.is_by_hand()).then(|| Trouble { name: "form_closed".into(), since: None, what: limits::why_closed(closed), again_after: DAY })
}

/// Reports files that every user of the machine may read, and whose mode only somebody else can change.
fn of_open_files(sentences: &[String]) -> Option<Trouble> {
    let what = sentences.join("; ");
    (!what.is_empty()).then(|| Trouble { name: "file_open_to_others".into(), since: None, what, again_after: DAY })
}

/// Not a failure, so only the log and `cron -v` say it.
fn of_unbound_addresses(site: &Site, store: &mut Store) -> Result<Option<Trouble>, Error> {
    let told = store.told_troubles()?.into_iter().find(|told| told.name == addresses::NOT_BOUND);
    let is_wanted = site.config.operation_mode.abilities().binds_addresses;
    let trouble =
        |told: Told| Trouble { name: told.name, since: Some(told.since), what: addresses::missing_right(site), again_after: i64::MAX };
    Ok(told.filter(|_| is_wanted).map(trouble))
}

/// Requests that the room has left undecided for as long as others are kept: nothing fails, but nothing will happen without a
/// person.
fn of_undecided(site: &Site, store: &mut Store) -> Result<Option<Trouble>, Error> {
    let before = site.now() - site.config.times.forget_after_days.0 as i64 * DAY;
    let Some((count, oldest)) = store.waiting_since_before(State::AdminVerify, before)? else { return Ok(None) };
    let what = format!("{count} wait for a decision in the room, the oldest is registration={oldest}; cron --end ends one");
    Ok(Some(Trouble { name: "undecided requests".into(), since: None, what, again_after: WEEK }))
}

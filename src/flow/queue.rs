//! All required actions in a fair order: the steps of requests and their side actions.
//!
//! * Each kind (a state that requires something, a side action) has its own line, the longest waiting first. The lines take
//!   turns, the states closest to the end first, then the side actions; reminders come last, when nothing else is due. The first turn of a run goes to
//!   the line with the row that has waited longest of all, so that runs with time for one step only serve all kinds.
//! * Each row is tried once per run. If it fails, panics or cannot be read, it is put off, and the next one follows.
//! * An unavailable peer is asked once per run ([`Breakers`]). Rows that need it wait for the next run, and nothing counts
//!   against them.
//! * A step starts only if it can end within the remaining time, even if the other side stays silent. The first step always
//!   starts, so that a short time limit does not block everything forever. A mail counts as a third of a run at most: with a
//!   long `timeout_seconds` there would be no time left for a second one.

use crate::domain::back_off::{Blame, Peer};
use crate::domain::error::Error;
use crate::domain::registration::{Action, SideAction, State};
use crate::domain::token;
use crate::flow::accounts;
use crate::flow::attempt::Tried;
use crate::flow::beside;
use crate::flow::breakers::Breakers;
use crate::flow::forgetting;
use crate::flow::reminding;
use crate::flow::resets;
use crate::flow::steps::{self, Reached};
use crate::outside::log;
use crate::outside::mail;
use crate::outside::matrix::bot;
use crate::outside::panics;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Due, Owed, Store};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Rows that are read at a time.
const BATCH: i64 = 50;
/// The lock of [`mail_resets`], and how long it lasts in seconds.
const RESETS_LOCK: &str = "password resets";
const RESETS_SECONDS: i64 = 240;

/// How long [`show_in_room`] begins edits, in seconds.
const SHOWING_SECONDS: u64 = 60;
/// How long [`after_a_visit`] begins accounts, in seconds.
const CREATING_SECONDS: u64 = 200;

/// The result of a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Worked {
    /// Requests that reached another state, and side actions that are done.
    pub moved: u64,
    pub reminded: u64,
    /// Rows that failed; they will be tried again.
    pub failed: u64,
    /// Rows that were not tried, because a peer that they need is unavailable.
    pub held_up: u64,
    /// The time was up before all rows had been tried.
    pub ran_out_of_time: bool,
}

/// Works until nothing is due, or until `deadline`.
pub(crate) fn work(site: &Site, store: &mut Store, deadline: Instant) -> Result<Worked, store::Error> {
    let mut queue = new_queue(site, store, deadline);
    let steps = State::ALL.into_iter().rev().filter(|state| state.owes().is_some()).map(Owed::Step);
    let beside = queue.schedule(|action| !action.is_reminder())?;
    queue.take_turns(steps.chain(beside).chain([Owed::ResetMail]))?;
    // The steps may have changed what the room should show.
    queue.take_turns(in_room(site).chain([Owed::Redaction]))?;
    // Only now, because the room may just have been told of a request.
    let reminders = queue.schedule(SideAction::is_reminder)?;
    queue.remind_together()?;
    queue.take_turns(reminders.into_iter())?;
    Ok(queue.worked)
}

/// What answers to visitors leave: accounts that take longer than a visitor waits, and messages in the room. Whatever happens now,
/// cron does the rest.
pub fn after_a_visit(site: &Site) {
    if let Err(cause) = create_accounts(site) {
        log::warn("left_to_cron", None, &cause.cause);
    }
    show_in_room(site);
}

/// Edits the messages in the room that do not show where their requests stand, right after the answer to a visitor. Whatever
/// happens now, cron does the rest.
pub fn show_in_room(site: &Site) {
    if let Err(cause) = edit_messages(site) {
        log::warn("left_to_cron", None, &cause.cause);
    }
}

/// Nobody waits for the end, and no browser can cut it short.
fn create_accounts(site: &Site) -> Result<(), Error> {
    if !accounts::any_outlives_visits(site) {
        return Ok(());
    }
    let mut store = site.store(Access::Write)?;
    let deadline = Instant::now() + Duration::from_secs(CREATING_SECONDS);
    Ok(new_queue(site, &mut store, deadline).take_turns([Owed::Step(State::Register)].into_iter())?)
}

fn edit_messages(site: &Site) -> Result<(), Error> {
    let mut store = site.store(Access::Write)?;
    let deadline = Instant::now() + Duration::from_secs(SHOWING_SECONDS);
    Ok(new_queue(site, &mut store, deadline).take_turns(in_room(site))?)
}

/// What a step may leave to be done to a message in the room.
fn in_room(site: &Site) -> impl Iterator<Item = Owed> {
    let wanted = [SideAction::ShowInRoom, SideAction::PostAnswer, SideAction::Ballot]
        .into_iter()
        .filter(|action| !beside::delays(site, *action).is_empty());
    wanted.map(Owed::Beside)
}

/// Sends the due mails about forgotten passwords, right after the answer to a visitor; nobody waits for the end. One program at a
/// time: while the mail server is slow, further ones would only use up memory. What is left, cron does.
pub fn mail_resets(site: &Site) -> Result<(), Error> {
    let mut store = site.store(Access::Write)?;
    let deadline = Instant::now() + Duration::from_secs(RESETS_SECONDS as u64 / 2);
    loop {
        let (holder, now) = (token::new_seed(), site.now());
        if !store.take_lock(RESETS_LOCK, &holder, now, now + RESETS_SECONDS)? {
            return Ok(());
        }
        let mut queue = new_queue(site, &mut store, deadline);
        let ended = queue.take_turns([Owed::ResetMail].into_iter());
        let worked = queue.worked;
        store.release_lock(RESETS_LOCK, &holder)?;
        ended?;
        // A request may have come between the last look and the end of the lock. What is held up is for cron.
        if worked.moved == 0
            || worked.held_up > 0
            || Instant::now() >= deadline
            || store.due(Owed::ResetMail, site.now(), (i64::MIN, 0), 1)?.is_empty()
        {
            return Ok(());
        }
    }
}

fn new_queue<'a>(site: &'a Site, store: &'a mut Store, deadline: Instant) -> Queue<'a> {
    Queue { site, store, deadline, breakers: Breakers::default(), worked: Worked::default(), has_begun: false }
}

struct Queue<'a> {
    site: &'a Site,
    store: &'a mut Store,
    deadline: Instant,
    breakers: Breakers,
    worked: Worked,
    has_begun: bool,
}

/// The rows of one kind.
struct Line {
    owed: Owed,
    waiting: VecDeque<Due>,
    /// Time and id of the last row read; the next one follows it.
    after: (i64, i64),
    /// Whether there may be more rows than those read.
    may_have_more: bool,
}

impl Queue<'_> {
    /// Gives these side actions their due times. Returns those that the configuration has a use for.
    fn schedule(&mut self, which: impl Fn(SideAction) -> bool) -> Result<Vec<Owed>, store::Error> {
        let mut wanted = Vec::new();
        for action in SideAction::ALL.into_iter().filter(|action| which(*action)) {
            let delays = beside::delays(self.site, action);
            self.store.schedule(action, &delays)?;
            wanted.extend(delays.first().map(|_| Owed::Beside(action)));
        }
        Ok(wanted)
    }

    /// Reminds the room of many requests with one message. What that leaves is reminded of one by one.
    fn remind_together(&mut self) -> Result<(), store::Error> {
        let remind = Owed::Beside(SideAction::Remind);
        if beside::delays(self.site, SideAction::Remind).is_empty() || self.breakers.hold_up(remind) || !self.has_time_for(remind) {
            return Ok(());
        }
        let due = self.store.due(remind, self.site.now(), (i64::MIN, 0), BATCH)?;
        match panics::guard(|| reminding::remind_together(self.site, self.store, &due)) {
            Ok(reminded) => self.worked.reminded += reminded?,
            Err(_) => self.store.recover()?,
        }
        Ok(())
    }

    fn take_turns(&mut self, kinds: impl Iterator<Item = Owed>) -> Result<(), store::Error> {
        let mut lines: Vec<Line> =
            kinds.map(|owed| Line { owed, waiting: VecDeque::new(), after: (i64::MIN, 0), may_have_more: true }).collect();
        if let Some(longest_waiting) = self.longest_waiting(&mut lines)? {
            lines[..=longest_waiting].rotate_right(1);
        }
        while !lines.is_empty() {
            let mut still_waiting = Vec::new();
            for mut line in lines {
                if self.serve_next(&mut line)? {
                    still_waiting.push(line);
                }
            }
            lines = still_waiting;
        }
        Ok(())
    }

    /// The line whose first row has been due for longest.
    fn longest_waiting(&mut self, lines: &mut [Line]) -> Result<Option<usize>, store::Error> {
        let mut first = None;
        for (index, line) in lines.iter_mut().enumerate() {
            self.fill(line)?;
            first = first.into_iter().chain(line.waiting.front().map(|due| (due.due_at, index))).min();
        }
        Ok(first.map(|(_, index)| index))
    }

    /// Serves the next possible row of a line. `false` if there is none.
    fn serve_next(&mut self, line: &mut Line) -> Result<bool, store::Error> {
        while let Some(due) = self.next(line)? {
            if self.breakers.hold_up_row(line.owed, &due.address) {
                self.worked.held_up += 1;
                continue;
            }
            if !self.has_time_for(line.owed) {
                self.worked.ran_out_of_time = true;
                return Ok(false);
            }
            self.has_begun = true;
            self.serve(&due)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn next(&mut self, line: &mut Line) -> Result<Option<Due>, store::Error> {
        self.fill(line)?;
        Ok(line.waiting.pop_front())
    }

    /// Reads the next rows of a line whose rows have all been served.
    fn fill(&mut self, line: &mut Line) -> Result<(), store::Error> {
        if line.waiting.is_empty() && line.may_have_more {
            let found = self.store.due(line.owed, self.site.now(), line.after, BATCH)?;
            line.may_have_more = found.len() == BATCH as usize;
            line.waiting = found.into();
            line.after = line.waiting.back().map_or(line.after, |last| (last.due_at, last.row.id));
        }
        Ok(())
    }

    fn has_time_for(&self, owed: Owed) -> bool {
        !self.has_begun || Instant::now() + longest(self.site, owed) <= self.deadline
    }

    fn serve(&mut self, due: &Due) -> Result<(), store::Error> {
        let served = panics::guard(|| -> Result<(), store::Error> {
            match due.row.owed {
                Owed::Step(from) => {
                    let reached = steps::carry_on_among(self.site, self.store, due.registration, &due.address, &mut self.breakers)?;
                    self.worked.count(from, reached);
                }
                Owed::Beside(action) => {
                    let tried = beside::act(self.site, self.store, due.row, action, due.registration)?;
                    self.count_beside(action, &tried, &due.address);
                }
                Owed::Redaction => {
                    let tried = forgetting::redact(self.site, self.store, due.row)?;
                    self.count_beside(SideAction::ShowInRoom, &tried, "");
                }
                Owed::ResetMail => {
                    let tried = resets::mail(self.site, self.store, due.row)?;
                    self.count_reset(&tried);
                }
            }
            Ok(())
        });
        let trouble = match served {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(cause)) if cause.is_about_the_database() => return Err(cause),
            Ok(Err(cause)) => cause.to_string(),
            Err(panic) => {
                self.store.recover()?;
                format!("the program panicked at {}; please report it", panic.place)
            }
        };
        // The lease expires on its own.
        let registration = due.row.owed.is_of_request().then_some(due.registration);
        log::warn("step_failed", registration, &format!("{:?}: {trouble}", due.row.owed));
        self.worked.failed += 1;
        Ok(())
    }

    fn count_reset(&mut self, tried: &Tried) {
        match tried {
            Tried::Succeeded => self.worked.moved += 1,
            Tried::Failed(failure) | Tried::GivenUp(failure) => {
                // What is about one address or domain holds up no other.
                if failure.blame == Blame::Peer(Peer::MailServer) {
                    self.breakers.note(&failure.blame, "");
                }
                self.worked.failed += 1;
            }
            Tried::Elsewhere => {}
        }
    }

    fn count_beside(&mut self, action: SideAction, tried: &Tried, address: &str) {
        match tried {
            Tried::Succeeded if action.is_reminder() => self.worked.reminded += 1,
            Tried::Succeeded => self.worked.moved += 1,
            Tried::Failed(failure) | Tried::GivenUp(failure) => {
                self.breakers.note(&failure.blame, address);
                self.worked.failed += 1;
            }
            Tried::Elsewhere => {}
        }
    }
}

impl Worked {
    fn count(&mut self, from: State, reached: Reached) {
        match reached {
            Reached::Failure(_) => self.failed += 1,
            Reached::HeldUp(state) if state == from => self.held_up += 1,
            Reached::Rest(Some(state)) if state == from => {}
            Reached::HeldUp(_) | Reached::Rest(_) => self.moved += 1,
        }
    }
}

/// The time that a step must have left: how long it takes if the other side stays silent, for a mail at most a third of a run.
/// A step whose other side answers each request just in time takes longer.
fn longest(site: &Site, owed: Owed) -> Duration {
    let needs_mail = match owed {
        Owed::Step(state) if state.owes() == Some(Action::MakeAccount) => return Duration::from_secs(accounts::silence_seconds(site)),
        Owed::Step(state) => state.owes() != Some(Action::TellRoom),
        Owed::Beside(action) => action.is_mail(),
        Owed::Redaction => false,
        Owed::ResetMail => true,
    };
    let third = site.config.times.cron_budget_seconds.0 / 3;
    Duration::from_secs(if needs_mail { mail::silence_seconds(&site.config).min(third) } else { bot::SILENCE_SECONDS })
}

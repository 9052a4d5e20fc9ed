//! Figures about all requests, cheap however many there are: what is open is counted by an index; what is over was counted by cron;
//! decisions are counted when they are made (`tallies`).

use super::{Error, Owed, Row, Store, Value};
use crate::domain::decision::{Outcome, Way};
use crate::domain::registration::{SideAction, State};
use crate::domain::seconds::HOUR;

/// So many requests, or actions, and the time of the oldest (seconds since 1970).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub count: i64,
    pub since: Option<i64>,
}

impl Waiting {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Waiting) -> Waiting {
        Waiting { count: self.count + other.count, since: self.since.into_iter().chain(other.since).min() }
    }
}

/// Tables of side actions and mails that have no `state`.
const BY_ITSELF: [(&str, Owed); 2] = [("password_resets", Owed::ResetMail), ("redactions", Owed::Redaction)];

/// How long what is over counts as it was counted, in seconds.
const COUNTED_EACH: i64 = HOUR;
/// The row of `tallies` with the time of the last count.
const COUNTED_AT: &str = "counted at";

/// Due, or failed before and waiting for the next try. Needs the present time.
const IS_OWED: &str = "(due_at <= ? OR attempts > 0)";
/// Their number, and since when the oldest is due, or fails.
const OWED: &str = "COUNT(*), MIN(COALESCE(failing_since, due_at))";

fn numbers(states: impl Iterator<Item = State>) -> String {
    states.map(|state| state.number().to_string()).collect::<Vec<_>>().join(", ")
}

/// The key of a group, its number, and the time of its oldest row. A value that cannot be read is left out.
fn group(row: &Row) -> Option<(i64, Waiting)> {
    let [key, count, since] = [0, 1, 2].map(|place| row.integer_at(place).ok().flatten());
    Some((key?, Waiting { count: count?, since }))
}

/// Needs only the index `registrations_by_age`.
pub(super) fn of_open() -> String {
    let open = numbers(State::ALL.into_iter().filter(|state| !state.is_final()));
    format!("SELECT state, COUNT(*), MIN(state_since) FROM registrations WHERE state IN ({open}) GROUP BY state")
}

pub(super) fn of_steps() -> String {
    let owing = numbers(State::ALL.into_iter().filter(|state| state.owes().is_some()));
    format!("SELECT state, {OWED} FROM registrations WHERE state IN ({owing}) AND {IS_OWED} GROUP BY state")
}

impl Store {
    /// Requests that are not over, by state. A state without requests is missing.
    pub fn open_by_state(&mut self) -> Result<Vec<(State, Waiting)>, Error> {
        let rows = self.query(&of_open(), &[])?;
        Ok(rows.iter().filter_map(group).filter_map(|(number, waiting)| Some((State::from_number(number)?, waiting))).collect())
    }

    /// Requests that are over and still kept, by state, as [`Store::count_kept`] counted them last.
    pub fn kept_by_state(&mut self) -> Result<Vec<(State, i64)>, Error> {
        let rows = self.tallies("kept")?;
        Ok(rows.into_iter().filter_map(|(subject, count)| Some((State::from_number(subject.parse().ok()?)?, count))).collect())
    }

    /// Counts the requests that are over, once in a while: that takes the longer, the more there are.
    pub(crate) fn count_kept(&mut self, now: i64) -> Result<(), Error> {
        let last = self.tallies("kept")?.into_iter().find(|(subject, _)| subject == COUNTED_AT).map_or(0, |(_, at)| at);
        if (0..COUNTED_EACH).contains(&(now - last)) {
            return Ok(());
        }
        self.set_kept(COUNTED_AT, now)?;
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            let count = self.count(state)?;
            self.set_kept(&state.number().to_string(), count)?;
        }
        Ok(())
    }

    fn set_kept(&mut self, subject: &str, count: i64) -> Result<(), Error> {
        let sql = "UPDATE tallies SET count = ? WHERE kind = 'kept' AND subject = ?";
        self.execute(sql, &[count.into(), subject.into()]).map(|_| ())
    }

    /// What is due, or has failed and waits for its next try, by kind, with the time since which the oldest is due or fails. A kind
    /// of which nothing is owed is missing.
    pub fn owed_by_kind(&mut self, now: i64) -> Result<Vec<(Owed, Waiting)>, Error> {
        let beside = format!("SELECT kind, {OWED} FROM owed_actions WHERE {IS_OWED} GROUP BY kind");
        let now = [Value::from(now)];
        let step = |(number, waiting)| Some((Owed::Step(State::from_number(number)?), waiting));
        let action = |number| SideAction::ALL.into_iter().find(|action| action.number() == number);
        let mut owed: Vec<_> = self.query(&of_steps(), &now)?.iter().filter_map(group).filter_map(step).collect();
        let rows = self.query(&beside, &now)?;
        owed.extend(rows.iter().filter_map(group).filter_map(|(number, waiting)| Some((Owed::Beside(action(number)?), waiting))));
        for (table, kind) in BY_ITSELF {
            let sql = format!("SELECT 0, {OWED} FROM {table} WHERE is_done = 0 AND {IS_OWED}");
            let rows = self.query(&sql, &now)?;
            owed.extend(rows.iter().filter_map(group).filter(|(_, waiting)| waiting.count > 0).map(|(_, waiting)| (kind, waiting)));
        }
        Ok(owed)
    }

    /// The decisions that were ever made, also about requests that are deleted since.
    pub fn decided(&mut self) -> Result<Vec<(Outcome, Way, i64)>, Error> {
        let read = |(subject, count): (String, i64)| {
            let (outcome, way) = subject.split_once(' ')?;
            Some((Outcome::from_name(outcome)?, Way::from_name(way)?, count))
        };
        Ok(self.tallies("decided")?.into_iter().filter_map(read).collect())
    }

    /// Part of the transaction of a decision. A question is none, and has no row.
    pub(super) fn count_decision(&mut self, outcome: Outcome, way: Way) -> Result<(), Error> {
        let sql = "UPDATE tallies SET count = count + 1 WHERE kind = 'decided' AND subject = ?";
        self.execute(sql, &[format!("{} {}", outcome.name(), way.name()).as_str().into()]).map(|_| ())
    }

    fn tallies(&mut self, kind: &'static str) -> Result<Vec<(String, i64)>, Error> {
        let rows = self.query("SELECT subject, count FROM tallies WHERE kind = ? ORDER BY subject", &[kind.into()])?;
        rows.iter().map(|row| Ok((row.text()?, row.integer_at(1)?.unwrap_or(0)))).collect()
    }
}

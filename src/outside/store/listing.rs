//! What the operator's command asks about requests.

use super::{Column, Error, NamedRow, Owed, Selection, Store, Value};
use crate::domain::registration::{SideAction, State};
use crate::domain::seconds::DAY;

/// The largest number of requests with one username or address that are found.
const MOST_FOUND: i64 = 50;
const WEEK: i64 = 7 * DAY;

/// A request in a list. Values that cannot be read are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: i64,
    /// `None` for a state that this program does not know.
    pub state: Option<State>,
    pub username: String,
    pub email: String,
    /// When it reached this state (seconds since 1970).
    pub since: Option<i64>,
    /// The error of the last attempt.
    pub error: Option<String>,
}

/// What is owed for a request: its step, or a side action. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedNow {
    pub owed: Owed,
    pub due_at: i64,
    pub tries: i64,
    /// A program is at work on it, or was killed at work.
    pub has_lease: bool,
    pub failing_since: Option<i64>,
    pub error: Option<String>,
}

/// Requests that were filed in one week and are in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfWeek {
    /// When the week began (seconds since 1970).
    pub begins_at: i64,
    /// `None` for a state that this program does not know.
    pub state: Option<State>,
    pub asked: u64,
    /// With a confirmed address.
    pub confirmed: u64,
}

/// Which requests are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    All,
    /// Those that are not over, also those in a state that this program does not know.
    Open,
    In(&'a [State]),
}

impl Which<'_> {
    fn condition(self) -> String {
        let numbers = |states: &[State]| states.iter().map(|state| state.number().to_string()).collect::<Vec<_>>().join(", ");
        match self {
            Which::All => "1 = 1".into(),
            Which::Open => {
                let over: Vec<State> = State::ALL.into_iter().filter(|state| state.is_final()).collect();
                none_of(&over)
            }
            Which::In(states) => format!("state IN ({})", numbers(states)),
        }
    }
}

/// The condition that a request is in none of these states, also if its state is unknown: the gaps between their numbers, which
/// an index finds without reading the rows of those states.
pub(super) fn none_of(states: &[State]) -> String {
    let mut numbers: Vec<i64> = states.iter().map(|state| state.number()).collect();
    numbers.sort_unstable();
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return "1 = 1".into() };
    let between =
        numbers.windows(2).filter(|pair| pair[1] - pair[0] > 1).map(|pair| format!("(state > {} AND state < {})", pair[0], pair[1]));
    let outside = [format!("state < {first}"), format!("state > {last}")];
    format!("({})", outside.into_iter().chain(between).collect::<Vec<_>>().join(" OR "))
}

pub(super) const FIRST_FILED: &str = "SELECT MIN(requested_at) FROM registrations WHERE requested_at >= ?";
pub(super) const OF_A_WEEK: &str =
    "SELECT state, COUNT(*), COUNT(confirmed_at) FROM registrations WHERE requested_at >= ? AND requested_at < ? GROUP BY state";

impl Store {
    /// Requests, the longest waiting first; with `before` those that have been in their state since then. Values that cannot be read
    /// are left out.
    pub fn listed(&mut self, which: Which, before: Option<i64>, limit: i64) -> Result<Vec<Listed>, Error> {
        const LISTED: Selection = Selection {
            table: "registrations",
            columns: &[Column::Id, Column::State, Column::Username, Column::Email, Column::StateSince, Column::LastError],
        };
        let read = |row: NamedRow| {
            Ok(Listed {
                id: row.integer(Column::Id)?,
                state: row.readable_integer(Column::State).and_then(State::from_number),
                username: row.optional_text(Column::Username).unwrap_or_default(),
                email: row.optional_text(Column::Email).unwrap_or_default(),
                since: row.readable_integer(Column::StateSince),
                error: row.optional_text(Column::LastError),
            })
        };
        let (mut values, mut conditions) = (Vec::new(), vec![which.condition()]);
        if let Some(before) = before {
            conditions.push("state_since <= ?".to_owned());
            values.push(before.into());
        }
        values.push(limit.into());
        self.select(&LISTED, &format!("WHERE {} ORDER BY state_since, id LIMIT ?", conditions.join(" AND ")), &values, read)
    }

    /// Requests for this username, the newest first.
    pub fn requests_of_username(&mut self, username: &str) -> Result<Vec<i64>, Error> {
        let sql = "SELECT id FROM registrations WHERE username = ? ORDER BY id DESC LIMIT ?";
        self.query(sql, &[username.into(), MOST_FOUND.into()])?.into_iter().map(|row| row.integer()).collect()
    }

    /// Requests with this folded address, the newest first.
    pub fn requests_of_address(&mut self, folded: &str) -> Result<Vec<i64>, Error> {
        let sql = "SELECT id FROM registrations WHERE email_folded = ? ORDER BY id DESC LIMIT ?";
        self.query(sql, &[folded.into(), MOST_FOUND.into()])?.into_iter().map(|row| row.integer()).collect()
    }

    /// The same, without a limit.
    pub fn all_requests_of_address(&mut self, folded: &str) -> Result<Vec<i64>, Error> {
        let sql = "SELECT id FROM registrations WHERE email_folded = ? ORDER BY id DESC";
        self.query(sql, &[folded.into()])?.into_iter().map(|row| row.integer()).collect()
    }

    /// What is owed for a request, and how its tries went.
    pub fn owed_now(&mut self, id: i64) -> Result<Vec<OwedNow>, Error> {
        const QUEUE: &[Column] = &[Column::DueAt, Column::Attempts, Column::FailingSince, Column::LastError, Column::Lease];
        const STEP: Selection =
            Selection { table: "registrations", columns: &[Column::State, QUEUE[0], QUEUE[1], QUEUE[2], QUEUE[3], QUEUE[4]] };
        const BESIDE: Selection =
            Selection { table: "owed_actions", columns: &[Column::Kind, QUEUE[0], QUEUE[1], QUEUE[2], QUEUE[3], QUEUE[4]] };
        let read = |row: &NamedRow, owed: Owed| OwedNow {
            owed,
            due_at: row.readable_integer(Column::DueAt).unwrap_or(0),
            tries: row.readable_integer(Column::Attempts).unwrap_or(0),
            has_lease: row.optional_text(Column::Lease).is_some(),
            failing_since: row.readable_integer(Column::FailingSince),
            error: row.optional_text(Column::LastError),
        };
        let step = |row: NamedRow| {
            let state = row.readable_integer(Column::State).and_then(State::from_number);
            Ok(state.filter(|state| state.owes().is_some()).map(|state| read(&row, Owed::Step(state))))
        };
        let beside = |row: NamedRow| {
            let kind = row.readable_integer(Column::Kind);
            let action = SideAction::ALL.into_iter().find(|action| Some(action.number()) == kind);
            Ok(action.map(|action| read(&row, Owed::Beside(action))))
        };
        let mut owed = self.select(&STEP, "WHERE id = ?", &[id.into()], step)?;
        owed.extend(self.select(&BESIDE, "WHERE registration_id = ? ORDER BY due_at", &[id.into()], beside)?);
        Ok(owed.into_iter().flatten().collect())
    }

    /// Makes due what waits for its next try after a failure: of one request, or of all. Returns the number.
    pub fn make_due(&mut self, id: Option<i64>, now: i64) -> Result<u64, Error> {
        let steps: Vec<String> =
            State::ALL.into_iter().filter(|state| state.owes().is_some()).map(|state| state.number().to_string()).collect();
        let of = |column: &str| if id.is_some() { format!("{column} = ?") } else { format!("{column} >= ?") };
        let values: [Value; 2] = [now.into(), id.unwrap_or(0).into()];
        let step = format!("UPDATE registrations SET due_at = ? WHERE {} AND state IN ({})", of("id"), steps.join(", "));
        let beside = format!("UPDATE owed_actions SET due_at = ? WHERE {} AND attempts > 0", of("registration_id"));
        Ok(self.execute(&step, &values)? + self.execute(&beside, &values)?)
    }

    /// The requests that were filed since `from` and are kept, by week and state. Needs only the index `registrations_by_request`. A
    /// request whose time cannot be read is left out.
    pub fn kept_by_week(&mut self, mut from: i64) -> Result<Vec<OfWeek>, Error> {
        let mut weeks = Vec::new();
        while let Some(first) = self.first_filed(from)? {
            let begins_at = first - first.rem_euclid(WEEK);
            let Some(end) = begins_at.checked_add(WEEK) else { break };
            for row in self.query(OF_A_WEEK, &[from.into(), end.into()])? {
                let state = row.integer_at(0).ok().flatten().and_then(State::from_number);
                let [asked, confirmed] = [row.integer_at(1)?, row.integer_at(2)?].map(|count| count.unwrap_or(0).unsigned_abs());
                weeks.push(OfWeek { begins_at, state, asked, confirmed });
            }
            from = end;
        }
        Ok(weeks)
    }

    /// The time of the first request that was filed at `from` or later.
    fn first_filed(&mut self, from: i64) -> Result<Option<i64>, Error> {
        Ok(self.first(FIRST_FILED, &[from.into()], |row| Ok(row.optional_integer().ok().flatten()))?.flatten())
    }
}

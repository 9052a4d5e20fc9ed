//! Required actions: the steps of requests (`registrations`) and their side actions (`owed_actions`). Both have the same
//! leases, waits and order.
//!
//! This code reads no more of a row than it needs, and copes with invalid values: SQLite may store text in a number column, and
//! such a row must be put off like any other. In SQLite's order any text is greater than any number, so it counts as a time too
//! far ahead.

use super::{CLOCK_SKEW, Column, Error, LONGEST_LEASE, NamedRow, Row, Selection, Store, Value, Waiting};
use crate::domain::back_off::{self, Tries, Trouble};
use crate::domain::registration::{Action, SideAction, State};
use crate::domain::seconds::DAY;
use crate::outside::fault;

/// The action that a row requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owed {
    /// The action of this state of a registration.
    Step(State),
    Beside(SideAction),
    /// The mail with the links for a new password.
    ResetMail,
    /// The redaction of a message of a request that was forgotten.
    Redaction,
}

impl Owed {
    pub(super) fn table(self) -> &'static str {
        match self {
            Owed::Step(_) => "registrations",
            Owed::Beside(_) => "owed_actions",
            Owed::ResetMail => "password_resets",
            Owed::Redaction => "redactions",
        }
    }

    fn column(self) -> &'static str {
        match self {
            Owed::Step(_) => "state",
            Owed::Beside(_) => "kind",
            Owed::ResetMail | Owed::Redaction => "is_done",
        }
    }

    fn number(self) -> i64 {
        match self {
            Owed::Step(state) => state.number(),
            Owed::Beside(action) => action.number(),
            Owed::ResetMail | Owed::Redaction => 0,
        }
    }

    /// What it is, for the sysadmin.
    pub fn described(self) -> &'static str {
        match self {
            Owed::Step(state) => state.awaits(),
            Owed::Beside(action) => action.described(),
            Owed::ResetMail => "the mail with the links for a new password",
            Owed::Redaction => "the redaction of a message in the room",
        }
    }

    /// Every kind.
    pub(crate) fn all() -> impl Iterator<Item = Owed> {
        let steps = State::ALL.into_iter().filter(|state| state.owes().is_some()).map(Owed::Step);
        steps.chain(SideAction::ALL.map(Owed::Beside)).chain([Owed::ResetMail, Owed::Redaction])
    }

    /// In metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Owed::Step(state) => state.owes().map_or("nothing", Action::name),
            Owed::Beside(action) => action.name(),
            Owed::ResetMail => "reset_mail",
            Owed::Redaction => "room_redaction",
        }
    }

    /// Whether it belongs to a registration.
    pub(crate) fn is_of_request(self) -> bool {
        matches!(self, Owed::Step(_) | Owed::Beside(_))
    }
}

/// A row that requires an action: in `registrations`, `owed_actions`, `password_resets` or `redactions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwedRow {
    pub owed: Owed,
    /// The id in its own table.
    pub id: i64,
}

/// A row that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub row: OwedRow,
    /// The row itself for a request for a new password.
    pub registration: i64,
    pub due_at: i64,
    /// The folded mail address of the request; empty if it is not known.
    pub address: String,
}

/// How a failed attempt is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Postponed<'a> {
    /// This attempt included.
    pub tries: Tries,
    pub due_at: i64,
    pub trouble: Trouble,
    /// The message for the sysadmin.
    pub error: &'a str,
}

/// Present failures in one group of [`Trouble`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    pub trouble: Trouble,
    pub count: i64,
    /// When the first of them began (seconds since 1970).
    pub since: Option<i64>,
    /// The newest message, and its registration, or the row of another table (`subject`).
    pub sentence: String,
    pub registration: i64,
    pub subject: &'static str,
}

/// Assignments that reset the attempts of a row.
pub(super) const UNTRIED: &str =
    "attempts = 0, failing_since = NULL, tried_at = NULL, tried_seconds = 0, refusals = 0, refused_seconds = 0,
                                  undeliverable = 0, trouble = NULL, last_error = NULL";

/// The tables of [`Owed`].
const TABLES: [&str; 4] = ["registrations", "owed_actions", "password_resets", "redactions"];

/// Whether a row of the table requires something: a condition that an index knows.
fn is_owed(table: &str) -> String {
    match table {
        "registrations" => {
            let owing = State::ALL.iter().filter(|state| state.owes().is_some()).map(|state| state.number().to_string());
            format!("state IN ({})", owing.collect::<Vec<_>>().join(", "))
        }
        "owed_actions" => "kind >= 0".into(),
        _ => "is_done = 0".into(),
    }
}

/// Failures by group, with their number and the beginning of the first.
pub(super) fn of_failing(table: &str) -> String {
    let is_owed = is_owed(table);
    format!("SELECT trouble, COUNT(*), MIN(failing_since) FROM {table} WHERE {is_owed} AND trouble IS NOT NULL GROUP BY trouble")
}

/// Nobody holds the row, or only somebody whose clock was wrong: the values are those of [`free`].
pub(super) const FREE: &str = "(lease IS NULL OR lease_until IS NULL OR lease_until <= ? OR lease_until > ?)";

pub(super) fn free(now: i64) -> [Value; 2] {
    [now.into(), (now + LONGEST_LEASE + CLOCK_SKEW).into()]
}

impl Store {
    /// Due rows that require `owed`, the longest waiting first; only those after `after`, a time and an id.
    pub fn due(&mut self, owed: Owed, now: i64, after: (i64, i64), limit: i64) -> Result<Vec<Due>, Error> {
        let (from, id, address, of) = match owed {
            Owed::Step(_) => ("registrations q", "q.id", "q.email_folded", "q.state"),
            Owed::Beside(_) => {
                ("owed_actions q JOIN registrations ON registrations.id = q.registration_id", "q.registration_id", "email_folded", "q.kind")
            }
            Owed::ResetMail => ("password_resets q", "q.id", "''", "q.is_done"),
            Owed::Redaction => ("redactions q", "q.id", "''", "q.is_done"),
        };
        let is_free = FREE.replace("lease", "q.lease");
        let sql = format!(
            "SELECT q.id, {id}, q.due_at, {address} FROM {from} WHERE {of} = ? AND q.due_at <= ? AND (q.due_at, q.id) > (?, ?) AND {is_free}
             ORDER BY q.due_at, q.id LIMIT ?"
        );
        let [free_now, free_far] = free(now);
        let values = [owed.number().into(), now.into(), after.0.into(), after.1.into(), free_now, free_far, limit.into()];
        const DUE: Selection =
            Selection { table: "what is owed", columns: &[Column::Id, Column::RegistrationId, Column::DueAt, Column::EmailFolded] };
        let read = |row: NamedRow| {
            Ok(Due {
                row: OwedRow { owed, id: row.integer(Column::Id)? },
                registration: row.integer(Column::RegistrationId)?,
                due_at: row.integer(Column::DueAt)?,
                address: row.optional_text(Column::EmailFolded).unwrap_or_default(),
            })
        };
        self.query(&sql, &values)?.into_iter().map(|row| read(row.named(&DUE))).collect()
    }

    /// Takes the lease on a row, so that no other program works on it at the same time. It expires at `until`.
    pub fn lease(&mut self, row: OwedRow, holder: &str, now: i64, until: i64) -> Result<bool, Error> {
        let (table, column) = (row.owed.table(), row.owed.column());
        let sql = format!("UPDATE {table} SET lease = ?, lease_until = ? WHERE id = ? AND {column} = ? AND {FREE}");
        let [free_now, free_far] = free(now);
        let values = [holder.into(), until.into(), row.id.into(), row.owed.number().into(), free_now, free_far];
        let leased = self.execute(&sql, &values)? == 1;
        fault::point("leased");
        Ok(leased)
    }

    /// The attempts so far. Invalid values count as none.
    pub fn tries(&mut self, row: OwedRow) -> Result<Tries, Error> {
        const TRIES: Selection = Selection {
            table: "what is owed",
            columns: &[
                Column::Attempts,
                Column::FailingSince,
                Column::TriedAt,
                Column::TriedSeconds,
                Column::Refusals,
                Column::RefusedSeconds,
                Column::Undeliverable,
            ],
        };
        let read = |row: Row| {
            let row = row.named(&TRIES);
            Ok(Tries {
                count: row.readable_integer(Column::Attempts).unwrap_or(0),
                failing_since: row.readable_integer(Column::FailingSince),
                last_at: row.readable_integer(Column::TriedAt),
                seconds: row.readable_integer(Column::TriedSeconds).unwrap_or(0),
                refusals: row.readable_integer(Column::Refusals).unwrap_or(0),
                refused_seconds: row.readable_integer(Column::RefusedSeconds).unwrap_or(0),
                is_gone: row.readable_integer(Column::Undeliverable) == Some(1),
            })
        };
        let sql = format!("SELECT {} FROM {} WHERE id = ?", TRIES.list(), row.owed.table());
        Ok(self.first(&sql, &[row.id.into()], read)?.unwrap_or_default())
    }

    /// Records a failed attempt: no other one before `due_at`. Ends the lease of `holder`. The room sees that a step of a request
    /// is late, and why, also if there is another reason later.
    pub(crate) fn postpone(&mut self, row: OwedRow, holder: &str, postponed: &Postponed, now: i64) -> Result<(), Error> {
        match row.owed {
            Owed::Step(state) if state.owes_beside().contains(&SideAction::ShowInRoom) => {
                self.transaction(|store| {
                    let is_new = store.last_error(row.id)?.as_deref() != Some(postponed.error);
                    match store.note_postponed(row, holder, postponed)? {
                        true if is_new || postponed.tries.count == 1 => store.owe_showing(row.id, now),
                        _ => Ok(()),
                    }
                })?;
            }
            _ => drop(self.note_postponed(row, holder, postponed)?),
        }
        fault::point("postponed");
        Ok(())
    }

    /// `false`: the lease was lost in the meantime.
    fn note_postponed(&mut self, row: OwedRow, holder: &str, postponed: &Postponed) -> Result<bool, Error> {
        let sql = format!(
            "UPDATE {} SET due_at = ?, attempts = ?, failing_since = ?, tried_at = ?, tried_seconds = ?, refusals = ?, refused_seconds = ?,
             undeliverable = ?, trouble = ?, last_error = ?, lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?",
            row.owed.table()
        );
        let tries = &postponed.tries;
        let values = [
            postponed.due_at.into(),
            tries.count.into(),
            tries.failing_since.into(),
            tries.last_at.into(),
            tries.seconds.into(),
            tries.refusals.into(),
            tries.refused_seconds.into(),
            i64::from(tries.is_gone).into(),
            postponed.trouble.name().into(),
            postponed.error.into(),
            row.id.into(),
            holder.into(),
        ];
        Ok(self.execute(&sql, &values)? == 1)
    }

    /// Ends the lease without recording an attempt.
    pub(crate) fn release(&mut self, row: OwedRow, holder: &str) -> Result<(), Error> {
        let sql = format!("UPDATE {} SET lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?", row.owed.table());
        self.execute(&sql, &[row.id.into(), holder.into()]).map(|_| ())
    }

    /// Records that a side action is done, or given up, so that it is not required again. `false`: the lease was lost in the
    /// meantime.
    pub(crate) fn settle_beside(&mut self, row: OwedRow, registration: i64, holder: &str, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            fault::point("settle beside");
            if store.execute("DELETE FROM owed_actions WHERE id = ? AND lease = ?", &[row.id.into(), holder.into()])? == 0 {
                return Ok(false);
            }
            if row.owed == Owed::Beside(SideAction::Remind) {
                store.execute("UPDATE registrations SET reminded_at = ? WHERE id = ?", &[now.into(), registration.into()])?;
            }
            fault::point("settled beside");
            Ok(true)
        })
    }

    /// The room was reminded: the next reminder is due at the first of `delays` after the request began to wait that is still to
    /// come; after the last one there is none. `false`: the lease was lost in the meantime.
    pub(crate) fn settle_reminder(
        &mut self,
        row: OwedRow,
        registration: i64,
        holder: &str,
        delays: &[i64],
        now: i64,
    ) -> Result<bool, Error> {
        let since =
            self.first("SELECT owed_since FROM owed_actions WHERE id = ?", &[row.id.into()], |row| row.optional_integer())?.flatten();
        let next = delays.iter().zip(0_i64..).map(|(delay, round)| (round, since.unwrap_or(now) + delay)).find(|(_, at)| *at > now);
        let Some((round, at)) = next else { return self.settle_beside(row, registration, holder, now) };
        self.transaction(|store| {
            fault::point("settle beside");
            let later = format!(
                "UPDATE owed_actions SET round = ?, due_at = ?, {UNTRIED}, lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?"
            );
            if store.execute(&later, &[round.into(), at.into(), row.id.into(), holder.into()])? == 0 {
                return Ok(false);
            }
            store.execute("UPDATE registrations SET reminded_at = ? WHERE id = ?", &[now.into(), registration.into()])?;
            fault::point("settled beside");
            Ok(true)
        })
    }

    /// The rows of `action` for one registration.
    pub fn owed_beside(&mut self, registration: i64, action: SideAction) -> Result<Vec<OwedRow>, Error> {
        let sql = "SELECT id FROM owed_actions WHERE registration_id = ? AND kind = ? ORDER BY id";
        let rows = self.query(sql, &[registration.into(), action.number().into()])?;
        rows.into_iter().map(|row| Ok(OwedRow { owed: Owed::Beside(action), id: row.integer()? })).collect()
    }

    /// Drops the side actions that the state `to` does not have, and records those that begin with it, in place of older ones.
    /// When a reminder is due depends on the configuration: [`Store::schedule`]. Until that has run, the reminder is due only in
    /// a day, because a cron run may be reading due reminders at this moment. Part of a transaction.
    pub(super) fn owe_beside(&mut self, registration: i64, to: State, now: i64) -> Result<(), Error> {
        let stays = |action: &&SideAction| !to.begins_beside().contains(action);
        let stay: String = to.owes_beside().iter().filter(stays).map(|action| format!(" AND kind <> {}", action.number())).collect();
        self.execute(&format!("DELETE FROM owed_actions WHERE registration_id = ?{stay}"), &[registration.into()])?;
        for action in to.begins_beside() {
            let due_at = if action.is_reminder() { now + DAY } else { now };
            let sql = "INSERT INTO owed_actions (registration_id, kind, owed_since, due_at) VALUES (?, ?, ?, ?)";
            self.execute(sql, &[registration.into(), action.number().into(), now.into(), due_at.into()])?;
        }
        Ok(())
    }

    /// Called before due rows are read: makes each row of `action` due so many seconds after it began to be owed; for a reminder to
    /// the room each of the delays counts in its turn. Without delays the configuration has no use for it. Reminders to the room then
    /// wait until they are switched on again, and failed ones no longer count as failing; other side actions end.
    pub(crate) fn schedule(&mut self, action: SideAction, delays: &[i64]) -> Result<(), Error> {
        let kind = Value::from(action.number());
        let [delay, ..] = delays else {
            let sql = match action {
                SideAction::Remind => &format!("UPDATE owed_actions SET {UNTRIED} WHERE kind = ? AND attempts > 0"),
                _ => "DELETE FROM owed_actions WHERE kind = ?",
            };
            return self.execute(sql, &[kind]).map(|_| ());
        };
        // After a failure the row has its own time.
        let sql = "UPDATE owed_actions SET due_at = owed_since + ? WHERE kind = ? AND attempts = 0 AND due_at <> owed_since + ?";
        if action != SideAction::Remind {
            return self.execute(sql, &[(*delay).into(), kind, (*delay).into()]).map(|_| ());
        }
        self.owe_missing_reminders()?;
        for (delay, round) in delays.iter().zip(0_i64..) {
            self.execute(&format!("{sql} AND round = ?"), &[(*delay).into(), kind.clone(), (*delay).into(), round.into()])?;
        }
        // The configuration had more reminders before.
        self.execute("DELETE FROM owed_actions WHERE kind = ? AND round >= ?", &[kind, (delays.len() as i64).into()]).map(|_| ())
    }

    /// Gives each undecided request its reminder, also if it comes from the PHP program or an earlier version.
    fn owe_missing_reminders(&mut self) -> Result<(), Error> {
        let remind = SideAction::Remind.number();
        let missing = format!(
            "INSERT INTO owed_actions (registration_id, kind, owed_since, due_at)
             SELECT id, {remind}, state_since, state_since FROM registrations WHERE state = ? AND reminded_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM owed_actions WHERE registration_id = registrations.id AND kind = {remind})"
        );
        self.execute(&missing, &[State::AdminVerify.number().into()]).map(|_| ())
    }

    /// Makes rows due whose time lies further ahead than any wait, as it was written under a wrong clock. Returns their number.
    pub(crate) fn bring_back(&mut self, now: i64) -> Result<u64, Error> {
        let (soon, far) = (now + CLOCK_SKEW, now + CLOCK_SKEW + back_off::LONGEST);
        let mut brought_back = 0;
        for table in ["registrations", "password_resets"] {
            let is_owed = is_owed(table);
            // Before the first attempt there is no wait.
            let sql = format!("UPDATE {table} SET due_at = ? WHERE due_at > ? AND (attempts = 0 OR due_at > ?) AND {is_owed}");
            brought_back += self.execute(&sql, &[now.into(), soon.into(), far.into()])?;
        }
        // Before the first attempt at a side action its time follows from owed_since.
        for table in ["owed_actions", "redactions"] {
            let sql = format!("UPDATE {table} SET due_at = ? WHERE attempts > 0 AND due_at > ?");
            brought_back += self.execute(&sql, &[now.into(), far.into()])?;
        }
        Ok(brought_back)
    }

    /// Everything that fails at present.
    pub fn failing(&mut self) -> Result<Vec<Failing>, Error> {
        let mut newest: Vec<(i64, Failing)> = Vec::new();
        for table in TABLES {
            for (trouble, waiting) in self.failing_in(table)? {
                let Some((tried_at, found)) = self.newest_failure(table, trouble, waiting)? else { continue };
                match newest.iter().position(|(_, before)| before.trouble == trouble) {
                    Some(place) => {
                        let (before_at, before) = newest.swap_remove(place);
                        newest.push((before_at.max(tried_at), before.with(found, tried_at > before_at)));
                    }
                    None => newest.push((tried_at, found)),
                }
            }
        }
        newest.sort_by_key(|(_, failing)| failing.trouble);
        Ok(newest.into_iter().map(|(_, failing)| failing).collect())
    }

    /// How many fail at present, and since when the first of them does.
    pub(crate) fn failing_by_trouble(&mut self) -> Result<Vec<(Trouble, Waiting)>, Error> {
        let mut failing = Trouble::ALL.map(|trouble| (trouble, Waiting::default()));
        for table in TABLES {
            for (trouble, more) in self.failing_in(table)? {
                failing.iter_mut().filter(|(known, _)| *known == trouble).for_each(|(_, waiting)| *waiting = waiting.with(more));
            }
        }
        Ok(failing.into())
    }

    /// Looks only at rows that require something, which an index finds: most requests are over.
    fn failing_in(&mut self, table: &'static str) -> Result<Vec<(Trouble, Waiting)>, Error> {
        let read = |row: &Row| {
            let waiting = Waiting { count: row.integer_at(1).ok()??, since: row.integer_at(2).ok().flatten() };
            Some((Trouble::from_name(&row.text().ok()?)?, waiting))
        };
        Ok(self.query(&of_failing(table), &[])?.iter().filter_map(read).collect())
    }

    fn newest_failure(&mut self, table: &'static str, trouble: Trouble, of: Waiting) -> Result<Option<(i64, Failing)>, Error> {
        let (id, subject) = match table {
            "owed_actions" => ("registration_id", "registration"),
            "password_resets" => ("id", "password_reset"),
            "redactions" => ("id", "redaction"),
            _ => ("id", "registration"),
        };
        let newest = format!(
            "SELECT {id}, tried_at, last_error FROM {table} WHERE {} AND trouble = ? ORDER BY tried_at DESC LIMIT 1",
            is_owed(table)
        );
        const NEWEST: Selection =
            Selection { table: "what is owed", columns: &[Column::RegistrationId, Column::TriedAt, Column::LastError] };
        let read = |row: Row| {
            let row = row.named(&NEWEST);
            let registration = row.integer(Column::RegistrationId)?;
            let tried_at = row.readable_integer(Column::TriedAt).unwrap_or(0);
            let sentence = row.optional_text(Column::LastError).unwrap_or_default();
            Ok((tried_at, Failing { trouble, count: of.count, since: of.since, sentence, registration, subject }))
        };
        self.first(&newest, &[trouble.name().into()], read)
    }
}

impl Failing {
    fn with(self, other: Failing, other_is_newer: bool) -> Failing {
        let (count, since) = (self.count + other.count, self.since.into_iter().chain(other.since).min());
        let newest = if other_is_newer { other } else { self };
        Failing { count, since, ..newest }
    }
}

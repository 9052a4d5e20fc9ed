//! `remembered`: what became of requests that were forgotten, by a keyed hash of the person. Also what is deleted when a request is
//! forgotten, and what the room has to lose then (`redactions`).

use super::decisions::read_decided;
use super::{Column, Decided, End, Error, NamedRow, OwedRow, Registration, RoomEvent, Selection, Store};
use crate::domain::registration::State;
use crate::outside::fault;

/// The largest number of earlier requests that are named.
const MOST_EARLIER: i64 = 10;

/// An earlier request of the same person. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// `None`: the request was forgotten.
    pub username: Option<String>,
    /// `None` for a state that this program does not know.
    pub state: Option<State>,
    /// Whether the homeserver refused the account.
    pub is_refused: bool,
    /// The last decision.
    pub decided: Option<Decided>,
    /// When the request was filed; when it ended, if it was forgotten.
    pub at: i64,
}

/// What forgetting a request leaves behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leaves {
    /// Its outcome, by a keyed hash of the person.
    pub outcome: bool,
    /// The duty to redact its messages in the room, from this time on.
    pub redactions_at: Option<i64>,
}

impl Store {
    /// Records by which keyed hash the person of a request is found again.
    pub(crate) fn note_person(&mut self, registration: i64, hash: &str) -> Result<(), Error> {
        let sql = "UPDATE registrations SET person_hash = ? WHERE id = ? AND person_hash IS NULL";
        self.execute(sql, &[hash.into(), registration.into()]).map(|_| ())
    }

    /// Other requests of the same person that came to the room, the newest first, and then those that were forgotten.
    pub fn earlier(&mut self, of: &Registration) -> Result<Vec<Earlier>, Error> {
        let Some(person) = of.person_hash.as_deref() else { return Ok(Vec::new()) };
        const KEPT: Selection = Selection {
            table: "registrations",
            columns: &[Column::Id, Column::Username, Column::State, Column::Refusal, Column::RequestedAt],
        };
        let read = |row: NamedRow| {
            let state = row.readable_integer(Column::State).and_then(State::from_number);
            let at = row.readable_integer(Column::RequestedAt).unwrap_or(0);
            let is_refused = row.optional_text(Column::Refusal).is_some();
            Ok((row.integer(Column::Id)?, Earlier { username: row.optional_text(Column::Username), state, is_refused, decided: None, at }))
        };
        let rest = "WHERE person_hash = ? AND id <> ? ORDER BY id DESC LIMIT ?";
        let kept = self.select(&KEPT, rest, &[person.into(), of.id.into(), MOST_EARLIER.into()], read)?;
        let mut earlier = Vec::new();
        for (id, found) in kept {
            earlier.push(Earlier { decided: self.last_decision(id)?, ..found });
        }
        earlier.extend(self.remembered(person)?);
        earlier.truncate(MOST_EARLIER as usize);
        Ok(earlier)
    }

    fn remembered(&mut self, person: &str) -> Result<Vec<Earlier>, Error> {
        const REMEMBERED: Selection = Selection {
            table: "remembered",
            columns: &[
                Column::State,
                Column::IsRefused,
                Column::EndedAt,
                Column::Outcome,
                Column::Way,
                Column::DecidedBy,
                Column::Reason,
                Column::DecidedAt,
            ],
        };
        let read = |row: NamedRow| {
            Ok(Earlier {
                username: None,
                state: row.readable_integer(Column::State).and_then(State::from_number),
                is_refused: row.readable_integer(Column::IsRefused) == Some(1),
                at: row.readable_integer(Column::EndedAt).unwrap_or(0),
                decided: read_decided(&row),
            })
        };
        self.select(&REMEMBERED, "WHERE person_hash = ? ORDER BY id DESC LIMIT ?", &[person.into(), MOST_EARLIER.into()], read)
    }

    /// Deletes requests that reached the final state `state` before `before`, and all that belongs to them. Returns their number.
    pub fn forget(&mut self, state: State, before: i64, leaves: Leaves) -> Result<u64, Error> {
        let sql = "SELECT id FROM registrations WHERE state = ? AND state_since < ?";
        let mut forgotten = 0;
        for row in self.query(sql, &[state.number().into(), before.into()])? {
            forgotten += u64::from(self.forget_one(row.integer()?, state, before, leaves)?);
        }
        Ok(forgotten)
    }

    fn forget_one(&mut self, id: i64, state: State, before: i64, leaves: Leaves) -> Result<bool, Error> {
        self.transaction_that_may_end(|store| {
            if leaves.outcome {
                store.remember(id)?;
            }
            if let Some(at) = leaves.redactions_at {
                let sql = "INSERT INTO redactions (room_id, event_id, owed_since, due_at)
                           SELECT room_id, event_id, ?, ? FROM room_messages WHERE registration_id = ?";
                store.execute(sql, &[at.into(), at.into(), id.into()])?;
            }
            fault::point("forgetting");
            let sql = "DELETE FROM registrations WHERE id = ? AND state = ? AND state_since < ?";
            match store.execute(sql, &[id.into(), state.number().into(), before.into()])? {
                1 => Ok(End::Commit(true)),
                _ => Ok(End::RollBack(false)),
            }
        })
    }

    /// Deletes a request that is over, at once. `false`: it is not over, or not there.
    pub fn forget_now(&mut self, id: i64, leaves: Leaves) -> Result<bool, Error> {
        match self.state(id)? {
            Some(state) if state.is_final() => self.forget_one(id, state, i64::MAX, leaves),
            _ => Ok(false),
        }
    }

    /// Deletes what is remembered of a person. Returns the number of requests that it was about.
    pub fn forget_person(&mut self, hash: &str) -> Result<u64, Error> {
        self.execute("DELETE FROM remembered WHERE person_hash = ?", &[hash.into()])
    }

    /// What became of the forgotten requests of a person: the outcome of each, and when it ended.
    pub fn remembered_of(&mut self, person: &str) -> Result<Vec<(String, i64)>, Error> {
        let outcome = |earlier: Earlier| {
            let decided = earlier.decided.map(|decided| decided.outcome.name().to_owned());
            (decided.unwrap_or_else(|| "not decided".to_owned()), earlier.at)
        };
        Ok(self.remembered(person)?.into_iter().map(outcome).collect())
    }

    /// A message about several requests is to be redacted from this time on.
    pub(crate) fn owe_redaction(&mut self, event: &RoomEvent, at: i64) -> Result<(), Error> {
        let sql = "INSERT INTO redactions (room_id, event_id, owed_since, due_at) VALUES (?, ?, ?, ?)";
        self.execute(sql, &[event.room_id.as_str().into(), event.event_id.as_str().into(), at.into(), at.into()]).map(|_| ())
    }

    /// Only what came to the room, and nothing that names the person.
    fn remember(&mut self, id: i64) -> Result<(), Error> {
        let sql = "INSERT INTO remembered (person_hash, state, is_refused, ended_at, outcome, way, decided_by, reason, decided_at)
                   SELECT r.person_hash, r.state, CASE WHEN r.refusal IS NULL THEN 0 ELSE 1 END, r.state_since, d.outcome, d.way, d.decided_by,
                   d.reason, d.decided_at FROM registrations r LEFT JOIN decisions d ON d.id =
                   (SELECT MAX(id) FROM decisions WHERE registration_id = r.id AND outcome <> 'asked')
                   WHERE r.id = ? AND r.person_hash IS NOT NULL";
        self.execute(sql, &[id.into()]).map(|_| ())
    }

    /// Deletes what is remembered of requests that ended before `before`.
    pub(crate) fn forget_remembered(&mut self, before: i64) -> Result<(), Error> {
        self.execute("DELETE FROM remembered WHERE ended_at < ?", &[before.into()]).map(|_| ())
    }

    /// The message that a row of `redactions` names.
    pub(crate) fn redaction(&mut self, row: OwedRow) -> Result<Option<RoomEvent>, Error> {
        const EVENT: Selection = Selection { table: "redactions", columns: &[Column::RoomId, Column::EventId] };
        let read = |row: NamedRow| Ok(RoomEvent { room_id: row.text(Column::RoomId)?, event_id: row.text(Column::EventId)? });
        self.select_first(&EVENT, "WHERE id = ?", &[row.id.into()], read)
    }

    /// The message is redacted, or cannot be any more. `false`: the lease was lost in the meantime.
    pub(crate) fn settle_redaction(&mut self, row: OwedRow, holder: &str) -> Result<bool, Error> {
        fault::point("settle redaction");
        Ok(self.execute("DELETE FROM redactions WHERE id = ? AND lease = ?", &[row.id.into(), holder.into()])? == 1)
    }
}

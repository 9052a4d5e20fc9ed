//! `room_messages`: what the bot sent to the room about a request, so that reactions to it can be read.

use super::{Column, Error, NamedRow, Selection, Store, Value};
use crate::domain::registration::{Event, State};
use crate::outside::fault;

/// The longest id of a room or event, in bytes (Matrix specification, "Size limits").
pub(super) const LONGEST_ID: usize = 255;

/// The largest number of events that one statement looks up.
const MOST_AT_ONCE: usize = 100;

/// Values of the column `wanted`: the homeserver said that somebody reacted; or the last look found contradicting reactions.
const WANTED: i64 = 1;
const CONTRADICTED: i64 = 2;
/// How long a message may be being read, in seconds.
const READING_SECONDS: i64 = 60;

/// The condition that reactions to a message decide.
const CAN_DECIDE: &str = "kind IN (0, 1)";

/// What was sent. The database stores its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMessageKind {
    /// The message with the facts and the link.
    Request = 0,
    Reminder = 1,
    /// An answer to somebody. Reactions to it mean nothing.
    Answer = 2,
    /// What the applicant answered. Reactions to it mean nothing.
    OfApplicant = 3,
}

impl RoomMessageKind {
    pub fn number(self) -> i64 {
        self as i64
    }
}

/// An event of ours in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomEvent {
    pub room_id: String,
    pub event_id: String,
}

/// A message whose reactions may decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageToRead {
    pub id: i64,
    pub registration: i64,
    pub event: RoomEvent,
}

const MESSAGE: Selection =
    Selection { table: "room_messages", columns: &[Column::Id, Column::RegistrationId, Column::RoomId, Column::EventId] };

fn read(row: NamedRow) -> Result<MessageToRead, Error> {
    let event = RoomEvent { room_id: row.text(Column::RoomId)?, event_id: row.text(Column::EventId)? };
    Ok(MessageToRead { id: row.integer(Column::Id)?, registration: row.integer(Column::RegistrationId)?, event })
}

impl Store {
    /// Records a message right after it was sent. A repetition of the same message has the same event, and changes nothing.
    pub fn note_room_message(&mut self, registration: i64, kind: RoomMessageKind, event: &RoomEvent, now: i64) -> Result<(), Error> {
        fault::point("room message posted");
        if [&event.room_id, &event.event_id].iter().any(|id| id.is_empty() || id.len() > LONGEST_ID) {
            return Ok(());
        }
        let sql = "INSERT INTO room_messages (registration_id, kind, room_id, event_id, sent_at) VALUES (?, ?, ?, ?, ?)";
        let (room_id, event_id) = (event.room_id.as_str(), event.event_id.as_str());
        match self.execute(sql, &[registration.into(), kind.number().into(), room_id.into(), event_id.into(), now.into()]) {
            Ok(_) | Err(Error::Conflict) => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// The person behind a request is to be forgotten now: the room loses what the applicant answered. Part of a transaction.
    pub(super) fn owe_redaction_of_answers(&mut self, registration: i64, now: i64) -> Result<(), Error> {
        let of_applicant = [registration.into(), RoomMessageKind::OfApplicant.number().into()];
        let sql = "INSERT INTO redactions (room_id, event_id, owed_since, due_at)
                   SELECT room_id, event_id, ?, ? FROM room_messages WHERE registration_id = ? AND kind = ?";
        self.execute(sql, &[&[now.into(), now.into()], &of_applicant[..]].concat())?;
        self.execute("DELETE FROM room_messages WHERE registration_id = ? AND kind = ?", &of_applicant).map(|_| ())
    }

    /// The newest message of this kind about a request.
    pub fn room_message(&mut self, registration: i64, kind: RoomMessageKind) -> Result<Option<RoomEvent>, Error> {
        const EVENT: Selection = Selection { table: "room_messages", columns: &[Column::RoomId, Column::EventId] };
        let read = |row: NamedRow| Ok(RoomEvent { room_id: row.text(Column::RoomId)?, event_id: row.text(Column::EventId)? });
        let values = [registration.into(), kind.number().into()];
        self.select_first(&EVENT, "WHERE registration_id = ? AND kind = ? ORDER BY id DESC LIMIT 1", &values, read)
    }

    /// Somebody may have reacted to these events: those that are messages of ours about an undecided request are to be read soon.
    /// Returns their number.
    pub fn want_read(&mut self, event_ids: &[&str]) -> Result<u64, Error> {
        let mut wanted = 0;
        for some in event_ids.chunks(MOST_AT_ONCE) {
            let sql = format!(
                "UPDATE room_messages SET wanted = {WANTED} WHERE {CAN_DECIDE} AND event_id IN ({}) AND registration_id IN (SELECT id FROM registrations WHERE {})",
                vec!["?"; some.len()].join(", "),
                undecided("state")
            );
            let values: Vec<Value> = some.iter().map(|id| Value::from(*id)).collect();
            wanted += self.execute(&sql, &values)?;
        }
        Ok(wanted)
    }

    /// Somebody took something back in a room: messages with contradicting reactions, and those that are being read at this moment, are
    /// to be read soon. The event that says what was taken back does not say to which message it belonged. Returns their number.
    pub fn want_contradicted_read(&mut self, now: i64) -> Result<u64, Error> {
        let sql = format!(
            "UPDATE room_messages SET wanted = {WANTED} WHERE {CAN_DECIDE} AND (wanted = {CONTRADICTED} OR looked_at > ?)
             AND registration_id IN (SELECT id FROM registrations WHERE {})",
            undecided("state")
        );
        self.execute(&sql, &[(now - READING_SECONDS).into()])
    }

    /// Somebody shows both thumbs at this message, and counts for neither until one of them is taken back.
    pub fn note_contradicted(&mut self, message: i64) -> Result<(), Error> {
        let sql = format!("UPDATE room_messages SET wanted = {CONTRADICTED} WHERE id = ? AND wanted = 0");
        self.execute(&sql, &[message.into()]).map(|_| ())
    }

    /// The messages about one request whose reactions may decide.
    pub fn messages_about(&mut self, registration: i64, limit: i64) -> Result<Vec<MessageToRead>, Error> {
        let rest = format!("WHERE registration_id = ? AND {CAN_DECIDE} ORDER BY id LIMIT ?");
        self.select(&MESSAGE, &rest, &[registration.into(), limit.into()], read)
    }

    /// Messages about undecided requests, those first to which somebody reacted, and then those read the longest ago.
    pub fn messages_to_read(&mut self, only_wanted: bool, limit: i64) -> Result<Vec<MessageToRead>, Error> {
        let wanted = if only_wanted { format!("AND wanted = {WANTED}") } else { String::new() };
        let sql = format!(
            "SELECT room_messages.id, registration_id, room_id, event_id FROM room_messages
             JOIN registrations ON registrations.id = room_messages.registration_id
             WHERE {CAN_DECIDE} AND {} {wanted}
             ORDER BY CASE wanted WHEN {WANTED} THEN 0 ELSE 1 END, looked_at, room_messages.id LIMIT ?",
            undecided("registrations.state")
        );
        self.query(&sql, &[limit.into()])?.into_iter().map(|row| read(row.named(&MESSAGE))).collect()
    }

    /// Called before the reactions to a message are read, so that one that comes meanwhile is not missed.
    pub fn begin_reading(&mut self, message: i64, now: i64) -> Result<(), Error> {
        self.execute("UPDATE room_messages SET wanted = 0, looked_at = ? WHERE id = ?", &[now.into(), message.into()])?;
        fault::point("reading begun");
        Ok(())
    }
}

/// The condition that a request waits for a decision.
pub(super) fn undecided(column: &str) -> String {
    let undecided = State::ALL.into_iter().filter(|state| state.after(Event::Approved).is_some());
    format!("{column} IN ({})", undecided.map(|state| state.number().to_string()).collect::<Vec<_>>().join(", "))
}

//! `room_words`: what people wrote in answer to the bot's messages, so that nothing is done twice.

use super::room_messages::{LONGEST_ID, undecided};
use super::{Column, Error, NamedRow, RoomEvent, Selection, Store};
use crate::outside::fault;

/// The largest number of rooms that are told apart: requests rarely move to another one.
const MOST_ROOMS: usize = 100;

/// A message of somebody that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordsToRead {
    pub registration: i64,
    pub event: RoomEvent,
}

/// A room with messages of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInUse {
    pub room_id: String,
    /// Whether requests wait there for a decision.
    pub has_open_requests: bool,
}

impl Store {
    /// Somebody answered `to`. If that is a message of ours, the answer is to be read, once. Returns whether it is.
    pub fn note_words(&mut self, event_id: &str, to: &str, now: i64) -> Result<bool, Error> {
        if event_id.is_empty() || event_id.len() > LONGEST_ID {
            return Ok(false);
        }
        // The newest of our messages would be the same request, as ids of events are unique.
        let sql = "INSERT INTO room_words (event_id, registration_id, room_id, heard_at)
                   SELECT ?, registration_id, room_id, ? FROM room_messages WHERE event_id = ?";
        let noted = match self.execute(sql, &[event_id.into(), now.into(), to.into()]) {
            Ok(written) => Ok(written > 0),
            Err(Error::Conflict) => Ok(false),
            Err(cause) => Err(cause),
        };
        fault::point("words noted");
        noted
    }

    /// What is still to be read: the oldest first, and after that what failed.
    pub fn words_to_read(&mut self, limit: i64) -> Result<Vec<WordsToRead>, Error> {
        const WORDS: Selection = Selection { table: "room_words", columns: &[Column::RegistrationId, Column::RoomId, Column::EventId] };
        let read = |row: NamedRow| {
            let event = RoomEvent { room_id: row.text(Column::RoomId)?, event_id: row.text(Column::EventId)? };
            Ok(WordsToRead { registration: row.integer(Column::RegistrationId)?, event })
        };
        self.select(&WORDS, "WHERE read_at IS NULL ORDER BY failures, id LIMIT ?", &[limit.into()], read)
    }

    /// A message could not be read, or what it asks for not be done. Others come first from now on.
    pub(crate) fn put_off_words(&mut self, event_id: &str) -> Result<(), Error> {
        self.execute("UPDATE room_words SET failures = failures + 1 WHERE event_id = ?", &[event_id.into()]).map(|_| ())
    }

    /// What a message asks for is done, or it asks for nothing.
    pub fn settle_words(&mut self, event_id: &str, now: i64) -> Result<(), Error> {
        let sql = "UPDATE room_words SET read_at = ? WHERE event_id = ? AND read_at IS NULL";
        self.execute(sql, &[now.into(), event_id.into()]).map(|_| ())
    }

    /// Whether an event is a message of ours about this request.
    pub fn is_message_of(&mut self, registration: i64, event_id: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM room_messages WHERE registration_id = ? AND event_id = ?";
        Ok(self.first(sql, &[registration.into(), event_id.into()], |_| Ok(()))?.is_some())
    }

    /// Whether that was said to a room which [`Store::say_once`] notes.
    pub fn said_once(&mut self, room_id: &str) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM room_words WHERE event_id = ?", &[room_id.into()], |_| Ok(()))?.is_some())
    }

    /// Notes what is said only once to a room, under the id of the room. `false`: it was noted before.
    pub fn say_once(&mut self, registration: i64, room_id: &str, now: i64) -> Result<bool, Error> {
        let sql = "INSERT INTO room_words (event_id, registration_id, room_id, heard_at, read_at) VALUES (?, ?, ?, ?, ?)";
        match self.execute(sql, &[room_id.into(), registration.into(), room_id.into(), now.into(), now.into()]) {
            Ok(_) => Ok(true),
            Err(Error::Conflict) => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// The rooms with messages about requests that are kept, that of the newest request first; requests may go to another one since.
    pub fn rooms_in_use(&mut self, limit: i64) -> Result<Vec<RoomInUse>, Error> {
        let mut rooms = self.rooms_with_messages()?;
        rooms.sort_by_key(|(_, newest)| std::cmp::Reverse(*newest));
        let is_open = format!(
            "SELECT 1 FROM registrations WHERE {}
             AND EXISTS (SELECT 1 FROM room_messages WHERE room_id = ? AND registration_id = registrations.id) LIMIT 1",
            undecided("registrations.state")
        );
        let mut in_use = Vec::new();
        for (room_id, _) in rooms.into_iter().take(usize::try_from(limit).unwrap_or(0)) {
            let has_open_requests = self.first(&is_open, &[room_id.as_str().into()], |_| Ok(()))?.is_some();
            in_use.push(RoomInUse { room_id, has_open_requests });
        }
        Ok(in_use)
    }

    /// Each room with its newest request; one look at the index for each room, however many messages there are.
    fn rooms_with_messages(&mut self) -> Result<Vec<(String, i64)>, Error> {
        let (mut rooms, mut after) = (Vec::new(), String::new());
        while rooms.len() < MOST_ROOMS {
            let next = "SELECT room_id FROM room_messages WHERE room_id > ? ORDER BY room_id LIMIT 1";
            let Some(room_id) = self.first(next, &[after.as_str().into()], |row| row.text())? else { break };
            let newest =
                self.first("SELECT MAX(registration_id) FROM room_messages WHERE room_id = ?", &[room_id.as_str().into()], |row| {
                    row.integer()
                })?;
            rooms.push((room_id.clone(), newest.unwrap_or(0)));
            after = room_id;
        }
        Ok(rooms)
    }

    /// The undecided requests, the oldest first.
    pub fn undecided_requests(&mut self, limit: i64) -> Result<Vec<i64>, Error> {
        let sql = format!("SELECT id FROM registrations WHERE {} ORDER BY id LIMIT ?", undecided("state"));
        self.query(&sql, &[limit.into()])?.into_iter().map(|row| row.integer()).collect()
    }
}

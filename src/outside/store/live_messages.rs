//! `live_messages`: what the message of a request in the room shows.
//!
//! What it should show follows from the request. Each move that changes it owes [`SideAction::ShowInRoom`] in its own transaction;
//! one program at a time edits, under the lease of that row. If something happens during the edit, the row has another `round` and
//! stays owed. Where the message is stands in `room_messages`.

use super::owed::UNTRIED;
use super::{Column, Error, NamedRow, OwedRow, Row, Selection, Store};
use crate::domain::registration::{SideAction, State};
use crate::outside::fault;

/// What a message shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveMessage {
    /// The number of edits.
    pub revision: i64,
    /// A hash of the text; `None`: perhaps another one.
    pub shown_hash: Option<String>,
}

/// What a message shows after an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown<'a> {
    pub revision: i64,
    pub hash: &'a str,
}

/// The result of recording an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Yes,
    /// Something happened during the edit: it has to be repeated.
    Outdated,
    /// The lease was lost in the meantime.
    LeaseLost,
}

impl Store {
    /// What the message of a request shows; `None`: it was never sent.
    pub fn live_message(&mut self, registration: i64) -> Result<Option<LiveMessage>, Error> {
        const MESSAGE: Selection = Selection { table: "live_messages", columns: &[Column::Revision, Column::ShownHash] };
        let read = |row: NamedRow| {
            let revision = row.readable_integer(Column::Revision).unwrap_or(0);
            Ok(LiveMessage { revision, shown_hash: row.optional_text(Column::ShownHash) })
        };
        self.select_first(&MESSAGE, "WHERE registration_id = ?", &[registration.into()], read)
    }

    /// Records, before the message is sent, that it may be in the room from now on, with a text of this hash.
    pub(crate) fn note_message_try(&mut self, registration: i64, hash: &str) -> Result<(), Error> {
        let sql = "INSERT INTO live_messages (registration_id, shown_hash) SELECT id, ? FROM registrations WHERE id = ?
                   AND NOT EXISTS (SELECT 1 FROM live_messages WHERE registration_id = ?)";
        let is_first = match self.execute(sql, &[hash.into(), registration.into(), registration.into()]) {
            Err(Error::Conflict) => false,
            inserted => inserted? == 1,
        };
        if !is_first {
            // Which of the two texts arrived is not known.
            let sql = "UPDATE live_messages SET shown_hash = NULL WHERE registration_id = ? AND shown_hash <> ?";
            self.execute(sql, &[registration.into(), hash.into()])?;
        }
        fault::point("room message noted");
        Ok(())
    }

    /// The message in the room, if there is one, is to show where the request stands now. Part of a transaction that holds the
    /// request.
    pub(super) fn owe_showing(&mut self, registration: i64, now: i64) -> Result<(), Error> {
        match self.show_again(registration, now)? {
            true => Ok(()),
            false => self.begin_showing(registration, now),
        }
    }

    /// `false`: no edit is owed yet.
    fn show_again(&mut self, registration: i64, now: i64) -> Result<bool, Error> {
        let again = "UPDATE owed_actions SET round = round + 1, owed_since = ?, due_at = ? WHERE registration_id = ? AND kind = ?";
        Ok(self.execute(again, &[now.into(), now.into(), registration.into(), SideAction::ShowInRoom.number().into()])? > 0)
    }

    fn begin_showing(&mut self, registration: i64, now: i64) -> Result<(), Error> {
        let kind = SideAction::ShowInRoom.number();
        let sql = "INSERT INTO owed_actions (registration_id, kind, owed_since, due_at)
                   SELECT registration_id, ?, ?, ? FROM live_messages WHERE registration_id = ?";
        self.execute(sql, &[kind.into(), now.into(), now.into(), registration.into()]).map(|_| ())
    }

    /// The same for the move to this state. What the message shows already needs no edit.
    pub(super) fn owe_showing_of(&mut self, registration: i64, to: State, now: i64) -> Result<(), Error> {
        if !to.owes_beside().contains(&SideAction::ShowInRoom) || self.show_again(registration, now)? {
            return Ok(());
        }
        let other = "SELECT 1 FROM live_messages WHERE registration_id = ? AND (shown_hash IS NULL OR revision > 0
                     OR EXISTS (SELECT 1 FROM questions WHERE questions.registration_id = live_messages.registration_id))";
        match to {
            // The message has just been sent.
            State::AdminVerify if self.first(other, &[registration.into()], |_| Ok(()))?.is_none() => Ok(()),
            _ => self.begin_showing(registration, now),
        }
    }

    /// How often something happened that the row has to take up: for [`Store::settle_shown`].
    pub(crate) fn round(&mut self, row: OwedRow) -> Result<i64, Error> {
        let read = |row: Row| Ok(row.optional_integer().ok().flatten().unwrap_or(0));
        Ok(self.first("SELECT round FROM owed_actions WHERE id = ?", &[row.id.into()], read)?.unwrap_or(0))
    }

    /// Records an edit that was made for `round`. `None`: none was needed. `again_at`: the message is to be edited once more at
    /// that time, because an earlier try, whose answer was lost, may still arrive.
    pub(crate) fn settle_shown(
        &mut self,
        row: OwedRow,
        registration: i64,
        holder: &str,
        round: i64,
        shown: Option<Shown>,
        again_at: Option<i64>,
    ) -> Result<Settled, Error> {
        self.transaction(|store| {
            fault::point("settle shown");
            let of_row = [row.id.into(), holder.into(), round.into()];
            let is_ours = match again_at {
                None => store.execute("DELETE FROM owed_actions WHERE id = ? AND lease = ? AND round = ?", &of_row)? == 1,
                Some(at) => {
                    let later = format!(
                        "UPDATE owed_actions SET owed_since = ?, due_at = ?, {UNTRIED}, lease = NULL, lease_until = NULL WHERE id = ? AND lease = ? AND round = ?"
                    );
                    store.execute(&later, &[&[at.into(), at.into()], &of_row[..]].concat())? == 1
                }
            };
            let release = format!("UPDATE owed_actions SET {UNTRIED}, lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?");
            let settled = match is_ours {
                true => Settled::Yes,
                false if store.execute(&release, &of_row[..2])? == 1 => Settled::Outdated,
                false => Settled::LeaseLost,
            };
            if let Some(Shown { revision, hash }) = shown {
                let hash = Some(hash).filter(|_| settled != Settled::LeaseLost && again_at.is_none());
                let sql = "UPDATE live_messages SET revision = ?, shown_hash = ? WHERE registration_id = ?";
                store.execute(sql, &[revision.into(), hash.into(), registration.into()])?;
            }
            if settled == Settled::LeaseLost && shown.is_some() {
                // Somebody else may have sent another text in the meantime, and this one may have come later.
                store.execute("UPDATE registrations SET state = state WHERE id = ?", &[registration.into()])?;
                store.owe_showing(registration, again_at.unwrap_or(0))?;
            }
            Ok(settled)
        })
    }
}

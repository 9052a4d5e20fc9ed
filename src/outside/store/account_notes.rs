//! `account_notes`: what is known about an account that matrix-authentication-service (MAS) was asked for. MAS keeps no reference
//! of ours, so a repeated try tells by these notes what an earlier one made.

use super::{Column, Error, NamedRow, Selection, Store, Value};
use crate::outside::fault;

/// Whether the homeserver had an account of this name before the first try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WasFree {
    #[default]
    Unknown,
    /// It showed strangers none; an account without a display name, or a deactivated one, looks the same.
    AsStrangersSee,
    /// It told an administrator that there is none.
    Surely,
}

/// The notes about the account of a request; the default: MAS was never asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountNote {
    /// When MAS said, before the first try, that it has no such account: seconds since 1970 by its own clock. `None`: no try made
    /// anything.
    pub first_try_at: Option<i64>,
    /// The same for the last try.
    pub last_try_at: Option<i64>,
    pub was_free: WasFree,
    /// After a try, MAS said that it told the homeserver to make the account, and got no answer.
    pub may_be_half: bool,
    /// The account in MAS, once it is known to be ours.
    pub account_id: Option<String>,
    /// A hash of the seed with which its first password was set.
    pub password_set_with: Option<String>,
    /// The address belongs to another account in MAS.
    pub address_is_anothers: bool,
}

impl Store {
    /// What is known about the account of a request.
    pub fn account_note(&mut self, registration: i64) -> Result<AccountNote, Error> {
        const NOTE: Selection = Selection {
            table: "account_notes",
            columns: &[
                Column::FirstTryAt,
                Column::LastTryAt,
                Column::WasFree,
                Column::MayBeHalf,
                Column::AccountId,
                Column::PasswordSetWith,
                Column::AddressIsAnothers,
            ],
        };
        let read = |row: NamedRow| {
            let is = |column| row.readable_integer(column) == Some(1);
            Ok(AccountNote {
                first_try_at: row.optional_integer(Column::FirstTryAt)?,
                last_try_at: row.optional_integer(Column::LastTryAt)?,
                was_free: match row.readable_integer(Column::WasFree) {
                    Some(1) => WasFree::AsStrangersSee,
                    Some(2) => WasFree::Surely,
                    _ => WasFree::Unknown,
                },
                may_be_half: is(Column::MayBeHalf),
                account_id: row.optional_text(Column::AccountId),
                password_set_with: row.optional_text(Column::PasswordSetWith),
                address_is_anothers: is(Column::AddressIsAnothers),
            })
        };
        Ok(self.select_first(&NOTE, "WHERE registration_id = ?", &[registration.into()], read)?.unwrap_or_default())
    }

    /// Records, before a try, that MAS had no such account at `at`. `was_free` is for the first one.
    pub(crate) fn note_try(&mut self, registration: i64, at: i64, was_free: WasFree) -> Result<(), Error> {
        self.begin_account_note(registration)?;
        let first = "UPDATE account_notes SET was_free = ?, first_try_at = ? WHERE registration_id = ? AND first_try_at IS NULL";
        self.execute(first, &[(was_free as i64).into(), at.into(), registration.into()])?;
        self.set_account_note(registration, Column::LastTryAt, at.into())?;
        fault::point("account try noted");
        Ok(())
    }

    /// Somebody may have taken the name at the time of the last try, so when an account was made proves nothing.
    pub(crate) fn forget_time_of_try(&mut self, registration: i64) -> Result<(), Error> {
        self.set_account_note(registration, Column::LastTryAt, Value::Null)
    }

    /// The first try certainly made nothing, so the next one counts as the first.
    pub(crate) fn forget_try(&mut self, registration: i64) -> Result<(), Error> {
        self.execute("DELETE FROM account_notes WHERE registration_id = ? AND account_id IS NULL", &[registration.into()]).map(|_| ())
    }

    /// Records that the homeserver may have an account that MAS does not have.
    pub(crate) fn note_half(&mut self, registration: i64) -> Result<(), Error> {
        self.set_account_note(registration, Column::MayBeHalf, 1.into())
    }

    /// Records the account in MAS, which is ours from then on.
    pub(crate) fn note_account(&mut self, registration: i64, account_id: &str) -> Result<(), Error> {
        self.set_account_note(registration, Column::AccountId, account_id.into())?;
        fault::point("account noted");
        Ok(())
    }

    /// MAS does not have the account of the note any more, because its database was restored. The homeserver may have it.
    pub(crate) fn note_account_lost(&mut self, registration: i64) -> Result<(), Error> {
        let sql =
            "UPDATE account_notes SET account_id = NULL, password_set_with = NULL, may_be_half = 1, was_free = ? WHERE registration_id = ?";
        self.execute(sql, &[(WasFree::Surely as i64).into(), registration.into()]).map(|_| ())
    }

    /// Records that the first password was set, with a hash of the seed of the request.
    pub(crate) fn note_password_set(&mut self, registration: i64, seed_hash: &str) -> Result<(), Error> {
        self.set_account_note(registration, Column::PasswordSetWith, seed_hash.into())?;
        fault::point("password noted");
        Ok(())
    }

    /// Records whether the address belongs to another account.
    pub(crate) fn note_address_of_another(&mut self, registration: i64, is_anothers: bool) -> Result<(), Error> {
        self.set_account_note(registration, Column::AddressIsAnothers, i64::from(is_anothers).into())
    }

    /// Why the last try of the step that a request owes failed.
    pub(crate) fn last_error(&mut self, registration: i64) -> Result<Option<String>, Error> {
        const ERROR: Selection = Selection { table: "registrations", columns: &[Column::LastError] };
        let found = self.select_first(&ERROR, "WHERE id = ?", &[registration.into()], |row| Ok(row.optional_text(Column::LastError)))?;
        Ok(found.flatten())
    }

    fn set_account_note(&mut self, registration: i64, column: Column, value: Value) -> Result<(), Error> {
        self.begin_account_note(registration)?;
        let sql = format!("UPDATE account_notes SET {} = ? WHERE registration_id = ?", column.name());
        self.execute(&sql, &[value, registration.into()]).map(|_| ())
    }

    /// Makes the row, if it is not there; the lease of the request keeps others away.
    fn begin_account_note(&mut self, registration: i64) -> Result<(), Error> {
        let sql = "INSERT INTO account_notes (registration_id) SELECT id FROM registrations WHERE id = ?
                   AND NOT EXISTS (SELECT 1 FROM account_notes WHERE registration_id = ?)";
        match self.execute(sql, &[registration.into(), registration.into()]) {
            Err(Error::Conflict) => Ok(()),
            inserted => inserted.map(|_| ()),
        }
    }
}

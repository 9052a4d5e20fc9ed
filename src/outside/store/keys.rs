//! Finds the secret key with which open requests were filed, and replaces a lost one.

use super::owed::{FREE, UNTRIED, free};
use super::php::PhpReader;
use super::{Column, Error, NamedRow, Registration, Selection, Store, Value};
use crate::domain::registration::State;

/// The reader of a link to choose a password, in `former_links`; the others are those of the PHP program.
pub(super) const CHOOSER: i64 = 2;

/// Shows whether an open request was filed with a certain secret key.
#[derive(Debug, Clone)]
pub(crate) struct KeyOfRequest {
    pub id: i64,
    pub seed: String,
    pub verify_token_hash: String,
}

/// Replacements for everything that was derived from a lost key.
#[derive(Debug)] // no password: a hash
pub(crate) struct NewKey {
    pub seed: String,
    pub verify_token_hash: String,
    pub admin_token_hash: String,
    pub choose_token_hash: String,
    /// The applicant's chosen password is sealed with the lost key, so an initial one replaces it.
    pub password_is_lost: bool,
    /// The account exists, and its initial password was derived from the lost key.
    pub first_password: FirstPassword,
}

/// The initial password of an account that exists, but whose credentials were not mailed.
#[derive(Debug)]
pub(crate) enum FirstPassword {
    Known,
    /// In our own table: the hash of the new password, and when that expires. Only if the owner has not changed the password.
    Renewed {
        hash: String,
        until: Option<i64>,
    },
    /// In Synapse: a new password must be set before it is mailed.
    Lost,
}

/// What is derived from a new key, in place of what was derived from a former one that is still known. The seed stays.
#[derive(Debug)] // no password: sealed or hashed
pub(crate) struct ReplacedKey {
    pub verify_token_hash: String,
    pub admin_token_hash: String,
    pub choose_token_hash: String,
    /// The chosen password, sealed with the new key, or as it was.
    pub password: Option<String>,
    pub person_hash: String,
}

impl Store {
    /// One entry for each open request; unreadable rows are left out.
    pub(crate) fn keys_of_open_requests(&mut self) -> Result<Vec<KeyOfRequest>, Error> {
        let open: Vec<_> = State::ALL.into_iter().filter(|state| !state.is_final()).map(|state| state.number().into()).collect();
        let places = vec!["?"; open.len()].join(", ");
        self.keys_of_requests(&format!("WHERE state IN ({places}) ORDER BY id"), &open)
    }

    /// The same for all requests that are kept.
    pub(crate) fn keys_of_all_requests(&mut self) -> Result<Vec<KeyOfRequest>, Error> {
        self.keys_of_requests("ORDER BY id", &[])
    }

    fn keys_of_requests(&mut self, rest: &str, values: &[Value]) -> Result<Vec<KeyOfRequest>, Error> {
        const KEY: Selection = Selection { table: "registrations", columns: &[Column::Id, Column::Seed, Column::VerifyTokenHash] };
        let read = |row: NamedRow| {
            Ok(row.integer(Column::Id).ok().zip(row.optional_text(Column::Seed)).zip(row.optional_text(Column::VerifyTokenHash)))
        };
        let rows = self.select(&KEY, rest, values, read)?;
        let key = |((id, seed), verify_token_hash)| KeyOfRequest { id, seed, verify_token_hash };
        Ok(rows.into_iter().flatten().map(key).collect())
    }

    /// Gives an open request a new key. Links that were sent remain valid. `false`: another program is working on the request,
    /// or has done so.
    pub(crate) fn renew_key(&mut self, of: &Registration, new: &NewKey, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            let sql = format!(
                "UPDATE registrations SET seed = ?, verify_token_hash = ?, admin_token_hash = ?, choose_token_hash = ?, {UNTRIED}
                 WHERE id = ? AND state = ? AND seed = ? AND verify_token_hash = ? AND {FREE}"
            );
            let [free_now, free_far] = free(now);
            let values = [
                new.seed.as_str().into(),
                new.verify_token_hash.as_str().into(),
                new.admin_token_hash.as_str().into(),
                of.choose_token_hash.as_ref().map(|_| new.choose_token_hash.as_str()).into(),
                of.id.into(),
                of.state.number().into(),
                of.seed.as_str().into(),
                of.verify_token_hash.as_str().into(),
                free_now,
                free_far,
            ];
            if store.execute(&sql, &values)? != 1 {
                return Ok(false);
            }
            store.keep_links(of)?;
            if of.state.owes().is_some() {
                store.execute("UPDATE registrations SET due_at = ? WHERE id = ?", &[now.into(), of.id.into()])?;
            }
            if matches!(of.state, State::EmailVerify | State::Choosing) {
                // Nobody could confirm, or choose, in the meantime.
                store.execute("UPDATE registrations SET state_since = ? WHERE id = ?", &[now.into(), of.id.into()])?;
            }
            if new.password_is_lost {
                store.forget_chosen_password(of.id)?;
            }
            store.renew_first_password(of, &new.first_password)?;
            Ok(true)
        })
    }

    /// Puts what is derived from a new key in place of what was derived from the former one. Links that were sent remain valid, and
    /// what is owed stays owed. `false`: another program is working on the request, or has done so.
    pub(crate) fn replace_key(&mut self, of: &Registration, new: &ReplacedKey, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            let sql = format!(
                "UPDATE registrations SET verify_token_hash = ?, admin_token_hash = ?, choose_token_hash = ?, password = ?,
                 person_hash = CASE WHEN person_hash IS NULL THEN NULL ELSE ? END
                 WHERE id = ? AND state = ? AND seed = ? AND verify_token_hash = ? AND {FREE}"
            );
            let [free_now, free_far] = free(now);
            let values = [
                new.verify_token_hash.as_str().into(),
                new.admin_token_hash.as_str().into(),
                of.choose_token_hash.as_ref().map(|_| new.choose_token_hash.as_str()).into(),
                new.password.as_deref().into(),
                new.person_hash.as_str().into(),
                of.id.into(),
                of.state.number().into(),
                of.seed.as_str().into(),
                of.verify_token_hash.as_str().into(),
                free_now,
                free_far,
            ];
            if store.execute(&sql, &values)? != 1 {
                return Ok(false);
            }
            store.keep_links(of)?;
            Ok(true)
        })
    }

    /// Replaces a sealed password by the same one, sealed with a new key, unless it was changed in the meantime.
    pub(crate) fn replace_sealed(&mut self, id: i64, old: &str, new: &str) -> Result<(), Error> {
        self.execute("UPDATE registrations SET password = ? WHERE id = ? AND password = ?", &[new.into(), id.into(), old.into()]).map(drop)
    }

    /// Deletes what cannot be found any more without the key with which it was hashed: outcomes of requests that were deleted, and the
    /// networks of accounts.
    pub(crate) fn forget_keyed_hashes(&mut self) -> Result<u64, Error> {
        self.transaction(|store| {
            store.execute("DELETE FROM familiar_networks", &[])?;
            store.execute("DELETE FROM remembered", &[])
        })
    }

    /// The links that were sent go on leading to the request.
    fn keep_links(&mut self, of: &Registration) -> Result<(), Error> {
        self.keep_link(of.id, PhpReader::Applicant.number(), &of.verify_token_hash)?;
        self.keep_link(of.id, PhpReader::Room.number(), &of.admin_token_hash)?;
        of.choose_token_hash.as_deref().map_or(Ok(()), |former| self.keep_link(of.id, CHOOSER, former))
    }

    fn keep_link(&mut self, id: i64, reader: i64, hash: &str) -> Result<(), Error> {
        let sql = "INSERT INTO former_links (token_hash, reader, registration_id) VALUES (?, ?, ?)";
        self.execute(sql, &[hash.into(), reader.into(), id.into()]).map(|_| ())
    }

    fn renew_first_password(&mut self, of: &Registration, first: &FirstPassword) -> Result<(), Error> {
        match first {
            FirstPassword::Known => Ok(()),
            FirstPassword::Renewed { hash, until } => self.renew_initial_password(of, hash, *until),
            FirstPassword::Lost => self.forget_account_try(of.id),
        }
    }

    /// The mail may have arrived although its answer was lost. A password that the owner has set since stays, and the mail names
    /// it as the one that they chose.
    fn renew_initial_password(&mut self, of: &Registration, hash: &str, until: Option<i64>) -> Result<(), Error> {
        let sql = "UPDATE logins SET password_hash = ?, initial_password_until = ? WHERE localpart = ? AND changed_at = created_at";
        let renewed = self.execute(sql, &[hash.into(), until.into(), of.username.as_str().into()])? > 0;
        if !renewed && self.login_exists(&of.username)? {
            self.execute("UPDATE registrations SET password_chosen = 1 WHERE id = ?", &[of.id.into()])?;
        }
        Ok(())
    }

    /// Whether the request was ever given a new key.
    pub(crate) fn had_another_key(&mut self, id: i64) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM former_links WHERE registration_id = ? LIMIT 1", &[id.into()], |_| Ok(()))?.is_some())
    }
}

//! `logins`: the accounts of local mode, and their directory terms.

use super::{Column, Error, NamedRow, Selection, Store};
use crate::domain::address;
use crate::domain::directory::{self, TermKind};

/// Addresses looked up by one statement.
const ADDRESSES_A_STATEMENT: usize = 2500;

/// An account to create.
#[derive(Debug, Clone)]
pub struct NewLogin {
    pub localpart: String,
    pub first_name: String,
    pub last_name: String,
    /// A PHC string.
    pub password_hash: String,
    pub email: String,
    pub email_folded: String,
    /// Seconds since 1970.
    pub created_at: i64,
    /// When an initial password expires (seconds since 1970); `None`: never.
    pub initial_password_until: Option<i64>,
}

/// An account.
#[derive(Debug, Clone)]
pub struct Login {
    pub id: i64,
    pub active: bool,
    pub localpart: String,
    pub first_name: String,
    pub last_name: String,
    /// A PHC string, or a hash by PHP's `password_hash`.
    pub password_hash: String,
    pub email: String,
    /// When an initial password expires (seconds since 1970); `None`: it was changed, or never expires.
    pub initial_password_until: Option<i64>,
}

pub(super) const LOGIN: Selection = Selection {
    table: "logins",
    columns: &[
        Column::Id,
        Column::Active,
        Column::Localpart,
        Column::FirstName,
        Column::LastName,
        Column::PasswordHash,
        Column::Email,
        Column::InitialPasswordUntil,
    ],
};

impl Login {
    pub(super) fn read(row: NamedRow) -> Result<Login, Error> {
        Ok(Login {
            id: row.integer(Column::Id)?,
            active: row.integer(Column::Active)? != 0,
            localpart: row.text(Column::Localpart)?,
            first_name: row.name(Column::FirstName)?,
            last_name: row.name(Column::LastName)?,
            password_hash: row.text(Column::PasswordHash)?,
            email: row.address(Column::Email)?,
            initial_password_until: row.optional_integer(Column::InitialPasswordUntil)?,
        })
    }
}

/// A user found in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub localpart: String,
    pub first_name: String,
    pub last_name: String,
}

const FOUND: Selection = Selection { table: "logins", columns: &[Column::Localpart, Column::FirstName, Column::LastName] };

impl Found {
    fn read(row: NamedRow) -> Result<Found, Error> {
        let (first_name, last_name) = (row.name(Column::FirstName)?, row.name(Column::LastName)?);
        Ok(Found { localpart: row.text(Column::Localpart)?, first_name, last_name })
    }
}

impl Store {
    /// Adds an account and its directory terms; `Conflict` if the localpart is taken. Part of a transaction.
    pub(super) fn add_login(&mut self, login: &NewLogin) -> Result<(), Error> {
        let sql = "INSERT INTO logins (localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at, initial_password_until)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let values = [
            login.localpart.as_str().into(),
            login.first_name.as_str().into(),
            login.last_name.as_str().into(),
            login.password_hash.as_str().into(),
            login.email.as_str().into(),
            login.email_folded.as_str().into(),
            login.created_at.into(),
            login.created_at.into(),
            login.initial_password_until.into(),
        ];
        self.execute(sql, &values)?;
        for (kind, term) in directory::terms(&login.localpart, &login.first_name, &login.last_name, &login.email) {
            let sql = "INSERT INTO directory_terms (kind, term, login_id) SELECT ?, ?, id FROM logins WHERE localpart = ?";
            self.execute(sql, &[kind.number().into(), term.as_str().into(), login.localpart.as_str().into()])?;
        }
        Ok(())
    }

    /// Adds an account that did not come from a registration; `Conflict` if the localpart is taken.
    pub fn import_login(&mut self, login: &NewLogin) -> Result<(), Error> {
        self.transaction(|store| store.add_login(login))
    }

    /// The same for many accounts, all or none; not repeated after a conflict with other programs.
    #[cfg(test)]
    pub(crate) fn import_logins(&mut self, logins: impl IntoIterator<Item = NewLogin>) -> Result<(), Error> {
        let mut logins = logins.into_iter();
        self.attempt(&mut |store: &mut Store| logins.try_for_each(|login| store.add_login(&login)).map(super::End::Commit))
    }

    /// Whether an account has this localpart, active or not.
    pub(crate) fn login_exists(&mut self, localpart: &str) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM logins WHERE localpart = ?", &[localpart.into()], |_| Ok(()))?.is_some())
    }

    /// The account with a localpart, active or not.
    pub fn login(&mut self, localpart: &str) -> Result<Option<Login>, Error> {
        self.select_first(&LOGIN, "WHERE localpart = ?", &[localpart.into()], Login::read)
    }

    /// The localpart of the oldest active account with a mail address, folded by [`crate::domain::address::Address::folded`].
    pub(crate) fn localpart_of_address(&mut self, folded: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT localpart FROM logins WHERE email_folded = ? AND active = 1 ORDER BY id LIMIT 1";
        self.first(sql, &[folded.into()], |row| row.text())
    }

    /// The same for many addresses, which must be sorted, in a few statements. Calls `found` with each folded address that has an account,
    /// in their order, and its localpart.
    pub(crate) fn localparts_of_addresses(&mut self, folded: &[&str], mut found: impl FnMut(&str, &str)) -> Result<(), Error> {
        const OF_ADDRESS: Selection = Selection { table: "logins", columns: &[Column::EmailFolded, Column::Id, Column::Localpart] };
        for some in folded.chunks(ADDRESSES_A_STATEMENT) {
            let (rows, values) = self.driver.rows_with(OF_ADDRESS.table, Column::EmailFolded.name(), some);
            let sql = format!("SELECT {} FROM {rows} AND active = 1", OF_ADDRESS.list());
            let mut owners = self.reading(|driver| driver.owners(&sql, &values))?;
            owners.oldest().for_each(|(address, localpart)| found(address, localpart));
        }
        Ok(())
    }

    /// Active users with a term of `kind` that begins with `folded`, ordered by term and age; at most `limit` rows, which may
    /// contain a user more than once.
    pub(crate) fn search_directory(&mut self, kind: TermKind, folded: &str, limit: i64) -> Result<Vec<Found>, Error> {
        let sql = format!(
            "SELECT {} FROM directory_terms JOIN logins ON logins.id = directory_terms.login_id
             WHERE kind = ? AND term >= ? AND term < ? AND logins.active = 1 ORDER BY term, login_id LIMIT ?",
            FOUND.list()
        );
        let beyond = format!("{folded}\u{10ffff}");
        let values = [kind.number().into(), folded.into(), beyond.as_str().into(), limit.into()];
        self.query(&sql, &values)?.into_iter().map(|row| Found::read(row.named(&FOUND))).collect()
    }

    /// Active users with a mail address, folded by [`address::folded`], the oldest first.
    pub(crate) fn users_of_address(&mut self, folded: &str, limit: i64) -> Result<Vec<Found>, Error> {
        let rest = "WHERE email_folded = ? AND active = 1 ORDER BY id LIMIT ?";
        self.select(&FOUND, rest, &[folded.into(), limit.into()], Found::read)
    }

    /// Updates at most `limit` older accounts to [`directory::FOLDING`]: their directory terms, and addresses with invisible
    /// characters. `false`: all are done.
    pub(crate) fn fold_directory_anew(&mut self, limit: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            const FOLDING: Selection = Selection { table: "directory_folding", columns: &[Column::Folding, Column::DoneUpTo] };
            let read = |row: NamedRow| Ok((row.integer(Column::Folding)?, row.integer(Column::DoneUpTo)?));
            let (folding, done) = store.select_first(&FOLDING, "", &[], read)?.unwrap_or((0, 0));
            if folding >= directory::FOLDING {
                return Ok(false);
            }
            const ACCOUNT: Selection = Selection {
                table: "logins",
                columns: &[Column::Id, Column::Localpart, Column::FirstName, Column::LastName, Column::Email],
            };
            let accounts = store.select(&ACCOUNT, "WHERE id > ? ORDER BY id LIMIT ?", &[done.into(), limit.into()], Ok)?;
            let (are_more, mut last) = (accounts.len() as i64 == limit, done);
            for row in accounts {
                last = row.integer(Column::Id)?;
                let [localpart, first_name, last_name, email] =
                    [Column::Localpart, Column::FirstName, Column::LastName, Column::Email].map(|column| row.text(column));
                store.fold_anew(last, [localpart?, first_name?, last_name?, email?])?;
            }
            let (folding, done) = if are_more { (folding, last) } else { (directory::FOLDING, 0) };
            store.execute("UPDATE directory_folding SET folding = ?, done_up_to = ?", &[folding.into(), done.into()])?;
            Ok(are_more)
        })
    }

    fn fold_anew(&mut self, id: i64, [localpart, first_name, last_name, email]: [String; 4]) -> Result<(), Error> {
        if directory::is_as_before([&localpart, &first_name, &last_name, &email]) {
            return Ok(());
        }
        let clean = address::cleaned(&email);
        if clean != email {
            let sql = "UPDATE logins SET email = ?, email_folded = ? WHERE id = ?";
            self.execute(sql, &[clean.as_str().into(), address::folded(&clean).as_str().into(), id.into()])?;
        }
        // Accounts that should not be found have no terms and get none.
        if self.execute("DELETE FROM directory_terms WHERE login_id = ?", &[id.into()])? > 0 {
            for (kind, term) in directory::terms(&localpart, &first_name, &last_name, &clean) {
                let sql = "INSERT INTO directory_terms (kind, term, login_id) VALUES (?, ?, ?)";
                self.execute(sql, &[kind.number().into(), term.as_str().into(), id.into()])?;
            }
        }
        Ok(())
    }

    /// Replaces a hash with a better one of the same password, unless the password was changed in the meantime.
    pub(crate) fn improve_hash(&mut self, id: i64, old: &str, new: &str) -> Result<(), Error> {
        self.execute("UPDATE logins SET password_hash = ? WHERE id = ? AND password_hash = ?", &[new.into(), id.into(), old.into()])
            .map(|_| ())
    }

    /// Sets a new password, which ends an initial one and the links that were mailed to set another. `false`: the password was
    /// changed in the meantime.
    pub fn change_password(&mut self, id: i64, old: &str, new: &str, now: i64) -> Result<bool, Error> {
        let sql = "UPDATE logins SET password_hash = ?, changed_at = ?, initial_password_until = NULL WHERE id = ? AND password_hash = ?";
        self.transaction(|store| {
            if store.execute(sql, &[new.into(), now.into(), id.into(), old.into()])? != 1 {
                return Ok(false);
            }
            store.end_reset_links(id)?;
            Ok(true)
        })
    }

    /// Whether the password of an account was chosen at this time or later, and is no initial one.
    pub(crate) fn is_password_chosen_since(&mut self, id: i64, since: i64) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM logins WHERE id = ? AND changed_at >= ? AND initial_password_until IS NULL";
        Ok(self.first(sql, &[id.into(), since.into()], |_| Ok(()))?.is_some())
    }

    /// The highest number of an account; 0 if there are none.
    pub(crate) fn highest_login_id(&mut self) -> Result<i64, Error> {
        Ok(self.first("SELECT MAX(id) FROM logins", &[], |row| row.optional_integer())?.flatten().unwrap_or(0))
    }

    /// The password hash of the first active account with this number or a higher one.
    pub(crate) fn password_hash_from(&mut self, id: i64) -> Result<Option<String>, Error> {
        let sql = "SELECT password_hash FROM logins WHERE id >= ? AND active = 1 ORDER BY id LIMIT 1";
        self.first(sql, &[id.into()], |row| row.text())
    }

    /// When the initial password of an account expires (seconds since 1970); `None`: it was changed, or never expires.
    pub fn initial_password_until(&mut self, localpart: &str) -> Result<Option<i64>, Error> {
        Ok(self.login(localpart)?.and_then(|login| login.initial_password_until))
    }

    /// Changes when an unchanged initial password expires; `None`: never.
    pub(crate) fn extend_initial_password(&mut self, localpart: &str, until: Option<i64>) -> Result<(), Error> {
        let sql = "UPDATE logins SET initial_password_until = ? WHERE localpart = ? AND initial_password_until IS NOT NULL";
        self.execute(sql, &[until.into(), localpart.into()]).map(|_| ())
    }
}

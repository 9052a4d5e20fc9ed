//! `logins`, as the operator looks at them and changes them.

use super::{Column, Error, NamedRow, Selection, Store, Value};
use crate::domain::directory::{self, TermKind};
use crate::domain::token;

/// An account of our own table. Times are seconds since 1970; one that cannot be read is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: i64,
    pub localpart: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub is_active: bool,
    pub created_at: Option<i64>,
    /// When the password was set.
    pub changed_at: Option<i64>,
    /// When an initial password expires; `None`: it was changed, or never expires.
    pub initial_password_until: Option<i64>,
}

const ACCOUNT: Selection = Selection {
    table: "logins",
    columns: &[
        Column::Id,
        Column::Localpart,
        Column::FirstName,
        Column::LastName,
        Column::Email,
        Column::Active,
        Column::CreatedAt,
        Column::ChangedAt,
        Column::InitialPasswordUntil,
    ],
};

impl Account {
    fn read(row: NamedRow) -> Result<Account, Error> {
        Ok(Account {
            id: row.integer(Column::Id)?,
            localpart: row.text(Column::Localpart)?,
            first_name: row.name(Column::FirstName)?,
            last_name: row.name(Column::LastName)?,
            email: row.address(Column::Email)?,
            is_active: row.readable_integer(Column::Active).is_some_and(|active| active != 0),
            created_at: row.readable_integer(Column::CreatedAt),
            changed_at: row.readable_integer(Column::ChangedAt),
            initial_password_until: row.readable_integer(Column::InitialPasswordUntil),
        })
    }
}

/// Which accounts are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountSearch<'a> {
    /// A part of the username or of the mail address, or the beginning of a word of the name.
    pub text: Option<&'a str>,
    pub only_disabled: bool,
}

impl AccountSearch<'_> {
    /// A `WHERE` clause and its values. `!` escapes what `LIKE` would understand.
    fn clause(&self) -> (String, Vec<Value>) {
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        if self.only_disabled {
            conditions.push("active = 0".to_owned());
        }
        if let Some(text) = self.text {
            let lower = text.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
            let (part, folded) = (format!("%{lower}%"), directory::fold(text));
            let beyond = format!("{folded}\u{10ffff}");
            conditions.push(
                "(localpart LIKE ? ESCAPE '!' OR email_folded LIKE ? ESCAPE '!' OR id IN
                  (SELECT login_id FROM directory_terms WHERE kind IN (?, ?) AND term >= ? AND term < ?))"
                    .to_owned(),
            );
            let kinds = [TermKind::NameStart, TermKind::NameWord].map(|kind| Value::from(kind.number()));
            values.extend([part.as_str().into(), part.as_str().into()]);
            values.extend(kinds);
            values.extend([folded.as_str().into(), beyond.as_str().into()]);
        }
        let clause = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        (clause, values)
    }
}

impl Store {
    /// Accounts by username, from the one with this place (the first is 0).
    pub fn accounts(&mut self, search: &AccountSearch, from: i64, limit: i64) -> Result<Vec<Account>, Error> {
        let (clause, mut values) = search.clause();
        values.extend([limit.into(), from.into()]);
        self.select(&ACCOUNT, &format!("{clause} ORDER BY localpart LIMIT ? OFFSET ?"), &values, Account::read)
    }

    pub fn count_accounts(&mut self, search: &AccountSearch) -> Result<i64, Error> {
        let (clause, values) = search.clause();
        Ok(self.first(&format!("SELECT COUNT(*) FROM logins {clause}"), &values, |row| row.integer())?.unwrap_or(0))
    }

    pub fn account(&mut self, localpart: &str) -> Result<Option<Account>, Error> {
        self.select_first(&ACCOUNT, "WHERE localpart = ?", &[localpart.into()], Account::read)
    }

    /// Accounts with this folded address, those that are disabled included.
    pub fn accounts_of_address(&mut self, folded: &str) -> Result<Vec<Account>, Error> {
        self.select(&ACCOUNT, "WHERE email_folded = ? ORDER BY id", &[folded.into()], Account::read)
    }

    /// Lets nobody in with this account any more; links to set a new password end. `false`: it was disabled, or is not there.
    pub fn disable_account(&mut self, id: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            store.end_reset_links(id)?;
            Ok(store.execute("UPDATE logins SET active = 0 WHERE id = ? AND active <> 0", &[id.into()])? == 1)
        })
    }

    /// `false`: it was not disabled, or is not there.
    pub fn enable_account(&mut self, id: i64) -> Result<bool, Error> {
        Ok(self.execute("UPDATE logins SET active = 1 WHERE id = ? AND active = 0", &[id.into()])? == 1)
    }

    /// The number of networks that are remembered for an account.
    pub fn count_networks(&mut self, login_id: i64) -> Result<i64, Error> {
        let sql = "SELECT COUNT(*) FROM familiar_networks WHERE login_id = ?";
        Ok(self.first(sql, &[login_id.into()], |row| row.integer())?.unwrap_or(0))
    }

    /// When the last of the links with which this account gets a new password ends (seconds since 1970).
    pub fn reset_link_until(&mut self, login_id: i64, now: i64) -> Result<Option<i64>, Error> {
        let sql = "SELECT MAX(expires_at) FROM reset_links WHERE login_id = ? AND expires_at > ?";
        Ok(self.first(sql, &[login_id.into(), now.into()], |row| row.optional_integer())?.flatten())
    }

    /// Whether nothing is owed any more for the request for a new password with this form token's hash.
    pub fn is_reset_settled(&mut self, submission: &str) -> Result<bool, Error> {
        let sql = "SELECT is_done FROM password_resets WHERE submission = ?";
        Ok(self.first(sql, &[submission.into()], |row| row.integer())? == Some(1))
    }

    /// Deletes accounts and what belongs to them: terms of the directory, networks, links, wrong passwords, and requests for a new
    /// password. Returns their number.
    pub fn delete_accounts(&mut self, accounts: &[Account]) -> Result<u64, Error> {
        self.transaction(|store| {
            let mut deleted = 0;
            for account in accounts {
                store.execute("DELETE FROM guesses WHERE account = ?", &[token::hash(&account.localpart).as_str().into()])?;
                let folded = crate::domain::address::folded(&account.email);
                let sql = "DELETE FROM password_resets WHERE asked_for IN (?, ?)";
                store.execute(sql, &[account.localpart.as_str().into(), folded.as_str().into()])?;
                deleted += store.execute("DELETE FROM logins WHERE id = ?", &[account.id.into()])?;
            }
            Ok(deleted)
        })
    }
}

//! `logins`: the accounts of local mode.

use super::{Error, Store};

/// An account to be made.
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
    /// Until when an initial password is good (seconds since 1970); `None`: for ever.
    pub initial_password_until: Option<i64>,
}

impl Store {
    /// Adds an account; `Conflict` where the localpart is taken.
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
        self.execute(sql, &values).map(|_| ())
    }

    /// Whether an account has this localpart, active or not.
    pub fn login_exists(&mut self, localpart: &str) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM logins WHERE localpart = ?", &[localpart.into()], |_| Ok(()))?.is_some())
    }
}

//! Rows in a site's table of accounts.

pub use crate::world::fresh;
use crate::world::{SiteFolder, cheap_hash};
use matrix_register_bot::domain::address::Address;
use matrix_register_bot::domain::config::Config;
use matrix_register_bot::domain::password;
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::store::{Access, NewLogin};
use std::time::{SystemTime, UNIX_EPOCH};

/// The table of one site.
pub struct Table(Site);

impl Table {
    pub fn of(site: &SiteFolder) -> Table {
        Table(Site::new(Config::load(&site.config_path()).unwrap(), now))
    }

    /// Adds an account as an approval does.
    pub fn add(&self, localpart: &str, password: &str) {
        self.add_named(localpart, ("Ada", "Lovelace-Größe"), &address_of(localpart), password);
    }

    pub fn add_named(&self, localpart: &str, (first, last): (&str, &str), email: &str, password: &str) {
        let login = NewLogin {
            localpart: localpart.into(),
            first_name: first.into(),
            last_name: last.into(),
            password_hash: cheap_hash(password),
            email: email.into(),
            email_folded: Address::parse(email).unwrap().folded(),
            created_at: now(),
            initial_password_until: None,
        };
        self.0.store(Access::Write).unwrap().import_login(&login).unwrap();
    }

    /// Whether the stored hash belongs to this password.
    pub fn has_password(&self, localpart: &str, password: &str) -> bool {
        let login = self.0.store(Access::Read).unwrap().login(localpart).unwrap();
        password::verify(password, &login.unwrap_or_else(|| panic!("no account {localpart}")).password_hash)
    }
}

/// Runs a statement in the database of a site.
pub fn sql(site: &SiteFolder, statement: &str) {
    rusqlite::Connection::open(site.database_path()).unwrap().execute_batch(statement).unwrap();
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

pub fn address_of(localpart: &str) -> String {
    format!("{localpart}@applicants.example.org")
}

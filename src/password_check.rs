//! Checks the password of an account in our own table.
//!
//! Every check does the same work, whoever is asked for: one Argon2id hash, and one of PHP's bcrypt as long as there are
//! accounts with such a hash. So time tells nothing: not whether there is such a user, is disabled, or has run out.

use crate::error::Error;
use crate::log;
use crate::password;
use crate::site::Site;
use crate::store::{Access, Login, Store};

/// What a check found.
#[derive(Debug)]
pub enum Verdict {
    Right(Box<Login>),
    /// The password is right, but an initial one whose time is over.
    Expired(Box<Login>),
    /// No such user, disabled, or another password: callers are not told which.
    Wrong,
}

/// Checks; `localpart` is `None` for an id that cannot be ours, which costs the same.
pub fn check(site: &Site, localpart: Option<&str>, password: &str) -> Result<Verdict, Error> {
    let mut store = site.store(Access::Read)?;
    let login = match localpart {
        Some(localpart) => store.login(localpart)?,
        None => None,
    };
    let php_hash = store.some_php_hash()?;
    let right = is_right(login.as_ref(), php_hash.as_deref(), password);
    let Some(login) = login.filter(|login| right && login.active) else { return Ok(Verdict::Wrong) };
    if password::is_php_hash(&login.password_hash) {
        replace_php_hash(&mut *site.store(Access::Write)?, &login, password);
    }
    if login.initial_password_until.is_some_and(|until| until < site.now()) {
        return Ok(Verdict::Expired(Box::new(login)));
    }
    Ok(Verdict::Right(Box::new(login)))
}

/// Both kinds of hash are computed where both are in use; the one that is not the account's is thrown away.
fn is_right(login: Option<&Login>, php_hash: Option<&str>, password: &str) -> bool {
    let stored = login.map(|login| login.password_hash.as_str());
    let argon2 = stored.filter(|stored| !password::is_php_hash(stored));
    let right_argon2 = password::verify(password, argon2.unwrap_or(password::DUMMY_HASH)) && argon2.is_some();
    let php = stored.filter(|stored| password::is_php_hash(stored));
    let right_php = php.or(php_hash).is_some_and(|hash| password::verify_php(password, hash)) && php.is_some();
    right_argon2 | right_php
}

/// The user is let in even if the better hash cannot be written; the next login tries again.
fn replace_php_hash(store: &mut Store, login: &Login, password: &str) {
    let replaced = password::hash(password).map_err(|cause| cause.to_string());
    let replaced = replaced.and_then(|hash| store.improve_hash(login.id, &login.password_hash, &hash).map_err(|cause| cause.to_string()));
    if let Err(cause) = replaced {
        log::warn("hash_not_replaced", None, &cause);
    }
}

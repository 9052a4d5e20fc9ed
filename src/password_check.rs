//! Checks the password of an account in our own table.
//!
//! Every check does the same work, whoever is asked for: one Argon2id hash, one of PHP's bcrypt as long as there are
//! accounts with such a hash, and the same reads and writes. So time tells nothing: not whether there is such a user, is
//! disabled, or has run out.
//!
//! Guessing is slowed: after [`FREE_GUESSES`] wrong passwords for one account from one network within a quarter of an
//! hour, only one attempt in [`LOTTERY`] is really checked, the others are a "no". A stranger cannot lock a user out:
//! from another network the user does not notice anything, and even where the caller cannot name the network (the
//! published Synapse modules), the right password gets through after some tries. The counts are in the database, so
//! several web nodes share them.

use crate::error::Error;
use crate::log;
use crate::password;
use crate::site::Site;
use crate::store::{Access, Login, Store};
use crate::token;
use std::net::IpAddr;

/// Wrong passwords within the window that slow nothing.
pub const FREE_GUESSES: i64 = 20;
/// Beyond them one attempt in so many is checked.
pub const LOTTERY: u8 = 10;
/// How long wrong passwords count, in seconds.
pub const WINDOW_SECONDS: i64 = 900;

/// What a check found.
#[derive(Debug)]
pub enum Verdict {
    Right(Box<Login>),
    /// The password is right, but an initial one whose time is over.
    Expired(Box<Login>),
    /// No such user, disabled, or another password: callers are not told which.
    Wrong,
}

/// Checks. `localpart` is `None` for an id that cannot be ours, which costs the same; `client` is where the user sits, if
/// the caller knows.
pub fn check(site: &Site, localpart: Option<&str>, password: &str, client: Option<&str>) -> Result<Verdict, Error> {
    let (account, network) = (token::hash(localpart.unwrap_or("")), network(client));
    let since = site.now() - WINDOW_SECONDS;
    let mut store = site.store(Access::Write)?;
    let guesses = store.wrong_guesses(&account, &network, since)?;
    let login = localpart.map(|localpart| store.login(localpart)).transpose()?.flatten();
    let php_hash = store.some_php_hash()?;
    let right = is_right(login.as_ref(), php_hash.as_deref(), password) && is_admitted(guesses);
    let Some(login) = login.filter(|login| right && login.active) else {
        store.note_wrong_guess(&account, &network, since, site.now())?;
        return Ok(Verdict::Wrong);
    };
    if guesses > 0 {
        store.forget_guesses(&account, &network)?;
    }
    let login = Box::new(with_better_hash(&mut store, login, password));
    match login.initial_password_until {
        Some(until) if until < site.now() => Ok(Verdict::Expired(login)),
        _ => Ok(Verdict::Right(login)),
    }
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

fn is_admitted(guesses: i64) -> bool {
    guesses < FREE_GUESSES || token::random::<1>()[0] < u8::MAX / LOTTERY
}

/// Where the user sits, coarsely: the /24 of an IPv4 address, the /64 of an IPv6 address; empty if it is not known.
fn network(client: Option<&str>) -> String {
    match client.and_then(|client| client.parse::<IpAddr>().ok()).map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0")
        }
        Some(IpAddr::V6(address)) => format!("{:x}", u128::from(address) >> 64),
        None => String::new(),
    }
}

/// Replaces a hash of PHP's. The user is let in even if that cannot be written; the next login tries again.
fn with_better_hash(store: &mut Store, login: Login, password: &str) -> Login {
    if !password::is_php_hash(&login.password_hash) {
        return login;
    }
    let better = password::hash(password).map_err(|cause| cause.to_string());
    let written = better.and_then(|better| match store.improve_hash(login.id, &login.password_hash, &better) {
        Ok(()) => Ok(better),
        Err(cause) => Err(cause.to_string()),
    });
    match written {
        Ok(password_hash) => Login { password_hash, ..login },
        Err(cause) => {
            log::warn("hash_not_replaced", None, &cause);
            login
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_network() {
        assert_eq!(network(Some("192.0.2.7")), network(Some("::ffff:192.0.2.200")));
        assert_ne!(network(Some("192.0.2.7")), network(Some("192.0.3.7")));
        assert_eq!(network(Some("2001:db8:1:2:3::4")), network(Some("2001:db8:1:2:ffff::1")));
        assert_ne!(network(Some("2001:db8:1:2::1")), network(Some("2001:db8:1:3::1")));
        assert_eq!((network(None), network(Some("unix:"))), (String::new(), String::new()));
    }

    #[test]
    fn beyond_the_free_guesses_some_attempts_are_checked() {
        assert!(is_admitted(FREE_GUESSES - 1));
        let admitted = (0..10_000).filter(|_| is_admitted(FREE_GUESSES)).count();
        assert!((500..1500).contains(&admitted), "{admitted}");
    }
}

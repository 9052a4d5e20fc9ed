//! Checks the password of an account in our own table.
//!
//! Every check does the same work, whoever is asked for: one Argon2id hash, one of PHP's bcrypt as long as there are
//! accounts with such a hash, and the same reads and writes. So time tells nothing: not whether there is such a user, is
//! disabled, or has run out.
//!
//! Guessing is slowed, and nobody is locked out. After [`FREE_GUESSES`] wrong passwords for an account within a quarter of
//! an hour, only some of the attempts are really checked, the fewer the more there were; the others are a "no", whatever
//! the password. They are counted by where they come from: what a stranger does on the web, or from another network,
//! does not slow the user's own logins. Where the caller cannot say where the user sits (published Synapse modules, mxisd),
//! one attempt in [`LOTTERY`] is checked at the least, so that the right password gets through after some tries; Synapse's
//! own limits are far below that. The counts are in the database, so several web nodes share them.

use crate::domain::error::Error;
use crate::domain::password;
use crate::domain::token;
use crate::flow::caller::network;
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{Access, Login, Store};

/// Wrong passwords within the window that slow nothing.
pub const FREE_GUESSES: i64 = 20;
/// Whatever happened, one attempt in so many is checked.
pub const LOTTERY: i64 = 50;
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

/// Who asks for a check: each is counted apart.
#[derive(Debug, Clone)]
pub enum Caller<'a> {
    /// Synapse or an identity server, which may say where the user sits.
    Backend { client: Option<&'a str> },
    /// Somebody on the web, with the address as the web server knows it.
    World { address: Option<String> },
}

impl Caller<'_> {
    /// What the guesses of this caller are counted under.
    fn bucket(&self) -> String {
        match self {
            Caller::Backend { client } => network(*client),
            Caller::World { address } => format!("web {}", network(address.as_deref())),
        }
    }
}

/// Checks. `localpart` is `None` for an id that cannot be ours, which costs the same.
pub fn check(site: &Site, localpart: Option<&str>, password: &str, caller: &Caller) -> Result<Verdict, Error> {
    let mut store = site.store(Access::Hasty)?;
    let asked = localpart.unwrap_or("");
    let guesses = Guesses { account: token::hash(asked), bucket: caller.bucket(), since: site.now() - WINDOW_SECONDS };
    let wrong_before = store.wrong_guesses(&guesses.account, &guesses.bucket, guesses.since)?;
    let login = store.login(asked)?.filter(|_| localpart.is_some());
    let php_hash = store.some_php_hash()?;
    let right = is_right(login.as_ref(), php_hash.as_deref(), password) && is_admitted(wrong_before);
    let Some(login) = login.filter(|login| right && login.active) else {
        guesses.note(&mut store, site.now());
        return Ok(Verdict::Wrong);
    };
    let login = Box::new(with_better_hash(&mut store, login, password));
    match login.initial_password_until {
        Some(until) if until < site.now() => {
            // To the caller of a login this is a "no", and takes as long as any other.
            guesses.note(&mut store, site.now());
            Ok(Verdict::Expired(login))
        }
        _ => Ok(Verdict::Right(login)),
    }
}

/// Where the guesses for one account from one side are counted.
struct Guesses {
    account: String,
    bucket: String,
    since: i64,
}

impl Guesses {
    /// One more. A database that is busy must not hold up Synapse: then this one is not counted.
    fn note(&self, store: &mut Store, now: i64) {
        if let Err(cause) = store.note_wrong_guess(&self.account, &self.bucket, self.since, now) {
            log::warn("guess_not_counted", None, &cause.to_string());
        }
    }
}

/// Both kinds of hash are computed where both are in use; the one that is not the account's is thrown away.
fn is_right(login: Option<&Login>, php_hash: Option<&str>, password: &str) -> bool {
    // A hash that is never checked must cost what any other does: as if there were no such user.
    let checkable = |hash: &&str| !password::is_too_costly(hash);
    let stored = login.map(|login| login.password_hash.as_str()).filter(checkable);
    let argon2 = stored.filter(|stored| !password::is_php_hash(stored));
    let right_argon2 = password::verify(password, argon2.unwrap_or(password::DUMMY_HASH)) && argon2.is_some();
    let php = stored.filter(|stored| password::is_php_hash(stored));
    let right_php = php.or(php_hash.filter(checkable)).is_some_and(|hash| password::verify_php(password, hash)) && php.is_some();
    right_argon2 | right_php
}

/// With a probability of `FREE_GUESSES` in `wrong_before`, so that a thousand guesses are about a hundred checks.
fn is_admitted(wrong_before: i64) -> bool {
    let slots = wrong_before.clamp(FREE_GUESSES, FREE_GUESSES * LOTTERY);
    i64::from(u32::from_be_bytes(token::random())) % slots < FREE_GUESSES
}

/// Replaces a hash of PHP's. The user is let in even if that cannot be written; the next login tries again.
fn with_better_hash(store: &mut Store, login: Login, password: &str) -> Login {
    // PHP did not look beyond 72 bytes: what was typed there may be a slip, and would count from now on.
    if !password::is_php_hash(&login.password_hash) || password.len() > 72 {
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
    fn an_account_whose_hash_is_never_checked_takes_the_time_of_any_other() {
        let costly = format!("$argon2id$v=19$m=4294967295,t=1,p=1${}${}", "A".repeat(22), "A".repeat(43));
        let login = Login {
            id: 1,
            active: true,
            localpart: "max".into(),
            first_name: String::new(),
            last_name: String::new(),
            password_hash: costly,
            email: String::new(),
            initial_password_until: None,
        };
        is_right(None, None, "secret"); // the memory of the hash is there from now on
        let took = |login: Option<&Login>| {
            let start = std::time::Instant::now();
            assert!(!is_right(login, None, "secret"));
            start.elapsed()
        };
        let (nobody, costly) = ((0..5).map(|_| took(None)).min(), (0..5).map(|_| took(Some(&login))).min());
        assert!(costly > nobody.map(|nobody| nobody / 2), "{costly:?} and {nobody:?}");
    }

    #[test]
    fn a_thousand_wrong_guesses_leave_about_a_hundred_checks() {
        assert!((0..FREE_GUESSES).all(is_admitted));
        let checked = (0..1000).filter(|wrong_before| is_admitted(*wrong_before)).count();
        assert!((60..160).contains(&checked), "{checked}");
        let at_the_end = (0..50_000).filter(|_| is_admitted(i64::MAX)).count();
        assert!((500..2000).contains(&at_the_end), "nobody is locked out: {at_the_end}");
    }

    #[test]
    fn what_happens_on_the_web_does_not_slow_synapses_logins() {
        let web = Caller::World { address: Some("127.0.0.1".into()) };
        assert_ne!(web.bucket(), Caller::Backend { client: Some("127.0.0.1") }.bucket());
        assert_ne!(Caller::World { address: None }.bucket(), Caller::Backend { client: None }.bucket());
    }
}

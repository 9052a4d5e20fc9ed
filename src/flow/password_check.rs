//! Checks the password of an account in our own table.
//!
//! Response times reveal nothing: neither whether a user exists, nor whether it is disabled or expired. Every check computes
//! one hash. For a user who does not exist it is the hash of some active account, selected by the name and the secret key. So
//! kinds and costs of hashes are as frequent among missing users as among the accounts, and a name always costs the same.
//!
//! Guessing is slowed down, but nobody is locked out. After [`FREE_GUESSES`] wrong passwords for an account within a quarter of
//! an hour, only a fraction of the attempts is really checked, which shrinks with every wrong one; the others are answered
//! "no", whatever the password. Wrong passwords are counted twice:
//!
//! * by network, so that a stranger elsewhere does not slow down the user's own logins;
//! * over all networks, because a stranger may have many. This count does not affect networks from which the right password
//!   came before.
//!
//! Three kinds of callers are counted separately: the web, the web with an access token of the account, and Synapse with the
//! identity servers. So nobody on the web slows down logins, or the password change of a user who is logged in. If the caller
//! cannot tell the user's address (published Synapse modules, mxisd), there is one count for all. At least one attempt in
//! [`LOTTERY`] is checked, so that the right password gets through after some tries; Synapse's own limits are far below that.
//! The counts are in the database, so several web nodes share them.
//!
//! A change of a password may arrive twice, because its first answer was lost. The old password is wrong by then;
//! [`check_change`] sees that the new one is in force already.

use crate::domain::error::Error;
use crate::domain::password;
use crate::domain::token::{self, Secret};
use crate::flow::caller::network;
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Login, Store};

/// Wrong passwords from one network within the window that slow nothing down.
pub(crate) const FREE_GUESSES: i64 = 20;
/// The same for all networks together. One network counts at most [`FREE_GUESSES`] of them, so it cannot slow down others.
const FREE_GUESSES_EVERYWHERE: i64 = 2 * FREE_GUESSES;
/// At least one attempt in this many is checked.
pub(crate) const LOTTERY: i64 = 50;
/// How long wrong passwords count, in seconds.
pub(crate) const WINDOW_SECONDS: i64 = 900;

/// How long after a change the same one is taken for its repetition, in seconds.
const REPETITION_SECONDS: i64 = 600;

/// The result of a check.
#[derive(Debug)]
pub enum Verdict {
    Right(Box<Login>),
    /// The password is right, but it is an initial one that has expired.
    Expired(Box<Login>),
    /// No such user, disabled, or a wrong password: callers are not told which.
    Wrong,
}

/// The kind of caller; each is counted separately.
#[derive(Debug, Clone)]
pub enum Caller<'a> {
    /// Synapse or an identity server, which may know the user's address.
    Backend { client: Option<&'a str> },
    /// Somebody on the web, with the address that the web server reports.
    World { address: Option<String> },
    /// The same with a valid access token of the account.
    Owner { address: Option<String> },
}

impl Caller<'_> {
    fn network(&self) -> String {
        match self {
            Caller::Backend { client } => network(*client),
            Caller::World { address } | Caller::Owner { address } => network(address.as_deref()),
        }
    }

    /// The names of the counters for this caller: for its network, and for all networks.
    fn counters(&self) -> (String, Option<String>) {
        let class = match self {
            Caller::Backend { .. } if self.network().is_empty() => return (String::new(), None),
            Caller::Backend { .. } => "",
            Caller::World { .. } => "web ",
            Caller::Owner { .. } => "owner ",
        };
        (format!("{class}{}", self.network()), Some(format!("{class}everywhere")))
    }
}

/// The result of a check before a change of the password.
#[derive(Debug)]
pub enum ChangeVerdict {
    /// The old password is right.
    Allowed(Box<Login>),
    /// The old password is wrong, and the new one was set a moment ago: this change was made already.
    MadeBefore(Box<Login>),
    /// No such user, disabled, or a wrong password: callers are not told which.
    Wrong,
}

/// Checks a password. `localpart` is `None` for an id that cannot be ours, which takes the same time.
pub fn check(site: &Site, localpart: Option<&str>, password: &str, caller: &Caller) -> Result<Verdict, Error> {
    let mut store = site.store(Access::Hasty)?;
    Attempt::new(site, localpart, caller).verdict(&mut store, password)
}

/// Checks the old password before a change to the new one, if that is given. Whoever sends a wrong old one has a second hash
/// computed, whether or not there is such a user.
pub fn check_change(
    site: &Site,
    localpart: Option<&str>,
    (old, new): (&str, Option<&str>),
    caller: &Caller,
) -> Result<ChangeVerdict, Error> {
    let mut store = site.store(Access::Hasty)?;
    let attempt = Attempt::new(site, localpart, caller);
    match attempt.verdict(&mut store, old)? {
        Verdict::Right(login) => return Ok(ChangeVerdict::Allowed(login)),
        Verdict::Expired(login) if site.config.password_change.expired_initial_password => return Ok(ChangeVerdict::Allowed(login)),
        Verdict::Expired(_) | Verdict::Wrong => {}
    }
    let login = new.map(|new| attempt.just_set(&mut store, new)).transpose()?.flatten();
    Ok(login.map_or(ChangeVerdict::Wrong, |login| ChangeVerdict::MadeBefore(Box::new(login))))
}

/// Whether somebody chose this password for an account within the last ten minutes. For callers who have proved that they may change it.
pub(crate) fn is_just_set(site: &Site, localpart: &str, password: &str, caller: &Caller) -> Result<bool, Error> {
    let mut store = site.store(Access::Hasty)?;
    Ok(Attempt::new(site, Some(localpart), caller).just_set(&mut store, password)?.is_some())
}

/// The owner of an account has set its password from this address: guesses from elsewhere do not slow them down there.
pub(crate) fn remember_owner(site: &Site, store: &mut Store, login: &Login, address: Option<String>) {
    Attempt::new(site, Some(&login.localpart), &Caller::Owner { address }).note_right(store, login);
}

/// One attempt: the name and the origin.
struct Attempt<'a> {
    asked: &'a str,
    /// The name cannot be one of ours.
    is_foreign: bool,
    /// The name under which guesses are counted; the account may not exist.
    account: String,
    here: String,
    everywhere: Option<String>,
    /// The network as it is remembered for this name: a keyed hash. `None` if it is unknown, or there is no key.
    network: Option<String>,
    secret: Option<Secret>,
    /// Decides whether the attempt is checked if there were many before: once, whatever it tells about.
    ticket: u32,
    now: i64,
}

impl<'a> Attempt<'a> {
    fn new(site: &Site, localpart: Option<&'a str>, caller: &Caller) -> Attempt<'a> {
        let asked = localpart.unwrap_or("");
        // A login works without config.json.
        let secret = site.state.secret_if_there();
        let network = Some(caller.network()).filter(|network| !network.is_empty());
        let network = secret.as_ref().zip(network).map(|(key, network)| key.token("network of an account", &format!("{asked} {network}")));
        let (here, everywhere) = caller.counters();
        let ticket = u32::from_be_bytes(token::random());
        let is_foreign = localpart.is_none();
        Attempt { asked, is_foreign, account: token::hash(asked), here, everywhere, network, secret, ticket, now: site.now() }
    }

    /// Whether the password is right. Counts a wrong one.
    fn verdict(&self, store: &mut Store, password: &str) -> Result<Verdict, Error> {
        let Some(login) = self.opened(store, password)? else {
            self.note_wrong(store);
            return Ok(Verdict::Wrong);
        };
        let login = Box::new(with_better_hash(store, login, password));
        match login.initial_password_until {
            Some(until) if until < self.now => {
                // For the caller of a login this is a "no", which takes as long as any other.
                self.note_wrong(store);
                Ok(Verdict::Expired(login))
            }
            _ => {
                self.note_right(store, &login);
                Ok(Verdict::Right(login))
            }
        }
    }

    /// The account, if the password was chosen for it a moment ago. Counts nothing.
    fn just_set(&self, store: &mut Store, password: &str) -> Result<Option<Login>, Error> {
        let login = self.opened(store, password)?;
        let id = login.as_ref().map_or(0, |login| login.id);
        let is_new = store.is_password_chosen_since(id, self.now - REPETITION_SECONDS)?;
        Ok(login.filter(|_| is_new))
    }

    /// The account that the password opens, if the attempt is not one of too many.
    fn opened(&self, store: &mut Store, password: &str) -> Result<Option<Login>, Error> {
        let login = store.login(self.asked)?.filter(|_| !self.is_foreign);
        let is_admitted = self.is_admitted(store, login.as_ref())?;
        let stand_in = self.stand_in(store)?;
        let right = is_right(login.as_ref(), stand_in.as_deref(), password) && is_admitted;
        Ok(login.filter(|_| right))
    }

    /// Whether the attempt is checked, or is one of too many.
    fn is_admitted(&self, store: &mut Store, login: Option<&Login>) -> Result<bool, Error> {
        let (here, everywhere) = self.wrong_before(store)?;
        // Queried even for unknown users; no account has the number 0.
        let id = login.map_or(0, |login| login.id);
        let is_familiar = match &self.network {
            Some(network) => store.is_familiar_network(id, network)?,
            None => false,
        };
        Ok(wins(self.ticket, here, FREE_GUESSES) && (is_familiar || wins(self.ticket, everywhere, FREE_GUESSES_EVERYWHERE)))
    }

    /// Wrong passwords from this network, and from all networks.
    fn wrong_before(&self, store: &mut Store) -> Result<(i64, i64), store::Error> {
        let mut wrong = |counter: &str| store.wrong_guesses(&self.account, counter, self.since(), self.now);
        Ok((wrong(&self.here)?, self.everywhere.as_deref().map_or(Ok(0), wrong)?))
    }

    /// A hash to check if the account has none.
    fn stand_in(&self, store: &mut Store) -> Result<Option<String>, store::Error> {
        let highest = store.highest_login_id()?;
        let key = self.secret.as_ref().map(|secret| secret.derive("stand-in", &[self.asked.as_bytes()])).unwrap_or_default();
        let hash = store.password_hash_from(drawn(key, highest))?;
        if hash.is_some() { Ok(hash) } else { store.password_hash_from(0) }
    }

    /// A busy database must not delay Synapse; the attempt is then not counted.
    fn note_wrong(&self, store: &mut Store) {
        if let Err(cause) = self.count_wrong(store) {
            log::warn("guess_not_counted", None, &cause.to_string());
        }
    }

    fn count_wrong(&self, store: &mut Store) -> Result<(), store::Error> {
        let before = store.wrong_guesses(&self.account, &self.here, self.since(), self.now)?;
        store.note_wrong_guess(&self.account, &self.here, self.since(), self.now)?;
        match &self.everywhere {
            Some(everywhere) if before < FREE_GUESSES => store.note_wrong_guess(&self.account, everywhere, self.since(), self.now),
            _ => Ok(()),
        }
    }

    fn note_right(&self, store: &mut Store, login: &Login) {
        let Some(network) = &self.network else { return };
        if let Err(cause) = store.note_familiar_network(login.id, network, self.now) {
            log::warn("network_not_noted", None, &cause.to_string());
        }
    }

    fn since(&self) -> i64 {
        self.now - WINDOW_SECONDS
    }
}

/// A number from 1 to `highest` (at least 1), derived from a keyed hash of a name. When an account is added, one name in
/// `highest` gets another number and all others keep theirs.
fn drawn(hash: [u8; 32], highest: i64) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let (number, count) = (u64::from_be_bytes([a, b, c, d, e, f, g, h]), highest.max(1).unsigned_abs());
    let places = count.next_power_of_two();
    let place = if number % places < count { number % places } else { number % (places / 2) };
    place as i64 + 1
}

/// Computes one hash: the account's own, or the stand-in if there is none.
fn is_right(login: Option<&Login>, stand_in: Option<&str>, password: &str) -> bool {
    let checkable = |hash: &&str| password::is_checkable(hash);
    let own = login.filter(|login| login.active).map(|login| login.password_hash.as_str()).filter(checkable);
    let stand_in = stand_in.filter(checkable).unwrap_or(password::DUMMY_HASH);
    password::verify_any(password, own.unwrap_or(stand_in)) && own.is_some()
}

/// Whether one of 2^32 tickets is admitted: with a probability of `free` in `wrong_before`, so that of a thousand guesses with
/// 20 free about a hundred are checked. A ticket that is admitted stays so with fewer wrong guesses before it.
fn wins(ticket: u32, wrong_before: i64, free: i64) -> bool {
    i64::from(ticket) * wrong_before.clamp(free, free * LOTTERY) < free << 32
}

/// Replaces a PHP hash, which covers only 72 bytes, by one of the whole password. If it cannot be stored, the user is let in
/// anyway, and the next login tries again.
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

    /// Processor time of this thread; other work on the machine does not count.
    fn processor_time() -> std::time::Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

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
            let start = processor_time();
            assert!(!is_right(login, None, "secret"));
            processor_time() - start
        };
        let (nobody, costly) = ((0..5).map(|_| took(None)).min(), (0..5).map(|_| took(Some(&login))).min());
        assert!(costly > nobody.map(|nobody| nobody / 2), "{costly:?} and {nobody:?}");
    }

    #[test]
    fn a_thousand_wrong_guesses_leave_about_a_hundred_checks() {
        let is_admitted = |wrong_before| wins(u32::from_be_bytes(token::random()), wrong_before, FREE_GUESSES);
        assert!((0..FREE_GUESSES).all(is_admitted));
        let checked = (0..1000).filter(|wrong_before| is_admitted(*wrong_before)).count();
        assert!((60..160).contains(&checked), "{checked}");
        let at_the_end = (0..50_000).filter(|_| is_admitted(i64::MAX)).count();
        assert!((500..2000).contains(&at_the_end), "nobody is locked out: {at_the_end}");
    }

    #[test]
    fn callers_do_not_slow_each_other() {
        let address = || Some("192.0.2.7".to_owned());
        let callers =
            [Caller::Backend { client: Some("192.0.2.7") }, Caller::World { address: address() }, Caller::Owner { address: address() }];
        let mut counters: Vec<String> =
            callers.iter().flat_map(|caller| [Some(caller.counters().0), caller.counters().1]).flatten().collect();
        counters.extend([Caller::World { address: None }, Caller::Backend { client: None }].map(|caller| caller.counters().0));
        let count = counters.len();
        counters.sort();
        counters.dedup();
        assert_eq!((counters.len(), count), (8, 8), "{counters:?}");
    }

    #[test]
    fn a_name_keeps_its_stand_in_while_accounts_are_added() {
        let secret = Secret::new([1; 32]);
        let of = |name: usize, highest: i64| drawn(secret.derive("stand-in", &[name.to_string().as_bytes()]), highest);
        for highest in [0, 1, 2, 3, 100, 128, 129, 1000] {
            let all: Vec<i64> = (0..4000).map(|name| of(name, highest)).collect();
            assert!(all.iter().all(|drawn| (1..=highest.max(1)).contains(drawn)), "{highest}");
            let moved = (0..4000).filter(|name| of(*name, highest) != of(*name, highest + 1)).count();
            assert!(moved <= 3 * 4000 / highest.max(1) as usize, "{highest}: {moved} of 4000");
        }
        let lower_half = (0..4000).filter(|name| of(*name, 100) <= 50).count();
        assert!((1800..2600).contains(&lower_half), "as many names for each account, about: {lower_half}");
    }
}

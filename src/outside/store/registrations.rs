//! `registrations`: requests on their way, which are at the same time the outbox.
//!
//! Every change of a state names the state it starts from and must change exactly one row; who comes second changes
//! none and is told so.

use super::php::PhpReader;
use super::{Allowance, End, Error, LONGEST_WAIT, NewLogin, Row, Store, Value};
use crate::domain::config::Language;
use crate::domain::names;
use crate::domain::registration::{Event, State};
use crate::domain::seconds::DAY;
use crate::outside::fault;

/// A request as it comes from the form; everything in it was parsed.
#[derive(Debug, Clone)]
pub struct NewRegistration {
    pub seed: String,
    /// The hash of the form token.
    pub submission: String,
    pub verify_token_hash: String,
    pub admin_token_hash: String,
    pub username: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub email_folded: String,
    pub note: String,
    pub language: Language,
    /// Seconds since 1970.
    pub requested_at: i64,
}

/// A request as the database has it. Times are seconds since 1970.
#[derive(Debug, Clone)]
pub struct Registration {
    pub id: i64,
    pub state: State,
    pub seed: String,
    pub verify_token_hash: String,
    pub admin_token_hash: String,
    pub username: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub email_folded: String,
    pub note: String,
    pub language: Language,
    pub password: Option<String>,
    /// Whether the applicant chose the password; otherwise an initial one is derived.
    pub password_chosen: bool,
    pub reason: Option<String>,
    pub refusal: Option<String>,
    pub requested_at: i64,
    pub state_since: i64,
    pub decided_at: Option<i64>,
    pub account_tried_at: Option<i64>,
    pub attempts: i64,
}

/// Nobody holds the row, or somebody whose clock was wrong: `now`, `now + LONGEST_WAIT`.
pub(super) const FREE: &str = "(lease IS NULL OR lease_until <= ? OR lease_until > ?)";
/// Its time has come, or lies where only a wrong clock puts it; the same two values.
const DUE: &str = "(due_at <= ? OR due_at > ?)";

const COLUMNS: &str = "id, state, seed, verify_token_hash, admin_token_hash, username, first_name, last_name, email, email_folded, note, language, password, password_chosen, reason, refusal, \
                       requested_at, state_since, decided_at, account_tried_at, attempts";

impl Registration {
    /// First and last name; the username where there is none, as the PHP program did not always ask for one.
    pub fn full_name(&self) -> String {
        match names::display_name(&self.first_name, &self.last_name) {
            name if name.is_empty() => self.username.clone(),
            name => name,
        }
    }

    fn read(mut row: Row) -> Result<Registration, Error> {
        let id = row.integer()?;
        let number = row.integer()?;
        let state = State::from_number(number).ok_or_else(|| Error::Unfit(format!("registration {id} has the unknown state {number}")))?;
        Ok(Registration {
            id,
            state,
            seed: row.text()?,
            verify_token_hash: row.text()?,
            admin_token_hash: row.text()?,
            username: row.text()?,
            first_name: row.name()?,
            last_name: row.name()?,
            email: row.address()?,
            email_folded: row.text()?,
            note: row.text()?,
            language: Language::from_tag(&row.text()?).unwrap_or_default(),
            password: row.optional_text()?,
            password_chosen: row.integer()? != 0,
            reason: row.optional_text()?,
            refusal: row.optional_text()?,
            requested_at: row.integer()?,
            state_since: row.integer()?,
            decided_at: row.optional_integer()?,
            account_tried_at: row.optional_integer()?,
            attempts: row.integer()?,
        })
    }
}

/// What became of a form.
#[derive(Debug)]
pub enum Filed {
    /// A new registration with this id.
    Accepted(i64),
    /// The same form came before; this is what it became.
    CameBefore(Box<Registration>),
    /// The username is another's.
    NameTaken,
    /// Too many requests with this address wait for confirmation.
    AddressBusy,
    /// The day's requests of this network are used up; seconds until the next one.
    NetworkUsedUp(i64),
    /// The day's requests with this address are used up; seconds until the next one.
    AddressUsedUp(i64),
    /// No more requests are taken from anybody.
    Closed(Closed),
}

/// What stands against a request, whoever makes it. 0: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilingLimits<'a> {
    pub unconfirmed_per_address: u64,
    /// Of the network that it comes from.
    pub network: Option<Allowance<'a>>,
    /// Of its mail address.
    pub address: Option<Allowance<'a>>,
    /// Requests that nobody decided yet.
    pub open: u64,
    /// Requests in 24 hours.
    pub per_day: u64,
}

/// Why no requests are taken at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// As many as may be are waiting for confirmation or decision.
    TooManyOpen,
    /// As many as may be came within 24 hours; seconds until the next may come.
    TooManyToday(i64),
}

/// Somebody else with the same mail address, for the deciders to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameAddress {
    pub username: String,
    /// `None`: an account; otherwise the state of a request.
    pub state: Option<State>,
    /// When it was asked for, or made (seconds since 1970).
    pub since: i64,
}

impl Store {
    /// Files a request: the `UNIQUE` columns decide who was first. What is not filed uses up nothing.
    pub fn file(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Filed, Error> {
        for allowance in limits.network.iter().chain(&limits.address) {
            // A network that is used up leaves no row for each address that it tries.
            if !self.open_allowance(allowance, new.requested_at)? {
                break;
            }
        }
        let filed = self.transaction_that_may_end(|store| {
            // First: whoever holds these rows is alone with this network and address, so that what is counted below is exact.
            if let Some(refused) = store.use_up(limits, new.requested_at)? {
                return Ok(End::RollBack(refused));
            }
            if let Some(refused) = store.stands_against(new, limits)? {
                return Ok(End::RollBack(refused));
            }
            store.insert_registration(new)?;
            let id = store.first("SELECT id FROM registrations WHERE seed = ?", &[new.seed.as_str().into()], |mut row| row.integer())?;
            id.map(|id| End::Commit(Filed::Accepted(id)))
                .ok_or_else(|| Error::Unavailable("a registration is not there although it was just written".into()))
        });
        let refused = match filed {
            // Somebody was faster between our look and our insert.
            Err(Error::Conflict) => Filed::NameTaken,
            Err(cause) => return Err(cause),
            Ok(accepted @ Filed::Accepted(_)) => return Ok(accepted),
            Ok(refused) => refused,
        };
        // What is in the way may be this very form, which came before.
        Ok(self.same_submission(&new.submission)?.map_or(refused, |before| Filed::CameBefore(Box::new(before))))
    }

    fn use_up(&mut self, limits: &FilingLimits, now: i64) -> Result<Option<Filed>, Error> {
        if let Some(network) = &limits.network
            && let Some(seconds) = self.take_from_allowance(network, now)?
        {
            return Ok(Some(Filed::NetworkUsedUp(seconds)));
        }
        if let Some(address) = &limits.address
            && let Some(seconds) = self.take_from_allowance(address, now)?
        {
            return Ok(Some(Filed::AddressUsedUp(seconds)));
        }
        Ok(None)
    }

    fn stands_against(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Option<Filed>, Error> {
        if self.username_is_taken(&new.username)? {
            return Ok(Some(Filed::NameTaken));
        }
        if self.unconfirmed(&new.email_folded)? >= limits.unconfirmed_per_address {
            return Ok(Some(Filed::AddressBusy));
        }
        Ok(self.closed(limits, new.requested_at)?.map(Filed::Closed))
    }

    /// Whether requests are taken at the moment. Not exact to the last one where several come at the same moment.
    pub fn closed(&mut self, limits: &FilingLimits, now: i64) -> Result<Option<Closed>, Error> {
        if limits.open > 0 {
            let sql = "SELECT COUNT(*) FROM registrations WHERE state IN (?, ?, ?, ?)";
            let open = [State::EmailSend, State::EmailVerify, State::AdminSend, State::AdminVerify].map(|state| state.number().into());
            if self.first(sql, &open, |mut row| row.integer())?.unwrap_or(0).unsigned_abs() >= limits.open {
                return Ok(Some(Closed::TooManyOpen));
            }
        }
        if limits.per_day > 0 {
            // The oldest of those that make the day full: when it is a day old, the next may come.
            let sql = "SELECT requested_at FROM registrations ORDER BY id DESC LIMIT 1 OFFSET ?";
            let skipped = i64::try_from(limits.per_day - 1).unwrap_or(i64::MAX);
            if let Some(since) = self.first(sql, &[skipped.into()], |mut row| row.integer())?
                && since > now - DAY
                && since <= now + LONGEST_WAIT
            {
                return Ok(Some(Closed::TooManyToday(since + DAY - now)));
            }
        }
        Ok(None)
    }

    /// Requests with this address that were not confirmed so far.
    fn unconfirmed(&mut self, email_folded: &str) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) FROM registrations WHERE email_folded = ? AND state IN (?, ?)";
        let values = [email_folded.into(), State::EmailSend.number().into(), State::EmailVerify.number().into()];
        Ok(self.first(sql, &values, |mut row| row.integer())?.unwrap_or(0).unsigned_abs())
    }

    fn insert_registration(&mut self, new: &NewRegistration) -> Result<(), Error> {
        let sql = "INSERT INTO registrations (state, seed, submission, verify_token_hash, admin_token_hash, username, claimed_username, first_name,
                   last_name, email, email_folded, note, language, password, password_chosen, requested_at, state_since, due_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, ?, ?, ?)";
        let values = [
            State::EmailSend.number().into(),
            new.seed.as_str().into(),
            new.submission.as_str().into(),
            new.verify_token_hash.as_str().into(),
            new.admin_token_hash.as_str().into(),
            new.username.as_str().into(),
            new.username.as_str().into(),
            new.first_name.as_str().into(),
            new.last_name.as_str().into(),
            new.email.as_str().into(),
            new.email_folded.as_str().into(),
            new.note.as_str().into(),
            new.language.tag().into(),
            new.requested_at.into(),
            new.requested_at.into(),
            new.requested_at.into(),
        ];
        self.execute(sql, &values).map(|_| ())
    }

    /// Whether a living request or an account has the username.
    pub fn username_is_taken(&mut self, username: &str) -> Result<bool, Error> {
        let claimed = self.first("SELECT 1 FROM registrations WHERE claimed_username = ?", &[username.into()], |_| Ok(()))?;
        Ok(claimed.is_some() || self.login_exists(username)?)
    }

    pub fn registration(&mut self, id: i64) -> Result<Option<Registration>, Error> {
        self.registration_where("id = ?", id.into())
    }

    /// By the hash of the form token with which it came.
    pub fn same_submission(&mut self, submission: &str) -> Result<Option<Registration>, Error> {
        self.registration_where("submission = ?", submission.into())
    }

    /// By the hash of the token in the link that was mailed.
    pub fn registration_by_verify_token(&mut self, hash: &str) -> Result<Option<Registration>, Error> {
        self.registration_by_link("verify_token_hash = ?", PhpReader::Applicant, hash)
    }

    /// By the hash of the token in the link that was posted to the room.
    pub fn registration_by_admin_token(&mut self, hash: &str) -> Result<Option<Registration>, Error> {
        self.registration_by_link("admin_token_hash = ?", PhpReader::Room, hash)
    }

    /// Our own link, one from before the key was lost, or one that the PHP program handed out.
    fn registration_by_link(&mut self, own: &'static str, reader: PhpReader, hash: &str) -> Result<Option<Registration>, Error> {
        if let Some(registration) = self.registration_where(own, hash.into())? {
            return Ok(Some(registration));
        }
        let sql = "SELECT registration_id FROM php_links WHERE token_hash = ? AND reader = ?
                   UNION ALL SELECT registration_id FROM former_links WHERE token_hash = ? AND reader = ?";
        let values = [hash.into(), reader.number().into(), hash.into(), reader.number().into()];
        match self.first(sql, &values, |mut row| row.integer())? {
            Some(id) => self.registration(id),
            None => Ok(None),
        }
    }

    /// Whether the registration was taken over from the PHP program.
    pub fn is_from_php(&mut self, id: i64) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM php_links WHERE registration_id = ? LIMIT 1", &[id.into()], |_| Ok(()))?.is_some())
    }

    fn registration_where(&mut self, condition: &'static str, value: Value) -> Result<Option<Registration>, Error> {
        self.first(&format!("SELECT {COLUMNS} FROM registrations WHERE {condition}"), &[value], Registration::read)
    }

    /// Others with the same address: accounts first, then requests; at most ten.
    pub fn same_address(&mut self, of: &Registration) -> Result<Vec<SameAddress>, Error> {
        let accounts = "SELECT localpart, created_at FROM logins WHERE email_folded = ? AND localpart <> ? ORDER BY id LIMIT 10";
        let mut others = Vec::new();
        for mut row in self.query(accounts, &[of.email_folded.as_str().into(), of.username.as_str().into()])? {
            others.push(SameAddress { username: row.text()?, state: None, since: row.integer()? });
        }
        let requests = "SELECT username, state, requested_at FROM registrations WHERE email_folded = ? AND id <> ? AND state <> ? ORDER BY id LIMIT 10";
        for mut row in self.query(requests, &[of.email_folded.as_str().into(), of.id.into(), State::Expired.number().into()])? {
            let (username, state, since) = (row.text()?, State::from_number(row.integer()?), row.integer()?);
            // A finished request of local mode stands for the account that is in the list already.
            if state != Some(State::Done) || others.iter().all(|other| other.username != username) {
                others.push(SameAddress { username, state, since });
            }
        }
        others.truncate(10);
        Ok(others)
    }

    /// Moves a registration from one state to another where nothing was done outside. `false`: it is not in state `from`
    /// any more, somebody else moved it.
    pub(super) fn advance(&mut self, id: i64, from: State, to: State, now: i64) -> Result<bool, Error> {
        self.move_state(id, from, to, now, "1 = 1", &[])
    }

    /// The applicant confirmed the address and chose a password, which comes hashed (local mode) or sealed (synapse mode);
    /// `None`: an initial one is derived. Either takes the place of one that an older version asked for on the form, where
    /// anybody could have typed it. `false`: somebody else was faster, or time ran out, and nothing was changed.
    pub fn confirm(&mut self, id: i64, password: Option<&str>, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.advance_by(id, Event::AddressConfirmed, now)? {
                return Ok(false);
            }
            let sql = "UPDATE registrations SET password = ?, password_chosen = ? WHERE id = ?";
            store.execute(sql, &[password.into(), i64::from(password.is_some()).into(), id.into()])?;
            Ok(true)
        })
    }

    /// The room's decision (approved or declined), with the reason for a no. `false`: somebody else was faster.
    pub fn decide(&mut self, id: i64, decision: Event, reason: Option<&str>, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.advance_by(id, decision, now)? {
                return Ok(false);
            }
            store.execute("UPDATE registrations SET decided_at = ?, reason = ? WHERE id = ?", &[now.into(), reason.into(), id.into()])?;
            Ok(true)
        })
    }

    /// Moves a registration on by what somebody did, whatever state it is in now, if it fits. Part of a transaction.
    fn advance_by(&mut self, id: i64, event: Event, now: i64) -> Result<bool, Error> {
        let Some(state) = self.registration(id)?.map(|registration| registration.state) else { return Ok(false) };
        match state.after(event) {
            Some(next) => self.advance(id, state, next, now),
            None => Ok(false),
        }
    }

    /// Takes the lease on what a state owes, so that nobody else does it at the same time. It ends by itself at `until`.
    pub fn lease(&mut self, id: i64, state: State, holder: &str, now: i64, until: i64) -> Result<bool, Error> {
        let sql = format!("UPDATE registrations SET lease = ?, lease_until = ? WHERE id = ? AND state = ? AND {FREE}");
        let values = [holder.into(), until.into(), id.into(), state.number().into(), now.into(), (now + LONGEST_WAIT).into()];
        let leased = self.execute(&sql, &values)? == 1;
        fault::point("leased");
        Ok(leased)
    }

    /// What the state owed is done: moves on and ends the lease. `false`: the lease was lost meanwhile.
    pub fn settle(&mut self, id: i64, from: State, holder: &str, to: State, now: i64) -> Result<bool, Error> {
        fault::point("settle");
        let settled = self.move_state(id, from, to, now, "lease = ?", &[holder.into()]);
        fault::point("settled");
        settled
    }

    /// The account of local mode and the move to the next state, together or not at all.
    pub fn settle_with_login(&mut self, id: i64, from: State, holder: &str, to: State, login: &NewLogin) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.settle(id, from, holder, to, login.created_at)? {
                return Ok(false);
            }
            store.add_login(login)?;
            Ok(true)
        })
    }

    /// The homeserver's no: moves on to telling it, frees the username, ends the lease.
    pub fn settle_refused(&mut self, id: i64, from: State, holder: &str, to: State, refusal: &str, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.settle(id, from, holder, to, now)? {
                return Ok(false);
            }
            store.execute("UPDATE registrations SET refusal = ? WHERE id = ?", &[refusal.into(), id.into()])?;
            Ok(true)
        })
    }

    /// The one statement that changes a state. It frees the username and wipes the typed password where the new state
    /// has no use for them.
    fn move_state(&mut self, id: i64, from: State, to: State, now: i64, holding: &'static str, holder: &[Value]) -> Result<bool, Error> {
        let claim = if to.claims_username() { "claimed_username" } else { "NULL" };
        let is_needed = to.claims_username() && !matches!(to, State::MailCredentials | State::Done);
        let password = if is_needed { "password" } else { "NULL" };
        let sql = format!(
            "UPDATE registrations SET state = ?, state_since = ?, due_at = ?, attempts = 0, last_error = NULL, undeliverable = 0, lease = NULL, lease_until = NULL,
             claimed_username = {claim}, password = {password} WHERE id = ? AND state = ? AND ({holding})"
        );
        let mut values = vec![to.number().into(), now.into(), now.into(), id.into(), from.number().into()];
        values.extend_from_slice(holder);
        Ok(self.execute(&sql, &values)? == 1)
    }

    /// What the state owed could not be done: not again before `due_at`.
    pub fn postpone(&mut self, id: i64, holder: &str, due_at: i64, undeliverable: bool, error: &str) -> Result<(), Error> {
        let sql =
            "UPDATE registrations SET attempts = attempts + 1, due_at = ?, undeliverable = CASE WHEN ? = 1 THEN 1 ELSE undeliverable END,
                   last_error = ?, lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?";
        self.execute(sql, &[due_at.into(), i64::from(undeliverable).into(), error.into(), id.into(), holder.into()])?;
        fault::point("postponed");
        Ok(())
    }

    /// Gives up a typed password that cannot be used any more; an initial one is derived instead.
    pub fn forget_chosen_password(&mut self, id: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET password = NULL, password_chosen = 0 WHERE id = ?", &[id.into()]).map(|_| ())
    }

    /// Notes, before the homeserver is asked for the account, that it was: see `account_tried_at` in the schema.
    pub fn note_account_try(&mut self, id: i64, now: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET account_tried_at = ? WHERE id = ? AND account_tried_at IS NULL", &[now.into(), id.into()])?;
        fault::point("account try noted");
        Ok(())
    }

    /// The homeserver said for certain that it did nothing: the next try is the first one again.
    pub fn forget_account_try(&mut self, id: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET account_tried_at = NULL WHERE id = ?", &[id.into()]).map(|_| ())
    }

    /// Registrations in `state` whose turn it is, the longest waiting first.
    pub fn due(&mut self, state: State, now: i64, limit: i64) -> Result<Vec<i64>, Error> {
        let sql = format!("SELECT id FROM registrations WHERE state = ? AND {DUE} AND {FREE} ORDER BY due_at, id LIMIT ?");
        let far = now + LONGEST_WAIT;
        self.query(&sql, &[state.number().into(), now.into(), far.into(), now.into(), far.into(), limit.into()])?
            .into_iter()
            .map(|mut row| row.integer())
            .collect()
    }

    /// Ends requests in `from` whose address was not confirmed: the username is free, the personal data is wiped; what
    /// remains lets the link say "expired". Where the mail was not sent yet, only those that the mail server refused for
    /// good (`undeliverable_only`) or that are very old.
    pub fn expire(&mut self, from: State, to: State, before: i64, undeliverable_only: bool, now: i64) -> Result<u64, Error> {
        let refused_only = if undeliverable_only { "AND undeliverable = 1" } else { "" };
        let sql = format!(
            "UPDATE registrations SET state = ?, state_since = ?, claimed_username = NULL, first_name = '', last_name = '', email = '', email_folded = '',
             note = '', password = NULL, last_error = NULL, lease = NULL, lease_until = NULL
             WHERE state = ? AND state_since < ? {refused_only}"
        );
        self.execute(&sql, &[to.number().into(), now.into(), from.number().into(), before.into()])
    }

    /// Gives up the last mail of requests that have been in `from` since before `before`. Their ids.
    pub fn give_up(&mut self, from: State, to: State, before: i64, undeliverable_only: bool, now: i64) -> Result<Vec<i64>, Error> {
        let refused_only = if undeliverable_only { "AND undeliverable = 1" } else { "" };
        let sql = format!("SELECT id FROM registrations WHERE state = ? AND state_since < ? {refused_only}");
        let mut given_up = Vec::new();
        for mut row in self.query(&sql, &[from.number().into(), before.into()])? {
            let id = row.integer()?;
            if self.advance(id, from, to, now)? {
                given_up.push(id);
            }
        }
        Ok(given_up)
    }

    /// Forgets requests that have been in the final state `state` since before `before`.
    pub fn forget(&mut self, state: State, before: i64) -> Result<u64, Error> {
        self.execute("DELETE FROM registrations WHERE state = ? AND state_since < ?", &[state.number().into(), before.into()])
    }

    /// What came to its state under a clock that ran ahead has been there since now. Otherwise it would not end until that time.
    ///
    /// Nothing is done where the newest request lies in the future: then it may be `now` that is wrong, and everything would seem
    /// old once it is right again. What is really ahead waits for the next request.
    pub fn forget_times_of_a_wrong_clock(&mut self, now: i64) -> Result<(), Error> {
        let newest = self.first("SELECT requested_at FROM registrations ORDER BY id DESC LIMIT 1", &[], |mut row| row.integer())?;
        if newest.is_none_or(|newest| newest > now) {
            return Ok(());
        }
        // MariaDB assigns from left to right. Equal times say that the PHP program tried: see `accounts::php`.
        let sql = "UPDATE registrations SET account_tried_at = CASE WHEN account_tried_at = state_since THEN ? ELSE account_tried_at END,
                   state_since = ? WHERE state_since > ?";
        self.execute(sql, &[now.into(), now.into(), (now + LONGEST_WAIT).into()]).map(|_| ())
    }

    /// Undecided since before `before`, and the room was not reminded of it yet.
    pub fn undecided(&mut self, before: i64, now: i64) -> Result<Vec<i64>, Error> {
        let sql = format!(
            "SELECT id FROM registrations WHERE state = ? AND state_since < ? AND reminded_at IS NULL AND {DUE} AND {FREE} ORDER BY state_since, id LIMIT 100"
        );
        let far = now + LONGEST_WAIT;
        let values = [State::AdminVerify.number().into(), before.into(), now.into(), far.into(), now.into(), far.into()];
        self.query(&sql, &values)?.into_iter().map(|mut row| row.integer()).collect()
    }

    /// The room was reminded; ends the lease under which that was done.
    pub fn reminded(&mut self, id: i64, holder: &str, now: i64) -> Result<(), Error> {
        let sql = "UPDATE registrations SET reminded_at = ?, lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?";
        self.execute(sql, &[now.into(), id.into(), holder.into()])?;
        Ok(())
    }

    /// How many registrations are in `state`.
    pub fn count(&mut self, state: State) -> Result<i64, Error> {
        let counted =
            self.first("SELECT COUNT(*) FROM registrations WHERE state = ?", &[state.number().into()], |mut row| row.integer())?;
        Ok(counted.unwrap_or(0))
    }
}

//! `registrations`: open requests, which also form the outbox.
//!
//! Every change of a state names the previous state and must change exactly one row. A second program changes none, and its
//! caller is told so.

use super::owed::{FREE, UNTRIED, free};
use super::php::PhpReader;
use super::{Allowance, CLOCK_SKEW, Column, End, Error, LONGEST_WAIT, NamedRow, NewLogin, Selection, Store, Value};
use crate::domain::config::Language;
use crate::domain::names;
use crate::domain::registration::{Event, State};
use crate::domain::seconds::DAY;
use crate::outside::fault;

/// A parsed request from the form.
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
    /// Whether the form's hidden field was filled in, as programs do, and some password managers.
    pub filled_hidden_field: bool,
    /// Seconds since 1970.
    pub requested_at: i64,
}

/// A request in the database. Times are seconds since 1970.
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
    /// Whether the form's hidden field was filled in, for the deciders to know.
    pub filled_hidden_field: bool,
}

const REGISTRATION: Selection = Selection {
    table: "registrations",
    columns: &[
        Column::Id,
        Column::State,
        Column::Seed,
        Column::VerifyTokenHash,
        Column::AdminTokenHash,
        Column::Username,
        Column::FirstName,
        Column::LastName,
        Column::Email,
        Column::EmailFolded,
        Column::Note,
        Column::Language,
        Column::Password,
        Column::PasswordChosen,
        Column::Reason,
        Column::Refusal,
        Column::RequestedAt,
        Column::StateSince,
        Column::DecidedAt,
        Column::AccountTriedAt,
        Column::FilledHiddenField,
    ],
};

impl Registration {
    /// First and last name; the username if there is none, because the PHP program did not always ask for a name.
    pub fn full_name(&self) -> String {
        match names::display_name(&self.first_name, &self.last_name) {
            name if name.is_empty() => self.username.clone(),
            name => name,
        }
    }

    fn read(row: NamedRow) -> Result<Registration, Error> {
        let id = row.integer(Column::Id)?;
        let number = row.integer(Column::State)?;
        let state = State::from_number(number).ok_or_else(|| unknown_state(id))?;
        Ok(Registration {
            id,
            state,
            seed: row.text(Column::Seed)?,
            verify_token_hash: row.text(Column::VerifyTokenHash)?,
            admin_token_hash: row.text(Column::AdminTokenHash)?,
            username: row.text(Column::Username)?,
            first_name: row.name(Column::FirstName)?,
            last_name: row.name(Column::LastName)?,
            email: row.address(Column::Email)?,
            email_folded: row.text(Column::EmailFolded)?,
            note: row.text(Column::Note)?,
            language: Language::from_tag(&row.text(Column::Language)?).unwrap_or_default(),
            password: row.optional_text(Column::Password),
            password_chosen: row.integer(Column::PasswordChosen)? != 0,
            reason: row.optional_text(Column::Reason),
            refusal: row.optional_text(Column::Refusal),
            requested_at: row.integer(Column::RequestedAt)?,
            state_since: row.integer(Column::StateSince)?,
            decided_at: row.optional_integer(Column::DecidedAt)?,
            account_tried_at: row.optional_integer(Column::AccountTriedAt)?,
            filled_hidden_field: row.integer(Column::FilledHiddenField)? != 0,
        })
    }
}

fn unknown_state(id: i64) -> Error {
    Error::Unreadable(format!("state in row {id} of registrations is none that this program knows"))
}

/// The result of sending the form.
#[derive(Debug)]
pub enum Filed {
    /// A new registration with this id.
    Accepted(i64),
    /// The same form was sent before; this is the request it led to.
    CameBefore(Box<Registration>),
    /// The username is taken.
    NameTaken,
    /// Too many requests with this address await confirmation.
    AddressBusy,
    /// The daily requests of this network are used up; seconds until the next one.
    NetworkUsedUp(i64),
    /// The daily requests with this address are used up; seconds until the next one.
    AddressUsedUp(i64),
    /// No requests are accepted from anybody.
    Closed(Closed),
}

/// The limits that apply to a request. 0: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilingLimits<'a> {
    pub unconfirmed_per_address: u64,
    /// The allowance of its network.
    pub network: Option<Allowance<'a>>,
    /// The allowance of its mail address.
    pub address: Option<Allowance<'a>>,
    /// Undecided requests.
    pub open: u64,
    /// Requests in 24 hours.
    pub per_day: u64,
}

/// Why no requests are accepted at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Too many requests await confirmation or decision.
    TooManyOpen,
    /// Too many requests were made within 24 hours; seconds until the next one.
    TooManyToday(i64),
}

/// Somebody else with the same mail address, as information for the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameAddress {
    pub username: String,
    /// `None` for an account, otherwise the state of a request.
    pub state: Option<State>,
    /// When it was requested or created (seconds since 1970).
    pub since: i64,
}

/// An open request, as far as its row can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: i64,
    /// `None` for a state that this program does not know.
    pub state: Option<State>,
    pub username: String,
    /// When it reached this state (seconds since 1970).
    pub since: Option<i64>,
    /// The error of the last attempt.
    pub error: Option<String>,
}

impl Store {
    /// What stands against a request, checked without writing anything, so that many refused requests leave no rows. `None`: nothing
    /// so far; [`Store::file`] decides.
    pub fn refusal(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Option<Filed>, Error> {
        if let Some(before) = self.same_submission(&new.submission)? {
            return Ok(Some(Filed::CameBefore(Box::new(before))));
        }
        if let Some(network) = &limits.network
            && let Some(seconds) = self.used_up(network, new.requested_at)?
        {
            return Ok(Some(Filed::NetworkUsedUp(seconds)));
        }
        if let Some(address) = &limits.address
            && let Some(seconds) = self.used_up(address, new.requested_at)?
        {
            return Ok(Some(Filed::AddressUsedUp(seconds)));
        }
        self.stands_against(new, limits)
    }

    /// Files a request; `UNIQUE` columns decide who was first. A request that is not filed uses up nothing.
    pub fn file(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Filed, Error> {
        for allowance in limits.network.iter().chain(&limits.address) {
            // A network without allowance leaves no row for each address that it tries.
            if !self.open_allowance(allowance, new.requested_at)? {
                break;
            }
        }
        let filed = self.transaction_that_may_end(|store| {
            // First: holding these rows excludes others with this network or address, so the counts below are exact.
            if let Some(refused) = store.use_up(limits, new.requested_at)? {
                return Ok(End::RollBack(refused));
            }
            if let Some(refused) = store.stands_against(new, limits)? {
                return Ok(End::RollBack(refused));
            }
            store.insert_registration(new)?;
            let id = store.first("SELECT id FROM registrations WHERE seed = ?", &[new.seed.as_str().into()], |row| row.integer())?;
            id.map(|id| End::Commit(Filed::Accepted(id)))
                .ok_or_else(|| Error::Unavailable("a registration is not there although it was just written".into()))
        });
        let refused = match filed {
            // Another program was faster between our check and our insert.
            Err(Error::Conflict) => Filed::NameTaken,
            Err(cause) => return Err(cause),
            Ok(accepted @ Filed::Accepted(_)) => return Ok(accepted),
            Ok(refused) => refused,
        };
        // The conflict may be with the same form, sent before.
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

    /// Why no requests are accepted at present, if so. Not exact to the last one if several arrive at the same moment.
    pub fn closed(&mut self, limits: &FilingLimits, now: i64) -> Result<Option<Closed>, Error> {
        if limits.open > 0 {
            let sql = "SELECT COUNT(*) FROM registrations WHERE state IN (?, ?, ?, ?)";
            let open = [State::EmailSend, State::EmailVerify, State::AdminSend, State::AdminVerify].map(|state| state.number().into());
            if self.first(sql, &open, |row| row.integer())?.unwrap_or(0).unsigned_abs() >= limits.open {
                return Ok(Some(Closed::TooManyOpen));
            }
        }
        if limits.per_day > 0 {
            // The oldest of the requests that make the day full: when it is a day old, the next one is accepted.
            let sql = "SELECT requested_at FROM registrations ORDER BY id DESC LIMIT 1 OFFSET ?";
            let skipped = i64::try_from(limits.per_day - 1).unwrap_or(i64::MAX);
            // A time that cannot be read closes nothing.
            if let Some(Some(since)) = self.first(sql, &[skipped.into()], |row| Ok(row.integer().ok()))?
                && since > now - DAY
                && since <= now + LONGEST_WAIT
            {
                return Ok(Some(Closed::TooManyToday(since + DAY - now)));
            }
        }
        Ok(None)
    }

    /// The number of unconfirmed requests with this address.
    fn unconfirmed(&mut self, email_folded: &str) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) FROM registrations WHERE email_folded = ? AND state IN (?, ?)";
        let values = [email_folded.into(), State::EmailSend.number().into(), State::EmailVerify.number().into()];
        Ok(self.first(sql, &values, |row| row.integer())?.unwrap_or(0).unsigned_abs())
    }

    fn insert_registration(&mut self, new: &NewRegistration) -> Result<(), Error> {
        let sql = "INSERT INTO registrations (state, seed, submission, verify_token_hash, admin_token_hash, username, claimed_username, first_name,
                   last_name, email, email_folded, note, language, password, password_chosen, filled_hidden_field, requested_at, state_since, due_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, ?, ?, ?, ?)";
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
            i64::from(new.filled_hidden_field).into(),
            new.requested_at.into(),
            new.requested_at.into(),
            new.requested_at.into(),
        ];
        self.execute(sql, &values).map(|_| ())
    }

    /// Whether an open request or an account has the username.
    pub fn username_is_taken(&mut self, username: &str) -> Result<bool, Error> {
        let claimed = self.first("SELECT 1 FROM registrations WHERE claimed_username = ?", &[username.into()], |_| Ok(()))?;
        Ok(claimed.is_some() || self.login_exists(username)?)
    }

    pub fn registration(&mut self, id: i64) -> Result<Option<Registration>, Error> {
        self.registration_where("id = ?", id.into())
    }

    /// The registration with this hash of its form token.
    pub fn same_submission(&mut self, submission: &str) -> Result<Option<Registration>, Error> {
        self.registration_where("submission = ?", submission.into())
    }

    /// The registration with this hash of the token in the mailed link.
    pub fn registration_by_verify_token(&mut self, hash: &str) -> Result<Option<Registration>, Error> {
        self.registration_by_link("verify_token_hash = ?", PhpReader::Applicant, hash)
    }

    /// The registration with this hash of the token in the link posted to the room.
    pub fn registration_by_admin_token(&mut self, hash: &str) -> Result<Option<Registration>, Error> {
        self.registration_by_link("admin_token_hash = ?", PhpReader::Room, hash)
    }

    /// Finds our own link, one from before the key was lost, or one from the PHP program.
    fn registration_by_link(&mut self, own: &'static str, reader: PhpReader, hash: &str) -> Result<Option<Registration>, Error> {
        if let Some(registration) = self.registration_where(own, hash.into())? {
            return Ok(Some(registration));
        }
        let sql = "SELECT registration_id FROM php_links WHERE token_hash = ? AND reader = ?
                   UNION ALL SELECT registration_id FROM former_links WHERE token_hash = ? AND reader = ?";
        let values = [hash.into(), reader.number().into(), hash.into(), reader.number().into()];
        match self.first(sql, &values, |row| row.integer())? {
            Some(id) => self.registration(id),
            None => Ok(None),
        }
    }

    /// Whether the registration was taken over from the PHP program.
    pub fn is_from_php(&mut self, id: i64) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM php_links WHERE registration_id = ? LIMIT 1", &[id.into()], |_| Ok(()))?.is_some())
    }

    fn registration_where(&mut self, condition: &'static str, value: Value) -> Result<Option<Registration>, Error> {
        self.select_first(&REGISTRATION, &format!("WHERE {condition}"), &[value], Registration::read)
    }

    /// Others with the same address: accounts first, then requests; at most ten.
    pub fn same_address(&mut self, of: &Registration) -> Result<Vec<SameAddress>, Error> {
        // A time that cannot be read must not hide the rest from the room.
        const ACCOUNT: Selection = Selection { table: "logins", columns: &[Column::Localpart, Column::CreatedAt] };
        const REQUEST: Selection = Selection { table: "registrations", columns: &[Column::Username, Column::State, Column::RequestedAt] };
        let account = |row: NamedRow| {
            let since = row.readable_integer(Column::CreatedAt).unwrap_or(0);
            Ok(SameAddress { username: row.text(Column::Localpart)?, state: None, since })
        };
        let request = |row: NamedRow| {
            let state = row.readable_integer(Column::State).and_then(State::from_number);
            let since = row.readable_integer(Column::RequestedAt).unwrap_or(0);
            Ok(SameAddress { username: row.text(Column::Username)?, state, since })
        };
        let accounts = "WHERE email_folded = ? AND localpart <> ? ORDER BY id LIMIT 10";
        let values = [of.email_folded.as_str().into(), of.username.as_str().into()];
        let mut others = self.select(&ACCOUNT, accounts, &values, account)?;
        let requests = "WHERE email_folded = ? AND id <> ? AND state <> ? ORDER BY id LIMIT 10";
        let values = [of.email_folded.as_str().into(), of.id.into(), State::Expired.number().into()];
        for found in self.select(&REQUEST, requests, &values, request)? {
            // A finished request of local mode stands for the account that is in the list already.
            if found.state != Some(State::Done) || others.iter().all(|other| other.username != found.username) {
                others.push(found);
            }
        }
        others.truncate(10);
        Ok(others)
    }

    /// The state of a registration, without reading the rest of its row.
    pub fn state(&mut self, id: i64) -> Result<Option<State>, Error> {
        let number = self.first("SELECT state FROM registrations WHERE id = ?", &[id.into()], |row| Ok(row.integer().ok()))?;
        number.map(|number| number.and_then(State::from_number).ok_or_else(|| unknown_state(id))).transpose()
    }

    /// Changes the state without an action outside. `false`: the registration is no longer in state `from`, because another
    /// program changed it. Part of a transaction.
    pub(super) fn advance(&mut self, id: i64, from: State, to: State, now: i64) -> Result<bool, Error> {
        self.move_state(id, from, to, now, "1 = 1", &[])
    }

    /// The applicant confirmed the address and chose a password, which is hashed (local mode) or sealed (synapse mode); `None`:
    /// an initial one is derived. Either replaces a password that an older version asked for on the form, where anybody could
    /// have typed it. `false`: another program was faster, or the time was up, and nothing was changed.
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

    /// The room's decision (approved or declined), with the reason for declining. `false`: another program was faster.
    pub fn decide(&mut self, id: i64, decision: Event, reason: Option<&str>, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.advance_by(id, decision, now)? {
                return Ok(false);
            }
            store.note_decision(id, reason, now)?;
            Ok(true)
        })
    }

    fn note_decision(&mut self, id: i64, reason: Option<&str>, now: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET decided_at = ?, reason = ? WHERE id = ?", &[now.into(), reason.into(), id.into()])
            .map(|_| ())
    }

    /// Changes the state by an event, whatever the present state, if the event fits. Part of a transaction.
    fn advance_by(&mut self, id: i64, event: Event, now: i64) -> Result<bool, Error> {
        let Some(state) = self.state(id)? else { return Ok(false) };
        match state.after(event) {
            Some(next) => self.advance(id, state, next, now),
            None => Ok(false),
        }
    }

    /// The operator ends a request in state `from`, with the reason for the applicant if there is a decline mail. `false`: the
    /// request is no longer in that state, or a program is working on it.
    pub fn end(&mut self, id: i64, from: State, reason: Option<&str>, now: i64) -> Result<bool, Error> {
        let Some(to) = from.after(Event::EndedByOperator) else { return Ok(false) };
        self.transaction(|store| {
            let ended = store.move_state(id, from, to, now, FREE, &free(now))?;
            if ended && to == State::DeclineSend {
                store.note_decision(id, reason, now)?;
            }
            Ok(ended)
        })
    }

    /// The required action is done: changes the state and ends the lease. `false`: the lease was lost in the meantime.
    pub fn settle(&mut self, id: i64, from: State, holder: &str, to: State, now: i64) -> Result<bool, Error> {
        self.transaction(|store| store.settle_inside(id, from, holder, to, now))
    }

    fn settle_inside(&mut self, id: i64, from: State, holder: &str, to: State, now: i64) -> Result<bool, Error> {
        fault::point("settle");
        let settled = self.move_state(id, from, to, now, "lease = ?", &[holder.into()]);
        fault::point("settled");
        settled
    }

    /// Creates the account of local mode and changes the state, both or neither.
    pub fn settle_with_login(&mut self, id: i64, from: State, holder: &str, to: State, login: &NewLogin) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.settle_inside(id, from, holder, to, login.created_at)? {
                return Ok(false);
            }
            store.add_login(login)?;
            Ok(true)
        })
    }

    /// The homeserver refused: moves on to the decline mail, frees the username, ends the lease.
    pub fn settle_refused(&mut self, id: i64, from: State, holder: &str, to: State, refusal: &str, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.settle_inside(id, from, holder, to, now)? {
                return Ok(false);
            }
            store.execute("UPDATE registrations SET refusal = ? WHERE id = ?", &[refusal.into(), id.into()])?;
            Ok(true)
        })
    }

    /// The only code that changes a state. It frees the username and wipes the typed password when the new state does not need
    /// them, and deletes personal data when the request expires; the rest allows its link to say so. It also updates the side
    /// actions. Part of a transaction.
    fn move_state(&mut self, id: i64, from: State, to: State, now: i64, holding: &'static str, holder: &[Value]) -> Result<bool, Error> {
        let claim = if to.claims_username() { "claimed_username" } else { "NULL" };
        let is_needed = to.claims_username() && !matches!(to, State::MailCredentials | State::Done);
        let password = if is_needed { "password" } else { "NULL" };
        let person = match to {
            State::Expired => ", first_name = '', last_name = '', email = '', email_folded = '', note = ''",
            _ => "",
        };
        let sql = format!(
            "UPDATE registrations SET state = ?, state_since = ?, due_at = ?, {UNTRIED}, lease = NULL, lease_until = NULL,
             claimed_username = {claim}, password = {password}{person} WHERE id = ? AND state = ? AND ({holding})"
        );
        let mut values = vec![to.number().into(), now.into(), now.into(), id.into(), from.number().into()];
        values.extend_from_slice(holder);
        if self.execute(&sql, &values)? != 1 {
            return Ok(false);
        }
        if !from.owes_beside().is_empty() || !to.owes_beside().is_empty() {
            self.owe_beside(id, to, now)?;
        }
        Ok(true)
    }

    /// Drops a typed password that cannot be used any more; an initial one is derived instead.
    pub fn forget_chosen_password(&mut self, id: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET password = NULL, password_chosen = 0 WHERE id = ?", &[id.into()]).map(|_| ())
    }

    /// Records, before the homeserver is asked for the account, that it was: see `account_tried_at` in the schema.
    pub fn note_account_try(&mut self, id: i64, now: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET account_tried_at = ? WHERE id = ? AND account_tried_at IS NULL", &[now.into(), id.into()])?;
        fault::point("account try noted");
        Ok(())
    }

    /// The homeserver certainly did nothing, so the next attempt counts as the first.
    pub fn forget_account_try(&mut self, id: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET account_tried_at = NULL WHERE id = ?", &[id.into()]).map(|_| ())
    }

    /// Ends requests that reached state `from` before `before`. Returns their number.
    pub fn expire(&mut self, from: State, to: State, before: i64, now: i64) -> Result<u64, Error> {
        let sql = "SELECT id FROM registrations WHERE state = ? AND state_since < ?";
        let mut expired = 0;
        for row in self.query(sql, &[from.number().into(), before.into()])? {
            let id = row.integer()?;
            expired += u64::from(self.transaction(|store| store.advance(id, from, to, now))?);
        }
        Ok(expired)
    }

    /// Deletes requests that reached the final state `state` before `before`.
    pub fn forget(&mut self, state: State, before: i64) -> Result<u64, Error> {
        self.execute("DELETE FROM registrations WHERE state = ? AND state_since < ?", &[state.number().into(), before.into()])
    }

    /// If a request reached its state under a clock that ran ahead, counts the time from now on; otherwise it would not end
    /// until that time. Only for a `now` that is known to be right. Returns the number of requests.
    pub fn forget_times_of_a_wrong_clock(&mut self, now: i64) -> Result<u64, Error> {
        let soon = now + CLOCK_SKEW;
        // MariaDB assigns from left to right. Equal times mean that the PHP program tried: see `accounts::php`.
        let sql = "UPDATE registrations SET account_tried_at = CASE WHEN account_tried_at = state_since THEN ? ELSE account_tried_at END,
                   state_since = ? WHERE state_since > ?";
        let of_states = self.execute(sql, &[now.into(), now.into(), soon.into()])?;
        let of_requests = self.execute("UPDATE registrations SET requested_at = ? WHERE requested_at > ?", &[now.into(), soon.into()])?;
        self.execute("UPDATE owed_actions SET owed_since = ? WHERE owed_since > ?", &[now.into(), soon.into()])?;
        Ok(of_states.max(of_requests))
    }

    /// The newest time of a request that is not later than `now`.
    pub fn newest_time(&mut self, now: i64) -> Result<Option<i64>, Error> {
        let mut newest = None;
        for column in ["requested_at", "state_since"] {
            let sql = format!("SELECT MAX({column}) FROM registrations WHERE {column} <= ?");
            newest = newest.max(self.first(&sql, &[now.into()], |row| row.optional_integer())?.flatten());
        }
        Ok(newest)
    }

    /// Rows with a state that this program does not know, and for which nothing happens.
    pub fn of_unknown_state(&mut self) -> Result<Vec<i64>, Error> {
        let known = State::ALL.map(|state| state.number().to_string()).join(", ");
        let sql = format!("SELECT id FROM registrations WHERE state NOT IN ({known}) ORDER BY id LIMIT 100");
        self.query(&sql, &[])?.into_iter().map(|row| row.integer()).collect()
    }

    /// Open requests, in `state` or in any, the longest waiting first. Values that cannot be read are left out.
    pub fn waiting(&mut self, state: Option<State>, limit: i64) -> Result<Vec<Waiting>, Error> {
        let over: Vec<String> = State::ALL.iter().filter(|state| state.is_final()).map(|state| state.number().to_string()).collect();
        let which = state.map_or(format!("state NOT IN ({})", over.join(", ")), |state| format!("state = {}", state.number()));
        const WAITING: Selection = Selection {
            table: "registrations",
            columns: &[Column::Id, Column::State, Column::Username, Column::StateSince, Column::LastError],
        };
        let read = |row: NamedRow| {
            Ok(Waiting {
                id: row.integer(Column::Id)?,
                state: row.readable_integer(Column::State).and_then(State::from_number),
                username: row.optional_text(Column::Username).unwrap_or_default(),
                since: row.readable_integer(Column::StateSince),
                error: row.optional_text(Column::LastError),
            })
        };
        self.select(&WAITING, &format!("WHERE {which} ORDER BY state_since, id LIMIT ?"), &[limit.into()], read)
    }

    /// The number of requests that reached `state` before `before`, and the id of the first; `None` if there are none.
    pub fn waiting_since_before(&mut self, state: State, before: i64) -> Result<Option<(i64, i64)>, Error> {
        let sql = "SELECT COUNT(*), MIN(id) FROM registrations WHERE state = ? AND state_since < ?";
        let found = self.first(sql, &[state.number().into(), before.into()], |row| Ok((row.integer()?, row.integer_at(1)?)))?;
        Ok(found.and_then(|(count, first)| first.map(|first| (count, first))))
    }

    /// How many registrations are in `state`.
    pub fn count(&mut self, state: State) -> Result<i64, Error> {
        let counted = self.first("SELECT COUNT(*) FROM registrations WHERE state = ?", &[state.number().into()], |row| row.integer())?;
        Ok(counted.unwrap_or(0))
    }
}

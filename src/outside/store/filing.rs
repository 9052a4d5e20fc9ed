//! Turns a form into a row of `registrations`, or refuses it. A form sent twice is one row, by a `UNIQUE` column. The username is
//! reserved only when the address is confirmed ([`Store::confirm`]).

use super::{Allowance, AllowanceKind, ClosedByHand, End, Error, LONGEST_WAIT, Registration, Store};
use crate::domain::config::Language;
use crate::domain::registration::State;
use crate::domain::seconds::DAY;

/// A parsed request from the form.
#[derive(Debug, Clone)]
pub struct NewRegistration {
    pub seed: String,
    /// The hash of the form token.
    pub submission: String,
    /// The hash of the token of the thank-you page.
    pub page_token_hash: String,
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

/// The result of sending the form.
#[derive(Debug)]
pub enum Filed {
    /// A new registration with this id.
    Accepted(i64),
    /// The same form was sent before; this is the request it led to.
    CameBefore(Box<Registration>),
    /// A confirmed request or an account has the username.
    NameTaken,
    /// Too many requests with this address await confirmation.
    AddressBusy,
    /// The daily requests of this network, or with this address, are used up; seconds until the next one.
    UsedUp(AllowanceKind, i64),
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

impl<'a> FilingLimits<'a> {
    /// First that of the network: see [`Store::open_all`].
    pub(super) fn allowances(&self) -> Vec<Allowance<'a>> {
        self.network.into_iter().chain(self.address).collect()
    }
}

/// Why no requests are accepted at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// By the operator.
    ByHand(Box<ClosedByHand>),
    /// Too many requests await confirmation or decision.
    TooManyOpen,
    /// Too many requests were made within 24 hours; seconds until the next one.
    TooManyToday(i64),
}

impl Closed {
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Closed::ByHand(_))
    }
}

impl Store {
    /// Why a request is refused, checked without leaving a row, so that many refused requests leave none. `None`: no reason so far;
    /// [`Store::file`] decides.
    pub fn refusal(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Option<Filed>, Error> {
        if let Some(before) = self.same_submission(&new.submission)? {
            return Ok(Some(Filed::CameBefore(Box::new(before))));
        }
        let refused = self.refused_before_writing(new, limits)?;
        refused.map(|refused| self.counted(new, limits, refused)).transpose()
    }

    fn refused_before_writing(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Option<Filed>, Error> {
        for allowance in limits.allowances() {
            if let Some(seconds) = self.used_up(&allowance, new.requested_at)? {
                return Ok(Some(Filed::UsedUp(allowance.kind, seconds)));
            }
        }
        self.stands_against(new, limits)
    }

    /// Files a request. A request that is not filed uses up nothing, except after [`Filed::AddressBusy`].
    pub fn file(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Filed, Error> {
        let allowances = limits.allowances();
        self.open_all(&allowances, new.requested_at)?;
        let filed = self.transaction_that_may_end(|store| {
            // First: holding these rows excludes others with this network or address, so the counts below are exact.
            if let Some((kind, seconds)) = store.take_all(&allowances, new.requested_at)? {
                return Ok(End::RollBack(Filed::UsedUp(kind, seconds)));
            }
            if let Some(refused) = store.stands_against(new, limits)? {
                return Ok(End::RollBack(refused));
            }
            store.insert_registration(new).map(|id| End::Commit(Filed::Accepted(id)))
        });
        let refused = match filed {
            // Another program filed the same form between our check and our insert.
            Err(Error::Conflict) => {
                return self.same_submission(&new.submission)?.map(|before| Filed::CameBefore(Box::new(before))).ok_or(Error::Conflict);
            }
            Err(cause) => return Err(cause),
            Ok(accepted @ Filed::Accepted(_)) => return Ok(accepted),
            Ok(refused) => refused,
        };
        self.counted(new, limits, refused)
    }

    /// The answer to a refused request. One that is refused because of others with its address counts against the daily allowance of
    /// the address: otherwise a stranger could try out for which username somebody else's request waits.
    fn counted(&mut self, new: &NewRegistration, limits: &FilingLimits, refused: Filed) -> Result<Filed, Error> {
        match (self.unless_it_came_before(new, refused)?, limits.address) {
            (Filed::AddressBusy, Some(address)) => {
                let used_up = self.use_allowances(&[address], new.requested_at)?;
                Ok(used_up.map_or(Filed::AddressBusy, |(kind, seconds)| Filed::UsedUp(kind, seconds)))
            }
            (refused, _) => Ok(refused),
        }
    }

    /// A refusal, unless what is in the way is the same form, which another program may have filed since the last look.
    pub(crate) fn unless_it_came_before(&mut self, new: &NewRegistration, refused: Filed) -> Result<Filed, Error> {
        Ok(self.same_submission(&new.submission)?.map_or(refused, |before| Filed::CameBefore(Box::new(before))))
    }

    fn stands_against(&mut self, new: &NewRegistration, limits: &FilingLimits) -> Result<Option<Filed>, Error> {
        if self.username_is_taken(&new.username)? {
            return Ok(Some(Filed::NameTaken));
        }
        if self.unconfirmed(&new.email_folded, &new.username)? >= limits.unconfirmed_per_address {
            return Ok(Some(Filed::AddressBusy));
        }
        Ok(self.closed(limits, new.requested_at)?.map(Filed::Closed))
    }

    /// Why no requests are accepted at present, if so. Not exact to the last one if several arrive at the same moment.
    pub fn closed(&mut self, limits: &FilingLimits, now: i64) -> Result<Option<Closed>, Error> {
        if let Some(closed) = self.closed_by_hand(now)? {
            return Ok(Some(Closed::ByHand(Box::new(closed))));
        }
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

    /// The number of unconfirmed requests with this address for other usernames. Whoever sends the same form again, because no mail
    /// came, gets another mail; the daily limits bound how many.
    pub(super) fn unconfirmed(&mut self, email_folded: &str, username: &str) -> Result<u64, Error> {
        let sql = "SELECT COUNT(*) FROM registrations WHERE email_folded = ? AND username <> ? AND state IN (?, ?)";
        let values = [email_folded.into(), username.into(), State::EmailSend.number().into(), State::EmailVerify.number().into()];
        Ok(self.first(sql, &values, |row| row.integer())?.unwrap_or(0).unsigned_abs())
    }

    /// Returns the id of the new row. Part of a transaction.
    pub(super) fn insert_registration(&mut self, new: &NewRegistration) -> Result<i64, Error> {
        let sql = "INSERT INTO registrations (state, seed, submission, page_token_hash, verify_token_hash, admin_token_hash, username, first_name,
                   last_name, email, email_folded, note, language, password, password_chosen, filled_hidden_field, requested_at, state_since, due_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0, ?, ?, ?, ?)";
        let values = [
            State::EmailSend.number().into(),
            new.seed.as_str().into(),
            new.submission.as_str().into(),
            new.page_token_hash.as_str().into(),
            new.verify_token_hash.as_str().into(),
            new.admin_token_hash.as_str().into(),
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
        self.execute(sql, &values)?;
        let id = self.first("SELECT id FROM registrations WHERE seed = ?", &[new.seed.as_str().into()], |row| row.integer())?;
        id.ok_or_else(|| Error::Unavailable("a registration is not there although it was just written".into()))
    }

    /// Whether a confirmed request or an account has the username.
    pub fn username_is_taken(&mut self, username: &str) -> Result<bool, Error> {
        let claimed = self.first("SELECT 1 FROM registrations WHERE claimed_username = ?", &[username.into()], |_| Ok(()))?;
        Ok(claimed.is_some() || self.login_exists(username)?)
    }

    /// The same, but for the claim of registration `id` itself.
    pub fn username_is_taken_by_others(&mut self, id: i64, username: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM registrations WHERE claimed_username = ? AND id <> ?";
        let claimed = self.first(sql, &[username.into(), id.into()], |_| Ok(()))?;
        Ok(claimed.is_some() || self.login_exists(username)?)
    }
}

//! Changes of state in `registrations`, whose rows also form the outbox.
//!
//! Every change of a state names the previous state and must change exactly one row. A second program changes none, and its
//! caller is told so.

use super::owed::{FREE, UNTRIED, free};
use super::registrations::unknown_state;
use super::{CLOCK_SKEW, End, Error, NewLogin, Store, Value};
use crate::domain::config::OperationMode;
use crate::domain::decision::{Decider, Outcome};
use crate::domain::registration::{Event, SideAction, State};
use crate::outside::fault;

/// The result of confirming an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    Yes,
    /// Another program was faster, or the time was up; nothing was changed.
    NotAwaited,
    /// Another request or an account has the username; nothing was changed.
    NameTaken,
}

/// What is written down of a no; `None` for an event that is none.
fn outcome(decision: Event) -> Option<Outcome> {
    match decision {
        Event::Declined => Some(Outcome::Declined),
        Event::DeclinedSilently => Some(Outcome::DeclinedSilently),
        _ => None,
    }
}

/// The result of taking a no back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    Yes,
    /// There is no no to take back; nothing was changed.
    NotDeclined,
    /// Another request or an account has the username by now; nothing was changed.
    NameTaken,
}

impl Store {
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

    /// The applicant confirmed the address, which reserves the username: the one that was asked for, or `other_name`. `password`
    /// was chosen with it and is hashed (local mode) or sealed (synapse mode); `None`: an initial one is derived. Either replaces
    /// a password that an older version asked for on the form, where anybody could have typed it.
    pub fn confirm(&mut self, id: i64, other_name: Option<&str>, password: Option<&str>, now: i64) -> Result<Confirmed, Error> {
        let confirmed = self.transaction_that_may_end(|store| {
            if let Some(name) = other_name {
                let sql = "UPDATE registrations SET username = ?, claimed_username = NULL WHERE id = ? AND state IN (?, ?)";
                let unconfirmed = [State::EmailSend.number().into(), State::EmailVerify.number().into()];
                store.execute(sql, &[&[name.into(), id.into()], &unconfirmed[..]].concat())?;
            }
            if !store.advance_by(id, Event::AddressConfirmed, now)? {
                return Ok(End::RollBack(Confirmed::NotAwaited));
            }
            if store.has_account(id)? {
                return Ok(End::RollBack(Confirmed::NameTaken));
            }
            let sql = "UPDATE registrations SET password = ?, password_chosen = ?, confirmed_at = ? WHERE id = ?";
            store.execute(sql, &[password.into(), i64::from(password.is_some()).into(), now.into(), id.into()])?;
            fault::point("confirming");
            Ok(End::Commit(Confirmed::Yes))
        });
        match confirmed {
            // UNIQUE: somebody else has reserved the name.
            Err(Error::Conflict) => Ok(Confirmed::NameTaken),
            confirmed => confirmed,
        }
    }

    /// The applicant chose a password by the link that was mailed after the approval: hashed (local mode) or sealed (synapse
    /// mode). `false`: another program was faster, or the time was up, and nothing was changed.
    pub fn choose_password(&mut self, id: i64, password: &str, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.advance_by(id, Event::PasswordChosen, now)? {
                return Ok(false);
            }
            let sql = "UPDATE registrations SET password = ?, password_chosen = 1, refusal = NULL WHERE id = ?";
            store.execute(sql, &[password.into(), id.into()])?;
            fault::point("choosing");
            Ok(true)
        })
    }

    /// Records, before the link to choose a password is mailed, by what it will be found.
    pub fn note_choose_token(&mut self, id: i64, hash: &str) -> Result<(), Error> {
        self.execute("UPDATE registrations SET choose_token_hash = ? WHERE id = ?", &[hash.into(), id.into()]).map(|_| ())
    }

    /// The applicant withdrew the request. `false`: that is not possible any more, and nothing was changed.
    pub fn withdraw(&mut self, id: i64, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            let withdrawn = store.advance_by(id, Event::Withdrawn, now)?;
            fault::point("withdrawing");
            Ok(withdrawn)
        })
    }

    /// The room's yes, in whatever way it was said, and the mode in which the account is created, whatever `config.toml` says by
    /// then. `false`: another decision was faster ([`Store::decisions`] has it), and nothing was changed.
    pub fn approve(&mut self, id: i64, approval: Event, mode: OperationMode, by: &Decider, now: i64) -> Result<bool, Error> {
        if !matches!(approval, Event::Approved | Event::ApprovedToChoose) {
            return Ok(false);
        }
        self.transaction(|store| {
            if !store.advance_by(id, approval, now)? {
                return Ok(false);
            }
            store.note_decision(id, Outcome::Approved, None, by, now)?;
            store.note_mode(id, mode)?;
            fault::point("deciding");
            Ok(true)
        })
    }

    /// Records in which mode the account is created.
    pub(crate) fn note_mode(&mut self, id: i64, mode: OperationMode) -> Result<(), Error> {
        self.execute("UPDATE registrations SET approved_mode = ? WHERE id = ?", &[mode.name().into(), id.into()]).map(|_| ())
    }

    /// The room's no, in whatever way it was said, with the reason. The applicant is not told the reason of
    /// [`Event::DeclinedSilently`]. `false`: another decision was faster ([`Store::decisions`] has it), and nothing was changed.
    pub fn decline(&mut self, id: i64, decision: Event, reason: Option<&str>, by: &Decider, now: i64) -> Result<bool, Error> {
        let Some(outcome) = outcome(decision) else { return Ok(false) };
        self.transaction(|store| {
            if !store.advance_by(id, decision, now)? {
                return Ok(false);
            }
            store.note_decision(id, outcome, reason, by, now)?;
            fault::point("deciding");
            Ok(true)
        })
    }

    /// Takes a no back, however it came about: the request waits for a decision again, and reserves its username again. A name that
    /// the homeserver refused stays refused.
    pub fn take_back(&mut self, id: i64, by: &Decider, now: i64) -> Result<TakenBack, Error> {
        let taken_back = self.transaction_that_may_end(|store| {
            let is_refused = store.first("SELECT 1 FROM registrations WHERE id = ? AND refusal IS NOT NULL", &[id.into()], |_| Ok(()))?;
            if is_refused.is_some() || !store.advance_by(id, Event::TakenBack, now)? {
                return Ok(End::RollBack(TakenBack::NotDeclined));
            }
            if store.has_account(id)? {
                return Ok(End::RollBack(TakenBack::NameTaken));
            }
            // The password that was chosen is gone, so an initial one is derived.
            let sql = "UPDATE registrations SET decided_at = NULL, reason = NULL, password_chosen = 0 WHERE id = ?";
            store.execute(sql, &[id.into()])?;
            store.note_decided(id, Outcome::TakenBack, by, None, now)?;
            fault::point("taking back");
            Ok(End::Commit(TakenBack::Yes))
        });
        match taken_back {
            // UNIQUE: somebody else has reserved the name.
            Err(Error::Conflict) => Ok(TakenBack::NameTaken),
            taken_back => taken_back,
        }
    }

    /// Whether an account of our own table has the username of a registration.
    fn has_account(&mut self, id: i64) -> Result<bool, Error> {
        let account = "SELECT 1 FROM registrations JOIN logins ON logins.localpart = registrations.username WHERE registrations.id = ?";
        Ok(self.first(account, &[id.into()], |_| Ok(()))?.is_some())
    }

    /// Ends requests that the room has not decided since before `before`. Returns their number.
    pub fn end_undecided(&mut self, before: i64, now: i64) -> Result<u64, Error> {
        let Some(to) = State::AdminVerify.after(Event::TimeRanOut) else { return Ok(0) };
        let sql = "SELECT id FROM registrations WHERE state = ? AND state_since < ?";
        let mut ended = 0;
        for row in self.query(sql, &[State::AdminVerify.number().into(), before.into()])? {
            let id = row.integer()?;
            ended += u64::from(self.transaction(|store| {
                if !store.move_state(id, State::AdminVerify, to, now, "state_since < ?", &[before.into()])? {
                    return Ok(false);
                }
                store.note_decision(id, Outcome::Undecided, None, &Decider::Time, now)?;
                fault::point("ending undecided");
                Ok(true)
            })?);
        }
        Ok(ended)
    }

    fn note_decision(&mut self, id: i64, outcome: Outcome, reason: Option<&str>, by: &Decider, now: i64) -> Result<(), Error> {
        let told = reason.filter(|_| outcome != Outcome::DeclinedSilently);
        let sql = "UPDATE registrations SET decided_at = ?, reason = ? WHERE id = ?";
        self.execute(sql, &[now.into(), told.into(), id.into()])?;
        self.note_decided(id, outcome, by, reason, now)
    }

    /// Changes the state by an event, whatever the present state, if the event fits. Part of a transaction.
    fn advance_by(&mut self, id: i64, event: Event, now: i64) -> Result<bool, Error> {
        let Some(state) = self.state(id)? else { return Ok(false) };
        let Some(next) = state.after(event) else { return Ok(false) };
        match self.advance(id, state, next, now)? {
            true => Ok(true),
            // The event may fit the new state as well: a mail or message was recorded as sent. The transaction is repeated.
            false => Err(Error::Contended(format!("the state of registration {id} changed at the same moment"))),
        }
    }

    /// The operator ends a request in state `from`, with the reason for the applicant if there is a decline mail. `false`: the
    /// request is no longer in that state, or a program is working on it.
    pub fn end(&mut self, id: i64, from: State, reason: Option<&str>, by: &Decider, now: i64) -> Result<bool, Error> {
        let Some(to) = from.after(Event::EndedByOperator) else { return Ok(false) };
        self.transaction(|store| {
            let ended = store.move_state(id, from, to, now, FREE, &free(now))?;
            if ended && to == State::DeclineSend {
                // The homeserver may have refused a password, which is no reason any more.
                store.execute("UPDATE registrations SET refusal = NULL WHERE id = ?", &[id.into()])?;
                store.note_decision(id, Outcome::Ended, reason, by, now)?;
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

    /// The required mail is given up: changes the state, says so, and ends the lease. `false`: the lease was lost in the meantime.
    pub(crate) fn settle_given_up(&mut self, id: i64, from: State, holder: &str, to: State, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.settle_inside(id, from, holder, to, now)? {
                return Ok(false);
            }
            store.execute("UPDATE registrations SET mail_lost = 1 WHERE id = ?", &[id.into()])?;
            Ok(true)
        })
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
    pub(crate) fn settle_refused(&mut self, id: i64, from: State, holder: &str, to: State, refusal: &str, now: i64) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.settle_inside(id, from, holder, to, now)? {
                return Ok(false);
            }
            store.execute("UPDATE registrations SET refusal = ? WHERE id = ?", &[refusal.into(), id.into()])?;
            Ok(true)
        })
    }

    /// The homeserver refused the password that the applicant chose: asks for another one, ends the lease. Nothing was made, so
    /// the next attempt counts as the first.
    pub(crate) fn settle_password_refused(
        &mut self,
        id: i64,
        from: State,
        holder: &str,
        to: State,
        refusal: &str,
        now: i64,
    ) -> Result<bool, Error> {
        self.transaction(|store| {
            if !store.settle_inside(id, from, holder, to, now)? {
                return Ok(false);
            }
            // Unless the account exists already, and only lacks its password.
            let sql = "UPDATE registrations SET refusal = ?, password_chosen = 0, account_tried_at = CASE WHEN EXISTS (SELECT 1 FROM account_notes
                       WHERE registration_id = registrations.id AND account_id IS NOT NULL) THEN account_tried_at ELSE NULL END WHERE id = ?";
            store.execute(sql, &[refusal.into(), id.into()])?;
            Ok(true)
        })
    }

    /// The only code that changes a state. It reserves or frees the username, wipes the typed password when the new state does
    /// not need it, and deletes personal data when the request expires or is withdrawn; the rest allows its link to say so. It
    /// also updates the side actions. Part of a transaction.
    fn move_state(&mut self, id: i64, from: State, to: State, now: i64, holding: &'static str, holder: &[Value]) -> Result<bool, Error> {
        let claim = match to {
            _ if to.frees_username() => "NULL",
            _ if to.claims_username() && !from.claims_username() => "username",
            _ => "claimed_username",
        };
        let is_needed = matches!(to, State::AdminSend | State::AdminVerify | State::Register);
        let password = if is_needed { "password" } else { "NULL" };
        let leaves_no_person = matches!(to, State::Expired | State::Withdrawn);
        let person = match leaves_no_person {
            true => ", first_name = '', last_name = '', email = '', email_folded = '', note = ''",
            false => "",
        };
        let sql = format!(
            "UPDATE registrations SET state = ?, state_since = ?, due_at = ?, {UNTRIED}, lease = NULL, lease_until = NULL, mail_lost = 0,
             claimed_username = {claim}, password = {password}{person} WHERE id = ? AND state = ? AND ({holding})"
        );
        let mut values = vec![to.number().into(), now.into(), now.into(), id.into(), from.number().into()];
        values.extend_from_slice(holder);
        if self.execute(&sql, &values)? != 1 {
            return Ok(false);
        }
        if leaves_no_person {
            self.execute("DELETE FROM questions WHERE registration_id = ?", &[id.into()])?;
            self.execute("UPDATE decisions SET reason = NULL WHERE registration_id = ?", &[id.into()])?;
            self.owe_redaction_of_answers(id, now)?;
        }
        if !from.owes_beside().is_empty() || !to.owes_beside().is_empty() {
            self.owe_beside(id, to, now)?;
        }
        self.owe_showing_of(id, to, now)?;
        Ok(true)
    }

    /// Drops a typed password that cannot be used any more; an initial one is derived instead.
    pub(crate) fn forget_chosen_password(&mut self, id: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET password = NULL, password_chosen = 0 WHERE id = ?", &[id.into()]).map(|_| ())
    }

    /// Records, before the homeserver is asked for the account, that it was: see `account_tried_at` in the schema.
    pub(crate) fn note_account_try(&mut self, id: i64, now: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET account_tried_at = ? WHERE id = ? AND account_tried_at IS NULL", &[now.into(), id.into()])?;
        fault::point("account try noted");
        Ok(())
    }

    /// The homeserver certainly did nothing, so the next attempt counts as the first.
    pub(crate) fn forget_account_try(&mut self, id: i64) -> Result<(), Error> {
        self.execute("UPDATE registrations SET account_tried_at = NULL WHERE id = ?", &[id.into()]).map(|_| ())
    }

    /// Ends requests that reached state `from` before `before`. Returns their number.
    pub fn expire(&mut self, from: State, to: State, before: i64, now: i64) -> Result<u64, Error> {
        let sql = "SELECT id FROM registrations WHERE state = ? AND state_since < ?";
        let mut expired = 0;
        for row in self.query(sql, &[from.number().into(), before.into()])? {
            expired += u64::from(self.expire_one(row.integer()?, from, to, before, now)?);
        }
        Ok(expired)
    }

    /// Ends one request, unless it came back to its state since it was read: whoever wanted another mail has all the time anew.
    pub(super) fn expire_one(&mut self, id: i64, from: State, to: State, before: i64, now: i64) -> Result<bool, Error> {
        self.transaction(|store| store.move_state(id, from, to, now, "state_since < ?", &[before.into()]))
    }

    /// Ends approved requests whose applicants have not chosen a password since before `before`, and were reminded, as far as a
    /// mail could reach them. Returns their number.
    pub fn expire_unchosen(&mut self, before: i64, now: i64) -> Result<u64, Error> {
        let Some(to) = State::Choosing.after(Event::TimeRanOut) else { return Ok(0) };
        let sql = "SELECT id FROM registrations WHERE state = ? AND state_since < ?
                   AND NOT EXISTS (SELECT 1 FROM owed_actions WHERE registration_id = registrations.id AND kind = ?)";
        let values = [State::Choosing.number().into(), before.into(), SideAction::RemindToChoose.number().into()];
        let mut expired = 0;
        for row in self.query(sql, &values)? {
            let id = row.integer()?;
            expired += u64::from(self.expire_one(id, State::Choosing, to, before, now)?);
        }
        Ok(expired)
    }

    /// The applicant was reminded to choose a password: the time to do so counts as begun no earlier than `since`.
    pub(crate) fn give_time_to_choose(&mut self, id: i64, since: i64) -> Result<(), Error> {
        let sql = "UPDATE registrations SET state_since = ? WHERE id = ? AND state = ? AND state_since < ?";
        self.execute(sql, &[since.into(), id.into(), State::Choosing.number().into(), since.into()]).map(|_| ())
    }

    /// If a request reached its state under a clock that ran ahead, counts the time from now on; otherwise it would not end
    /// until that time. Only for a `now` that is known not to be too early. Returns the number of requests.
    pub(crate) fn forget_times_of_a_wrong_clock(&mut self, now: i64) -> Result<u64, Error> {
        let soon = now + CLOCK_SKEW;
        // MariaDB assigns from left to right. Equal times mean that the PHP program tried: see `accounts::php`.
        let known = State::ALL.map(|state| state.number().to_string()).join(", ");
        let sql = format!(
            "UPDATE registrations SET account_tried_at = CASE WHEN account_tried_at = state_since THEN ? ELSE account_tried_at END,
             state_since = ? WHERE state IN ({known}) AND state_since > ?"
        );
        let of_states = self.execute(&sql, &[now.into(), now.into(), soon.into()])?;
        let of_requests = self.execute("UPDATE registrations SET requested_at = ? WHERE requested_at > ?", &[now.into(), soon.into()])?;
        self.execute("UPDATE owed_actions SET owed_since = ? WHERE owed_since > ?", &[now.into(), soon.into()])?;
        Ok(of_states.max(of_requests))
    }

    /// The newest time at which a request was filed, or since which one has had its state, the latter only if not later than `now`.
    pub(crate) fn newest_time(&mut self, now: i64) -> Result<Option<i64>, Error> {
        let mut newest = None;
        // In SQLite, text is greater than any number.
        for (column, latest) in [("requested_at", i64::MAX), ("state_since", now)] {
            let sql = format!("SELECT MAX({column}) FROM registrations WHERE {column} <= ?");
            newest = newest.max(self.first(&sql, &[latest.into()], |row| row.optional_integer())?.flatten());
        }
        Ok(newest)
    }
}

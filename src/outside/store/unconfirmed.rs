//! Requests whose address nobody has confirmed yet, for whoever filed them: the mail is sent again, a mistyped address corrected.
//!
//! Both name the round of mails that their page showed. A second click, or an older page, names a round that is over and changes
//! nothing.

use super::filing::{FilingLimits, NewRegistration};
use super::{AllowanceKind, Column, End, Error, NamedRow, Registration, Selection, Store};
use crate::domain::back_off::{AddressFault, Trouble};
use crate::domain::number::Number;
use crate::domain::registration::{Event, State};
use crate::outside::fault;

/// The most mails of one request after the first, each with its own Message-ID; a correction begins a new one, too.
const MOST_ROUNDS: i64 = 6;
/// How often the address of one request can be corrected.
const MOST_CORRECTIONS: i64 = 3;

/// What became of the wish for another mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The mail is owed again, for the request with this id.
    Owed(i64),
    /// That round of mails is over: a second click, or an older page. Nothing was changed.
    Over,
    /// The request does not await confirmation. Nothing was changed.
    NotAwaited,
    /// As many mails or corrections as one request gets.
    Enough,
    /// Too many requests with the new address await confirmation. Counts against the allowances.
    AddressBusy,
    /// The daily requests of this network, or with this address, are used up; seconds until the next one.
    UsedUp(AllowanceKind, i64),
}

/// A corrected address, and everything that is derived from the new seed: the link in earlier mails leads nowhere any more.
#[derive(Debug, Clone)]
pub struct Correction {
    pub email: String,
    pub email_folded: String,
    pub seed: String,
    pub verify_token_hash: String,
    pub admin_token_hash: String,
}

/// What is known of the confirmation mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmMail {
    pub is_sent: bool,
    /// An attempt to send it failed, and there will be another.
    pub is_delayed: bool,
    /// What the mail server said about the address, if the last attempt failed for that.
    pub fault: Option<AddressFault>,
    /// See [`Registration::mail_round`].
    pub round: i64,
}

/// A request as far as another mail is concerned.
struct Unconfirmed {
    state: State,
    submission: String,
    page_token_hash: String,
    round: i64,
    corrections: i64,
}

/// The request with the corrected address, as if it were filed now.
fn corrected(of: Registration, unconfirmed: &Unconfirmed, to: &Correction, now: i64) -> NewRegistration {
    NewRegistration {
        seed: to.seed.clone(),
        submission: unconfirmed.submission.clone(),
        page_token_hash: unconfirmed.page_token_hash.clone(),
        verify_token_hash: to.verify_token_hash.clone(),
        admin_token_hash: to.admin_token_hash.clone(),
        username: of.username,
        first_name: of.first_name,
        last_name: of.last_name,
        email: to.email.clone(),
        email_folded: to.email_folded.clone(),
        note: of.note,
        language: of.language,
        filled_hidden_field: of.filled_hidden_field,
        requested_at: now,
    }
}

impl Store {
    /// The registration with this hash of the token of its own thank-you page.
    pub(crate) fn registration_by_page_token(&mut self, hash: &str) -> Result<Option<Registration>, Error> {
        self.registration_where("page_token_hash = ?", hash.into())
    }

    /// What is known of the mail of a request that awaits confirmation; `None` for any other.
    pub(crate) fn confirm_mail(&mut self, id: i64) -> Result<Option<ConfirmMail>, Error> {
        const MAIL: Selection =
            Selection { table: "registrations", columns: &[Column::State, Column::Trouble, Column::Undeliverable, Column::MailRound] };
        let read = |row: NamedRow| {
            let state = State::from_number(row.integer(Column::State)?);
            let trouble = row.optional_text(Column::Trouble);
            let fault = match &trouble {
                Some(trouble) if trouble == Trouble::Addresses.name() => Some(match row.readable_integer(Column::Undeliverable) {
                    Some(1) => AddressFault::Gone,
                    _ => AddressFault::PutOff,
                }),
                _ => None,
            };
            let mail = ConfirmMail {
                is_sent: state == Some(State::EmailVerify),
                is_delayed: trouble.is_some(),
                fault,
                round: row.integer(Column::MailRound)?,
            };
            Ok(state.filter(|state| state.is_unconfirmed()).map(|_| mail))
        };
        Ok(self.select_first(&MAIL, "WHERE id = ?", &[id.into()], read)?.flatten())
    }

    /// Owes the confirmation mail again: a new one if one was sent, otherwise the one that is not sent yet, without a wait.
    pub(crate) fn mail_again(&mut self, id: i64, round: i64, limits: &FilingLimits, now: i64) -> Result<Again, Error> {
        self.once_more(id, round, limits, now, |store, unconfirmed| {
            if unconfirmed.state == State::EmailSend {
                let sql = "UPDATE registrations SET due_at = ? WHERE id = ? AND mail_round = ? AND state = ?";
                let is_owed = store.execute(sql, &[now.into(), id.into(), round.into(), unconfirmed.state.number().into()])? == 1;
                // Sent, or confirmed, since the state was read.
                return Ok(if is_owed { Again::Owed(id) } else { Again::Over });
            }
            store.begin_round(id, &unconfirmed, now)
        })
    }

    /// Corrects the address of a request, and owes it a mail. The request becomes another row with another number and another link.
    /// The old number leads to it, the old link does not: whoever opens the link of an earlier mail at this very moment confirms
    /// nothing, nor does a program that is still sending that mail.
    pub(crate) fn correct_address(
        &mut self,
        id: i64,
        round: i64,
        to: &Correction,
        limits: &FilingLimits,
        now: i64,
    ) -> Result<Again, Error> {
        self.once_more(id, round, limits, now, |store, unconfirmed| {
            if unconfirmed.corrections >= MOST_CORRECTIONS || unconfirmed.round >= MOST_ROUNDS {
                return Ok(Again::Enough);
            }
            let Some(registration) = store.registration(id)? else { return Ok(Again::NotAwaited) };
            if store.unconfirmed(&to.email_folded, &registration.username)? >= limits.unconfirmed_per_address {
                return Ok(Again::AddressBusy);
            }
            let new = corrected(registration, &unconfirmed, to, now);
            let mut numbers = store.former_numbers(id)?;
            numbers.push(Number(id));
            if !store.delete_unconfirmed(id, round)? {
                return Ok(Again::Over);
            }
            let id = store.insert_registration(&new)?;
            for number in numbers {
                store.execute("INSERT INTO former_numbers (number, registration_id) VALUES (?, ?)", &[number.0.into(), id.into()])?;
            }
            let sql = "UPDATE registrations SET mail_round = ?, corrections = ? WHERE id = ?";
            store.execute(sql, &[(round + 1).into(), (unconfirmed.corrections + 1).into(), id.into()])?;
            fault::point("address corrected");
            Ok(Again::Owed(id))
        })
    }

    /// What both have in common; `change` begins the new round.
    fn once_more(
        &mut self,
        id: i64,
        round: i64,
        limits: &FilingLimits,
        now: i64,
        change: impl Fn(&mut Store, Unconfirmed) -> Result<Again, Error>,
    ) -> Result<Again, Error> {
        let allowances = limits.allowances();
        self.open_all(&allowances, now)?;
        self.transaction_that_may_end(|store| {
            // First: holding these rows excludes others with this network or address, so the counts below are exact.
            if let Some((kind, seconds)) = store.take_all(&allowances, now)? {
                return Ok(End::RollBack(Again::UsedUp(kind, seconds)));
            }
            let Some(unconfirmed) = store.awaiting_confirmation(id)? else { return Ok(End::RollBack(Again::NotAwaited)) };
            if unconfirmed.round != round {
                return Ok(End::RollBack(Again::Over));
            }
            match change(store, unconfirmed)? {
                // A busy address changes nothing but counts, as when a request is filed.
                counts @ (Again::Owed(_) | Again::AddressBusy) => Ok(End::Commit(counts)),
                refused => Ok(End::RollBack(refused)),
            }
        })
    }

    fn awaiting_confirmation(&mut self, id: i64) -> Result<Option<Unconfirmed>, Error> {
        const UNCONFIRMED: Selection = Selection {
            table: "registrations",
            columns: &[Column::State, Column::Submission, Column::PageTokenHash, Column::MailRound, Column::Corrections],
        };
        let read = |row: NamedRow| {
            let state = State::from_number(row.integer(Column::State)?).filter(|state| state.is_unconfirmed());
            let (submission, page_token_hash) = (row.text(Column::Submission)?, row.text(Column::PageTokenHash)?);
            let (round, corrections) = (row.integer(Column::MailRound)?, row.integer(Column::Corrections)?);
            Ok(state.map(|state| Unconfirmed { state, submission, page_token_hash, round, corrections }))
        };
        Ok(self.select_first(&UNCONFIRMED, "WHERE id = ?", &[id.into()], read)?.flatten())
    }

    /// Deletes a request that is still in this round and unconfirmed, whatever was read of it before. `false`: it is not.
    fn delete_unconfirmed(&mut self, id: i64, round: i64) -> Result<bool, Error> {
        let sql = "DELETE FROM registrations WHERE id = ? AND mail_round = ? AND state IN (?, ?)";
        let values = [id.into(), round.into(), State::EmailSend.number().into(), State::EmailVerify.number().into()];
        Ok(self.execute(sql, &values)? == 1)
    }

    /// Begins the next round of mails, with another Message-ID: mail servers drop a copy of a mail that they have.
    fn begin_round(&mut self, id: i64, unconfirmed: &Unconfirmed, now: i64) -> Result<Again, Error> {
        if unconfirmed.round >= MOST_ROUNDS {
            return Ok(Again::Enough);
        }
        let sql = "UPDATE registrations SET mail_round = mail_round + 1 WHERE id = ? AND mail_round = ?";
        if self.execute(sql, &[id.into(), unconfirmed.round.into()])? != 1 {
            return Ok(Again::Over);
        }
        let Some(to) = unconfirmed.state.after(Event::MailWantedAgain) else { return Ok(Again::NotAwaited) };
        Ok(if self.advance(id, unconfirmed.state, to, now)? { Again::Owed(id) } else { Again::NotAwaited })
    }
}

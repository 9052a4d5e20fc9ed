//! `registrations`: open requests, and the queries about them.

use super::keys::CHOOSER;
use super::listing::none_of;
use super::php::PhpReader;
use super::{Column, Error, NamedRow, Selection, Store, Value};
use crate::domain::config::{Config, Language, OperationMode};
use crate::domain::names;
use crate::domain::number::Number;
use crate::domain::registration::State;

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
    /// When the address was confirmed; `None` also for requests of earlier versions.
    pub confirmed_at: Option<i64>,
    pub state_since: i64,
    pub decided_at: Option<i64>,
    pub account_tried_at: Option<i64>,
    /// Where the account is created; `None`: not approved, or by an earlier version. Use [`Registration::mode`].
    pub approved_mode: Option<OperationMode>,
    /// The hash of the token in the link to choose a password, once that was to be mailed.
    pub choose_token_hash: Option<String>,
    /// Whether the form's hidden field was filled in, as information for the room.
    pub filled_hidden_field: bool,
    /// How many confirmation mails the applicant wanted after the first: 0, 1, ...
    pub mail_round: i64,
    /// Whether the mail of the state before was given up.
    pub mail_lost: bool,
    /// By which the person is found again, once the room was asked.
    pub person_hash: Option<String>,
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
        Column::ConfirmedAt,
        Column::StateSince,
        Column::DecidedAt,
        Column::AccountTriedAt,
        Column::ApprovedMode,
        Column::ChooseTokenHash,
        Column::FilledHiddenField,
        Column::MailRound,
        Column::MailLost,
        Column::PersonHash,
    ],
};

impl Registration {
    /// What people call it.
    pub fn number(&self) -> Number {
        Number(self.id)
    }

    /// First and last name; the username if there is none, because the PHP program did not always ask for a name.
    pub fn full_name(&self) -> String {
        match names::display_name(&self.first_name, &self.last_name) {
            name if name.is_empty() => self.username.clone(),
            name => name,
        }
    }

    /// The mode in which the account was or will be created: the one of the approval, because an earlier try may have created it
    /// there. If `config.toml` does not have that mode any more and nothing was tried, the configured one.
    pub fn mode(&self, config: &Config) -> OperationMode {
        let is_settled = self.account_tried_at.is_some() || self.state.has_account();
        match self.approved_mode {
            Some(mode) if is_settled || config.can_create_in(mode) => mode,
            _ => config.operation_mode,
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
            confirmed_at: row.optional_integer(Column::ConfirmedAt)?,
            state_since: row.integer(Column::StateSince)?,
            decided_at: row.optional_integer(Column::DecidedAt)?,
            account_tried_at: row.optional_integer(Column::AccountTriedAt)?,
            approved_mode: row.optional_text(Column::ApprovedMode).map(|name| known_mode(&name, id)).transpose()?,
            choose_token_hash: row.optional_text(Column::ChooseTokenHash),
            filled_hidden_field: row.integer(Column::FilledHiddenField)? != 0,
            mail_round: row.integer(Column::MailRound)?,
            mail_lost: row.integer(Column::MailLost)? != 0,
            person_hash: row.optional_text(Column::PersonHash),
        })
    }
}

fn known_mode(name: &str, id: i64) -> Result<OperationMode, Error> {
    let unknown = || Error::Unreadable(format!("approved_mode in row {id} of registrations is none that this program knows"));
    OperationMode::from_name(name).ok_or_else(unknown)
}

pub(super) fn unknown_state(id: i64) -> Error {
    Error::Unreadable(format!("state in row {id} of registrations is none that this program knows"))
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

/// Without an order, for whose sake a planner would go through all rows.
pub(super) fn of_unknown_states() -> String {
    format!("SELECT id FROM registrations WHERE {} LIMIT 100", none_of(&State::ALL))
}

impl Store {
    pub fn registration(&mut self, id: i64) -> Result<Option<Registration>, Error> {
        self.registration_where("id = ?", id.into())
    }

    /// The registration with this number, now or before its address was corrected.
    pub fn registration_by_number(&mut self, number: Number) -> Result<Option<Registration>, Error> {
        if let Some(registration) = self.registration(number.0)? {
            return Ok(Some(registration));
        }
        let sql = "SELECT registration_id FROM former_numbers WHERE number = ?";
        match self.first(sql, &[number.0.into()], |row| row.integer())? {
            Some(id) => self.registration(id),
            None => Ok(None),
        }
    }

    /// The numbers that a registration had before its address was corrected, in order.
    pub fn former_numbers(&mut self, id: i64) -> Result<Vec<Number>, Error> {
        let sql = "SELECT number FROM former_numbers WHERE registration_id = ? ORDER BY number";
        self.query(sql, &[id.into()])?.into_iter().map(|row| row.integer().map(Number)).collect()
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

    /// The registration with this hash of the token in the link to choose a password.
    pub fn registration_by_choose_token(&mut self, hash: &str) -> Result<Option<Registration>, Error> {
        if let Some(registration) = self.registration_where("choose_token_hash = ?", hash.into())? {
            return Ok(Some(registration));
        }
        let former = "SELECT registration_id FROM former_links WHERE token_hash = ? AND reader = ?";
        match self.first(former, &[hash.into(), CHOOSER.into()], |row| row.integer())? {
            Some(id) => self.registration(id),
            None => Ok(None),
        }
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

    /// The confirmed request of the same person for the same username, if there is one: whoever sends the form twice gets two
    /// mails, and may open either link.
    pub fn confirmed_twin(&mut self, of: &Registration) -> Result<Option<Registration>, Error> {
        if !of.state.is_unconfirmed() {
            return Ok(None);
        }
        let rest = "WHERE claimed_username = ? AND email_folded = ? AND id <> ?";
        let values = [of.username.as_str().into(), of.email_folded.as_str().into(), of.id.into()];
        let twin = self.select_first(&REGISTRATION, rest, &values, Registration::read)?;
        Ok(twin.filter(|twin| !twin.state.is_unconfirmed()))
    }

    /// Whether the registration was taken over from the PHP program.
    pub(crate) fn is_from_php(&mut self, id: i64) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM php_links WHERE registration_id = ? LIMIT 1", &[id.into()], |_| Ok(()))?.is_some())
    }

    pub(super) fn registration_where(&mut self, condition: &'static str, value: Value) -> Result<Option<Registration>, Error> {
        self.select_first(&REGISTRATION, &format!("WHERE {condition}"), &[value], Registration::read)
    }

    /// Others with the same address that [`Store::earlier`] does not find: accounts first, then requests; at most ten.
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
        let requests =
            "WHERE email_folded = ? AND id <> ? AND state <> ? AND (person_hash IS NULL OR person_hash <> ?) ORDER BY id LIMIT 10";
        let person = of.person_hash.as_deref().unwrap_or_default();
        let values = [of.email_folded.as_str().into(), of.id.into(), State::Expired.number().into(), person.into()];
        for found in self.select(&REQUEST, requests, &values, request)? {
            // A finished request of local mode belongs to an account that is already in the list.
            if found.state != Some(State::Done) || others.iter().all(|other| other.username != found.username) {
                others.push(found);
            }
        }
        others.truncate(10);
        Ok(others)
    }

    /// Rows with a state that this program does not know, and for which nothing happens.
    pub(crate) fn of_unknown_state(&mut self) -> Result<Vec<i64>, Error> {
        let mut ids = self.query(&of_unknown_states(), &[])?.into_iter().map(|row| row.integer()).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// The number of requests that reached `state` before `before`, and the id of the first; `None` if there are none.
    pub(crate) fn waiting_since_before(&mut self, state: State, before: i64) -> Result<Option<(i64, i64)>, Error> {
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

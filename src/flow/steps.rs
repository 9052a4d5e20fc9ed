//! Carries out what a registration's state requires: mails, room messages, accounts.
//!
//! The programs call [`carry_on`] right after their transaction, for a quick answer; the queue ([`crate::flow::queue`]) does
//! the same for unfinished requests. A step takes a lease on the registration, does one thing outside, and changes the state
//! with a compare-and-set. After a crash before that the state is unchanged, and the other side recognises the repetition: a
//! mail by its Message-ID, a room message by its `txnId`, an account by our own password.

use crate::domain::back_off::Peer;
use crate::domain::config::Credentials;
use crate::domain::decision;
use crate::domain::names;
use crate::domain::registration::{Action, Event, State};
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::token::{self, Secret};
use crate::flow::accounts::{self, Outcome};
use crate::flow::attempt::{Tried, attempt};
use crate::flow::breakers::Breakers;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::flow::letters::{self, Envelope};
use crate::flow::room_message;
use crate::outside::log;
use crate::outside::page::MailName;
use crate::outside::site::Site;
use crate::outside::store::{self, Owed, OwedRow, Registration, Store};
use serde_json::json;

/// How far [`carry_on`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Nothing is left to do, or another program is doing it; `None` if there is no such registration.
    Rest(Option<State>),
    /// The step of this state failed and will be tried again.
    Failure(State),
    /// The action of this state needs an unavailable peer and was not tried.
    HeldUp(State),
}

/// What a step did outside.
enum Outside {
    Told(Event),
    Account(Outcome),
}

/// Carries out step after step until the registration waits for a person, is finished, or a step fails.
pub(crate) fn carry_on(site: &Site, store: &mut Store, id: i64) -> Result<Reached, store::Error> {
    carry_on_among(site, store, id, "", &mut Breakers::default())
}

/// The same for one of many registrations: unavailable peers are not asked again. `address` is the folded mail address of the
/// request.
pub(crate) fn carry_on_among(
    site: &Site,
    store: &mut Store,
    id: i64,
    address: &str,
    breakers: &mut Breakers,
) -> Result<Reached, store::Error> {
    loop {
        let Some(state) = store.state(id)? else { return Ok(Reached::Rest(None)) };
        let Some(action) = state.owes() else { return Ok(Reached::Rest(Some(state))) };
        let row = OwedRow { owed: Owed::Step(state), id };
        if breakers.hold_up_row(row.owed, address) {
            return Ok(Reached::HeldUp(state));
        }
        match step(site, store, row, state, action)? {
            Tried::Succeeded => {}
            Tried::GivenUp(failure) => breakers.note(&failure.blame, address),
            Tried::Failed(failure) => {
                breakers.note(&failure.blame, address);
                return Ok(Reached::Failure(state));
            }
            Tried::Elsewhere => return Ok(Reached::Rest(Some(state))),
        }
    }
}

/// The same for a program that has stored what its visitor wanted: whatever happens now, the visitor's part is done, and cron
/// does the rest. Returns the state reached.
pub(crate) fn carry_on_or_leave(site: &Site, store: &mut Store, id: i64) -> Option<State> {
    match carry_on(site, store, id) {
        Ok(Reached::Rest(state)) => state,
        Ok(Reached::Failure(state) | Reached::HeldUp(state)) => Some(state),
        Err(cause) => {
            log::warn("left_to_cron", Some(id), &cause.to_string());
            None
        }
    }
}

/// The same while a visitor waits for the answer: an account that may take minutes is left to the work after it. The answer must be
/// one with [`crate::outside::cgi::Response::with_work_left`].
pub(crate) fn carry_on_for_visitor(site: &Site, store: &mut Store, id: i64) -> Option<State> {
    match store.registration(id) {
        Ok(Some(registration)) if registration.state == State::Register && accounts::outlives_visits(site, &registration) => {
            Some(registration.state)
        }
        _ => carry_on_or_leave(site, store, id),
    }
}

/// Links and initial passwords are derived from the secret key, so with another key they would not work. A machine that has the
/// right key does the step. If the key cannot be read at all, the step itself fails.
pub(crate) fn waits_for_its_key(site: &Site, registration: &Registration) -> bool {
    matches!(keys::fits(site, registration), Ok(false))
}

fn step(site: &Site, store: &mut Store, row: OwedRow, state: State, action: Action) -> Result<Tried, store::Error> {
    let act = |store: &mut Store| {
        // Read under the lease, when nobody else changes the row, because another program may have changed it before.
        let Some(registration) = store.registration(row.id)?.filter(|now| now.state == state) else { return Ok(None) };
        if waits_for_its_key(site, &registration) {
            return Ok(None);
        }
        act(site, store, &registration, action).map(|done| Some((registration, done)))
    };
    attempt(site, store, row, row.id, act, |store, holder, (registration, done)| settle(site, store, &registration, holder, done))
}

fn act(site: &Site, store: &mut Store, registration: &Registration, action: Action) -> Result<Outside, Failure> {
    match action {
        Action::SendConfirmMail => send_confirm_mail(site, store, registration).map(|()| Outside::Told(Event::ConfirmMailSent)),
        Action::TellRoom => room_message::post(site, store, registration).map(|()| Outside::Told(Event::RoomTold)),
        Action::SendChooseMail => send_choose_mail(site, store, registration).map(|()| Outside::Told(Event::ChooseMailSent)),
        Action::MakeAccount => {
            let made = accounts::make(site, store, registration);
            made.map(Outside::Account).map_err(|failure| failure.on_the_way(Peer::Accounts))
        }
        Action::SendCredentials => send_credentials(site, store, registration).map(|()| Outside::Told(Event::CredentialsSent)),
        Action::SendDecline => send_decline(site, store, registration).map(|()| Outside::Told(Event::DeclineSent)),
    }
}

/// Changes the state after a step.
fn settle(site: &Site, store: &mut Store, registration: &Registration, holder: &str, done: Outside) -> Result<Tried, store::Error> {
    let (id, from, now) = (registration.id, registration.state, site.now());
    let event = match &done {
        Outside::Told(event) => *event,
        Outside::Account(Outcome::Refused(_)) => Event::AccountRefused,
        Outside::Account(Outcome::MadeByPhp) => Event::AccountFound,
        Outside::Account(Outcome::PasswordRefused(_)) => Event::PasswordRefused,
        Outside::Account(_) => Event::AccountMade,
    };
    let Some(to) = from.after(event) else { return Ok(Tried::Elsewhere) };
    let settled = match done {
        Outside::Told(_) | Outside::Account(Outcome::Made | Outcome::MadeByPhp) => store.settle(id, from, holder, to, now),
        Outside::Account(Outcome::Refused(reason)) => store.settle_refused(id, from, holder, to, &reason, now),
        Outside::Account(Outcome::PasswordRefused(sentence)) => store.settle_password_refused(id, from, holder, to, &sentence, now),
        Outside::Account(Outcome::ForOurTable(login)) => store.settle_with_login(id, from, holder, to, &login),
    };
    if matches!(settled, Err(store::Error::Conflict)) {
        // Our own table contains the name although no request reserved it: the operator created the account by hand.
        return settle(site, store, registration, holder, Outside::Account(Outcome::Refused("in use in our own table".into())));
    }
    if !settled? {
        log::warn("lease_lost", Some(id), &format!("{from:?} was moved on by somebody else meanwhile"));
        return Ok(Tried::Elsewhere);
    }
    log::info("moved_on", Some(id), &format!("{from:?} -> {to:?}"));
    Ok(Tried::Succeeded)
}

fn send_confirm_mail(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    let hours = site.config.times.confirm_within_hours.0;
    let context = json!({
        "link": verify_link(site, &keys::of(site, registration)?, registration),
        "hours": hours,
        "wants_password": site.config.credentials() == Credentials::Confirm,
        "expires": promised_expiry(registration.state_since, site.now(), hours as i64 * HOUR),
    });
    send(site, store, registration, MailName::Verify, "", context)
}

/// When, according to the mail, the link expires. Time counts from when the mail is sent. Delays count in steps of six hours,
/// so that a repeated mail gives the same time, and never a later one than the real expiry.
fn promised_expiry(requested_at: i64, now: i64, seconds: i64) -> i64 {
    const STEP: i64 = 6 * HOUR;
    requested_at + seconds + (now - requested_at).max(0) / STEP * STEP
}

/// What an approval leads to: an account, or a link to choose its password.
pub fn approval(site: &Site, registration: &Registration) -> Event {
    match site.config.credentials() {
        Credentials::Link if registration.password.is_none() => Event::ApprovedToChoose,
        _ => Event::Approved,
    }
}

/// Seconds within which an approved applicant must choose a password.
pub(crate) fn choose_seconds(site: &Site) -> i64 {
    site.config.times.choose_within_days.0 as i64 * DAY
}

fn send_choose_mail(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    let name = if registration.refusal.is_some() { MailName::ChooseAgain } else { MailName::Choose };
    let expires = promised_expiry(registration.state_since, site.now(), choose_seconds(site));
    // Each refused password has a mail of its own.
    let mark = if registration.refusal.is_some() { format!(" {}", registration.state_since) } else { String::new() };
    send_choose_link(site, store, registration, (name, &mark), expires)
}

/// Mails the link to choose a password; `expires` (seconds since 1970) is promised, and `mark` tells mails of one name apart.
pub(super) fn send_choose_link(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    (name, mark): (MailName, &str),
    expires: i64,
) -> Result<(), Failure> {
    let token = keys::of(site, registration)?.choose_token(&registration.seed);
    store.note_choose_token(registration.id, &token::hash(&token))?;
    let context = json!({
        "name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "link": site.config.public_url.join(&format!("/welcome?t={token}")),
        "expires": expires,
        "refusal": registration.refusal,
    });
    send(site, store, registration, name, mark, context)
}

fn send_credentials(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    accounts::renew_lost_password(site, store, registration)?;
    let until = accounts::initial_password_until(site, store, registration)?;
    let recover_link = accounts::recover_link(site, store, registration)?;
    let initial = accounts::initial_password(site, registration)?;
    let context = json!({
        "name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "username": registration.username,
        "password": (!registration.password_chosen && recover_link.is_none()).then_some(initial),
        "password_until": until,
        "recover_link": recover_link,
    });
    send(site, store, registration, MailName::Credentials, "", context)?;
    // The mail was sent: no failure from here on may send it again.
    if site.config.operation_mode.has_own_passwords() && matches!(store.login_exists(&registration.username), Ok(false)) {
        log::warn(
            "account_in_synapse_only",
            Some(registration.id),
            "the account was made in Synapse before operation_mode was \"local\", and is not in our own table. The password of this mail works only while \
             Synapse checks its own passwords (password_config.localdb_enabled: true in homeserver.yaml)",
        );
    }
    Ok(())
}

fn send_decline(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    let context = json!({
        "name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "reason": registration.reason,
    });
    let decisions = store.decisions(registration.id)?;
    let name = match decisions.last() {
        _ if registration.refusal.is_some() => MailName::Refused,
        Some(last) if last.outcome == decision::Outcome::Undecided => MailName::Undecided,
        _ => MailName::Declined,
    };
    // After a no was taken back, the next one is another mail.
    let taken_back = decisions.iter().filter(|decided| decided.outcome == decision::Outcome::TakenBack).count();
    let which = if taken_back > 0 { format!(" {taken_back}") } else { String::new() };
    send(site, store, registration, name, &which, context)
}

/// Sends templates/mail/NAME to the applicant. The Message-ID is always the same; `which` tells mails of one name apart.
pub(super) fn send(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    name: MailName,
    which: &str,
    mut context: serde_json::Value,
) -> Result<(), Failure> {
    context["number"] = json!(registration.number().to_string());
    // Mail servers drop a copy of a mail that they have, so one that the applicant wants again is another mail.
    let seed = match (name, registration.mail_round) {
        (MailName::Verify, 1..) => format!("{} {}", registration.seed, registration.mail_round),
        _ => format!("{}{which}", registration.seed),
    };
    let envelope = Envelope {
        name,
        to: &registration.email,
        to_folded: &registration.email_folded,
        language: registration.language,
        seed: &seed,
        registration: Some(registration.id),
    };
    letters::send(site, store, &keys::of(site, registration)?, &envelope, &context)
}

/// The link with which the applicant confirms the address: the applicant's own page.
pub(crate) fn verify_link(site: &Site, secret: &Secret, registration: &Registration) -> String {
    site.config.public_url.join(&format!("/verify?t={}", secret.verify_token(&registration.seed)))
}

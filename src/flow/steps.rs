//! What a registration's state owes to the outside, done: mails, room messages, accounts.
//!
//! The programs call [`carry_on`] right after their transaction, for a quick answer; cron calls the same function for
//! whatever is left. A step takes a lease on the registration, does one thing outside, and moves the state on with a
//! compare-and-set. A crash before the move leaves the state owing, and every repetition is recognised on the other side:
//! a mail by its Message-ID, a room message by its `txnId`, an account by our own password.

use crate::domain::address::Address;
use crate::domain::config::OperationMode;
use crate::domain::names;
use crate::domain::password;
use crate::domain::registration::{Action, Event, State};
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::token;
use crate::domain::token::Secret;
use crate::flow::accounts::{self, Outcome};
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::flow::limits;
use crate::outside::log;
use crate::outside::mail::{self, Letter, Mailer};
use crate::outside::matrix::bot;
use crate::outside::matrix::room::RoomMessage;
use crate::outside::page::{self, MailName, RoomPost};
use crate::outside::site::Site;
use crate::outside::store::{self, Registration, Store};
use serde_json::{Value, json};

/// The shortest lease, in seconds.
const LEASE_SECONDS: u64 = 600;
/// Seconds by which a lease outlasts the longest step.
const LEASE_MARGIN_SECONDS: u64 = 60;
/// The wait after the first failure, in seconds; it doubles each time.
const FIRST_WAIT_SECONDS: i64 = 60;
/// The longest wait between two tries, in seconds.
const LONGEST_WAIT_SECONDS: i64 = HOUR;

/// How far [`carry_on`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing is owed any more, or somebody else is at it; `None`: there is no such registration.
    Rest(Option<State>),
    /// What this state owes failed; it will be tried again.
    Failure(State),
}

/// What became of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Done,
    Failed,
    /// Somebody else is at it, or has done it.
    Elsewhere,
}

/// What a step did outside.
enum Done {
    Told(Event),
    Account(Outcome),
}

/// Does what the registration owes, step after step, until it waits for somebody, is finished, or something fails.
pub fn carry_on(site: &Site, store: &mut Store, id: i64) -> Result<Reached, store::Error> {
    loop {
        let Some(registration) = store.registration(id)? else { return Ok(Reached::Rest(None)) };
        let Some(action) = registration.state.owes() else { return Ok(Reached::Rest(Some(registration.state))) };
        match step(site, store, &registration, action)? {
            Step::Done => {}
            Step::Failed => return Ok(Reached::Failure(registration.state)),
            Step::Elsewhere => return Ok(Reached::Rest(Some(registration.state))),
        }
    }
}

/// The same for a program that has written down what its visitor wanted: whatever happens now, the visitor's part is
/// done and cron does the rest. The state that was reached.
pub fn carry_on_or_leave(site: &Site, store: &mut Store, id: i64) -> Option<State> {
    match carry_on(site, store, id) {
        Ok(Reached::Rest(state)) => state,
        Ok(Reached::Failure(state)) => Some(state),
        Err(cause) => {
            log::warn("left_to_cron", Some(id), &cause.to_string());
            None
        }
    }
}

/// Links and initial passwords come from the secret key; with another one than at the start they would be dead. Whoever has the key
/// does the step. Where it cannot be read at all, the step itself fails.
fn waits_for_its_key(site: &Site, registration: &Registration) -> bool {
    matches!(keys::fits(site, registration), Ok(false))
}

/// One step under a lease.
fn step(site: &Site, store: &mut Store, seen: &Registration, action: Action) -> Result<Step, store::Error> {
    if waits_for_its_key(site, seen) {
        return Ok(Step::Elsewhere);
    }
    let holder = token::new_seed();
    let now = site.now();
    if !store.lease(seen.id, seen.state, &holder, now, now + lease_seconds(site))? {
        return Ok(Step::Elsewhere);
    }
    // Only now nobody else changes it: what another program tried in between counts.
    let Some(registration) = store.registration(seen.id)?.filter(|now| now.state == seen.state) else {
        return Ok(Step::Elsewhere);
    };
    let acted = act(site, store, &registration, action);
    // That may have taken long.
    store.distrust_connection();
    match acted {
        Ok(done) => settle(site, store, &registration, &holder, done),
        Err(failure) => {
            postpone(site, store, &registration, &holder, &failure)?;
            Ok(Step::Failed)
        }
    }
}

/// How long a lease lasts: longer than a mail or a room message with all their time-outs.
fn lease_seconds(site: &Site) -> i64 {
    let longest = mail::longest_seconds(&site.config).max(bot::LONGEST_SECONDS);
    LEASE_SECONDS.max(longest + LEASE_MARGIN_SECONDS) as i64
}

fn act(site: &Site, store: &mut Store, registration: &Registration, action: Action) -> Result<Done, Failure> {
    match action {
        Action::SendConfirmMail => send_confirm_mail(site, store, registration).map(|()| Done::Told(Event::ConfirmMailSent)),
        Action::TellRoom => tell_room(site, store, registration).map(|()| Done::Told(Event::RoomTold)),
        Action::MakeAccount => accounts::make(site, store, registration).map(Done::Account),
        Action::SendCredentials => send_credentials(site, store, registration).map(|()| Done::Told(Event::CredentialsSent)),
        Action::SendDecline => send_decline(site, store, registration).map(|()| Done::Told(Event::DeclineSent)),
    }
}

/// Moves the state on after a step.
fn settle(site: &Site, store: &mut Store, registration: &Registration, holder: &str, done: Done) -> Result<Step, store::Error> {
    let (id, from, now) = (registration.id, registration.state, site.now());
    let event = match &done {
        Done::Told(event) => *event,
        Done::Account(Outcome::Refused(_)) => Event::AccountRefused,
        Done::Account(Outcome::MadeByPhp) => Event::AccountFound,
        Done::Account(_) => Event::AccountMade,
    };
    let Some(to) = from.after(event) else { return Ok(Step::Elsewhere) };
    let settled = match done {
        Done::Told(_) | Done::Account(Outcome::Made | Outcome::MadeByPhp) => store.settle(id, from, holder, to, now),
        Done::Account(Outcome::Refused(reason)) => store.settle_refused(id, from, holder, to, &reason, now),
        Done::Account(Outcome::ForOurTable(login)) => store.settle_with_login(id, from, holder, to, &login),
    };
    if matches!(settled, Err(store::Error::Conflict)) {
        // Our own table has the name although nobody claimed it: an account that the operator made by hand.
        return settle(site, store, registration, holder, Done::Account(Outcome::Refused("in use in our own table".into())));
    }
    if !settled? {
        log::warn("lease_lost", Some(id), &format!("{from:?} was moved on by somebody else meanwhile"));
        return Ok(Step::Elsewhere);
    }
    log::info("moved_on", Some(id), &format!("{from:?} -> {to:?}"));
    Ok(Step::Done)
}

fn postpone(site: &Site, store: &mut Store, registration: &Registration, holder: &str, failure: &Failure) -> Result<(), store::Error> {
    let doubled = FIRST_WAIT_SECONDS.checked_shl(registration.attempts.clamp(0, 16) as u32).unwrap_or(LONGEST_WAIT_SECONDS);
    let wait = doubled.min(LONGEST_WAIT_SECONDS).max(failure.retry_after.unwrap_or(0).clamp(0, DAY));
    log::warn("step_failed", Some(registration.id), &format!("{:?}, next try in {wait} s: {}", registration.state, failure.sentence));
    store.postpone(registration.id, holder, site.now() + wait, failure.undeliverable, &failure.sentence)
}

fn send_confirm_mail(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    let hours = site.config.times.confirm_within_hours.0;
    let context = json!({
        "link": verify_link(site, &site.state.secret()?, registration),
        "hours": hours,
        "wants_password": site.config.get_password_on_registration,
        "expires": promised_expiry(registration.requested_at, site.now(), hours as i64 * HOUR),
    });
    send(site, store, registration, MailName::Verify, &context)
}

/// Until when the mail says that the link works. Time counts from when the mail is sent; so that a repeated mail says the
/// same, delays are counted in steps of six hours, and never promise more than is kept.
fn promised_expiry(requested_at: i64, now: i64, seconds: i64) -> i64 {
    const STEP: i64 = 6 * HOUR;
    requested_at + seconds + (now - requested_at).max(0) / STEP * STEP
}

fn tell_room(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    let others = store.same_address(registration)?;
    say(site, registration, RoomPost::Request, others.len())
}

/// Reminds the room, once, of a request that nobody decided.
pub fn remind_room(site: &Site, store: &mut Store, id: i64) -> Result<Step, store::Error> {
    let Some(registration) = store.registration(id)? else { return Ok(Step::Elsewhere) };
    if waits_for_its_key(site, &registration) {
        return Ok(Step::Elsewhere);
    }
    let (holder, now) = (token::new_seed(), site.now());
    if registration.state != State::AdminVerify || !store.lease(id, State::AdminVerify, &holder, now, now + lease_seconds(site))? {
        return Ok(Step::Elsewhere);
    }
    let said = say(site, &registration, RoomPost::Reminder, 0);
    store.distrust_connection();
    match said {
        Ok(()) => store.reminded(id, &holder, site.now()).map(|()| Step::Done),
        Err(failure) => {
            postpone(site, store, &registration, &holder, &failure)?;
            Ok(Step::Failed)
        }
    }
}

/// Posts templates/room/NAME to the room: once, however often it is tried.
fn say(site: &Site, registration: &Registration, name: RoomPost, same_address: usize) -> Result<(), Failure> {
    let secret = site.state.secret()?;
    let mut context = facts(site, registration);
    context["same_address"] = json!(same_address);
    context["link"] = json!(decide_link(site, &secret, registration));
    let said = page::room(&site.config, site.config.default_language, name, &context)?;
    let message = RoomMessage { text: &said.text, html: &said.html };
    Ok(bot::say(site, &message, &secret.token(&format!("txnId of {}", name.as_str()), &registration.seed))?)
}

fn send_credentials(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    accounts::renew_lost_password(site, store, registration)?;
    let secret = site.state.secret()?;
    let until = match site.config.operation_mode {
        OperationMode::Local => store.initial_password_until(&registration.username)?,
        OperationMode::Synapse => None,
    };
    let until = until.map(|until| enough_time(site, store, registration, until)).transpose()?.flatten();
    let initial = password::initial(&secret, &registration.seed);
    let context = json!({
        "name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "username": registration.username,
        "password": (!registration.password_chosen).then_some(initial),
        "password_until": until,
    });
    send(site, store, registration, MailName::Credentials, &context)
}

/// Gives an initial password its full time again where the mail was delayed for so long that it is nearly over. `None`: it is
/// good for ever.
fn enough_time(site: &Site, store: &mut Store, registration: &Registration, until: i64) -> Result<Option<i64>, Failure> {
    let full = site.config.times.initial_password_days.0 as i64 * DAY;
    if until - site.now() >= full / 2 && full > 0 {
        return Ok(Some(until));
    }
    let until = site.initial_password_until();
    store.extend_initial_password(&registration.username, until)?;
    Ok(until)
}

fn send_decline(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    let context = json!({
        "name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "reason": registration.reason,
    });
    send(site, store, registration, if registration.refusal.is_some() { MailName::Refused } else { MailName::Declined }, &context)
}

/// Sends templates/mail/NAME to the applicant. The Message-ID is the same each time.
fn send(site: &Site, store: &mut Store, registration: &Registration, name: MailName, context: &serde_json::Value) -> Result<(), Failure> {
    let secret = site.state.secret()?;
    let letter = page::mail(&site.config, registration.language, name, context)?;
    let host = site.config.server_name.0.split(':').next().unwrap_or("localhost");
    let message_id = format!("{}.{}@{host}", name.as_str(), secret.token(&format!("Message-ID of {}", name.as_str()), &registration.seed));
    let letter = Letter {
        to_address: &registration.email,
        // Before the address is confirmed a stranger could have any text sent to others as their name.
        to_name: None,
        message_id: &message_id,
        language: registration.language,
        subject: &letter.subject,
        text: &letter.text,
        html: &letter.html,
    };
    let mailer = Mailer::new(&site.config)?;
    let counted = limits::count_mail(site, store, &secret, registration, name == MailName::Verify)?;
    if let Err(cause) = mailer.send(&letter, site.now()) {
        if !matches!(cause, mail::Error::PerhapsSent(_)) {
            // A mail counted too many is the smaller harm: what the mail server said must be told.
            let _ = counted.give_back(site, store);
        }
        return Err(cause.into());
    }
    log::info("mail_sent", Some(registration.id), &message_id);
    Ok(())
}

/// What the room is told about a request, in its message and on the page behind the link.
pub fn facts(site: &Site, registration: &Registration) -> Value {
    json!({
        "full_name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "email": Address::parse(&registration.email).map_or_else(|_| registration.email.clone(), |address| address.for_deciding()),
        "note": registration.note,
        "language": registration.language.tag(),
        "asked_at": registration.requested_at,
    })
}

/// The link by which the applicant confirms the address.
fn verify_link(site: &Site, secret: &Secret, registration: &Registration) -> String {
    site.config.public_url.join(&format!("/verify?t={}", secret.verify_token(&registration.seed)))
}

/// The link by which the room decides.
fn decide_link(site: &Site, secret: &Secret, registration: &Registration) -> String {
    site.config.public_url.join(&format!("/verify_admin?t={}", secret.admin_token(&registration.seed)))
}

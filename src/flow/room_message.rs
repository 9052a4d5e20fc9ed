//! The message of a request in the room: posted once, and edited until it shows where the request stands.
//!
//! Its text is computed from the request. Whatever changes that owes [`SideAction::ShowInRoom`] in the same transaction
//! (`store/room_messages.rs`), and [`show`] edits the message, unless it shows this text already. Each edit has a transaction id of
//! its own, made of its number and its text: within one device, messages, reactions and redactions share their transaction ids, and
//! the homeserver answers a used one with the earlier event, as observed with Synapse 1.163.

use crate::domain::address::{self, Address};
use crate::domain::back_off::Peer;
use crate::domain::decision::Outcome;
use crate::domain::names;
use crate::domain::registration::State;
use crate::domain::text_key::{Key, room};
use crate::domain::token::{self, Secret};
use crate::flow::accounts;
use crate::flow::attempt::{Tried, attempt};
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::outside::log;
use crate::outside::matrix::bot::{self, Edited};
use crate::outside::matrix::room::RoomMessage;
use crate::outside::page::{self, RoomPost, RoomText};
use crate::outside::site::Site;
use crate::outside::store::{self, Decided, Earlier, Owed, OwedRow, Registration, RoomEvent, RoomMessageKind, Settled, Shown, Store};
use serde_json::{Value, json};

/// How often a program edits again because something happened meanwhile; the rest is for cron.
const MOST_ROUNDS: u32 = 5;
/// When a message is edited once more after tries whose answers were lost, in seconds: until then one of them may arrive.
const STRAY_SECONDS: i64 = 600;

/// Posts the request to the room: once, however often it is tried.
pub(super) fn post(site: &Site, store: &mut Store, registration: &Registration) -> Result<(), Failure> {
    let person = site.state.secret()?.token("person", &address::person(&registration.email_folded));
    store.note_person(registration.id, &person)?;
    let registration = Registration { person_hash: Some(person), ..registration.clone() };
    let text = text(site, store, &registration)?;
    post_text(site, store, &registration, &text).map(|_| ())
}

fn post_text(site: &Site, store: &mut Store, registration: &Registration, text: &RoomText) -> Result<RoomEvent, Failure> {
    store.note_message_try(registration.id, &hash(text))?;
    let txn_id = keys::of(site, registration)?.token("txnId of request", &registration.seed);
    let posted = bot::say(site, &message(text), &txn_id).map_err(of_room)?;
    // Written before the state changes: the link may be used at this moment.
    store.note_room_message(registration.id, RoomMessageKind::Request, &posted, site.now())?;
    Ok(posted)
}

/// Reminds the room in the thread under the message of the request: once, however often it is tried.
pub(super) fn remind(site: &Site, store: &mut Store, row: OwedRow, registration: &Registration) -> Result<(), Failure> {
    let secret = keys::of(site, registration)?;
    let mut context = facts(site, registration);
    context["link"] = json!(decide_link(site, &secret, registration));
    let text = page::room(&site.config, site.config.default_language, RoomPost::Reminder, &context)?;
    // Each reminder has its own, also after a decision was taken back.
    let which = format!("reminder {} {}", registration.state_since, store.round(row)?);
    post_under(site, store, registration, RoomMessageKind::Reminder, &text, &which)
}

/// Posts the applicant's answer to a question in the thread under the message of the request: once, however often it is tried.
/// `false`: there is no such answer any more.
pub(super) fn post_answer(site: &Site, store: &mut Store, row: OwedRow, registration: &Registration) -> Result<bool, Failure> {
    let Some((question, answer)) = store.answer_to_post(row.id)? else { return Ok(false) };
    let mut context = facts(site, registration);
    context["question"] = json!(question.question);
    context["answer"] = json!(answer);
    let text = page::room(&site.config, site.config.default_language, RoomPost::OfApplicant, &context)?;
    let which = format!("the answer to question {}", question.id);
    post_under(site, store, registration, RoomMessageKind::OfApplicant, &text, &which).map(|()| true)
}

/// Posts in the thread under the message of the request, or, where that is not known, on its own: once for each `which`.
pub(super) fn post_under(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    kind: RoomMessageKind,
    text: &RoomText,
    which: &str,
) -> Result<(), Failure> {
    let txn_id = keys::of(site, registration)?.token(&format!("txnId of {which}"), &registration.seed);
    let posted = match root(site, store, registration)? {
        Some(root) => bot::say_under(site, &root, &message(text), &txn_id),
        None => bot::say(site, &message(text), &txn_id),
    }
    .map_err(of_room)?;
    // The homeserver may have taken so long that the connection was closed.
    store.distrust_connection();
    Ok(store.note_room_message(registration.id, kind, &posted, site.now())?)
}

/// The message of the request. `None`: it was posted by a version that did not record it.
fn root(site: &Site, store: &mut Store, registration: &Registration) -> Result<Option<RoomEvent>, Failure> {
    match store.room_message(registration.id, RoomMessageKind::Request)? {
        Some(root) => Ok(Some(root)),
        None if store.live_message(registration.id)?.is_none() => Ok(None),
        // Its answer was lost: the same transaction id gives its event, or posts it now.
        None => {
            let text = text(site, store, registration)?;
            post_text(site, store, registration, &text).map(Some)
        }
    }
}

/// What an edit comes to.
enum Made {
    Edit {
        revision: i64,
        hash: String,
    },
    /// The message shows this text already.
    NotNeeded,
    /// The bot cannot write in the room of the message any more, because requests go to another one.
    RoomLeft,
}

/// Edits the message of a request until it shows where the request stands.
pub(super) fn show(site: &Site, store: &mut Store, row: OwedRow, id: i64) -> Result<Tried, store::Error> {
    for _ in 0..MOST_ROUNDS {
        match edit_once(site, store, row, id)? {
            (tried, Settled::Yes | Settled::LeaseLost) => return Ok(tried),
            (_, Settled::Outdated) => {}
        }
    }
    Ok(Tried::Elsewhere)
}

fn edit_once(site: &Site, store: &mut Store, row: OwedRow, id: i64) -> Result<(Tried, Settled), store::Error> {
    let mut ended = Settled::Yes;
    let act = |store: &mut Store| {
        // Before the request is read: what happens later makes another round.
        let round = store.round(row)?;
        let Some(registration) = store.registration(id)? else { return Ok(None) };
        if matches!(keys::fits(site, &registration), Ok(false)) {
            return Ok(None);
        }
        edit(site, store, &registration).map(|made| Some((round, made)))
    };
    let settle = |store: &mut Store, holder: &str, (round, made): (i64, Made)| {
        let tries = store.tries(row)?;
        let again_at = (tries.count > 0 && matches!(made, Made::Edit { .. })).then(|| site.now() + STRAY_SECONDS);
        let shown = match &made {
            Made::Edit { revision, hash } => Some(Shown { revision: *revision, hash }),
            Made::NotNeeded | Made::RoomLeft => None,
        };
        ended = store.settle_shown(row, id, holder, round, shown, again_at)?;
        if matches!(made, Made::RoomLeft) {
            log::info("room_message_left", Some(id), "it is in a room where requests are not decided any more");
        }
        Ok(if shown.is_some() { Tried::Succeeded } else { Tried::Elsewhere })
    };
    let tried = attempt(site, store, row, id, act, settle)?;
    Ok((tried, ended))
}

fn edit(site: &Site, store: &mut Store, registration: &Registration) -> Result<Made, Failure> {
    let Some(live) = store.live_message(registration.id)? else { return Ok(Made::NotNeeded) };
    let text = text(site, store, registration)?;
    let hash = hash(&text);
    let posted = match store.room_message(registration.id, RoomMessageKind::Request)? {
        Some(_) if live.shown_hash.as_deref() == Some(&hash) => return Ok(Made::NotNeeded),
        Some(posted) => posted,
        // Its answer was lost: the same transaction id gives its event, or posts it now.
        None => post_text(site, store, registration, &text)?,
    };
    let revision = live.revision + 1;
    let txn_id = keys::of(site, registration)?.token(&format!("txnId of edit {revision} {hash}"), &registration.seed);
    match bot::edit(site, &posted, &message(&text), &txn_id).map_err(of_room)? {
        Edited::Yes => Ok(Made::Edit { revision, hash }),
        Edited::RoomLeft => Ok(Made::RoomLeft),
    }
}

pub(super) fn of_room(cause: crate::outside::matrix::Error) -> Failure {
    Failure::from(cause).on_the_way(Peer::Room)
}

fn message(text: &RoomText) -> RoomMessage<'_> {
    RoomMessage { text: &text.text, html: &text.html }
}

fn hash(text: &RoomText) -> String {
    token::hash(&format!("{}\0{}", text.text, text.html))
}

/// What the message should show now.
fn text(site: &Site, store: &mut Store, registration: &Registration) -> Result<RoomText, Failure> {
    let mut context = facts(site, registration);
    context["same_address"] = json!(store.same_address(registration)?.len());
    context["earlier"] = earlier(site, store, registration)?;
    context["link"] = json!(decide_link(site, &keys::of(site, registration)?, registration));
    context["standing"] = standing(site, store, registration)?;
    Ok(page::room(&site.config, site.config.default_language, RoomPost::Request, &context)?)
}

/// Other requests of the same person, for the templates: at most ten.
pub fn earlier(site: &Site, store: &mut Store, registration: &Registration) -> Result<Value, store::Error> {
    let shown = |earlier: Earlier| {
        json!({
            "mxid": earlier.username.as_deref().map(|username| names::mxid(username, &site.config.server_name)),
            "at": earlier.at,
            "heading": earlier.state.map(|state| heading(state, earlier.is_refused, earlier.decided.as_ref())),
            "by": earlier.decided.as_ref().map(by),
            "reason": earlier.decided.as_ref().and_then(|decided| decided.reason.as_deref()),
        })
    };
    Ok(store.earlier(registration)?.into_iter().map(shown).collect())
}

/// Where the request stands, for the template.
fn standing(site: &Site, store: &mut Store, registration: &Registration) -> Result<Value, Failure> {
    let decisions = store.decisions(registration.id)?;
    let decided = decisions.iter().rev().find(|decided| decided.outcome != Outcome::Asked);
    let is_late = store.tries(OwedRow { owed: Owed::Step(registration.state), id: registration.id })?.count > 0;
    let says_why = is_late && registration.state == State::Register && accounts::outlives_visits(site, registration);
    let cause = if says_why { store.last_error(registration.id)? } else { None };
    let is_open = matches!(registration.state, State::AdminSend | State::AdminVerify);
    let asked = if is_open { store.questions(registration.id)? } else { Vec::new() };
    let asked = asked.iter().filter(|question| question.answer.is_none());
    let asked: Vec<_> = asked.map(|question| json!({ "question": question.question, "asked_at": question.asked_at })).collect();
    Ok(json!({
        "is_open": is_open,
        "is_gone": matches!(registration.state, State::Withdrawn | State::Expired),
        "heading": heading(registration.state, registration.refusal.is_some(), decided),
        "progress": progress(registration, decided, is_late),
        "by": decided.filter(|_| !is_open && registration.state != State::Withdrawn).map(by),
        "taken_back": decided.filter(|decided| is_open && decided.outcome == Outcome::TakenBack).map(by),
        "reason": decided.filter(|_| !is_open).and_then(|decided| decided.reason.as_deref()),
        "asked": asked,
        "cause": cause,
        "address_of_another": store.account_note(registration.id)?.address_is_anothers,
    }))
}

fn by(decided: &Decided) -> Value {
    json!({ "way": decided.way.name(), "mxid": decided.by.as_deref().unwrap_or_default(), "at": decided.at })
}

fn heading(state: State, is_refused: bool, decided: Option<&Decided>) -> Key {
    use room::standing::*;
    match state {
        State::EmailSend | State::EmailVerify | State::AdminSend | State::AdminVerify => room::request::HEADING,
        State::ChooseSend | State::Choosing | State::Register | State::MailCredentials | State::Done => APPROVED,
        State::DeclineSend | State::Declined if is_refused => REFUSED,
        State::DeclineSend | State::Declined => match decided.map(|decided| decided.outcome) {
            Some(Outcome::Undecided) => UNDECIDED,
            Some(Outcome::Ended) => ENDED,
            _ => DECLINED,
        },
        State::Withdrawn => WITHDRAWN,
        State::Expired => EXPIRED,
    }
}

/// What happens, or has happened, after the decision.
fn progress(registration: &Registration, decided: Option<&Decided>, is_late: bool) -> Option<Key> {
    use room::progress::*;
    let is_lost = registration.mail_lost;
    Some(match registration.state {
        State::AdminVerify if decided.is_some_and(|decided| decided.outcome == Outcome::TakenBack) => TAKEN_BACK,
        State::EmailSend | State::EmailVerify | State::AdminSend | State::AdminVerify => return None,
        State::ChooseSend if is_late => CHOOSING_LATE,
        State::Choosing if is_lost => CHOOSING_LOST,
        State::ChooseSend | State::Choosing => CHOOSING,
        State::Register if is_late => MAKING_LATE,
        State::Register => MAKING,
        State::MailCredentials if is_late => DONE_LATE,
        State::Done if is_lost => DONE_LOST,
        State::MailCredentials | State::Done => DONE,
        _ if decided.is_some_and(|decided| decided.outcome == Outcome::DeclinedSilently) => SILENT,
        State::DeclineSend if is_late => DECLINED_LATE,
        State::Declined if is_lost => DECLINED_LOST,
        State::DeclineSend | State::Declined => DECLINED,
        State::Withdrawn | State::Expired => GONE,
    })
}

/// The facts about a request for the room: in its message and on the page behind the link.
pub fn facts(site: &Site, registration: &Registration) -> Value {
    json!({
        "number": registration.number().to_string(),
        "full_name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "email": Address::parse(&registration.email).map_or_else(|_| registration.email.clone(), |address| address.for_deciding()),
        "note": registration.note,
        "language": registration.language.tag(),
        "asked_at": registration.requested_at,
        "filled_hidden_field": registration.filled_hidden_field,
    })
}

/// The link with which the room decides.
pub(super) fn decide_link(site: &Site, secret: &Secret, registration: &Registration) -> String {
    site.config.public_url.join(&format!("/verify_admin?t={}", secret.admin_token(&registration.seed)))
}

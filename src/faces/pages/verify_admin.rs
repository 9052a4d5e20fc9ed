//! The page behind the link in the room: somebody approves or declines.
//!
//! GET shows the request and decides nothing by itself, because chat servers and clients follow links for previews. If somebody has
//! reacted in the room before, that is read first ([`looking`]). POST decides; a later decision is answered with the first one.

use super::{BUTTON_SECONDS, DeadEnd, again_context, context, dead_end, known_form, language};
use crate::domain::config::Language;
use crate::domain::decision::{Decider, Outcome};
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::registration::{Event, State};
use crate::domain::text_key;
use crate::domain::token;
use crate::flow::deciding::{self, Verdict, is_undecided};
use crate::flow::keys;
use crate::flow::looking;
use crate::flow::room_message;
use crate::flow::steps;
use crate::outside::cgi::{Request, Response};
use crate::outside::page::PageName;
use crate::outside::site::Site;
use crate::outside::store::{Access, Decided, Question, Registration, SameAddress, Store, TakenBack};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The query of the link; links of the PHP program name the decision in `d`.
#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default, deserialize_with = "super::link_token")]
    t: String,
    #[serde(default)]
    d: String,
}

/// The form with the two buttons.
#[derive(Debug, Deserialize)]
struct Decision {
    #[serde(default, deserialize_with = "super::link_token")]
    t: String,
    #[serde(default)]
    form_token: String,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    reason: String,
    /// `1`: the applicant gets no mail.
    #[serde(default)]
    silent: String,
    /// The button of another language: only asks for the same page in the language of the address.
    #[serde(default)]
    switch_language: String,
}

/// GET: the facts and two buttons.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    let link: Link = request.query()?;
    let language = language(site, request);
    let found = find(site, &link.t, Access::Read)?;
    if let Some(registration) = &found
        && looking::look_at_once(site, registration)
    {
        return decided_by_reaction(site, language, &link.t, registration.id);
    }
    match found {
        Some(registration) if is_undecided(&registration) => {
            keys::check(site, &registration)?;
            let preset = match link.d.as_str() {
                "allow" | "approve" => Some("approve"),
                "deny" | "decline" => Some("decline"),
                _ => None,
            };
            buttons(site, language, 200, &link.t, &registration, json!({ "preset": preset }))
        }
        other => decided(site, language, &link.t, other.as_ref()),
    }
}

/// Somebody in the room was faster, and no program had seen it yet.
fn decided_by_reaction(site: &Site, language: Language, link_token: &str, id: i64) -> Result<Response, Error> {
    let mut store = site.store(Access::Write)?;
    deciding::carry_on(site, &mut store, id);
    let now = store.registration(id)?;
    drop(store);
    Ok(decided(site, language, link_token, now.as_ref())?.with_work_left())
}

/// POST: decides, and takes the next steps.
pub fn decide(site: &Site, request: &Request) -> Result<Response, Error> {
    let form: Decision = request.form()?;
    let language = language(site, request);
    let registration = match find(site, &form.t, Access::Write)? {
        Some(registration) if is_undecided(&registration) => registration,
        Some(registration) if form.decision == "take_back" => return take_back(site, language, &form, &registration),
        other => return decided(site, language, &form.t, other.as_ref()),
    };
    keys::check(site, &registration)?;
    if !form.switch_language.is_empty() {
        return buttons(
            site,
            language,
            200,
            &form.t,
            &registration,
            json!({ "preset": form.decision, "reason": form.reason, "silent": form.silent == "1" }),
        );
    }
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "verify_admin", &form.t, &form.form_token, site.now(), BUTTON_SECONDS) {
        return dead_end(site, language, Some(&form.t), 409, super::form_fault(fault), json!({}));
    }
    let verdict = match form.decision.as_str() {
        "approve" => Verdict::Approve,
        "decline" if form.silent == "1" => Verdict::DeclineSilently,
        "decline" => Verdict::Decline,
        // Somebody else was faster.
        "take_back" => return buttons(site, language, 200, &form.t, &registration, json!({})),
        other => return Err(Error::bad_request(format!("the decision {other:?} is neither approve nor decline"))),
    };
    let Some(reason) = names::note(&form.reason) else {
        let more = json!({ "preset": form.decision, "reason": form.reason, "silent": form.silent == "1", "reason_error": text_key::form::error::REASON_TOO_LONG });
        return buttons(site, language, 422, &form.t, &registration, more);
    };
    let reason = Some(reason).filter(|reason| !reason.is_empty());
    let mut store = site.store(Access::Write)?;
    if !deciding::decide(site, &mut store, &registration, verdict, reason.as_deref(), &Decider::Link)? {
        let decided_meanwhile = store.registration(registration.id)?;
        drop(store);
        return decided(site, language, &form.t, decided_meanwhile.as_ref());
    }
    Ok(carry_out(site, language, &form.t, &mut store, registration.id, verdict)?.with_work_left())
}

/// The result of a decision so far.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum SoFar {
    Approved,
    Declined,
    DeclinedSilently,
    /// Approved, and the applicant chooses a password before the account is made.
    Choosing,
    /// The homeserver refuses the name.
    Refused,
    /// Approved, but the account does not exist yet.
    Pending,
}

fn carry_out(site: &Site, language: Language, link_token: &str, store: &mut Store, id: i64, verdict: Verdict) -> Result<Response, Error> {
    let reached = steps::carry_on_for_visitor(site, store, id);
    let outcome = match (verdict, reached) {
        (Verdict::Decline, _) => SoFar::Declined,
        (Verdict::DeclineSilently, _) => SoFar::DeclinedSilently,
        (_, Some(State::Done)) => SoFar::Approved,
        (_, Some(State::ChooseSend | State::Choosing)) => SoFar::Choosing,
        (_, Some(State::DeclineSend | State::Declined)) => SoFar::Refused,
        _ => SoFar::Pending,
    };
    let Some(registration) = store.registration(id)? else { return decided(site, language, link_token, None) };
    let mut own = so_far(site, outcome, &registration);
    super::merge(&mut own, super::look_again(site, &registration, language, "verify_admin", link_token));
    site.page(language, 200, PageName::Decided, &context(language, Some(link_token), own))
}

fn so_far(site: &Site, outcome: SoFar, registration: &Registration) -> Value {
    json!({
        "outcome": outcome,
        "number": registration.number().to_string(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "email": registration.email,
    })
}

/// A no was a mistake, or there is a second thought.
fn take_back(site: &Site, language: Language, form: &Decision, registration: &Registration) -> Result<Response, Error> {
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "verify_admin", &form.t, &form.form_token, site.now(), BUTTON_SECONDS) {
        return dead_end(site, language, Some(&form.t), 409, super::form_fault(fault), json!({}));
    }
    keys::check(site, registration)?;
    let mut store = site.store(Access::Write)?;
    let taken_back = deciding::take_back(site, &mut store, registration, &Decider::Link)?;
    let now = store.registration(registration.id)?;
    drop(store);
    match (taken_back, now) {
        (TakenBack::NameTaken, _) => {
            let mxid = names::mxid(&registration.username, &site.config.server_name);
            dead_end(site, language, known_form(&form.t), 409, DeadEnd::NotTakenBack, json!({ "mxid": mxid }))
        }
        (_, Some(registration)) if is_undecided(&registration) => {
            let more = json!({ "was_taken_back": true });
            Ok(buttons(site, language, 200, &form.t, &registration, more)?.with_work_left())
        }
        (_, other) => decided(site, language, &form.t, other.as_ref()),
    }
}

fn find(site: &Site, link_token: &str, access: Access) -> Result<Option<Registration>, Error> {
    match known_form(link_token) {
        Some(link_token) => Ok(site.store(access)?.registration_by_admin_token(&token::hash(link_token))?),
        None => Ok(None),
    }
}

fn buttons(
    site: &Site,
    language: Language,
    status: u16,
    link_token: &str,
    registration: &Registration,
    more: Value,
) -> Result<Response, Error> {
    let mut store = site.store(Access::Read)?;
    let (others, questions) = (store.same_address(registration)?, store.questions(registration.id)?);
    let earlier = room_message::earlier(site, &mut store, registration)?;
    drop(store);
    let other = |other: &SameAddress| json!({ "mxid": names::mxid(&other.username, &site.config.server_name), "state": standing(other.state), "asked_at": other.since });
    let mut own = room_message::facts(site, registration);
    let form = json!({
        "token": link_token,
        "form_token": token::form_token(&site.state.secret()?, "verify_admin", link_token, site.now()),
        "questions": questions.iter().map(asked).collect::<Vec<_>>(),
        "by_link": steps::approval(site, registration) == Event::ApprovedToChoose,
        "earlier": earlier,
        "same_address": others.iter().map(other).collect::<Vec<_>>(),
        "reason": "",
        "reason_error": "",
    });
    super::merge(&mut own, form);
    super::merge(&mut own, more);
    let whole = match own["reason"] == json!("") {
        true => context(language, Some(link_token), own),
        false => again_context(language, Some(link_token), "decline", own),
    };
    site.page(language, status, PageName::Decide, &whole)
}

/// A question to the applicant, with the answer, if there is one.
fn asked(question: &Question) -> Value {
    json!({
        "question": question.question,
        "asked_at": question.asked_at,
        "asked_by": question.asked_by,
        "answer": question.answer,
        "answered_at": question.answered_at,
    })
}

/// The state of another request with the same address: the texts `state.*`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    #[serde(rename = "done")]
    HasAccount,
    Unconfirmed,
    Waiting,
    Approved,
    Declined,
}

fn standing(state: Option<State>) -> Standing {
    match state {
        None | Some(State::Done) => Standing::HasAccount,
        Some(State::EmailSend | State::EmailVerify | State::Expired | State::Withdrawn) => Standing::Unconfirmed,
        Some(State::AdminSend | State::AdminVerify) => Standing::Waiting,
        Some(State::ChooseSend | State::Choosing | State::Register | State::MailCredentials) => Standing::Approved,
        Some(State::DeclineSend | State::Declined) => Standing::Declined,
    }
}

/// The page if the link cannot be used to decide any more, or never could: says what was decided and when.
fn decided(site: &Site, language: Language, link_token: &str, registration: Option<&Registration>) -> Result<Response, Error> {
    let Some(registration) = registration else {
        return dead_end(site, language, None, 404, DeadEnd::RequestUnknown, json!({}));
    };
    let again = super::look_again(site, registration, language, "verify_admin", link_token);
    if again != json!({}) {
        let mut own = so_far(site, SoFar::Pending, registration);
        super::merge(&mut own, again);
        return site.page(language, 200, PageName::Decided, &context(language, Some(link_token), own));
    }
    let last = site.store(Access::Read)?.last_decision(registration.id)?;
    let outcome = last.as_ref().map(|decided| decided.outcome);
    let (status, kind) = match registration.state {
        State::EmailSend | State::EmailVerify => (409, DeadEnd::RequestUnconfirmed),
        State::Expired if registration.decided_at.is_some() => (410, DeadEnd::DecidedUnchosen),
        State::Expired => (410, DeadEnd::RequestExpired),
        State::ChooseSend | State::Choosing => (200, DeadEnd::DecidedChoosing),
        State::Withdrawn => (410, DeadEnd::RequestWithdrawn),
        State::DeclineSend | State::Declined if registration.refusal.is_some() => (200, DeadEnd::DecidedRefused),
        State::DeclineSend | State::Declined if outcome == Some(Outcome::Undecided) => (200, DeadEnd::DecidedTooLate),
        State::DeclineSend | State::Declined if outcome == Some(Outcome::DeclinedSilently) => (200, DeadEnd::DecidedSilently),
        State::DeclineSend | State::Declined => (200, DeadEnd::DecidedDeclined),
        State::Register | State::MailCredentials | State::Done => (200, DeadEnd::DecidedApproved),
        State::AdminSend | State::AdminVerify => return Err(Error::unavailable("a request that was decided is read as undecided")),
    };
    let mut more = json!({
        "number": registration.number().to_string(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "decided_at": registration.decided_at,
        "decided_by": last.as_ref().map(who),
        "reason": last.as_ref().map_or(&registration.reason, |decided| &decided.reason),
    });
    if deciding::can_be_taken_back(registration) {
        more["token"] = json!(link_token);
        more["form_token"] = json!(token::form_token(&site.state.secret()?, "verify_admin", link_token, site.now()));
        more["takes_back"] = json!(true);
    }
    dead_end(site, language, known_form(link_token), status, kind, more)
}

/// Who decided, and in which way (the texts `decider.*`).
fn who(decided: &Decided) -> Value {
    json!({ "way": decided.way.name(), "mxid": decided.by.as_deref().unwrap_or_default() })
}

//! The page behind the link in the room: somebody approves or declines.
//!
//! GET shows the request and changes nothing, as chat servers and clients follow links for previews. POST decides; who
//! comes second is told what the first decided.

use super::{BUTTON_SECONDS, context, dead_end, known_form, language};
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::registration::{Event, State};
use crate::domain::token;
use crate::flow::steps;
use crate::outside::cgi::{Request, Response};
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{Access, Registration, SameAddress, Store};
use serde::Deserialize;
use serde_json::{Value, json};

/// The query of the link; the PHP program's links name the choice in `d`.
#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default)]
    t: String,
    #[serde(default)]
    d: String,
}

/// The form with the two buttons.
#[derive(Debug, Deserialize)]
struct Decision {
    #[serde(default)]
    t: String,
    #[serde(default)]
    form_token: String,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    reason: String,
}

/// GET: the facts and two buttons.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    let link: Link = request.query()?;
    let language = language(site, request);
    match find(site, &link.t, Access::Read)? {
        Some(registration) if undecided(&registration) => {
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

/// POST: decides, and does what follows from it.
pub fn decide(site: &Site, request: &Request) -> Result<Response, Error> {
    let form: Decision = request.form()?;
    let language = language(site, request);
    let registration = match find(site, &form.t, Access::Write)? {
        Some(registration) if undecided(&registration) => registration,
        other => return decided(site, language, &form.t, other.as_ref()),
    };
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "verify_admin", &form.t, &form.form_token, site.now(), BUTTON_SECONDS) {
        return dead_end(site, language, Some(&form.t), 409, super::form_fault(fault), json!({}));
    }
    let event = match form.decision.as_str() {
        "approve" => Event::Approved,
        "decline" => Event::Declined,
        other => return Err(Error::bad_request(format!("the decision {other:?} is neither approve nor decline"))),
    };
    let Some(reason) = names::note(&form.reason) else {
        let more = json!({ "preset": form.decision, "reason": form.reason, "reason_error": "form.error.reason_too_long" });
        return buttons(site, language, 422, &form.t, &registration, more);
    };
    let reason = (event == Event::Declined && !reason.is_empty()).then_some(reason);
    let mut store = site.store(Access::Write)?;
    if !store.decide(registration.id, event, reason.as_deref(), site.now())? {
        return decided(site, language, &form.t, store.registration(registration.id)?.as_ref());
    }
    log::info("decided", Some(registration.id), &format!("{event:?}"));
    carry_out(site, language, &form.t, &mut store, registration.id, event)
}

fn carry_out(site: &Site, language: Language, link_token: &str, store: &mut Store, id: i64, event: Event) -> Result<Response, Error> {
    let reached = steps::carry_on_or_leave(site, store, id);
    let outcome = match (event, reached) {
        (Event::Declined, _) => "declined",
        (_, Some(State::Done)) => "approved",
        (_, Some(State::DeclineSend | State::Declined)) => "refused",
        _ => "pending",
    };
    let Some(registration) = store.registration(id)? else { return decided(site, language, link_token, None) };
    let mxid = names::mxid(&registration.username, &site.config.server_name);
    let own = json!({ "outcome": outcome, "mxid": mxid, "email": registration.email });
    site.page(language, 200, "decided", &context(language, Some(link_token), own))
}

fn find(site: &Site, link_token: &str, access: Access) -> Result<Option<Registration>, Error> {
    match known_form(link_token) {
        Some(link_token) => Ok(site.store(access)?.registration_by_admin_token(&token::hash(link_token))?),
        None => Ok(None),
    }
}

fn undecided(registration: &Registration) -> bool {
    registration.state.after(Event::Approved).is_some()
}

fn buttons(
    site: &Site,
    language: Language,
    status: u16,
    link_token: &str,
    registration: &Registration,
    more: Value,
) -> Result<Response, Error> {
    let others = site.store(Access::Read)?.same_address(registration)?;
    let other = |other: &SameAddress| json!({ "mxid": names::mxid(&other.username, &site.config.server_name), "state": state_word(other.state), "asked_at": other.since });
    let mut own = steps::facts(site, registration);
    let form = json!({
        "token": link_token,
        "form_token": token::form_token(&site.state.secret()?, "verify_admin", link_token, site.now()),
        "same_address": others.iter().map(other).collect::<Vec<_>>(),
        "reason": "",
        "reason_error": "",
    });
    super::merge(&mut own, form);
    super::merge(&mut own, more);
    site.page(language, status, "decide", &context(language, Some(link_token), own))
}

/// The texts `state.*`.
fn state_word(state: Option<State>) -> &'static str {
    match state {
        None | Some(State::Done) => "done",
        Some(State::EmailSend | State::EmailVerify | State::Expired) => "unconfirmed",
        Some(State::AdminSend | State::AdminVerify) => "waiting",
        Some(State::Register | State::MailCredentials) => "approved",
        Some(State::DeclineSend | State::Declined) => "declined",
    }
}

/// The link is no longer, or never was, one to decide with: says what was decided and when.
fn decided(site: &Site, language: Language, link_token: &str, registration: Option<&Registration>) -> Result<Response, Error> {
    let Some(registration) = registration else {
        return dead_end(site, language, None, 404, "request_unknown", json!({}));
    };
    let (status, kind) = match registration.state {
        State::EmailSend | State::EmailVerify => (409, "request_unconfirmed"),
        State::Expired => (410, "request_expired"),
        State::DeclineSend | State::Declined if registration.refusal.is_some() => (200, "decided_refused"),
        State::DeclineSend | State::Declined => (200, "decided_declined"),
        _ => (200, "decided_approved"),
    };
    let more = json!({
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "decided_at": registration.decided_at,
        "reason": registration.reason,
    });
    dead_end(site, language, known_form(link_token), status, kind, more)
}

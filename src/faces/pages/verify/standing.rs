//! Where a request stands once its address is confirmed: waiting for people, with their questions, or decided, or over.

use super::super::{again_context, context, look_again, merge, password_is};
use super::Visit;
use crate::domain::decision::Outcome;
use crate::domain::error::Error;
use crate::domain::registration::{Event, State};
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::text_key::Key;
use crate::domain::token;
use crate::flow::keys;
use crate::outside::cgi::Response;
use crate::outside::page::PageName;
use crate::outside::store::{Access, Question, Registration};
use serde::Serialize;
use serde_json::{Value, json};

/// An answer that was typed, but not taken.
pub(super) struct Answering<'a> {
    /// The id of the question.
    pub question: i64,
    pub typed: &'a str,
    /// `None`: only the language was changed.
    pub error: Option<Key>,
}

/// Where a request stands that does not wait for the room any more: a section below `[standing]` in `templates/locales`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// The applicant can choose a password.
    Choosing,
    /// The account is being made, or its mail is to be sent.
    Approved,
    /// The account is made, and its mail is sent.
    Done,
    Declined,
    /// The same without a mail.
    DeclinedSilently,
    /// Nobody decided in time.
    Undecided,
    /// The homeserver did not make the account.
    Refused,
    Withdrawn,
    /// The address was not confirmed in time.
    Expired,
    /// No password was chosen in time.
    NotChosen,
}

pub(super) fn show(visit: &Visit, registration: &Registration, answering: Option<Answering>) -> Result<Response, Error> {
    let outcome = visit.site.store(Access::Read)?.last_decision(registration.id)?.map(|decided| decided.outcome);
    match standing_of(registration, outcome) {
        None => waiting(visit, registration, answering),
        Some(standing) => over(visit, registration, standing),
    }
}

/// `None`: it waits for the room.
fn standing_of(registration: &Registration, outcome: Option<Outcome>) -> Option<Standing> {
    Some(match registration.state {
        State::EmailSend | State::EmailVerify | State::AdminSend | State::AdminVerify => return None,
        State::ChooseSend | State::Choosing => Standing::Choosing,
        State::Register | State::MailCredentials => Standing::Approved,
        State::Done => Standing::Done,
        State::DeclineSend | State::Declined if registration.refusal.is_some() => Standing::Refused,
        State::DeclineSend | State::Declined => match outcome {
            Some(Outcome::DeclinedSilently) => Standing::DeclinedSilently,
            Some(Outcome::Undecided) => Standing::Undecided,
            _ => Standing::Declined,
        },
        State::Withdrawn => Standing::Withdrawn,
        State::Expired if registration.decided_at.is_some() => Standing::NotChosen,
        State::Expired => Standing::Expired,
    })
}

fn waiting(visit: &Visit, registration: &Registration, answering: Option<Answering>) -> Result<Response, Error> {
    let mut store = visit.site.store(Access::Read)?;
    let questions = store.questions(registration.id)?;
    let usual = store.usual_seconds_to_decision()?;
    drop(store);
    let mut own = visit.facts(registration);
    merge(&mut own, visit.form_values()?);
    own["asked_at"] = json!(registration.confirmed_at.unwrap_or(registration.requested_at));
    own["questions"] = questions.iter().map(|question| asked(question, answering.as_ref())).collect();
    let has_errors = answering.as_ref().is_some_and(|answering| answering.error.is_some());
    own["has_errors"] = json!(has_errors);
    merge(&mut own, usual.map_or(json!({}), usual_time));
    let status = if has_errors { 422 } else { 200 };
    let is_open = |id: i64| questions.iter().any(|question| question.id == id && question.answer.is_none());
    let whole = match answering.filter(|answering| is_open(answering.question)) {
        Some(answering) => again_context(visit.language, Some(visit.link_token), &format!("form-of-question-{}", answering.question), own),
        None => context(visit.language, Some(visit.link_token), own),
    };
    visit.site.page(visit.language, status, PageName::Verified, &whole)
}

fn asked(question: &Question, answering: Option<&Answering>) -> Value {
    let answering = answering.filter(|answering| answering.question == question.id && question.answer.is_none());
    json!({
        "id": question.id,
        "question": question.question,
        "asked_at": question.asked_at,
        "answer": question.answer,
        "answered_at": question.answered_at,
        "typed": answering.map_or("", |answering| answering.typed),
        "error": answering.and_then(|answering| answering.error),
    })
}

/// In whole hours or days, rounded up.
fn usual_time(seconds: i64) -> Value {
    match seconds.max(1) {
        seconds if seconds <= 36 * HOUR => json!({ "usual_hours": (seconds - 1) / HOUR + 1 }),
        seconds => json!({ "usual_days": (seconds - 1) / DAY + 1 }),
    }
}

fn over(visit: &Visit, registration: &Registration, standing: Standing) -> Result<Response, Error> {
    let mut own = visit.form_values()?;
    merge(&mut own, visit.facts(registration));
    own["kind"] = json!(standing);
    own["username"] = json!(registration.username);
    merge(&mut own, password_is(visit.site, &mut *visit.site.store(Access::Read)?, registration)?);
    merge(&mut own, look_again(visit.site, registration, visit.language, "verify", visit.link_token));
    own["decided_at"] = json!(registration.decided_at);
    own["reason"] = json!(registration.reason);
    own["choose_link"] = json!(choose_link(visit, registration, standing)?);
    own["withdraws"] = json!(registration.state.after(Event::Withdrawn).is_some());
    own["back"] =
        json!(matches!(standing, Standing::Refused | Standing::Undecided | Standing::Withdrawn | Standing::Expired | Standing::NotChosen));
    let status = if registration.state == State::Expired { 410 } else { 200 };
    visit.site.page(visit.language, status, PageName::Standing, &context(visit.language, Some(visit.link_token), own))
}

/// The link to choose a password, once it was to be mailed. The applicant owns the address, and may have lost that mail.
fn choose_link(visit: &Visit, registration: &Registration, standing: Standing) -> Result<Option<String>, Error> {
    if standing != Standing::Choosing {
        return Ok(None);
    }
    let token = keys::of(visit.site, registration)?.choose_token(&registration.seed);
    let is_known = registration.choose_token_hash.as_deref() == Some(token::hash(&token).as_str());
    Ok(is_known.then(|| visit.site.config.public_url.join(&format!("/welcome?t={token}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_time_is_never_shorter_than_it_was() {
        for (seconds, shown) in [(0, "usual_hours"), (HOUR, "usual_hours"), (36 * HOUR, "usual_hours"), (36 * HOUR + 1, "usual_days")] {
            let usual = usual_time(seconds);
            let unit = if shown == "usual_hours" { HOUR } else { DAY };
            assert!(usual[shown].as_i64().is_some_and(|count| count >= 1 && count * unit >= seconds), "{seconds}: {usual}");
        }
    }
}

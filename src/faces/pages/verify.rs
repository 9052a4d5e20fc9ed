//! The applicant's own page: the link of the first mail, for the whole way.
//!
//! GET shows where the request stands, and changes nothing, because mail scanners follow every link. POST confirms the address,
//! answers a question of the moderators, or withdraws the request; the answer shows where the request stands then. Sent twice, it
//! answers as the first time.

mod confirming;
mod standing;

use super::{BUTTON_SECONDS, DeadEnd, dead_end, known_form, language};
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::registration::Event;
use crate::domain::text_key::form::error as text;
use crate::domain::token;
use crate::flow::keys;
use crate::outside::cgi::{Request, Response};
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{Access, Registration};
use serde::Deserialize;
use serde_json::{Value, json};
use standing::Answering;

/// The query of the link.
#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default, deserialize_with = "super::link_token")]
    t: String,
}

/// One of the forms of the page.
#[derive(Default, Deserialize)] // no Debug: it contains a password
#[serde(default)]
struct Sent {
    #[serde(deserialize_with = "super::link_token")]
    t: String,
    form_token: String,
    /// `answer` or `withdraw`; anything else confirms the address.
    action: String,
    /// Another username, if the one that was asked for is taken.
    username: String,
    /// `1`: the form has a field for another username.
    asks_for_name: String,
    password: String,
    password_again: String,
    /// The id of the question that `answer` answers.
    question: String,
    answer: String,
    /// A button for another language, which only shows the same form again.
    switch_language: String,
}

/// Who looks at which page.
struct Visit<'a> {
    site: &'a Site,
    language: Language,
    link_token: &'a str,
}

/// GET: where the request stands.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    let link: Link = request.query()?;
    let registration = find(site, &link.t, Access::Read)?;
    let visit = Visit { site, language: language_of(site, request, registration.as_ref()), link_token: &link.t };
    match registration {
        Some(registration) => visit.show(&registration),
        None => visit.knows_no_request(),
    }
}

/// POST: does what the form is for, and shows where the request stands then.
pub fn submit(site: &Site, request: &Request) -> Result<Response, Error> {
    let form: Sent = request.form()?;
    let registration = find(site, &form.t, Access::Write)?;
    let visit = Visit { site, language: language_of(site, request, registration.as_ref()), link_token: &form.t };
    let Some(registration) = registration else { return visit.knows_no_request() };
    let fits = match form.action.as_str() {
        "withdraw" => Event::Withdrawn,
        "answer" => Event::Approved,
        _ => Event::AddressConfirmed,
    };
    if registration.state.after(fits).is_none() {
        return visit.show(&registration);
    }
    if fits == Event::AddressConfirmed {
        keys::check(site, &registration)?;
    }
    if !form.switch_language.is_empty() {
        return visit.show_again(&registration, &form);
    }
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "verify", &form.t, &form.form_token, site.now(), BUTTON_SECONDS) {
        return dead_end(site, visit.language, Some(&form.t), 409, super::form_fault(fault), json!({}));
    }
    match form.action.as_str() {
        "withdraw" => visit.withdraw(&registration),
        "answer" => visit.answer(&registration, &form),
        _ => confirming::confirm(&visit, request, &secret, &registration, &form),
    }
}

impl Visit<'_> {
    fn show(&self, registration: &Registration) -> Result<Response, Error> {
        if registration.state.after(Event::AddressConfirmed).is_none() {
            return standing::show(self, registration, None);
        }
        keys::check(self.site, registration)?;
        confirming::show(self, registration)
    }

    /// The same form in another language, with what was typed.
    fn show_again(&self, registration: &Registration, form: &Sent) -> Result<Response, Error> {
        match (form.action.as_str(), form.question.parse()) {
            ("answer", Ok(question)) => standing::show(self, registration, Some(Answering { question, typed: &form.answer, error: None })),
            ("answer" | "withdraw", _) => self.show(registration),
            _ => confirming::show_again(self, registration, form),
        }
    }

    /// Shows where the request stands after something was done.
    fn show_anew(&self, id: i64) -> Result<Response, Error> {
        // Not in the `match`, which would keep this connection while the page opens another one.
        let registration = self.site.store(Access::Write)?.registration(id)?;
        match registration {
            Some(registration) => self.show(&registration),
            None => self.knows_no_request(),
        }
    }

    /// The link is incomplete, or its request was forgotten.
    fn knows_no_request(&self) -> Result<Response, Error> {
        let kind = if self.link_token.is_empty() { DeadEnd::LinkMissing } else { DeadEnd::LinkUnknown };
        dead_end(self.site, self.language, known_form(self.link_token), 404, kind, json!({ "back": leads_back(kind) }))
    }

    fn withdraw(&self, registration: &Registration) -> Result<Response, Error> {
        // If the room was faster, the page shows that.
        if self.site.store(Access::Write)?.withdraw(registration.id, self.site.now())? {
            log::info("withdrawn", Some(registration.id), &format!("by the applicant, from {:?}", registration.state));
        }
        Ok(self.show_anew(registration.id)?.with_work_left())
    }

    fn answer(&self, registration: &Registration, form: &Sent) -> Result<Response, Error> {
        let Ok(question) = form.question.parse() else { return self.show(registration) };
        let again = |error| standing::show(self, registration, Some(Answering { question, typed: &form.answer, error: Some(error) }));
        let answer = match names::note(&form.answer) {
            None => return again(text::NOTE_TOO_LONG),
            Some(answer) if answer.is_empty() => return again(text::ANSWER_MISSING),
            Some(answer) => answer,
        };
        if self.site.store(Access::Write)?.answer(registration.id, question, &answer, self.site.now())? {
            log::info("question_answered", Some(registration.id), &format!("question={question}"));
        }
        Ok(self.show_anew(registration.id)?.with_work_left())
    }

    /// What every form of the page needs.
    fn form_values(&self) -> Result<Value, Error> {
        let form_token = token::form_token(&self.site.state.secret()?, "verify", self.link_token, self.site.now());
        Ok(json!({ "token": self.link_token, "form_token": form_token }))
    }

    fn facts(&self, registration: &Registration) -> Value {
        json!({
            "number": registration.number().to_string(),
            "mxid": names::mxid(&registration.username, &self.site.config.server_name),
            "email": registration.email,
        })
    }
}

fn find(site: &Site, link_token: &str, access: Access) -> Result<Option<Registration>, Error> {
    match known_form(link_token) {
        Some(link_token) => {
            let mut store = site.store(access)?;
            let Some(registration) = store.registration_by_verify_token(&token::hash(link_token))? else { return Ok(None) };
            Ok(Some(store.confirmed_twin(&registration)?.unwrap_or(registration)))
        }
        None => Ok(None),
    }
}

/// The language of the request, unless the visitor chooses another one on the page.
fn language_of(site: &Site, request: &Request, registration: Option<&Registration>) -> Language {
    match registration {
        Some(registration) if super::query_value(request, "lang").is_none() => registration.language,
        _ => language(site, request),
    }
}

/// Whether the message includes a link to the form.
pub(crate) fn leads_back(kind: DeadEnd) -> bool {
    matches!(kind, DeadEnd::LinkUnknown | DeadEnd::LinkMissing | DeadEnd::LinkExpired | DeadEnd::ChooseLinkUnknown | DeadEnd::Refused)
}

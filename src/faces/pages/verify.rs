//! The page behind the link in the mail: the applicant confirms the address.
//!
//! GET shows the request and a button, and changes nothing, because mail scanners follow every link. POST confirms.
//!
//! With `credentials = "confirm"` the password is asked for here and not on the form. Only the owner of the mail may
//! choose it; otherwise a stranger could request an account for somebody else's address and know its password.

use super::{BUTTON_SECONDS, DeadEnd, Faults, Field, chosen_password, context, dead_end, known_form, language};
use crate::domain::config::{Credentials, Language, OperationMode};
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::password;
use crate::domain::registration::{Event, State};
use crate::domain::seconds::HOUR;
use crate::domain::text_key::form::error as text;
use crate::domain::token::{self, Secret};
use crate::flow::keys;
use crate::flow::steps;
use crate::outside::cgi::{Request, Response};
use crate::outside::log;
use crate::outside::page::PageName;
use crate::outside::site::Site;
use crate::outside::store::{Access, Confirmed, Registration};
use serde::Deserialize;
use serde_json::{Value, json};

/// The query of the link.
#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default)]
    t: String,
}

/// The form with the one button.
#[derive(Default, Deserialize)] // no Debug: it contains a password
#[serde(default)]
struct Confirmation {
    t: String,
    form_token: String,
    password: String,
    password_again: String,
}

/// GET: the facts and a button.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    let link: Link = request.query()?;
    let registration = find(site, &link.t, Access::Read)?;
    let language = language_of(site, request, registration.as_ref());
    match registration {
        Some(registration) if registration.state.after(Event::AddressConfirmed).is_some() => {
            keys::check(site, &registration)?;
            button(site, language, 200, &link.t, &registration, &Faults::new())
        }
        other => answer_dead_end(site, language, &link.t, other.as_ref()),
    }
}

/// POST: confirms the address and tells the room.
pub fn submit(site: &Site, request: &Request) -> Result<Response, Error> {
    let form: Confirmation = request.form()?;
    let registration = find(site, &form.t, Access::Write)?;
    let language = language_of(site, request, registration.as_ref());
    let Some(registration) = registration else { return answer_dead_end(site, language, &form.t, None) };
    if registration.state.after(Event::AddressConfirmed).is_none() {
        return answer_dead_end(site, language, &form.t, Some(&registration));
    }
    keys::check(site, &registration)?;
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "verify", &form.t, &form.form_token, site.now(), BUTTON_SECONDS) {
        return dead_end(site, language, Some(&form.t), 409, super::form_fault(fault), json!({}));
    }
    let faults = password_faults(site, &registration, &form);
    if !faults.is_empty() {
        return button(site, language, 422, &form.t, &registration, &faults);
    }
    let password = kept_password(site, &secret, &registration, &form)?;
    let mut store = site.store(Access::Write)?;
    match store.confirm(registration.id, None, password.as_deref(), site.now())? {
        Confirmed::Yes => {}
        Confirmed::NotAwaited => return answer_dead_end(site, language, &form.t, store.registration(registration.id)?.as_ref()),
        Confirmed::NameTaken => {
            let taken = Faults::from([(Field::Username, text::USERNAME_UNAVAILABLE)]);
            return button(site, language, 422, &form.t, &registration, &taken);
        }
    }
    log::info("address_confirmed", Some(registration.id), "");
    steps::carry_on_or_leave(site, &mut store, registration.id);
    site.page(language, 200, PageName::Verified, &context(language, Some(&form.t), facts(site, &registration)))
}

/// The faults of the password, if one is asked for; also if the page was opened before that was configured.
fn password_faults(site: &Site, registration: &Registration, form: &Confirmation) -> Faults {
    if site.config.credentials() != Credentials::Confirm {
        return Faults::new();
    }
    chosen_password::faults(site, &form.password, &form.password_again, &registration.username, &registration.email)
}

/// The chosen password in the form in which the database keeps it until the account is made.
fn kept_password(site: &Site, secret: &Secret, registration: &Registration, form: &Confirmation) -> Result<Option<String>, Error> {
    let kept = match (site.config.credentials() == Credentials::Confirm, site.config.operation_mode) {
        (false, _) => None,
        (true, OperationMode::Local) => Some(password::hash(&form.password)),
        (true, OperationMode::Synapse) => Some(password::seal(secret, &registration.seed, &form.password)),
    };
    kept.transpose().map_err(|cause| Error::internal(format!("cannot keep the password: {cause}")))
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

fn facts(site: &Site, registration: &Registration) -> Value {
    json!({ "mxid": names::mxid(&registration.username, &site.config.server_name), "email": registration.email })
}

fn button(
    site: &Site,
    language: Language,
    status: u16,
    link_token: &str,
    registration: &Registration,
    errors: &Faults,
) -> Result<Response, Error> {
    let mut own = facts(site, registration);
    own["token"] = json!(link_token);
    own["form_token"] = json!(token::form_token(&site.state.secret()?, "verify", link_token, site.now()));
    own["expires"] = json!(registration.state_since + site.config.times.confirm_within_hours.0 as i64 * HOUR);
    own["wants_password"] = json!(site.config.credentials() == Credentials::Confirm);
    own["password_min_length"] = json!(site.config.form.password_min_length.0);
    own["errors"] = json!(errors);
    site.page(language, status, PageName::Verify, &context(language, Some(link_token), own))
}

fn answer_dead_end(site: &Site, language: Language, link_token: &str, registration: Option<&Registration>) -> Result<Response, Error> {
    let (status, kind) = match registration {
        None if link_token.is_empty() => (404, DeadEnd::LinkMissing),
        None => (404, DeadEnd::LinkUnknown),
        Some(registration) => dead_end_of(registration),
    };
    dead_end(site, language, known_form(link_token), status, kind, json!({ "back": leads_back(kind) }))
}

/// The status and the text (`message.KIND.*`) for an applicant whose request does not await confirmation.
pub(crate) fn dead_end_of(registration: &Registration) -> (u16, DeadEnd) {
    match registration.state {
        State::Expired => (410, DeadEnd::LinkExpired),
        State::Withdrawn => (200, DeadEnd::Withdrawn),
        State::ChooseSend | State::Choosing | State::Register | State::MailCredentials | State::Done => (200, DeadEnd::AlreadyApproved),
        State::DeclineSend | State::Declined if registration.refusal.is_some() => (200, DeadEnd::Refused),
        State::DeclineSend | State::Declined => (200, DeadEnd::Declined),
        _ => (200, DeadEnd::AlreadyConfirmed),
    }
}

/// Whether the message includes a link to the form.
pub(crate) fn leads_back(kind: DeadEnd) -> bool {
    matches!(kind, DeadEnd::LinkUnknown | DeadEnd::LinkMissing | DeadEnd::LinkExpired | DeadEnd::Refused)
}

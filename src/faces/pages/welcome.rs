//! The page behind the link that is mailed after the approval (`credentials = "link"`): the applicant chooses a password, and the
//! account is made at that moment.
//!
//! GET shows the name and two fields, and changes nothing, because mail scanners follow every link. The POST that comes first
//! stores the password and has the account made; whatever happens to the browser then, the account is made once, by this program
//! or by cron. Later visitors of the link are told what became of it.

use super::verify::leads_back;
use super::{BUTTON_SECONDS, DeadEnd, Faults, Field, chosen_password, context, dead_end, known_form, language};
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::registration::{Event, State};
use crate::domain::text_key::form::error as text;
use crate::domain::token;
use crate::flow::keys;
use crate::flow::steps;
use crate::outside::cgi::{Request, Response};
use crate::outside::log;
use crate::outside::matrix::password_policy::PasswordPolicy;
use crate::outside::page::PageName;
use crate::outside::site::Site;
use crate::outside::store::{Access, Registration};
use serde::Deserialize;
use serde_json::{Value, json};

/// The query of the link.
#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default, deserialize_with = "super::link_token")]
    t: String,
}

/// The form with the new password.
#[derive(Default, Deserialize)] // no Debug: it contains a password
#[serde(default)]
struct Choice {
    t: String,
    form_token: String,
    password: String,
    password_again: String,
}

/// GET: the name, and two fields for the password.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    let link: Link = request.query()?;
    let registration = find(site, &link.t, Access::Read)?;
    let language = language_of(site, request, registration.as_ref());
    match registration {
        Some(registration) if awaits_choice(&registration) => {
            keys::check(site, &registration)?;
            form(site, language, 200, &link.t, &registration, &chosen_password::rules(site), faults_of_homeserver(&registration))
        }
        other => answer(site, language, &link.t, other.as_ref(), false),
    }
}

/// POST: stores the password, and has the account made.
pub fn submit(site: &Site, request: &Request) -> Result<Response, Error> {
    let choice: Choice = request.form()?;
    let registration = find(site, &choice.t, Access::Write)?;
    let language = language_of(site, request, registration.as_ref());
    let registration = match registration {
        Some(registration) if awaits_choice(&registration) => registration,
        other => return answer(site, language, &choice.t, other.as_ref(), true),
    };
    keys::check(site, &registration)?;
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "welcome", &choice.t, &choice.form_token, site.now(), BUTTON_SECONDS) {
        return dead_end(site, language, Some(&choice.t), 409, super::form_fault(fault), json!({}));
    }
    let rules = chosen_password::rules(site);
    let faults = chosen_password::faults(&rules, &choice.password, &choice.password_again, &registration.username, &registration.email);
    if !faults.is_empty() {
        return form(site, language, 422, &choice.t, &registration, &rules, faults);
    }
    let kept = chosen_password::kept(site, &registration, &choice.password)?;
    let mut store = site.store(Access::Write)?;
    if !store.choose_password(registration.id, &kept, site.now())? {
        // Another window was faster, and its password counts.
        return answer(site, language, &choice.t, store.registration(registration.id)?.as_ref(), true);
    }
    log::info("password_chosen", Some(registration.id), "");
    steps::carry_on_for_visitor(site, &mut store, registration.id);
    match store.registration(registration.id)? {
        // The homeserver refused the password, and another one can be chosen at once.
        Some(again) if awaits_choice(&again) => {
            let faults = faults_of_homeserver(&again);
            form(site, language, 422, &choice.t, &again, &rules, faults)
        }
        other => answer(site, language, &choice.t, other.as_ref(), false),
    }
    .map(Response::with_work_left)
}

fn find(site: &Site, link_token: &str, access: Access) -> Result<Option<Registration>, Error> {
    match known_form(link_token) {
        Some(link_token) => Ok(site.store(access)?.registration_by_choose_token(&token::hash(link_token))?),
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

fn awaits_choice(registration: &Registration) -> bool {
    registration.state.after(Event::PasswordChosen).is_some()
}

/// The fault of the password that was chosen before, if the homeserver refused it.
fn faults_of_homeserver(registration: &Registration) -> Faults {
    registration.refusal.iter().map(|_| (Field::Password, text::PASSWORD_REFUSED)).collect()
}

fn facts(site: &Site, registration: &Registration) -> Value {
    json!({
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "username": registration.username,
        "email": registration.email,
    })
}

fn form(
    site: &Site,
    language: Language,
    status: u16,
    link_token: &str,
    registration: &Registration,
    rules: &PasswordPolicy,
    errors: Faults,
) -> Result<Response, Error> {
    let mut own = facts(site, registration);
    let of_form = json!({
        "token": link_token,
        "form_token": token::form_token(&site.state.secret()?, "welcome", link_token, site.now()),
        "expires": registration.state_since + steps::choose_seconds(site),
        "password_min_length": rules.minimum_length,
        "password_needs": chosen_password::needs(rules),
        "refusal": registration.refusal.as_deref().unwrap_or_default(),
        "errors": errors,
    });
    super::merge(&mut own, of_form);
    site.page(language, status, PageName::Welcome, &context(language, Some(link_token), own))
}

/// What became of a request whose password cannot be chosen now. `was_sent`: the visitor sent a password, which was not stored.
fn answer(
    site: &Site,
    language: Language,
    link_token: &str,
    registration: Option<&Registration>,
    was_sent: bool,
) -> Result<Response, Error> {
    match registration {
        None => {
            let kind = if link_token.is_empty() { DeadEnd::LinkMissing } else { DeadEnd::ChooseLinkUnknown };
            dead_end(site, language, known_form(link_token), 404, kind, json!({ "back": leads_back(kind) }))
        }
        Some(registration) if matches!(registration.state, State::Register | State::MailCredentials | State::Done) => {
            let mut own = facts(site, registration);
            super::merge(&mut own, super::password_is(site, &mut *site.store(Access::Read)?, registration)?);
            super::merge(&mut own, super::look_again(site, registration, language, "welcome", link_token));
            own["pending"] = json!(registration.state == State::Register);
            own["was_chosen_before"] = json!(was_sent);
            site.page(language, 200, PageName::Welcomed, &context(language, known_form(link_token), own))
        }
        // The rest stands on the applicant's own page.
        Some(registration) => {
            if let Err(other_key) = keys::check(site, registration) {
                // What waits has to wait for the key; what is over has no page that can be found without it.
                let kind = DeadEnd::ChooseLinkUnknown;
                return match registration.state.is_final() {
                    true => dead_end(site, language, known_form(link_token), 404, kind, json!({ "back": leads_back(kind) })),
                    false => Err(other_key),
                };
            }
            let own_page = steps::verify_link(site, &keys::of(site, registration)?, registration);
            let to = format!("{own_page}&lang={}", language.tag());
            let answer = Response::text(303, "").header("Location", to).header("Cache-Control", "no-store");
            Ok(answer.header("Referrer-Policy", "no-referrer"))
        }
    }
}

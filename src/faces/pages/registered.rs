//! The thank-you page: where a request is until its address is confirmed, for whoever filed it.
//!
//! Two forms on it help with what goes wrong most often: the mail is sent again, and a mistyped address is corrected. What the
//! mail server said about the address at once stands beside it.
//!
//! The page has a token of its own, which is only in the answer to whoever filed the request. It says nothing about the request
//! that this person did not type, and it opens nothing once the address is confirmed.

use super::{DeadEnd, Faults, Field, address_fault, again_context, context, dead_end, form_token_text, known_form, language};
use crate::domain::address::Address;
use crate::domain::back_off::AddressFault;
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::registration::State;
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::text_key::{self, Key, form::error as text};
use crate::domain::token;
use crate::flow::keys;
use crate::flow::limits::{self, Subjects};
use crate::flow::steps;
use crate::outside::cgi::{Request, Response};
use crate::outside::log;
use crate::outside::page::PageName;
use crate::outside::site::Site;
use crate::outside::store::{Access, Again, AllowanceKind, Registration, Store};
use serde::Deserialize;
use serde_json::json;

/// How long the forms of the page may stay open in the browser, in seconds.
const FORM_SECONDS: i64 = DAY;

/// The two forms: with `email` the address is corrected, without it the mail is sent again.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wish {
    t: String,
    form_token: String,
    /// The round of mails that the page showed.
    round: i64,
    email: Option<String>,
    /// The button of another language: only asks for the page in the language of the address.
    switch_language: String,
}

/// What the page says beside the facts.
#[derive(Default)]
struct Said<'a> {
    faults: Faults,
    /// The address as it was typed, if it has a fault.
    typed: Option<&'a str>,
    /// The text of what was just done.
    notice: Option<Key>,
}

/// GET: the page of a request by its token.
pub(super) fn show(site: &Site, request: &Request, page_token: &str) -> Result<Response, Error> {
    let language = language(site, request);
    present(site, &mut *site.store(Access::Read)?, language, page_token, None)
}

/// POST: sends the mail again, or corrects the address.
pub(super) fn submit(site: &Site, request: &Request) -> Result<Response, Error> {
    let wish: Wish = request.form()?;
    let language = language(site, request);
    let mut store = site.store(Access::Write)?;
    let registration = match find(&mut store, &wish.t)? {
        Some(registration) if registration.state.is_unconfirmed() => registration,
        other => return over(site, language, &wish.t, other.as_ref()),
    };
    keys::check(site, &registration)?;
    if !wish.switch_language.is_empty() {
        let said = Said { typed: wish.email.as_deref(), ..Said::default() };
        return page(site, &mut store, (language, 200), &wish.t, &registration, said);
    }
    let mut refused = |status: u16, faults: Faults| {
        let said = Said { faults, typed: wish.email.as_deref(), notice: None };
        page(site, &mut store, (language, status), &wish.t, &registration, said)
    };
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "registered", &wish.t, &wish.form_token, site.now(), FORM_SECONDS) {
        return refused(422, Faults::from([(Field::Form, form_token_text(fault))]));
    }
    let address = match wish.email.as_deref().map(Address::parse).transpose() {
        Ok(address) => address.filter(|address| address.as_typed() != registration.email),
        Err(fault) => return refused(422, Faults::from([(Field::Email, address_fault(fault))])),
    };
    let network = limits::network(site, request, &secret);
    let folded = address.as_ref().map_or_else(|| registration.email_folded.clone(), Address::folded);
    let subjects = Subjects::of(network, &secret, &folded);
    let of_filing = limits::of_filing(&site.config.limits, &subjects);
    let (again, notice) = match &address {
        Some(address) => {
            let to = keys::of_correction(site, address)?;
            (store.correct_address(registration.id, wish.round, &to, &of_filing, site.now())?, text_key::registered::CORRECTED)
        }
        None => (store.mail_again(registration.id, wish.round, &of_filing, site.now())?, text_key::registered::SENT_AGAIN),
    };
    let (fault, seconds) = match again {
        Again::Owed(id) => {
            log::info(if address.is_some() { "address_corrected" } else { "mail_wanted_again" }, Some(id), "");
            steps::carry_on_or_leave(site, &mut store, id);
            return present(site, &mut store, language, &wish.t, Some(notice));
        }
        // A second click gets the answer to the first.
        Again::Over | Again::NotAwaited => return present(site, &mut store, language, &wish.t, Some(notice)),
        Again::Enough => (text::MAIL_ENOUGH, None),
        Again::AddressBusy => (text::EMAIL_BUSY, Some(DAY)),
        Again::UsedUp(AllowanceKind::RequestsOfAddress, seconds) => (text::EMAIL_USED_UP, Some(seconds)),
        Again::UsedUp(_, seconds) => (text::NETWORK_USED_UP, Some(seconds)),
    };
    log::warn(
        "mail_not_sent_again",
        Some(registration.id),
        "as many mails or requests as [limits] in config.toml allows, or as one request gets",
    );
    let field = if fault == text::NETWORK_USED_UP { Field::Form } else { Field::Email };
    let said = Said { faults: Faults::from([(field, fault)]), typed: wish.email.as_deref(), notice: None };
    let response = page(site, &mut store, (language, 429), &wish.t, &registration, said)?;
    Ok(match seconds {
        Some(seconds) => response.header("Retry-After", seconds.to_string()),
        None => response,
    })
}

/// The page as the request stands now.
fn present(site: &Site, store: &mut Store, language: Language, page_token: &str, notice: Option<Key>) -> Result<Response, Error> {
    match find(store, page_token)? {
        Some(registration) if registration.state.is_unconfirmed() => {
            page(site, store, (language, 200), page_token, &registration, Said { notice, ..Said::default() })
        }
        other => over(site, language, page_token, other.as_ref()),
    }
}

/// The answer to a form that was just filed.
pub(super) fn thanks(site: &Site, store: &mut Store, language: Language, page_token: &str, id: i64) -> Result<Response, Error> {
    match store.registration(id)? {
        Some(registration) if registration.state.is_unconfirmed() => {
            page(site, store, (language, 200), page_token, &registration, Said::default())
        }
        other => over(site, language, page_token, other.as_ref()),
    }
}

fn find(store: &mut Store, page_token: &str) -> Result<Option<Registration>, Error> {
    match known_form(page_token) {
        Some(page_token) => Ok(store.registration_by_page_token(&token::hash(page_token))?),
        None => Ok(None),
    }
}

fn page(
    site: &Site,
    store: &mut Store,
    (language, status): (Language, u16),
    page_token: &str,
    registration: &Registration,
    mut said: Said,
) -> Result<Response, Error> {
    let mail = store.confirm_mail(registration.id)?;
    let mail_fault = mail.and_then(|mail| mail.fault).map(|fault| match fault {
        AddressFault::Gone => text::EMAIL_GONE,
        AddressFault::PutOff => text::EMAIL_PUT_OFF,
    });
    if let Some(fault) = mail_fault.filter(|_| said.faults.is_empty()) {
        said.faults.insert(Field::Email, fault);
        said.notice = None;
    }
    let is_sent = mail.is_some_and(|mail| mail.is_sent);
    let is_typed = said.typed.is_some();
    let own = json!({
        "number": registration.number().to_string(),
        "email": registration.email,
        "typed": said.typed.unwrap_or(&registration.email),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "expires": registration.state_since + site.config.times.confirm_within_hours.0 as i64 * HOUR,
        "token": page_token,
        "form_token": token::form_token(&site.state.secret()?, "registered", page_token, site.now()),
        "round": mail.map_or(0, |mail| mail.round),
        "is_delayed": mail.is_some_and(|mail| mail.is_delayed) && mail_fault.is_none(),
        "notice": said.notice.filter(|_| is_sent),
        "errors": said.faults,
    });
    let whole = match is_typed {
        true => again_context(language, Some(page_token), "correct", own),
        false => context(language, Some(page_token), own),
    };
    site.page(language, status, PageName::Registered, &whole)
}

/// The request does not await confirmation. What became of it stands behind the link in the mail, for its owner alone.
fn over(site: &Site, language: Language, page_token: &str, registration: Option<&Registration>) -> Result<Response, Error> {
    let (status, kind) = match registration.map(|registration| registration.state) {
        None => (404, DeadEnd::LinkUnknown),
        Some(State::Expired) => (410, DeadEnd::LinkExpired),
        Some(_) => (200, DeadEnd::AlreadyConfirmed),
    };
    dead_end(site, language, known_form(page_token), status, kind, json!({ "back": kind != DeadEnd::AlreadyConfirmed }))
}

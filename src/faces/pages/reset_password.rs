//! Local mode: whoever forgot the password, lost the mail with it or let it expire, sets a new one.
//!
//! The answer to the first form is the same for everybody, in text, status and time: it is given before anybody looks whether
//! there is such an account ([`crate::flow::resets`]). The mail is sent after the answer ([`mail_links`]).
//!
//! The link in the mail works for an hour and once. GET changes nothing, because mail scanners follow every link. A form that comes
//! again, because its answer was lost, gets the answer of the first time; its link does nothing any more.

use super::{
    BUTTON_SECONDS, DeadEnd, Faults, Field, again_context, chosen_password, context, dead_end, form_token_text, known_form, language,
};
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::password;
use crate::domain::seconds::DAY;
use crate::domain::text_key::{Key, form::error as text};
use crate::domain::token;
use crate::flow::caller;
use crate::flow::devices;
use crate::flow::limits;
use crate::flow::password_check::{self, Caller, Verdict};
use crate::flow::queue;
use crate::flow::resets::{self, NamedFault};
use crate::outside::cgi::{Header, Request, Response};
use crate::outside::log;
use crate::outside::page::PageName;
use crate::outside::site::Site;
use crate::outside::store::{Access, AllowanceKind, Login, ResetAsked};
use serde::Deserialize;
use serde_json::json;

/// How long the first form may stay open in the browser, in seconds.
const FORM_SECONDS: i64 = DAY;

/// The query of the link.
#[derive(Debug, Deserialize)]
struct Link {
    #[serde(default, deserialize_with = "super::link_token")]
    t: String,
}

/// The first form, or the second, which has a `t`.
#[derive(Default, Deserialize)] // no Debug: it contains a password
#[serde(default)]
struct Sent {
    form_token: String,
    account: String,
    #[serde(deserialize_with = "super::link_token")]
    t: String,
    password: String,
    password_again: String,
    log_out: String,
    /// The button of another language: only asks for the first form in the language of the address.
    switch_language: String,
}

/// GET: the form for the name of an account or, behind the link in the mail, for the new password.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    let link: Link = request.query()?;
    let language = language(site, request);
    if !site.config.operation_mode.has_own_passwords() {
        return elsewhere(site, language);
    }
    if link.t.is_empty() {
        return first_form(site, language, 200, &Sent::default(), &Faults::new());
    }
    match find(site, &link.t, Access::Read)? {
        Some(login) => second_form(site, language, 200, &link.t, &login, (&Faults::new(), true)),
        None => link_over(site, language),
    }
}

/// POST: asks for a link, or sets a new password with one.
pub fn submit(site: &Site, request: &Request) -> Result<Response, Error> {
    let sent: Sent = request.form()?;
    let language = language(site, request);
    if !site.config.operation_mode.has_own_passwords() {
        elsewhere(site, language)
    } else if !sent.switch_language.is_empty() {
        first_form(site, language, 200, &sent, &Faults::new())
    } else if sent.t.is_empty() {
        ask(site, request, language, sent)
    } else {
        set_password(site, request, language, &sent)
    }
}

/// After the answer to the first form: sends its mail. Failures are recorded with the request, and cron tries again.
pub fn mail_links(site: &Site) {
    if let Err(cause) = queue::mail_resets(site) {
        log::warn("reset_left_to_cron", None, &cause.cause);
    }
}

fn ask(site: &Site, request: &Request, language: Language, mut sent: Sent) -> Result<Response, Error> {
    let secret = site.state.secret()?;
    if let Err(fault) = looks_genuine(site, request, &sent) {
        if fault != text::FORM_TOO_FAST {
            sent.form_token.clear();
        }
        return first_form(site, language, 422, &sent, &Faults::from([(Field::Form, fault)]));
    }
    let named = match resets::named(site, &sent.account) {
        Ok(named) => named,
        Err(fault) => return first_form(site, language, 422, &sent, &Faults::from([(Field::Account, named_fault(fault))])),
    };
    let network = limits::network(site, request, &secret);
    match resets::ask(site, &secret, &network, (&sent.form_token, named), language)? {
        ResetAsked::Kept => Ok(said(site, language, DeadEnd::ResetAsked, None)?.with_work_left()),
        ResetAsked::CameBefore => said(site, language, DeadEnd::ResetAsked, None),
        ResetAsked::UsedUp(kind, seconds) => used_up(site, language, &sent, kind, seconds),
    }
}

/// Whether the form is ours, recent, and not filled in by a program or from another site.
fn looks_genuine(site: &Site, request: &Request, sent: &Sent) -> Result<(), Key> {
    let secret = site.state.secret().map_err(|_| text::FORM_FORGED)?;
    let made_at =
        token::check_form_token(&secret, "reset_password", "", &sent.form_token, site.now(), FORM_SECONDS).map_err(form_token_text)?;
    if request.header(Header::SecFetchSite) == Some("cross-site") {
        return Err(text::FORM_FORGED);
    }
    match site.now().saturating_sub(made_at) < site.config.limits.form_minimum_seconds.0 as i64 {
        true => Err(text::FORM_TOO_FAST),
        false => Ok(()),
    }
}

fn named_fault(fault: NamedFault) -> Key {
    match fault {
        NamedFault::Missing => text::ACCOUNT_MISSING,
        NamedFault::TooLong => text::ACCOUNT_TOO_LONG,
        NamedFault::Invisible => text::INVISIBLE,
    }
}

/// 429: what was typed is counted whether or not there is such an account.
fn used_up(site: &Site, language: Language, sent: &Sent, kind: AllowanceKind, seconds: i64) -> Result<Response, Error> {
    let (key, fault, seconds) = match kind {
        AllowanceKind::ResetsAskedFor => ("requests_per_address_per_day", (Field::Account, text::ACCOUNT_USED_UP), seconds),
        _ => ("requests_per_network_per_day", (Field::Form, text::NETWORK_USED_UP), seconds),
    };
    log::warn("reset_refused", None, &format!("limits.{key} in config.toml"));
    let response = first_form(site, language, 429, sent, &Faults::from([fault]))?;
    Ok(response.header("Retry-After", seconds.to_string()))
}

fn set_password(site: &Site, request: &Request, language: Language, sent: &Sent) -> Result<Response, Error> {
    let Some(login) = find(site, &sent.t, Access::Write)? else { return set_before(site, request, language, sent) };
    let secret = site.state.secret()?;
    if let Err(fault) = token::check_form_token(&secret, "new password", &sent.t, &sent.form_token, site.now(), BUTTON_SECONDS) {
        return dead_end(site, language, Some(&sent.t), 409, super::form_fault(fault), json!({}));
    }
    let faults =
        chosen_password::faults(&chosen_password::own_rules(site), &sent.password, &sent.password_again, &login.localpart, &login.email);
    if !faults.is_empty() {
        return second_form(site, language, 422, &sent.t, &login, (&faults, sent.log_out == "1"));
    }
    let hash = password::hash(&sent.password).map_err(|cause| Error::internal(format!("cannot hash a password: {cause}")))?;
    let mut store = site.store(Access::Write)?;
    let Some(login) = store.set_password_by_link(&token::hash(&sent.t), &hash, site.now())? else {
        return set_before(site, request, language, sent);
    };
    log::info("password_reset", None, &format!("account {}", login.id));
    password_check::remember_owner(site, &mut store, &login, caller::client(site, request));
    is_set(site, language, sent, &login)
}

/// The form that has set the password, once more: the same link, and the password that is in force. The password is checked as at a
/// login, guesses are counted, and whoever does not know the password is told what everybody is told.
fn set_before(site: &Site, request: &Request, language: Language, sent: &Sent) -> Result<Response, Error> {
    let used = match known_form(&sent.t) {
        Some(link_token) => site.store(Access::Read)?.login_of_used_link(&token::hash(link_token), site.now())?,
        None => None,
    };
    let Some(login) = used else { return link_over(site, language) };
    let client = Caller::World { address: caller::client(site, request) };
    match password_check::check(site, Some(&login.localpart), &sent.password, &client)? {
        Verdict::Right(login) if login.initial_password_until.is_none() => is_set(site, language, sent, &login),
        _ => link_over(site, language),
    }
}

/// The new password is in force.
fn is_set(site: &Site, language: Language, sent: &Sent, login: &Login) -> Result<Response, Error> {
    let kind = match site.config.password_change.logout_devices && sent.log_out == "1" {
        true => log_out_devices(site, login),
        false => DeadEnd::PasswordSet,
    };
    said(site, language, kind, Some(names::mxid(&login.localpart, &site.config.server_name)))
}

/// The password is set already, so a failure is only said.
fn log_out_devices(site: &Site, login: &Login) -> DeadEnd {
    match devices::log_out(site, &login.localpart, None) {
        Ok(()) => DeadEnd::PasswordSetEverywhere,
        Err(cause) => {
            log::warn(
                "devices_not_logged_out",
                None,
                &format!("account {}: {cause}; password_change.logout_devices needs a bot that is a server administrator", login.id),
            );
            DeadEnd::PasswordSetDevicesLeft
        }
    }
}

fn find(site: &Site, link_token: &str, access: Access) -> Result<Option<Login>, Error> {
    match known_form(link_token) {
        Some(link_token) => Ok(site.store(access)?.login_of_reset_link(&token::hash(link_token), site.now())?),
        None => Ok(None),
    }
}

fn first_form(site: &Site, language: Language, status: u16, sent: &Sent, faults: &Faults) -> Result<Response, Error> {
    // An unused token is used again, so that a visitor who corrects one letter need not wait.
    let form_token = match sent.form_token.is_empty() {
        true => token::form_token(&site.state.secret()?, "reset_password", "", site.now()),
        false => sent.form_token.clone(),
    };
    let own = json!({ "account": sent.account, "errors": faults, "form_token": form_token });
    let shown_again = !faults.is_empty() || !sent.form_token.is_empty();
    let whole = if shown_again { again_context(language, None, "account-form", own) } else { context(language, None, own) };
    site.page(language, status, PageName::ResetPassword, &whole)
}

/// `faults` come with whether the box for logging out is ticked.
fn second_form(
    site: &Site,
    language: Language,
    status: u16,
    link_token: &str,
    login: &Login,
    (faults, log_out): (&Faults, bool),
) -> Result<Response, Error> {
    let own = json!({
        "token": link_token,
        "form_token": token::form_token(&site.state.secret()?, "new password", link_token, site.now()),
        "mxid": names::mxid(&login.localpart, &site.config.server_name),
        "password_min_length": site.config.form.password_min_length.0,
        "can_log_out": site.config.password_change.logout_devices,
        "log_out": log_out,
        "errors": faults,
    });
    site.page(language, status, PageName::NewPassword, &context(language, Some(link_token), own))
}

/// The answer to a form, without links to other languages: the form would have to be sent again.
fn said(site: &Site, language: Language, kind: DeadEnd, mxid: Option<String>) -> Result<Response, Error> {
    site.page(language, 200, PageName::Message, &json!({ "kind": kind, "mxid": mxid }))
}

/// Used, expired, or never ours: nobody is told which.
fn link_over(site: &Site, language: Language) -> Result<Response, Error> {
    dead_end(site, language, None, 404, DeadEnd::ResetLinkOver, json!({ "ask_again": true }))
}

/// The homeserver has the passwords.
fn elsewhere(site: &Site, language: Language) -> Result<Response, Error> {
    dead_end(site, language, None, 404, DeadEnd::ResetElsewhere, json!({}))
}

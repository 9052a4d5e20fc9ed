//! Pages for visitors. A page, its program, its templates and its test share one name.

mod chosen_password;
pub mod register;
mod registered;
pub mod reset_password;
mod usernames;
pub mod verify;
pub mod verify_admin;
pub mod welcome;

use crate::domain::address::AddressFault;
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::registration::State;
use crate::domain::seconds::DAY;
use crate::domain::text_key::{self, Key};
use crate::domain::token::FormTokenFault;
use crate::faces::gateway::{self, Pace, PaceOf, Program};
use crate::flow::accounts;
use crate::flow::queue;
use crate::outside::cgi::{Header, Request, Response};
use crate::outside::page::{self, PageName};
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store};
use crate::outside::text;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Fields with the key of the error text beside each.
type Faults = BTreeMap<Field, Key>;

/// The place of an error text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Field {
    /// The form as a whole.
    Form,
    FirstName,
    LastName,
    Username,
    Email,
    Note,
    Account,
    Password,
    PasswordAgain,
    Terms,
}

/// How long the form token of the two buttons is valid, in seconds.
const BUTTON_SECONDS: i64 = DAY;

/// Serves one of the pages; errors are shown as a page, too.
pub fn serve(program: &'static str, respond: gateway::Respond) -> ExitCode {
    serve_at(program, gateway::by_method, respond, gateway::nothing)
}

/// The same for a page that asks the homeserver even when it is only shown.
pub fn serve_patiently(program: &'static str, respond: gateway::Respond) -> ExitCode {
    serve_at(program, |_| Pace::MayWait, respond, queue::after_a_visit)
}

/// The same for a program whose answers may change what the room should show.
pub fn serve_and_show(program: &'static str, respond: gateway::Respond) -> ExitCode {
    serve_and_work(program, respond, queue::after_a_visit)
}

/// The same for a program whose answers leave work.
pub fn serve_and_work(program: &'static str, respond: gateway::Respond, afterwards: gateway::Afterwards) -> ExitCode {
    serve_at(program, gateway::by_method, respond, afterwards)
}

fn serve_at(program: &'static str, pace: PaceOf, respond: gateway::Respond, afterwards: gateway::Afterwards) -> ExitCode {
    let body_limit: gateway::BodyLimit = |site, _| Ok(site.config.limits.body_bytes.0);
    gateway::serve(Program { name: program, body_limit, pace, fail, respond, afterwards })
}

fn fail(site: Option<&Site>, request: Option<&Request>, error: &Error) -> Response {
    let language = match (site, request) {
        (Some(site), Some(request)) => language(site, request),
        (None, Some(request)) => text::choose_language(None, request.header(Header::AcceptLanguage), Language::default()),
        _ => Language::default(),
    };
    match site {
        Some(site) => site.error_page(language, error),
        None => page::error(None, language, error),
    }
}

/// The language for a visitor: `?lang=`, or the browser's preference, or the operator's default.
pub fn language(site: &Site, request: &Request) -> Language {
    let asked = query_value(request, "lang");
    text::choose_language(asked.as_deref(), request.header(Header::AcceptLanguage), site.config.default_language)
}

/// One value of the query string; unlike [`Request::query`], this never fails.
fn query_value(request: &Request, name: &str) -> Option<String> {
    let query: Vec<(String, String)> = request.query().unwrap_or_default();
    query.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The values of a page, with links to the same page in the other languages; `token` is that of the page's own link and is
/// kept. For a form that is shown again see [`again_context`].
fn context(language: Language, token: Option<&str>, own: Value) -> Value {
    let mut whole = json!({ "language_links": page::language_links(language, token) });
    merge(&mut whole, own);
    whole
}

/// The same for a form that is shown again, with the id `form`: a link would lose what was typed, so each language has a button
/// that sends the form with `switch_language`, which asks for nothing
/// but the same form.
fn again_context(language: Language, token: Option<&str>, form: &str, own: Value) -> Value {
    let mut whole = context(language, token, own);
    whole["language_form"] = json!(form);
    whole
}

fn merge(whole: &mut Value, more: Value) {
    if let (Some(whole), Value::Object(more)) = (whole.as_object_mut(), more) {
        whole.extend(more);
    }
}

/// A page without a way forward: a section below `[message]` in `templates/locales`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeadEnd {
    Closed,
    ClosedByHand,
    LinkUnknown,
    LinkMissing,
    LinkExpired,
    ChooseLinkUnknown,
    AlreadyConfirmed,
    AlreadyApproved,
    Declined,
    Refused,
    RequestUnknown,
    RequestExpired,
    RequestWithdrawn,
    DecidedApproved,
    DecidedChoosing,
    DecidedUnchosen,
    DecidedDeclined,
    DecidedSilently,
    DecidedTooLate,
    NotTakenBack,
    DecidedRefused,
    RequestUnconfirmed,
    FormExpired,
    FormForged,
    ResetAsked,
    ResetLinkOver,
    ResetElsewhere,
    PasswordSet,
    PasswordSetEverywhere,
    PasswordSetDevicesLeft,
}

/// The page of a dead end, with its texts `message.KIND.*`.
fn dead_end(site: &Site, language: Language, token: Option<&str>, status: u16, kind: DeadEnd, more: Value) -> Result<Response, Error> {
    let mut own = json!({ "kind": kind });
    merge(&mut own, more);
    site.page(language, status, PageName::Message, &context(language, token, own))
}

/// The page where a request stands whose account is being created after the answer: seconds until it looks again by itself, which
/// grow, and the address for that. Nothing for requests whose accounts no visit outlives.
fn look_again(site: &Site, registration: &Registration, language: Language, page: &str, link_token: &str) -> Value {
    if registration.state != State::Register || !accounts::outlives_visits(site, registration) {
        return json!({});
    }
    let seconds = ((site.now() - registration.state_since) / 3).clamp(5, 300);
    let url = site.config.public_url.join(&format!("/{page}?t={link_token}&lang={}", language.tag()));
    json!({ "look_again": { "seconds": seconds, "url": url } })
}

/// How the applicant of a finished request knows the password (the texts `way_in.password_*`), and where to set it, if nobody did.
fn password_is(site: &Site, store: &mut Store, registration: &Registration) -> Result<Value, Error> {
    let recover_link = match registration.state {
        State::MailCredentials | State::Done => {
            accounts::recover_link(site, store, registration).map_err(|failure| Error::unavailable(failure.sentence))?
        }
        _ => None,
    };
    let is = match (&recover_link, registration.password_chosen) {
        (Some(_), _) => "recovery",
        (None, true) => "chosen",
        (None, false) => "mailed",
    };
    Ok(json!({ "password_is": is, "recover_link": recover_link }))
}

/// The dead end for a refused form token.
fn form_fault(fault: FormTokenFault) -> DeadEnd {
    match fault {
        FormTokenFault::Expired => DeadEnd::FormExpired,
        FormTokenFault::Forged => DeadEnd::FormForged,
    }
}

/// The text beside a form whose token is refused.
fn form_token_text(fault: FormTokenFault) -> Key {
    match fault {
        FormTokenFault::Expired => text_key::form::error::FORM_EXPIRED,
        FormTokenFault::Forged => text_key::form::error::FORM_FORGED,
    }
}

/// The text beside an address that cannot be used.
fn address_fault(fault: AddressFault) -> Key {
    match fault {
        AddressFault::Missing => text_key::form::error::EMAIL_MISSING,
        AddressFault::NotAnAddress | AddressFault::TooLong => text_key::form::error::EMAIL_INVALID,
        AddressFault::NonAsciiLocalPart => text_key::form::error::EMAIL_NON_ASCII,
        AddressFault::Invisible => text_key::form::error::INVISIBLE,
        AddressFault::StartsWithDash => text_key::form::error::EMAIL_DASH,
    }
}

/// A link token has 32 hexadecimal digits; anything else is neither looked up nor shown to the visitor.
fn known_form(token: &str) -> Option<&str> {
    (token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(token)
}

/// Reads the parameter `t` of a link.
fn link_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(without_trimmings(&String::deserialize(deserializer)?))
}

/// The token of a link without what mail programs and people leave around it: a full stop, brackets, the `3D` of a
/// quoted-printable text, blanks. Anything that is no token then is returned as it was.
fn without_trimmings(typed: &str) -> String {
    let inner = typed.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    let unquoted = inner.strip_prefix("3D").or(inner.strip_prefix("3d")).unwrap_or(inner);
    let token = [inner, unquoted].into_iter().find_map(known_form);
    token.map_or_else(|| typed.to_owned(), str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_finds_its_request_whatever_a_mail_program_left_around_it() {
        let token = "0123456789abcdef0123456789abcdef";
        for (before, after) in
            [("", ""), ("", "."), ("3D", ""), ("=3D", ">"), ("<", ">."), (" ", "\r\n"), ("\u{201c}", "\u{201d}"), ("", ")"), ("", "=")]
        {
            assert_eq!(without_trimmings(&format!("{before}{token}{after}")), token, "{before:?} {after:?}");
        }
        assert_eq!(without_trimmings(&token.to_uppercase()), token);
        let starts_so = "3d23456789abcdef0123456789abcdef";
        assert_eq!(without_trimmings(starts_so), starts_so);
        for no_token in ["", ".", "3D", &token[1..], &format!("{token}0"), &format!("{token}.0"), "\"><script>"] {
            assert_eq!(known_form(&without_trimmings(no_token)), None, "{no_token}");
        }
    }
}

//! Pages for visitors. A page, its program, its templates and its test share one name.

mod chosen_password;
pub mod register;
mod registered;
pub mod reset_password;
pub mod verify;
pub mod verify_admin;

use crate::domain::address::AddressFault;
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::seconds::DAY;
use crate::domain::text_key::{self, Key};
use crate::domain::token::FormTokenFault;
use crate::faces::gateway::{self, Program};
use crate::outside::cgi::{Request, Response};
use crate::outside::page::{self, PageName};
use crate::outside::site::Site;
use crate::outside::text;
use serde::Serialize;
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
    serve_and_work(program, respond, gateway::nothing)
}

/// The same for a program whose answers leave work.
pub fn serve_and_work(program: &'static str, respond: gateway::Respond, afterwards: gateway::Afterwards) -> ExitCode {
    let body_limit = |site: &Site| site.config.limits.body_bytes.0;
    gateway::serve(Program { name: program, body_limit, pace: gateway::by_method, fail, respond, afterwards })
}

fn fail(site: Option<&Site>, request: Option<&Request>, error: &Error) -> Response {
    let language = match (site, request) {
        (Some(site), Some(request)) => language(site, request),
        (None, Some(request)) => text::choose_language(None, request.header("accept-language"), Language::default()),
        _ => Language::default(),
    };
    page::error(site.map(|site| &site.config), language, error)
}

/// The language for a visitor: `?lang=`, or the browser's preference, or the operator's default.
pub fn language(site: &Site, request: &Request) -> Language {
    let asked = query_value(request, "lang");
    text::choose_language(asked.as_deref(), request.header("accept-language"), site.config.default_language)
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
    LinkUnknown,
    LinkMissing,
    LinkExpired,
    AlreadyConfirmed,
    AlreadyApproved,
    Declined,
    Refused,
    Withdrawn,
    RequestUnknown,
    RequestExpired,
    RequestWithdrawn,
    DecidedApproved,
    DecidedDeclined,
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

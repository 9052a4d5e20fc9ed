//! Programs for other software: Synapse's password module, mxisd and ma1sd, and Matrix clients that change a password.
//!
//! Every answer is a JSON object: identity servers of the mxisd family have no time limits, and a malformed answer to a bulk
//! lookup blocks that query until the identity server is restarted.

pub mod access;
pub mod directory_search;
pub mod identity_bulk;
pub mod identity_single;
pub mod intercept_change_password;
pub mod login;
pub mod metrics;
pub mod profile;
pub mod room_events;

use crate::domain::error::Error;
use crate::domain::names;
use crate::faces::gateway::{self, Pace, Program};
use crate::outside::cgi::{Method, Request, Response};
use crate::outside::site::Site;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Serves an internal program: POST only, and only for callers that the operator allows.
pub fn serve(program: &'static str, respond: fn(&Site, &Request) -> Result<Response, Error>) -> ExitCode {
    let body_limit: gateway::BodyLimit = |site, _| Ok(site.config.internal.body_bytes.0);
    gateway::serve(Program { name: program, body_limit, pace: |_| Pace::Reads, fail, respond, afterwards: gateway::nothing })
}

/// Serves the one program that everybody may call, including web clients on other hosts.
pub fn serve_clients(program: &'static str, respond: fn(&Site, &Request) -> Result<Response, Error>) -> ExitCode {
    let fail_with_cors: gateway::Fail = |site, request, error| intercept_change_password::with_cors(fail(site, request, error));
    let body_limit: gateway::BodyLimit = |site, _| Ok(site.config.limits.body_bytes.0);
    gateway::serve(Program {
        name: program,
        body_limit,
        pace: gateway::by_method,
        fail: fail_with_cors,
        respond,
        afterwards: gateway::nothing,
    })
}

/// The first check of each internal program: caller and method.
pub(crate) fn admit(site: &Site, request: &Request) -> Result<(), Error> {
    access::check(site, request)?;
    match request.method() {
        Method::Post => Ok(()),
        _ => Err(Error::method_not_allowed("POST")),
    }
}

/// The Matrix error object.
#[derive(Debug, Serialize)]
struct MatrixError<'a> {
    errcode: &'a str,
    error: &'a str,
}

fn fail(_site: Option<&Site>, _request: Option<&Request>, error: &Error) -> Response {
    let (errcode, sentence) = match error.status {
        400 | 431 => ("M_NOT_JSON", "The request cannot be read"),
        403 => ("M_FORBIDDEN", "This address may not call this path"),
        405 => ("M_UNRECOGNIZED", "Method not allowed"),
        413 => ("M_TOO_LARGE", "The request is too large"),
        503 => ("M_UNKNOWN", "Temporarily out of service"),
        _ => ("M_UNKNOWN", "Internal error"),
    };
    Response::json(error.status, &MatrixError { errcode, error: sentence })
}

/// The body as JSON; `None` if it does not have the expected form, and the program then answers "no". The content type is
/// ignored.
fn body<'a, T: Deserialize<'a>>(request: &'a Request) -> Option<T> {
    serde_json::from_slice(request.body()).ok()
}

/// The localpart of an id on this homeserver: exactly `@localpart:server_name`, with a localpart that an account may have.
///
/// Callers pass on whatever a user typed: other servers, several colons, capital letters.
fn own_localpart<'a>(site: &Site, mxid: &'a str) -> Option<&'a str> {
    let (localpart, server_name) = mxid.strip_prefix('@')?.split_once(':')?;
    (server_name == site.config.server_name.0 && is_localpart(localpart)).then_some(localpart)
}

fn is_localpart(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && names::has_localpart_alphabet(text)
}

/// A user id by localpart, as mxisd and ma1sd expect it.
#[derive(Debug, Serialize)]
struct UserId<'a> {
    r#type: &'static str,
    value: &'a str,
}

impl UserId<'_> {
    fn localpart(localpart: &str) -> UserId<'_> {
        UserId { r#type: "localpart", value: localpart }
    }
}

/// A verified address of a user.
#[derive(Debug, Serialize)]
struct ThreePid<'a> {
    medium: &'static str,
    address: &'a str,
}

impl ThreePid<'_> {
    fn email(address: &str) -> Vec<ThreePid<'_>> {
        match address {
            "" => Vec::new(),
            address => vec![ThreePid { medium: "email", address }],
        }
    }
}

/// First and last name, cut to 256 characters because Synapse refuses a login with a longer one. `None` if there is none, so
/// that no empty name is sent.
fn display_name(first_name: &str, last_name: &str) -> Option<String> {
    let name: String = names::display_name(first_name, last_name).chars().take(256).collect();
    Some(name).filter(|name| !name.is_empty())
}

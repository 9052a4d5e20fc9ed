//! What other programs ask: Synapse's password module, mxisd and ma1sd, and Matrix clients that change a password.
//!
//! Answers are JSON objects, whatever happens: an identity server of the mxisd family has no time-outs, and a malformed
//! answer to a bulk lookup locks that query up in it until it is restarted (contract mxisd 6.3).

pub mod access;
pub mod directory_search;
pub mod identity_bulk;
pub mod identity_single;
pub mod intercept_change_password;
pub mod login;
pub mod profile;

use crate::domain::error::Error;
use crate::domain::names;
use crate::faces::gateway;
use crate::outside::cgi::{Method, Request, Response};
use crate::outside::site::Site;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Serves one of the internal programs: to callers that the operator allows, by POST.
pub fn serve(program: &'static str, respond: fn(&Site, &Request) -> Result<Response, Error>) -> ExitCode {
    gateway::serve(program, |site| site.config.internal.body_bytes.0, fail, respond)
}

/// Serves the one program that the whole world may call, from web clients on other hosts, too.
pub fn serve_clients(program: &'static str, respond: fn(&Site, &Request) -> Result<Response, Error>) -> ExitCode {
    let fail_with_cors: gateway::Fail = |site, request, error| intercept_change_password::with_cors(fail(site, request, error));
    gateway::serve(program, |site| site.config.limits.body_bytes.0, fail_with_cors, respond)
}

/// What each internal program does first: who calls, and how?
pub fn admit(site: &Site, request: &Request) -> Result<(), Error> {
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

/// The body as JSON; `None` where it is not what the contract says, so that the program answers its "no" (contract
/// mxisd 0, rule 1). The content type is not looked at.
fn body<'a, T: Deserialize<'a>>(request: &'a Request) -> Option<T> {
    serde_json::from_slice(request.body()).ok()
}

/// An id of this homeserver, taken apart: exactly `@localpart:server_name`, and a localpart as accounts have it.
///
/// Callers pass on whatever a user typed: other servers, several colons, capitals (contract synapse 0.3, mxisd 0.9).
fn own_localpart<'a>(site: &Site, mxid: &'a str) -> Option<&'a str> {
    let (localpart, server_name) = mxid.strip_prefix('@')?.split_once(':')?;
    (server_name == site.config.server_name.0 && is_localpart(localpart)).then_some(localpart)
}

fn is_localpart(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(known)
}

/// A user id by localpart, as mxisd and ma1sd want it (contract mxisd 3, 5).
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

/// First and last name; `None` if there is none, so that no empty name is sent (contract mxisd 7). Synapse refuses the
/// login of a name with more than 256 characters (contract synapse 2.3).
fn display_name(first_name: &str, last_name: &str) -> Option<String> {
    let name: String = names::display_name(first_name, last_name).chars().take(256).collect();
    Some(name).filter(|name| !name.is_empty())
}

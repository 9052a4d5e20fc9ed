//! `internal/login`: checks a user's password.
//!
//! Two kinds of callers get the same answer: Synapse's password module (`{"user":{"id","password"}}`) and mxisd/ma1sd
//! (`{"auth":{"mxid","localpart","domain","password"}}`). This program never calls Synapse, which waits for the answer and
//! serves nobody meanwhile.

use super::{ThreePid, UserId, body, display_name, own_localpart};
use crate::domain::error::Error;
use crate::domain::names;
use crate::flow::password_check::{self, Caller, Verdict};
use crate::outside::cgi::{Header, Request, Response};
use crate::outside::site::Site;
use serde::{Deserialize, Serialize};

/// Either form; unknown members are ignored.
#[derive(Deserialize)] // no Debug: a password
#[serde(untagged)]
enum CredentialsRequest {
    Module { user: ModuleUser },
    IdentityServer { auth: RestAuthRequest },
}

/// What Synapse's password module sends.
#[derive(Deserialize)]
struct ModuleUser {
    id: String,
    password: String,
}

/// What mxisd and ma1sd send; `localpart` and `domain` are parts of `mxid`.
#[derive(Deserialize)]
struct RestAuthRequest {
    mxid: String,
    password: String,
}

/// The answer for both callers.
#[derive(Debug, Serialize)]
struct CredentialsAnswer<'a> {
    auth: Auth<'a>,
}

/// On success `profile` is always present, and nothing is ever null.
#[derive(Debug, Serialize)]
struct Auth<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<UserId<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mxid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile<'a>>,
}

#[derive(Debug, Serialize)]
struct Profile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    three_pids: Vec<ThreePid<'a>>,
}

/// Answers 200, except if the database is unavailable.
pub fn check(site: &Site, request: &Request) -> Result<Response, Error> {
    super::admit(site, request)?;
    let (mxid, password) = match body(request) {
        Some(CredentialsRequest::Module { user }) => (user.id, user.password),
        Some(CredentialsRequest::IdentityServer { auth }) => (auth.mxid, auth.password),
        None => return Ok(no()),
    };
    // A foreign id takes as long to check, so that the time reveals nothing.
    match password_check::check(
        site,
        own_localpart(site, &mxid),
        &password,
        &Caller::Backend { client: request.header(Header::XRegisterBotClient) },
    )? {
        Verdict::Right(login) => {
            let profile =
                Profile { display_name: display_name(&login.first_name, &login.last_name), three_pids: ThreePid::email(&login.email) };
            Ok(answer(Auth {
                success: true,
                id: Some(UserId::localpart(&login.localpart)),
                mxid: Some(names::mxid(&login.localpart, &site.config.server_name)),
                profile: Some(profile),
            }))
        }
        Verdict::Wrong | Verdict::Expired(_) => Ok(no()),
    }
}

fn no() -> Response {
    answer(Auth { success: false, id: None, mxid: None, profile: None })
}

fn answer(auth: Auth<'_>) -> Response {
    Response::json(200, &CredentialsAnswer { auth })
}

//! `internal/profile`: display name, addresses and roles of a user, for mxisd and ma1sd.
//!
//! One program for three of their endpoints, each of which reads only its own member of the answer. If the path ends in
//! `displayName`, `threepids` or `roles`, only that member is sent.

use super::{ThreePid, body, display_name, own_localpart};
use crate::domain::error::Error;
use crate::outside::cgi::{Request, Response};
use crate::outside::site::Site;
use crate::outside::store::{Access, Login};
use serde::{Deserialize, Serialize};

/// The role of every account.
const ROLE: &str = "user";

#[derive(Debug, Deserialize)]
struct ProfileRequest {
    #[serde(default)]
    mxid: String,
}

#[derive(Debug, Serialize)]
struct JsonProfileResult<'a> {
    profile: Profile<'a>,
}

/// Unknown values are left out. The member is called `threepids` here, but `three_pids` at login.
#[derive(Debug, Default, Serialize)]
struct Profile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threepids: Option<Vec<ThreePid<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<[&'static str; 1]>,
}

/// Answers 200, whether or not the user is known.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    super::admit(site, request)?;
    let asked: Option<ProfileRequest> = body(request);
    let login = match asked.as_ref().and_then(|asked| own_localpart(site, &asked.mxid)) {
        Some(localpart) => site.store(Access::Read)?.login(localpart)?.filter(|login| login.active),
        None => None,
    };
    let profile = login.as_ref().map(|login| profile(login, member(request))).unwrap_or_default();
    Ok(Response::json(200, &JsonProfileResult { profile }))
}

/// The last part of the path: the web server passes it in `PATH_INFO`, or in the whole URL.
fn member(request: &Request) -> &str {
    let path = request.variable("PATH_INFO").filter(|path| path.len() > 1).or(request.variable("REQUEST_URI")).unwrap_or("");
    let path = path.split('?').next().unwrap_or("");
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("")
}

fn profile<'a>(login: &'a Login, member: &str) -> Profile<'a> {
    let only = ["displayName", "threepids", "roles"].contains(&member).then_some(member);
    let wants = |name: &str| only.is_none_or(|only| only == name);
    Profile {
        display_name: display_name(&login.first_name, &login.last_name).filter(|_| wants("displayName")),
        threepids: wants("threepids").then(|| ThreePid::email(&login.email)),
        roles: wants("roles").then_some([ROLE]),
    }
}

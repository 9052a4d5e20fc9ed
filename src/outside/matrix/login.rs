//! Login with a password (Client-Server API, `POST /login`).

use super::{Call, Empty, Error, Homeserver, Refusal};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The device of [`proves`], which logs out at once.
const PROOF_DEVICE: &str = "REGISTERBOT_PROOF";

/// A session on the homeserver.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub access_token: String,
    pub device_id: String,
}

/// Leaves the token out.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login(device {})", self.device_id)
    }
}

#[derive(Serialize)]
struct LoginRequest<'a> {
    r#type: &'static str,
    identifier: UserIdentifier<'a>,
    password: &'a str,
    device_id: &'a str,
    initial_device_display_name: &'a str,
}

#[derive(Serialize)]
struct UserIdentifier<'a> {
    r#type: &'static str,
    user: &'a str,
}

#[derive(Deserialize)]
struct CapabilitiesAnswer {
    capabilities: Capabilities,
}

#[derive(Deserialize)]
struct Capabilities {
    #[serde(rename = "m.change_password")]
    change_password: Option<Capability>,
}

#[derive(Deserialize)]
struct Capability {
    enabled: bool,
}

#[derive(Deserialize)]
struct LoginAnswer {
    user_id: String,
    access_token: String,
    device_id: String,
}

/// Logs in. With a fixed device id Synapse uses the same device again, which keeps earlier transaction ids valid.
///
/// [`Error::Forbidden`]: wrong password or no such account. Synapse allows about 5 logins, then one every few minutes,
/// and counts successful ones too ([`Error::Limited`]), so keep the token.
pub fn login(homeserver: &Homeserver, localpart: &str, password: &str, device_id: &str, device_name: &str) -> Result<Login, Error> {
    attempt(homeserver, localpart, password, device_id, device_name)?.map_err(no_login)
}

/// Whether the account exists and has this password: logs in and out again. This shows whether an account that "already
/// exists" was made by an earlier attempt of ours. A deactivated account proves nothing.
pub fn proves(homeserver: &Homeserver, localpart: &str, password: &str) -> Result<bool, Error> {
    let Some(login) = proof(homeserver, localpart, password)? else { return Ok(false) };
    if let Err(cause) = logout(homeserver, &login.access_token) {
        crate::outside::log::warn("proof_device_left", None, &format!("the account has a device {PROOF_DEVICE} now: {cause}"));
    }
    Ok(true)
}

/// The same without logging out; `None`: the account does not exist, or does not have this password. The device is always the
/// same, so a repeated proof leaves no second one.
pub(crate) fn proof(homeserver: &Homeserver, localpart: &str, password: &str) -> Result<Option<Login>, Error> {
    match attempt(homeserver, localpart, password, PROOF_DEVICE, "proof of a new account")? {
        Ok(login) => Ok(Some(login)),
        Err(refusal) if refusal.is(403, "M_FORBIDDEN") || refusal.is(403, "M_USER_DEACTIVATED") => Ok(None),
        Err(refusal) => Err(no_login(refusal)),
    }
}

/// Whether the homeserver compares passwords with its own table, so that a failed proof ([`proves`]) means something. Synapse
/// says so by `m.change_password` (Client-Server API, `GET /capabilities`), which is off while `password_config.localdb_enabled`
/// is false (observed with Synapse 1.163). A homeserver that does not mention this counts as one that does not.
pub fn has_password_table(homeserver: &Homeserver, access_token: &str) -> Result<bool, Error> {
    let call = Call::get("/_matrix/client/v3/capabilities".into()).token(access_token);
    let answer = homeserver.ask::<CapabilitiesAnswer>(&call)?.map_err(Refusal::unexpected)?;
    Ok(answer.capabilities.change_password.is_some_and(|capability| capability.enabled))
}

/// Ends the session and deletes its device.
pub fn logout(homeserver: &Homeserver, access_token: &str) -> Result<(), Error> {
    let answer = homeserver.ask::<Empty>(&Call::post("/_matrix/client/v3/logout", &Empty {})?.token(access_token))?;
    answer.map(|_| ()).map_err(Refusal::unexpected)
}

fn attempt(
    homeserver: &Homeserver,
    localpart: &str,
    password: &str,
    device_id: &str,
    device_name: &str,
) -> Result<Result<Login, Refusal>, Error> {
    let request = LoginRequest {
        r#type: "m.login.password",
        identifier: UserIdentifier { r#type: "m.id.user", user: localpart },
        password,
        device_id,
        initial_device_display_name: device_name,
    };
    let answer = match homeserver.ask::<LoginAnswer>(&Call::post("/_matrix/client/v3/login", &request)?)? {
        Ok(answer) => answer,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if answer.user_id != homeserver.mxid(localpart) {
        return Err(Error::Misconfigured(format!(
            "the homeserver at homeserver_url calls the account {}, we {}; look at server_name",
            super::line(&answer.user_id),
            homeserver.mxid(localpart)
        )));
    }
    Ok(Ok(Login { access_token: answer.access_token, device_id: answer.device_id }))
}

fn no_login(refusal: Refusal) -> Error {
    match (refusal.status, refusal.errcode.as_str()) {
        (404, "M_UNRECOGNIZED") => Error::Misconfigured(
            refusal.sentence("this homeserver takes no logins by password (an authentication service, MAS?); set access_token in [room]"),
        ),
        (400, "M_UNKNOWN") => Error::Misconfigured(
            refusal.sentence("if logins by password are switched off (password_config in homeserver.yaml), set access_token in [room]"),
        ),
        _ => refusal.unexpected(),
    }
}

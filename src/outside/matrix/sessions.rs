//! Looks up the owner of an access token, and ends a user's other sessions.

use super::{Call, Empty, Error, Homeserver, Refusal, segment};
use serde::{Deserialize, Serialize};

/// The owner of a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Whoami {
    pub user_id: String,
    /// Missing for tokens that an administrator made.
    pub device_id: Option<String>,
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

/// A session of a user.
#[derive(Deserialize)]
pub(super) struct Device {
    device_id: String,
    /// Milliseconds since 1970; `None` if the session was never used.
    pub(super) last_seen_ts: Option<i64>,
}

#[derive(Serialize)]
struct DeleteDevices<'a> {
    devices: Vec<&'a str>,
}

/// The homeserver's refusal of a token (locked, deactivated, ...), passed to the client in the homeserver's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRefused {
    pub status: u16,
    pub errcode: String,
    pub error: String,
    /// The client keeps its session data and only needs to log in again.
    pub soft_logout: bool,
}

/// The owner of a client's access token; [`Error::UnknownToken`] if there is none.
pub fn whoami(homeserver: &Homeserver, access_token: &str) -> Result<Result<Whoami, TokenRefused>, Error> {
    let answer = homeserver.ask::<Whoami>(&Call::get("/_matrix/client/v3/account/whoami".into()).token(access_token))?;
    match answer {
        Ok(whoami) => Ok(Ok(whoami)),
        Err(refusal) if refusal.is_matrix_error() && [401, 403].contains(&refusal.status) => {
            let Refusal { status, errcode, error, soft_logout, .. } = refusal;
            Ok(Err(TokenRefused { status, errcode, error, soft_logout }))
        }
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// All sessions of a user. [`Error::Forbidden`] if `admin_token` is not a server administrator's.
pub(super) fn devices(homeserver: &Homeserver, admin_token: &str, localpart: &str) -> Result<Vec<Device>, Error> {
    let user = segment(&homeserver.mxid(localpart));
    let list = Call::get(format!("/_synapse/admin/v2/users/{user}/devices")).token(admin_token);
    Ok(homeserver.ask::<Devices>(&list)?.map_err(Refusal::unexpected)?.devices)
}

/// Ends all sessions of a user except the one on device `keep`. [`Error::Forbidden`] if `admin_token` is not a server
/// administrator's.
pub fn end_others(homeserver: &Homeserver, admin_token: &str, localpart: &str, keep: Option<&str>) -> Result<(), Error> {
    let user = segment(&homeserver.mxid(localpart));
    let known = devices(homeserver, admin_token, localpart)?;
    let devices: Vec<&str> = known.iter().map(|device| device.device_id.as_str()).filter(|id| Some(*id) != keep).collect();
    if devices.is_empty() {
        return Ok(());
    }
    let delete = Call::post(&format!("/_synapse/admin/v2/users/{user}/delete_devices"), &DeleteDevices { devices })?.token(admin_token);
    homeserver.ask::<Empty>(&delete)?.map(|_| ()).map_err(Refusal::unexpected)
}

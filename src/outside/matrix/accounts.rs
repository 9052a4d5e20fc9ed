//! What a server administrator can see and change about an account (Synapse's admin API).

use super::{Call, Empty, Error, Homeserver, Refusal, segment, sessions};
use serde::{Deserialize, Serialize};

/// An account as the admin API describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountFacts {
    pub admin: bool,
    pub deactivated: bool,
    /// Seconds since 1970.
    pub creation_ts: i64,
    /// Milliseconds since 1970; `None` if the account was never used.
    pub last_seen_ts: Option<i64>,
}

#[derive(Serialize)]
struct ResetPassword<'a> {
    new_password: &'a str,
    logout_devices: bool,
}

/// Looks up an account with a server administrator's token. [`Error::Forbidden`] if the token is not an
/// administrator's, [`Error::Unexpected`] if there is no such account.
pub fn facts(homeserver: &Homeserver, admin_token: &str, localpart: &str) -> Result<AccountFacts, Error> {
    let user = segment(&homeserver.mxid(localpart));
    let ask = Call::get(format!("/_synapse/admin/v2/users/{user}")).token(admin_token);
    let facts = homeserver.ask::<AccountFacts>(&ask)?.map_err(Refusal::unexpected)?;
    // Synapse clears this field after `user_ips_max_age` (28 days), but keeps the value of each device.
    let devices = sessions::devices(homeserver, admin_token, localpart)?;
    let last_seen = devices.iter().filter_map(|device| device.last_seen_ts).chain(facts.last_seen_ts).max();
    Ok(AccountFacts { last_seen_ts: last_seen, ..facts })
}

/// Sets a password and ends all sessions, using a server administrator's token.
pub fn set_password(homeserver: &Homeserver, admin_token: &str, localpart: &str, new_password: &str) -> Result<(), Error> {
    let user = segment(&homeserver.mxid(localpart));
    let reset = ResetPassword { new_password, logout_devices: true };
    let call = Call::post(&format!("/_synapse/admin/v1/reset_password/{user}"), &reset)?.token(admin_token);
    homeserver.ask::<Empty>(&call)?.map(|_| ()).map_err(Refusal::unexpected)
}

//! What a server administrator can see and change about an account (Synapse's admin API).

use super::{Call, Empty, Error, Homeserver, Refusal, segment, sessions};
use serde::{Deserialize, Serialize};
use ureq::http::Method;

/// An account as the admin API describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountFacts {
    pub admin: bool,
    pub deactivated: bool,
    /// Seconds since 1970.
    pub creation_ts: i64,
    /// Milliseconds since 1970; `None` if the account was never used.
    pub last_seen_ts: Option<i64>,
    /// The application service that made it.
    #[serde(default)]
    pub appservice_id: Option<String>,
}

/// The outcome of [`bind_address`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The address belongs to the account, now or since before.
    ToAccount,
    /// The address belongs to another account and stays there.
    ToAnother,
    /// There is no such account any more, or it is deactivated.
    NoAccount,
    /// The homeserver does not accept this address.
    Refused(String),
}

/// An address of an account in Synapse: an email address or a telephone number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Threepid {
    medium: String,
    address: String,
}

#[derive(Deserialize)]
struct Threepids {
    deactivated: bool,
    threepids: Vec<Threepid>,
}

#[derive(Serialize)]
struct SetThreepids {
    threepids: Vec<Threepid>,
}

#[derive(Deserialize)]
struct OwnerOfAddress {
    user_id: String,
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

/// The same; `None` if there is no such account. [`Error::Forbidden`] also if there is no way to the admin API.
pub fn find(homeserver: &Homeserver, admin_token: &str, localpart: &str) -> Result<Option<AccountFacts>, Error> {
    let user = segment(&homeserver.mxid(localpart));
    match homeserver.ask::<AccountFacts>(&Call::get(format!("/_synapse/admin/v2/users/{user}")).token(admin_token))? {
        Ok(_) => facts(homeserver, admin_token, localpart).map(Some),
        Err(refusal) if refusal.is(404, "M_NOT_FOUND") => Ok(None),
        Err(refusal) => Err(no_admin_api(refusal)),
    }
}

/// Whether an account has any session (device).
pub fn has_sessions(homeserver: &Homeserver, admin_token: &str, localpart: &str) -> Result<bool, Error> {
    Ok(!sessions::devices(homeserver, admin_token, localpart)?.is_empty())
}

/// Sets the display name of an account, with a token of its own.
pub fn set_display_name(homeserver: &Homeserver, own_token: &str, localpart: &str, name: &str) -> Result<(), Error> {
    let path = format!("/_matrix/client/v3/profile/{}/displayname", segment(&homeserver.mxid(localpart)));
    let call = Call::with_body(Method::PUT, path, &serde_json::json!({ "displayname": name }))?.token(own_token);
    homeserver.ask::<Empty>(&call)?.map(|_| ()).map_err(Refusal::unexpected)
}

/// Sets a password and ends all sessions, using a server administrator's token.
pub fn set_password(homeserver: &Homeserver, admin_token: &str, localpart: &str, new_password: &str) -> Result<(), Error> {
    let user = segment(&homeserver.mxid(localpart));
    let reset = ResetPassword { new_password, logout_devices: true };
    let call = Call::post(&format!("/_synapse/admin/v1/reset_password/{user}"), &reset)?.token(admin_token);
    homeserver.ask::<Empty>(&call)?.map(|_| ()).map_err(Refusal::unexpected)
}

/// Adds a confirmed mail address to an existing account, using a server administrator's token, so that its owner can log in
/// with the address and reset the password by mail. Safe to repeat. [`Error::Forbidden`] if the token is not an administrator's,
/// or if there is no way to the admin API.
///
/// Observed with Synapse 1.163: the `PUT` replaces the whole list, takes an address silently away from the account that had it,
/// and creates an account that does not exist. So the account, its list and the address's owner are looked up first. Only an
/// address that somebody binds to another account in the milliseconds in between would still be moved.
pub fn bind_address(homeserver: &Homeserver, admin_token: &str, localpart: &str, address: &str) -> Result<Bound, Error> {
    let address = as_synapse_stores(address);
    let path = format!("/_synapse/admin/v2/users/{}", segment(&homeserver.mxid(localpart)));
    let mut threepids = match homeserver.ask::<Threepids>(&Call::get(path.clone()).token(admin_token))? {
        Ok(account) if account.deactivated => return Ok(Bound::NoAccount),
        Ok(account) => account.threepids,
        Err(refusal) if refusal.is(404, "M_NOT_FOUND") => return Ok(Bound::NoAccount),
        Err(refusal) => return Err(no_admin_api(refusal)),
    };
    let new = Threepid { medium: "email".into(), address };
    if threepids.contains(&new) {
        return Ok(Bound::ToAccount);
    }
    if is_somebodys(homeserver, admin_token, &new.address)? {
        return Ok(Bound::ToAnother);
    }
    threepids.push(new);
    let put = Call::with_body(Method::PUT, path, &SetThreepids { threepids })?.token(admin_token);
    match homeserver.ask::<Empty>(&put)? {
        Ok(_) => Ok(Bound::ToAccount),
        Err(refusal) if refusal.status == 400 => Ok(Bound::Refused(refusal.sentence(""))),
        Err(refusal) => Err(no_admin_api(refusal)),
    }
}

/// Other homeservers have no such interface, and a proxy may hide it.
fn no_admin_api(refusal: Refusal) -> Error {
    let is_hidden = matches!(refusal.status, 401 | 403 | 404) && !refusal.is_matrix_error();
    match is_hidden || refusal.is(404, "M_UNRECOGNIZED") {
        true => Error::Forbidden(refusal.sentence("the homeserver offers no /_synapse/admin at homeserver_url")),
        false => refusal.unexpected(),
    }
}

/// Whether an account has this address, written as Synapse stores it.
fn is_somebodys(homeserver: &Homeserver, admin_token: &str, address: &str) -> Result<bool, Error> {
    let path = format!("/_synapse/admin/v1/threepid/email/users/{}", segment(address));
    match homeserver.ask::<OwnerOfAddress>(&Call::get(path).token(admin_token))? {
        Ok(owner) => Ok(!owner.user_id.is_empty()),
        Err(refusal) if refusal.is(404, "M_NOT_FOUND") => Ok(false),
        Err(refusal) => Err(no_admin_api(refusal)),
    }
}

/// Synapse stores addresses in lower case, and its look-up by address compares byte by byte (observed with Synapse 1.163).
fn as_synapse_stores(address: &str) -> String {
    address.trim().to_lowercase()
}

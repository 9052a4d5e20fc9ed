//! Whether a name is free. The homeserver is asked without a token, so the form reveals no more than the homeserver
//! itself.
//!
//! The result is only a hint for the visitor; the registration decides.

use super::{Call, Error, Homeserver, segment};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use std::time::Duration;

/// Time limit for one request, as a visitor is waiting. Synapse delays the answer "taken" by a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the homeserver tells strangers about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Free, as far as can be seen: an erased account looks the same.
    Free,
    /// Somebody has the name, or the homeserver does not give it to anybody.
    Taken,
}

#[derive(Deserialize)]
struct AvailableAnswer {
    available: bool,
}

#[derive(Deserialize)]
struct ProfileAnswer {
    #[serde(default)]
    displayname: Option<String>,
}

/// The result of an unauthenticated profile lookup.
enum Profile {
    Shown(Option<String>),
    /// 404 `M_NOT_FOUND`.
    Empty,
    /// 404 `M_UNKNOWN`.
    NeverExisted,
}

/// Asks `/register/available`. If registration is switched off, that endpoint answers 403 for every name, or is not there, and
/// the profile is looked up instead. Takes at most about 9 seconds. If the homeserver does not tell: [`Error::Limited`] if
/// it will later (Synapse's `rc_profile` counts all requests from our address), [`Error::Forbidden`] or
/// [`Error::Unexpected`] if it may never.
pub fn availability(homeserver: &Homeserver, localpart: &str) -> Result<Availability, Error> {
    let path = format!("/_matrix/client/v3/register/available?username={}", segment(localpart));
    match homeserver.ask::<AvailableAnswer>(&Call::get(path).patience(PATIENCE))? {
        Ok(answer) if answer.available => Ok(Availability::Free),
        Ok(_) => Ok(Availability::Taken),
        Err(refusal) if refusal.status == 403 => by_profile(homeserver, localpart),
        // Synapse behind matrix-authentication-service does not have it (observed with Synapse 1.163).
        Err(refusal) if refusal.is(404, "M_UNRECOGNIZED") => by_profile(homeserver, localpart),
        Err(refusal) if ["M_USER_IN_USE", "M_EXCLUSIVE", "M_INVALID_USERNAME"].contains(&refusal.errcode.as_str()) => {
            Ok(Availability::Taken)
        }
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// The display name that the homeserver shows without a login. `None` if the account never existed or was erased; empty
/// if it has no display name. [`Error::Forbidden`] or [`Error::Unexpected`] if profiles need a login.
pub fn display_name(homeserver: &Homeserver, localpart: &str) -> Result<Option<String>, Error> {
    Ok(match profile(homeserver, localpart, super::PATIENCE)? {
        Profile::Shown(name) => Some(name.unwrap_or_default()),
        Profile::Empty => Some(String::new()),
        Profile::NeverExisted => None,
    })
}

fn by_profile(homeserver: &Homeserver, localpart: &str) -> Result<Availability, Error> {
    match profile(homeserver, localpart, PATIENCE)? {
        Profile::Shown(_) => Ok(Availability::Taken),
        Profile::NeverExisted => Ok(Availability::Free),
        Profile::Empty if tells_empty_from_missing(homeserver)? => Ok(Availability::Taken),
        Profile::Empty => Err(Error::Unexpected("the homeserver shows strangers no profile, of nobody".into())),
    }
}

/// Only Synapse answers an empty profile and a missing account with different 404s. On another homeserver every name
/// would seem taken and nobody could sign up, so "empty" is believed only if a name that cannot exist gets the other
/// answer.
fn tells_empty_from_missing(homeserver: &Homeserver) -> Result<bool, Error> {
    let nobody = format!("nobody-{}", HEXLOWER.encode(&crate::domain::token::random::<16>()));
    Ok(matches!(profile(homeserver, &nobody, PATIENCE)?, Profile::NeverExisted))
}

fn profile(homeserver: &Homeserver, localpart: &str, patience: Duration) -> Result<Profile, Error> {
    let path = format!("/_matrix/client/v3/profile/{}", segment(&homeserver.mxid(localpart)));
    match homeserver.ask::<ProfileAnswer>(&Call::get(path).patience(patience))? {
        Ok(answer) => Ok(Profile::Shown(answer.displayname)),
        Err(refusal) if refusal.is(404, "M_NOT_FOUND") => Ok(Profile::Empty),
        Err(refusal) if refusal.is(404, "M_UNKNOWN") => Ok(Profile::NeverExisted),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

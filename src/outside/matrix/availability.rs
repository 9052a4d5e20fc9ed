//! Is a name free? Asked as a stranger: without any token, so that the form tells nobody more than the homeserver does.
//!
//! A hint for the visitor, no more: only the registration itself decides (contract synapse 6).

use super::{Call, Error, Homeserver, segment};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use std::time::Duration;

/// A visitor waits for it. Synapse delays "taken" by a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the homeserver tells strangers about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Free, as far as one sees: an erased account looks the same.
    Free,
    /// Somebody has it, or the homeserver gives it to nobody.
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

/// What an unauthenticated profile look-up says.
enum Profile {
    Shown(Option<String>),
    /// 404 `M_NOT_FOUND`.
    Empty,
    /// 404 `M_UNKNOWN`.
    NeverExisted,
}

/// Asks `/register/available`; where registration is switched off it answers 403 for every name, and the profile
/// stands in for it. At most about 9 seconds. An error where the homeserver does not tell: [`Error::Limited`] where it will
/// later (Synapse's `rc_profile` counts by our one address), [`Error::Forbidden`] or [`Error::Unexpected`] where it may
/// never.
pub fn availability(homeserver: &Homeserver, localpart: &str) -> Result<Availability, Error> {
    let path = format!("/_matrix/client/v3/register/available?username={}", segment(localpart));
    match homeserver.ask::<AvailableAnswer>(&Call::get(path).patience(PATIENCE))? {
        Ok(answer) if answer.available => Ok(Availability::Free),
        Ok(_) => Ok(Availability::Taken),
        Err(refusal) if refusal.status == 403 => by_profile(homeserver, localpart),
        Err(refusal) if ["M_USER_IN_USE", "M_EXCLUSIVE", "M_INVALID_USERNAME"].contains(&refusal.errcode.as_str()) => {
            Ok(Availability::Taken)
        }
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// The display name that the homeserver shows to strangers. `None`: the account never existed (or is erased); an empty
/// name: it exists without one. [`Error::Forbidden`] or [`Error::Unexpected`] where profiles are not shown to strangers.
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

/// The difference between the two 404 is Synapse's own habit. A homeserver without it would have every name taken and
/// nobody could sign up, so the rare "empty" is believed only if a name that cannot exist gets the other answer.
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

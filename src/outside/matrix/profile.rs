//! The display name of an account (Client-Server API, "Profiles").

use super::{Call, Empty, Error, Homeserver, Refusal, segment};
use serde::Serialize;
use ureq::http::Method;

/// Synapse's limit for a display name, in characters.
pub(super) const LONGEST_DISPLAY_NAME: usize = 256;

#[derive(Serialize)]
struct SetDisplayName {
    displayname: String,
}

/// Sets the display name of the token's owner, who must be `localpart`: Conduit 0.11 takes any other name as the owner's. Longer names
/// are cut to 256 characters. Safe to repeat.
pub(crate) fn set_display_name(homeserver: &Homeserver, access_token: &str, localpart: &str, name: &str) -> Result<(), Error> {
    let path = format!("/_matrix/client/v3/profile/{}/displayname", segment(&homeserver.mxid(localpart)));
    let body = SetDisplayName { displayname: name.chars().take(LONGEST_DISPLAY_NAME).collect() };
    let put = Call::with_body(Method::PUT, path, &body)?.token(access_token);
    homeserver.ask::<Empty>(&put)?.map(|_| ()).map_err(Refusal::unexpected)
}

//! Whether a homeserver leaves accounts to an authentication service (matrix-authentication-service, MAS), and whether logins reach
//! it.

use super::{Call, Error, Homeserver, Refusal};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
}

#[derive(Deserialize)]
struct Flows {
    flows: Vec<Flow>,
}

#[derive(Deserialize)]
struct Flow {
    r#type: String,
}

/// The authentication service of a homeserver; `None` if it has the accounts itself
/// (<https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv1auth_metadata>).
pub fn authentication_service(homeserver: &Homeserver) -> Result<Option<String>, Error> {
    match homeserver.ask::<Metadata>(&Call::get("/_matrix/client/v1/auth_metadata".into()))? {
        Ok(metadata) => Ok(Some(super::line(&metadata.issuer))),
        Err(refusal) if refusal.status == 404 => Ok(None),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// Whether older apps can log in with a password. Behind an authentication service the web server has to send logins there.
pub fn takes_passwords(homeserver: &Homeserver) -> Result<bool, Error> {
    match homeserver.ask::<Flows>(&Call::get("/_matrix/client/v3/login".into()))? {
        Ok(answer) => Ok(answer.flows.iter().any(|flow| flow.r#type == "m.login.password")),
        Err(refusal) if refusal.is(404, "M_UNRECOGNIZED") => Ok(false),
        Err(refusal) => Err(Refusal::unexpected(refusal)),
    }
}

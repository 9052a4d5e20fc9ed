//! Changes the password of the account that owns an access token (Client-Server API, `POST /account/password`, with the stage
//! `m.login.password` of user-interactive authentication).

use super::{Call, Empty, Error, Homeserver, Interactive, line};
use serde::Serialize;

const PATH: &str = "/_matrix/client/v3/account/password";
const STAGE: &str = "m.login.password";

#[derive(Serialize)]
struct Change<'a> {
    new_password: &'a str,
    /// Ends all sessions but the one of the token.
    logout_devices: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Authentication<'a>>,
}

#[derive(Serialize)]
struct Authentication<'a> {
    r#type: &'static str,
    session: &'a str,
    identifier: Identifier<'a>,
    password: &'a str,
}

#[derive(Serialize)]
struct Identifier<'a> {
    r#type: &'static str,
    user: &'a str,
}

/// What became of the wish for another password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Yes,
    /// The homeserver does not let clients change passwords; its words.
    NotOffered(String),
}

/// Gives the owner of `token` another password, and ends all its other sessions. [`Error::Forbidden`]: `old` is not its password.
pub fn change(homeserver: &Homeserver, token: &str, localpart: &str, (old, new): (&str, &str)) -> Result<Changed, Error> {
    let wanted = match ask(homeserver, token, new, None)? {
        Interactive::Wanted(wanted) => wanted,
        Interactive::Done(Empty {}) => return Ok(Changed::Yes),
        Interactive::Refused(refusal) => return refused(refusal),
    };
    if !wanted.flows.iter().any(|flow| flow.stages == [STAGE]) {
        return Ok(Changed::NotOffered("the homeserver does not accept the password as proof".into()));
    }
    let identifier = Identifier { r#type: "m.id.user", user: localpart };
    let authentication = Authentication { r#type: STAGE, session: &wanted.session, identifier, password: old };
    match ask(homeserver, token, new, Some(authentication))? {
        Interactive::Done(Empty {}) => Ok(Changed::Yes),
        Interactive::Wanted(wanted) => {
            let said = wanted.error.or(wanted.errcode).unwrap_or_default();
            Err(Error::Forbidden(format!("the homeserver does not accept the present password: {}", line(&said))))
        }
        Interactive::Refused(refusal) => refused(refusal),
    }
}

fn ask(homeserver: &Homeserver, token: &str, new: &str, auth: Option<Authentication>) -> Result<Interactive<Empty>, Error> {
    homeserver.ask_interactively(&Call::post(PATH, &Change { new_password: new, logout_devices: true, auth })?.token(token))
}

/// Synapse without its own passwords (`password_config.enabled: false`) says 403, and one behind an authentication service 404
/// (observed with Synapse 1.163).
fn refused(refusal: super::Refusal) -> Result<Changed, Error> {
    match refusal.status {
        403 | 404 if refusal.is_matrix_error() => Ok(Changed::NotOffered(refusal.sentence(""))),
        _ => Err(refusal.unexpected()),
    }
}

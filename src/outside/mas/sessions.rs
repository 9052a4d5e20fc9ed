//! Sessions of an account: whether it was ever used, and tokens that act as it (personal sessions, from MAS 1.5 on).

use super::{Call, Error, List, Refusal, Session, Single, segment};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a session of an account can be: on MAS's own pages, of an older client, of a newer client.
const KINDS: [(&str, &str); 3] =
    [("user-sessions", "user-sessions"), ("compat-sessions", "compat-sessions"), ("oauth2-sessions", "oauth2-sessions")];

/// A token that acts as an account, for a minute.
pub struct Acting {
    id: String,
    pub access_token: String,
}

/// Leaves the token out.
impl fmt::Debug for Acting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acting({})", self.id)
    }
}

#[derive(Deserialize)]
struct Attributes {
    access_token: String,
}

#[derive(Serialize)]
struct NewSession<'a> {
    actor_user_id: &'a str,
    human_name: &'a str,
    scope: &'a str,
    /// Seconds.
    expires_in: u32,
}

/// Whether nobody has ever logged in as this account.
pub fn is_unused(session: &Session, id: &str) -> Result<bool, Error> {
    for (kind, shown) in KINDS {
        let call = Call::get(format!("{kind}?filter[user]={}&count=only", segment(id)), shown);
        let list = session.ask::<List<serde_json::Value>>(&call)?.map_err(Refusal::unexpected)?.body;
        if list.meta.count > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lets us act as an account at the homeserver, without a device, for a minute.
pub fn act_as(session: &Session, id: &str, human_name: &str) -> Result<Acting, Error> {
    let new = NewSession { actor_user_id: id, human_name, scope: "urn:matrix:client:api:*", expires_in: 60 };
    let call = Call::post("personal-sessions".into(), "personal-sessions", &new)?;
    let made = session.ask::<Single<Attributes>>(&call)?.map_err(Refusal::unexpected)?.body.data;
    Ok(Acting { id: made.id, access_token: made.attributes.access_token })
}

/// Ends it before its minute is over.
pub fn stop_acting(session: &Session, acting: &Acting) -> Result<(), Error> {
    let path = format!("personal-sessions/{}/revoke", segment(&acting.id));
    let call = Call::post(path, "personal-sessions/.../revoke", &serde_json::json!({}))?;
    session.ask::<serde_json::Value>(&call)?.map(|_| ()).map_err(Refusal::unexpected)
}

//! Who is in a room, and with which power (Client-Server API, `GET /rooms/{roomId}/state`).

use super::{Call, Error, Homeserver, Refusal, segment};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// Time limit for one request; reading is repeated.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Member {
    membership: String,
}

/// `m.room.power_levels`. Old room versions allow numbers as texts.
#[derive(Deserialize)]
struct PowerLevels {
    #[serde(default)]
    users: HashMap<String, Value>,
    #[serde(default)]
    users_default: Value,
    #[serde(default)]
    events: HashMap<String, Value>,
    #[serde(default)]
    events_default: Value,
}

/// `m.room.create` as a whole event.
#[derive(Deserialize)]
struct CreateEvent {
    sender: String,
    content: CreateContent,
}

#[derive(Deserialize)]
struct CreateContent {
    #[serde(default)]
    room_version: Value,
    #[serde(default)]
    additional_creators: Value,
}

/// Whether a user is in the room at this moment. [`Error::Forbidden`]: the bot is not.
pub fn is_joined(homeserver: &Homeserver, access_token: &str, room_id: &str, user_id: &str) -> Result<bool, Error> {
    let member: Option<Member> = state(homeserver, access_token, room_id, &format!("m.room.member/{}", segment(user_id)))?;
    Ok(member.is_some_and(|member| member.membership == "join"))
}

/// The power of a user in the room; `i64::MAX` for the creators of a room of version 12 or later, who have no number.
pub fn power(homeserver: &Homeserver, access_token: &str, room_id: &str, user_id: &str) -> Result<i64, Error> {
    Ok(powers(homeserver, access_token, room_id)?.of(user_id))
}

/// The powers in the room at this moment.
pub(super) fn powers(homeserver: &Homeserver, access_token: &str, room_id: &str) -> Result<Powers, Error> {
    Ok(Powers {
        create: state(homeserver, access_token, room_id, "m.room.create/?format=event")?,
        levels: state(homeserver, access_token, room_id, "m.room.power_levels/")?,
    })
}

/// Who has which power in a room.
pub(super) struct Powers {
    create: Option<CreateEvent>,
    levels: Option<PowerLevels>,
}

impl Powers {
    /// See [`power`].
    pub fn of(&self, user_id: &str) -> i64 {
        match (&self.create, &self.levels) {
            (Some(create), _) if create.gives_all_power_to(user_id) => i64::MAX,
            (_, Some(levels)) => number(levels.users.get(user_id).unwrap_or(&levels.users_default)),
            (_, None) => 0,
        }
    }

    /// The power that sending a message takes.
    pub fn to_send(&self) -> i64 {
        self.levels.as_ref().map_or(0, |levels| number(levels.events.get("m.room.message").unwrap_or(&levels.events_default)))
    }
}

impl CreateEvent {
    /// Creators have all power since room version 12 (<https://spec.matrix.org/v1.16/rooms/v12/>).
    fn gives_all_power_to(&self, user_id: &str) -> bool {
        let version = self.content.room_version.as_str().and_then(|version| version.parse::<u32>().ok());
        let others = self.content.additional_creators.as_array().map(Vec::as_slice).unwrap_or_default();
        version.is_some_and(|version| version >= 12) && (self.sender == user_id || others.iter().any(|other| other == user_id))
    }
}

fn number(level: &Value) -> i64 {
    level.as_i64().or_else(|| level.as_str()?.trim().parse().ok()).unwrap_or(0)
}

/// A state event's content; `None` if the room has none of this kind.
pub(super) fn state<T: DeserializeOwned>(
    homeserver: &Homeserver,
    access_token: &str,
    room_id: &str,
    which: &str,
) -> Result<Option<T>, Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/state/{which}", segment(room_id));
    match homeserver.ask::<T>(&Call::get(path).token(access_token).patience(PATIENCE))? {
        Ok(content) => Ok(Some(content)),
        Err(refusal) if matches!(refusal.status, 400 | 404) && refusal.is_matrix_error() => Ok(None),
        Err(refusal) => Err(Refusal::unexpected(refusal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_from_version_12_on_do_creators_have_all_power() {
        let create = |version: Value| CreateEvent {
            sender: "@a:x".into(),
            content: CreateContent { room_version: version, additional_creators: json!(["@b:x", 7]) },
        };
        for user in ["@a:x", "@b:x"] {
            assert!(create(json!("12")).gives_all_power_to(user) && !create(json!("11")).gives_all_power_to(user));
        }
        assert!(!create(json!("12")).gives_all_power_to("@c:x") && !create(json!(null)).gives_all_power_to("@a:x"));
        assert_eq!([json!(50), json!(" 50 "), json!("x"), json!(null), json!(1.5)].map(|level| number(&level)), [50, 50, 0, 0, 0]);
    }
}

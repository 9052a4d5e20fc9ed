//! What the room where requests are decided is like, for whoever sets up the sign-up.

use super::members::{self, PATIENCE};
use super::{Call, Error, Homeserver, Refusal, segment};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// A room as the bot sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomReport {
    pub room_id: String,
    /// The bot's messages are sent to it, and they are edited and answered; words of people cannot be read.
    pub is_encrypted: bool,
    /// Anybody on the internet may read it, or whoever joins later may read what was before.
    pub history_visibility: String,
    /// Anybody may join.
    pub is_public: bool,
    /// Whether the bot has the power to send messages.
    pub may_send: bool,
    /// Members other than the bot.
    pub people: Vec<Person>,
}

/// A member of the room, and the power that this person has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub user_id: String,
    pub power: i64,
}

#[derive(Deserialize)]
struct Encryption {}

#[derive(Deserialize)]
struct HistoryVisibility {
    history_visibility: String,
}

#[derive(Deserialize)]
struct JoinRules {
    join_rule: String,
}

#[derive(Deserialize)]
struct JoinedMembers {
    joined: HashMap<String, Value>,
}

/// Looks at a room that the bot is in. [`Error::Forbidden`]: it is not.
pub fn report(homeserver: &Homeserver, access_token: &str, room_id: &str, own: &[String]) -> Result<RoomReport, Error> {
    let of_room = |kind: &str| format!("{kind}/");
    let encryption: Option<Encryption> = members::state(homeserver, access_token, room_id, &of_room("m.room.encryption"))?;
    let history: Option<HistoryVisibility> = members::state(homeserver, access_token, room_id, &of_room("m.room.history_visibility"))?;
    let join_rules: Option<JoinRules> = members::state(homeserver, access_token, room_id, &of_room("m.room.join_rules"))?;
    let list = Call::get(format!("/_matrix/client/v3/rooms/{}/joined_members", segment(room_id))).token(access_token).patience(PATIENCE);
    let joined = homeserver.ask::<JoinedMembers>(&list)?.map_err(Refusal::unexpected)?.joined;
    let powers = members::powers(homeserver, access_token, room_id)?;
    let me = own.iter().find(|own| joined.contains_key(*own));
    let people = joined.keys().filter(|user| !own.contains(user));
    Ok(RoomReport {
        room_id: room_id.to_owned(),
        is_encrypted: encryption.is_some(),
        history_visibility: history.map_or("shared".into(), |history| super::line(&history.history_visibility)),
        is_public: join_rules.is_some_and(|rules| rules.join_rule == "public"),
        may_send: me.map_or(0, |me| powers.of(me)) >= powers.to_send(),
        people: people.map(|user| Person { user_id: user.clone(), power: powers.of(user) }).collect(),
    })
}

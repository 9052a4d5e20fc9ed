//! Messages to a room (Client-Server API, `PUT /rooms/{roomId}/send`).

use super::{Call, Empty, Error, Homeserver, Refusal, line, segment};
use serde::{Deserialize, Serialize};
use ureq::http::Method;

/// The largest content of a message, in bytes. A whole event may have 64 KiB, else the homeserver answers 413.
const LARGEST_CONTENT: usize = 60_000;
/// Characters that are kept of a text that is too large; in JSON a character takes at most six bytes.
const CUT_TEXT: usize = 8_000;

/// A message: plain text, and the same as HTML. It is sent as `m.text`, because clients notify nobody of an `m.notice`, and
/// somebody has to decide on the request.
#[derive(Debug, Clone, Copy)]
pub struct RoomMessage<'a> {
    pub text: &'a str,
    pub html: &'a str,
}

/// What a message is to an earlier one.
#[derive(Debug, Clone, Copy)]
pub enum Relation<'a> {
    None,
    /// An answer in the thread under this event. Clients without threads show it as a reply.
    InThread(&'a str),
    /// Replaces the text of this event of the same sender (Client-Server API, "Event replacements"). It rings for nobody.
    Replaces(&'a str),
}

/// The id of an event, `$...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId(pub String);

#[derive(Serialize, Default)]
struct MessageContent<'a> {
    msgtype: &'static str,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    formatted_body: Option<&'a str>,
    /// Declares that the message mentions nobody, whatever names the text contains.
    #[serde(rename = "m.mentions")]
    mentions: Empty,
    #[serde(rename = "m.new_content", skip_serializing_if = "Option::is_none")]
    new_content: Option<Box<MessageContent<'a>>>,
    #[serde(rename = "m.relates_to", skip_serializing_if = "Option::is_none")]
    relates_to: Option<RelatesTo<'a>>,
}

#[derive(Serialize)]
struct RelatesTo<'a> {
    rel_type: &'static str,
    event_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_falling_back: Option<bool>,
    #[serde(rename = "m.in_reply_to", skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<InReplyTo<'a>>,
}

#[derive(Serialize)]
struct InReplyTo<'a> {
    event_id: &'a str,
}

#[derive(Serialize)]
struct ReactionContent<'a> {
    #[serde(rename = "m.relates_to")]
    relates_to: Annotation<'a>,
}

#[derive(Serialize)]
struct Annotation<'a> {
    rel_type: &'static str,
    event_id: &'a str,
    key: &'a str,
}

#[derive(Deserialize)]
struct SendAnswer {
    event_id: String,
}

#[derive(Deserialize)]
struct RoomIdAnswer {
    room_id: String,
}

/// The content of `m.room.tombstone`. Anybody who may change the room's settings can write it, so it may contain anything.
#[derive(Deserialize)]
struct TombstoneContent {
    #[serde(default)]
    replacement_room: serde_json::Value,
}

/// A whole `m.room.member` event, as Synapse returns it with `format=event`.
#[derive(Deserialize)]
struct MemberEvent {
    sender: String,
    content: MemberContent,
}

#[derive(Deserialize)]
struct MemberContent {
    membership: String,
    #[serde(default)]
    reason: serde_json::Value,
}

/// Who removed somebody from a room, and the reason they gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub by: String,
    pub reason: Option<String>,
}

/// Sends a message. Within 24 hours the same `txn_id` from the same device gives the same event.
///
/// A message that is too large is sent without HTML, and its text is cut and says so. [`Error::Forbidden`]: the bot is not in
/// the room, or may not send there.
pub fn send_message(
    homeserver: &Homeserver,
    access_token: &str,
    room_id: &str,
    txn_id: &str,
    message: &RoomMessage,
    relation: Relation,
) -> Result<EventId, Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{}", segment(room_id), segment(txn_id));
    let call = Call { body: Some(content(message, relation)?), ..Call::with_body(Method::PUT, path, &Empty {})? };
    let answer = homeserver.ask::<SendAnswer>(&call.token(access_token))?;
    answer.map(|answer| EventId(answer.event_id)).map_err(Refusal::unexpected)
}

fn content(message: &RoomMessage, relation: Relation) -> Result<Vec<u8>, Error> {
    let whole = write(message.text, Some(message.html), relation)?;
    if whole.len() <= LARGEST_CONTENT {
        return Ok(whole);
    }
    let text = write(message.text, None, relation)?;
    if text.len() <= LARGEST_CONTENT {
        return Ok(text);
    }
    let cut: String = message.text.chars().take(CUT_TEXT).collect();
    write(&format!("{cut}\n[cut: the message was too long for the room]"), None, relation)
}

fn write(text: &str, html: Option<&str>, relation: Relation) -> Result<Vec<u8>, Error> {
    let format = html.map(|_| "org.matrix.custom.html");
    let plain = MessageContent { msgtype: "m.text", body: text, format, formatted_body: html, ..MessageContent::default() };
    // Clients without edits show this as a message of its own. The whole text twice could be too large for an event.
    let in_short = format!("* {}", text.lines().next().unwrap_or_default());
    let content = match relation {
        Relation::None => plain,
        Relation::InThread(event_id) => {
            let in_reply_to = Some(InReplyTo { event_id });
            MessageContent {
                relates_to: Some(RelatesTo { rel_type: "m.thread", event_id, is_falling_back: Some(true), in_reply_to }),
                ..plain
            }
        }
        Relation::Replaces(event_id) => MessageContent {
            msgtype: "m.text",
            body: &in_short,
            new_content: Some(Box::new(plain)),
            relates_to: Some(RelatesTo { rel_type: "m.replace", event_id, is_falling_back: None, in_reply_to: None }),
            ..MessageContent::default()
        },
    };
    serde_json::to_vec(&content).map_err(|cause| Error::Unexpected(format!("a room message cannot be written as JSON: {cause}")))
}

/// Reacts to an event; once, however often it is tried. [`Error::Forbidden`]: the bot is not in the room, or may not react there.
pub fn react(homeserver: &Homeserver, access_token: &str, room_id: &str, event_id: &str, key: &str, txn_id: &str) -> Result<(), Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.reaction/{}", segment(room_id), segment(txn_id));
    let content = ReactionContent { relates_to: Annotation { rel_type: "m.annotation", event_id, key } };
    match homeserver.ask::<SendAnswer>(&Call::with_body(Method::PUT, path, &content)?.token(access_token))? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is(400, "M_DUPLICATE_ANNOTATION") => Ok(()),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// Redacts an event; repetitions do no harm, also with another `txn_id`. `false`: there is no such event. [`Error::Forbidden`]: the
/// bot is not in the room, or may not redact there.
pub fn redact(homeserver: &Homeserver, access_token: &str, room_id: &str, event_id: &str, txn_id: &str) -> Result<bool, Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/redact/{}/{}", segment(room_id), segment(event_id), segment(txn_id));
    match homeserver.ask::<SendAnswer>(&Call::with_body(Method::PUT, path, &Empty {})?.token(access_token))? {
        Ok(_) => Ok(true),
        Err(refusal) if refusal.status == 404 && refusal.is_matrix_error() => Ok(false),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// The id of the room with this alias. Asked without a token.
pub fn resolve_alias(homeserver: &Homeserver, alias: &str) -> Result<String, Error> {
    let path = format!("/_matrix/client/v3/directory/room/{}", segment(alias));
    match homeserver.ask::<RoomIdAnswer>(&Call::get(path))? {
        Ok(answer) => Ok(answer.room_id),
        Err(refusal) if matches!(refusal.status, 400 | 404) && refusal.is_matrix_error() => {
            Err(Error::Misconfigured(refusal.sentence("id in [room] names an alias that the homeserver does not know")))
        }
        Err(refusal) => Err(refusal.unexpected()),
    }
}

#[derive(Deserialize)]
struct JoinedRooms {
    joined_rooms: Vec<String>,
}

/// The ids of the rooms where the token's owner is.
pub fn joined_rooms(homeserver: &Homeserver, access_token: &str) -> Result<Vec<String>, Error> {
    let call = Call::get("/_matrix/client/v3/joined_rooms".into()).token(access_token);
    homeserver.ask::<JoinedRooms>(&call)?.map(|answer| answer.joined_rooms).map_err(Refusal::unexpected)
}

/// Joins a room by id or alias; does nothing if the bot is a member. [`Error::Forbidden`]: an invitation is needed, or the room
/// cannot be found.
pub fn join(homeserver: &Homeserver, access_token: &str, room: &str) -> Result<(), Error> {
    let call = Call::post(&format!("/_matrix/client/v3/join/{}", segment(room)), &Empty {})?;
    match homeserver.ask::<RoomIdAnswer>(&call.token(access_token))? {
        Ok(_) => Ok(()),
        // "Cannot join user who was banned", observed with Synapse 1.163.
        Err(refusal) if refusal.is(403, "M_BAD_STATE") => {
            Err(Error::Forbidden(refusal.sentence("the account is banned from the room: lift the ban, then invite the account")))
        }
        // Synapse answers 404 or 400 if it knows no server through which to join.
        Err(refusal) if matches!(refusal.status, 400 | 403 | 404) && refusal.is_matrix_error() => {
            Err(Error::Forbidden(refusal.sentence("")))
        }
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// The room that replaced this one (`m.room.tombstone`), if it was upgraded. [`Error::Forbidden`]: only members may see this.
///
/// The homeserver ensures that only users with the necessary power can write a tombstone.
pub fn replacement(homeserver: &Homeserver, access_token: &str, room_id: &str) -> Result<Option<String>, Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.tombstone/", segment(room_id));
    match homeserver.ask::<TombstoneContent>(&Call::get(path).token(access_token))? {
        Ok(content) => Ok(content.replacement_room.as_str().filter(|id| is_room_id(id)).map(str::to_owned)),
        // 404 M_NOT_FOUND: the room was not replaced. Any other problem shows when the message is sent.
        Err(refusal) if refusal.is_matrix_error() && refusal.status == 403 => Err(refusal.unexpected()),
        Err(refusal) if refusal.status < 500 => Ok(None),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// In room version 12 an id has no server name. At most 255 bytes (https://spec.matrix.org/v1.16/appendices/#room-ids).
fn is_room_id(text: &str) -> bool {
    text.len() <= 255 && text.strip_prefix('!').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Who removed `user_id` from the room, as far as the homeserver tells: Synapse shows it to removed users, but not to banned
/// ones. `None`: nobody did, or the homeserver does not tell.
pub fn removal(homeserver: &Homeserver, access_token: &str, room_id: &str, user_id: &str) -> Result<Option<Removal>, Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.member/{}?format=event", segment(room_id), segment(user_id));
    let Ok(event) = homeserver.ask::<MemberEvent>(&Call::get(path).token(access_token))? else { return Ok(None) };
    let MemberEvent { sender, content: MemberContent { membership, reason } } = event;
    let removed = matches!(membership.as_str(), "leave" | "ban") && sender != user_id;
    Ok(removed.then(|| Removal { by: line(&sender), reason: reason.as_str().filter(|reason| !reason.is_empty()).map(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without `m.mentions` outside, an edit rings for everybody whose name its text contains, as observed with Synapse 1.163.
    #[test]
    fn an_edit_mentions_nobody_and_is_hardly_larger_than_its_text() {
        let text = format!("first line\n{}", "x".repeat(40_000));
        let edit: serde_json::Value =
            serde_json::from_slice(&content(&RoomMessage { text: &text, html: "" }, Relation::Replaces("$original")).unwrap()).unwrap();
        assert_eq!(edit["m.mentions"], serde_json::json!({}));
        assert_eq!((edit["body"].as_str(), edit["m.new_content"]["body"].as_str()), (Some("* first line"), Some(text.as_str())));
        assert_eq!(edit["m.relates_to"], serde_json::json!({ "rel_type": "m.replace", "event_id": "$original" }));
    }

    #[test]
    fn only_what_looks_like_a_room_is_followed() {
        assert!(is_room_id("!zLWIhPqd6J6gB_0qybDIoS5qMmBKy2WQhjnpvr9J36s") && is_room_id("!x:example.org"));
        for other in ["", "!", "x:example.org", "#x:example.org", "!x y", "!x\n", &format!("!{}", "x".repeat(255))] {
            assert!(!is_room_id(other), "{other:?}");
        }
    }

    #[test]
    fn a_message_too_large_for_an_event_is_cut_and_says_so() {
        let html = "<b>x</b>".repeat(10_000);
        let without_html = content(&RoomMessage { text: "short", html: &html }, Relation::None).unwrap();
        assert!(!String::from_utf8(without_html).unwrap().contains("formatted_body"));
        for text in ["x", "😀", "\u{1}"] {
            let bytes = content(&RoomMessage { text: &text.repeat(100_000), html: "" }, Relation::None).unwrap();
            assert!(bytes.len() <= LARGEST_CONTENT);
            assert!(String::from_utf8(bytes).unwrap().contains("[cut:"));
        }
    }
}

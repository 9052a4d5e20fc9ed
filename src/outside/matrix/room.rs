//! Messages into a room (contract synapse 4).

use super::{Call, Empty, Error, Homeserver, Refusal, segment};
use serde::{Deserialize, Serialize};
use ureq::http::Method;

/// Bytes of the content of a message. An event may have 64 KiB with everything around it, else 413.
const LARGEST_CONTENT: usize = 60_000;
/// Characters that are left of a text that is too large: in JSON none needs more than six bytes.
const CUT_TEXT: usize = 8_000;

/// What stands in the room: plain text, and the same as HTML. It is sent as `m.text`: of an `m.notice` clients notify
/// nobody, and somebody has to decide on the request.
#[derive(Debug, Clone, Copy)]
pub struct RoomMessage<'a> {
    pub text: &'a str,
    pub html: &'a str,
}

/// The id of an event, `$...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId(pub String);

#[derive(Serialize)]
struct MessageContent<'a> {
    msgtype: &'static str,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    formatted_body: Option<&'a str>,
    /// Says that nobody is meant in person, whatever name the text has.
    #[serde(rename = "m.mentions")]
    mentions: Empty,
}

#[derive(Deserialize)]
struct SendAnswer {
    event_id: String,
}

#[derive(Deserialize)]
struct RoomIdAnswer {
    room_id: String,
}

/// Sends a message. The same `txn_id` from the same device gives the same event, within 24 hours.
///
/// A message too large for an event goes without its HTML, and its text is cut with a word about it.
/// [`Error::Forbidden`]: not in the room, or not allowed to speak there.
pub fn send_message(
    homeserver: &Homeserver,
    access_token: &str,
    room_id: &str,
    txn_id: &str,
    message: &RoomMessage,
) -> Result<EventId, Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{}", segment(room_id), segment(txn_id));
    let call = Call { body: Some(content(message)?), ..Call::with_body(Method::PUT, path, &Empty {})? };
    let answer = homeserver.ask::<SendAnswer>(&call.token(access_token))?;
    answer.map(|answer| EventId(answer.event_id)).map_err(Refusal::unexpected)
}

fn content(message: &RoomMessage) -> Result<Vec<u8>, Error> {
    let whole = write(message.text, Some(message.html))?;
    if whole.len() <= LARGEST_CONTENT {
        return Ok(whole);
    }
    let text = write(message.text, None)?;
    if text.len() <= LARGEST_CONTENT {
        return Ok(text);
    }
    let cut: String = message.text.chars().take(CUT_TEXT).collect();
    write(&format!("{cut}\n[cut: the message was too long for the room]"), None)
}

fn write(text: &str, html: Option<&str>) -> Result<Vec<u8>, Error> {
    let format = html.map(|_| "org.matrix.custom.html");
    let content = MessageContent { msgtype: "m.text", body: text, format, formatted_body: html, mentions: Empty {} };
    serde_json::to_vec(&content).map_err(|cause| Error::Unexpected(format!("a room message cannot be written as JSON: {cause}")))
}

/// The id of the room that an alias names. Asked without a token.
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

/// Joins a room, by id or alias. Nothing happens to one who is in it. [`Error::Forbidden`]: an invitation is needed, or
/// the room cannot be found.
pub fn join(homeserver: &Homeserver, access_token: &str, room: &str) -> Result<(), Error> {
    let call = Call::post(&format!("/_matrix/client/v3/join/{}", segment(room)), &Empty {})?;
    match homeserver.ask::<RoomIdAnswer>(&call.token(access_token))? {
        Ok(_) => Ok(()),
        // Synapse answers 404 or 400 where it knows no server that could let us in
        Err(refusal) if matches!(refusal.status, 400 | 403 | 404) && refusal.is_matrix_error() => {
            Err(Error::Forbidden(refusal.sentence("")))
        }
        Err(refusal) => Err(refusal.unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_too_large_for_an_event_is_cut_and_says_so() {
        let html = "<b>x</b>".repeat(10_000);
        let without_html = content(&RoomMessage { text: "short", html: &html }).unwrap();
        assert!(!String::from_utf8(without_html).unwrap().contains("formatted_body"));
        for text in ["x", "😀", "\u{1}"] {
            let bytes = content(&RoomMessage { text: &text.repeat(100_000), html: "" }).unwrap();
            assert!(bytes.len() <= LARGEST_CONTENT);
            assert!(String::from_utf8(bytes).unwrap().contains("[cut:"));
        }
    }
}

//! Messages of people in answer to one of ours (Client-Server API, `GET /rooms/{roomId}/event` and `/messages`).
//!
//! Plain replies are in no list of relations, so recent messages are read as a whole. Anybody in the room can send anything: what
//! does not have the expected form is left out.

use super::{Call, Error, Homeserver, Refusal, segment};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// How many recent messages are read.
const RECENT: usize = 100;
/// The largest page in bytes: events have 64 KiB at most.
const LARGEST_PAGE: u64 = 8 * 1024 * 1024;
/// Time limit for one request; reading is repeated.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a message answers another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    Reply,
    /// In the thread under it.
    InThread,
}

/// A message of somebody that answers another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub event_id: String,
    pub sender: String,
    /// The event that it answers: the one replied to, or the root of the thread.
    pub to: String,
    pub way: Answering,
    /// `None`: it is encrypted.
    pub body: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    /// Read one by one, because one that cannot be read (nested too deep) must not hide the others.
    chunk: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    event_id: String,
    sender: String,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    msgtype: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(rename = "m.relates_to")]
    relates_to: RelatesTo,
}

#[derive(Deserialize)]
struct RelatesTo {
    #[serde(default)]
    rel_type: Option<String>,
    #[serde(default)]
    event_id: Option<String>,
    #[serde(rename = "m.in_reply_to", default)]
    in_reply_to: Option<InReplyTo>,
}

#[derive(Deserialize)]
struct InReplyTo {
    event_id: String,
}

/// What an event answers, if it is a text or encrypted message that answers another one. Edits and notices are none.
pub fn answer(event: &str) -> Option<Answer> {
    let Event { r#type, event_id, sender, content } = serde_json::from_str(event).ok()?;
    let body = match (r#type.as_str(), content.msgtype.as_str()) {
        ("m.room.message", "m.text") => Some(content.body?),
        ("m.room.encrypted", _) => None,
        _ => return None,
    };
    let (to, way) = match (content.relates_to.rel_type.as_deref(), content.relates_to.event_id, content.relates_to.in_reply_to) {
        (Some("m.thread"), Some(root), _) => (root, Answering::InThread),
        (None, _, Some(replied)) => (replied.event_id, Answering::Reply),
        _ => return None,
    };
    Some(Answer { event_id, sender, to, way, body })
}

/// One event, if the homeserver shows it to the room and it is an answer. Events that it hides are not found (observed with
/// Synapse 1.163), and redacted ones have no content.
///
/// [`Error::Forbidden`]: the bot is not in the room.
pub fn read(homeserver: &Homeserver, access_token: &str, room_id: &str, event_id: &str) -> Result<Option<Answer>, Error> {
    let path = format!("/_matrix/client/v3/rooms/{}/event/{}", segment(room_id), segment(event_id));
    match homeserver.ask::<Box<RawValue>>(&Call::get(path).token(access_token).patience(PATIENCE))? {
        Ok(event) => Ok(answer(event.get()).filter(|answer| answer.event_id == event_id)),
        Err(refusal) if refusal.status == 404 && refusal.is_matrix_error() => Ok(None),
        Err(refusal) => Err(Refusal::unexpected(refusal)),
    }
}

/// The recent answers in a room, to whatever event, the newest first. [`Error::Forbidden`]: the bot is not in the room.
pub fn recent(homeserver: &Homeserver, access_token: &str, room_id: &str) -> Result<Vec<Answer>, Error> {
    // Without a filter, because servers other than Synapse may not know the one that is needed.
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit={RECENT}", segment(room_id));
    let call = Call { largest: LARGEST_PAGE, ..Call::get(path).token(access_token).patience(PATIENCE) };
    let page = homeserver.ask::<Page>(&call)?.map_err(Refusal::unexpected)?;
    Ok(page.chunk.iter().take(RECENT).filter_map(|event| answer(event.get())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn message(relates_to: Value) -> Value {
        json!({"type": "m.room.message", "event_id": "$1", "sender": "@a:b", "content": {"msgtype": "m.text", "body": "approve", "m.relates_to": relates_to}})
    }

    #[test]
    fn only_texts_that_answer_something_are_answers() {
        let reply = json!({"m.in_reply_to": {"event_id": "$ours"}});
        let thread = json!({"rel_type": "m.thread", "event_id": "$ours", "is_falling_back": true, "m.in_reply_to": {"event_id": "$last"}});
        let of = |event: Value| answer(&event.to_string()).map(|answer| (answer.to, answer.way, answer.body));
        let text = Some("approve".to_owned());
        assert_eq!(of(message(reply.clone())), Some(("$ours".into(), Answering::Reply, text.clone())));
        assert_eq!(of(message(thread)), Some(("$ours".into(), Answering::InThread, text)));
        let encrypted =
            json!({"type": "m.room.encrypted", "event_id": "$1", "sender": "@a:b", "content": {"ciphertext": "x", "m.relates_to": reply}});
        assert_eq!(of(encrypted), Some(("$ours".into(), Answering::Reply, None)));
        let mut notice = message(reply.clone());
        notice["content"]["msgtype"] = json!("m.notice");
        let mut redacted = message(reply.clone());
        redacted["content"] = json!({});
        let mut number = message(reply.clone());
        number["content"]["body"] = json!(7);
        let edit = message(json!({"rel_type": "m.replace", "event_id": "$ours", "m.in_reply_to": {"event_id": "$ours"}}));
        let text = message(json!("$ours"));
        for other in [notice, redacted, number, edit, text, message(json!({})), json!(null), json!([]), json!({"type": "m.room.message"})] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }
}

//! Reactions to a message, and its edits (Client-Server API, `GET /rooms/{roomId}/relations`).
//!
//! Homeservers differ. Synapse honours `dir` and pages; Conduit 0.11 answers `dir=f` with nothing, ignores the direction and goes
//! back to the beginning with each page (both observed). So nothing here depends on the order or the end of pages.

use super::{Call, Error, Homeserver, Refusal, segment};
use crate::outside::store::RoomEvent;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The largest number of pages that are read of one message, with 100 reactions each.
const MOST_PAGES: usize = 20;
/// The largest page in bytes: a reaction has a few hundred, but a hostile one may have 64 KiB.
const LARGEST_PAGE: u64 = 8 * 1024 * 1024;
/// Time limit for one request; reading is repeated.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long further pages of one message are asked for. A part of the reactions would decide wrongly, so that is an error.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(20);
/// The kinds of relations, as they stand in the path.
const REACTIONS: &str = "m.annotation/m.reaction";
const EDITS: &str = "m.replace";
/// Bytes of a key. No emoji has so many; Synapse accepts 500 characters.
const LONGEST_KEY: usize = 100;

/// A reaction that is in the room: not redacted, and not refused by the homeserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    pub event_id: String,
    pub sender: String,
    pub key: String,
    /// Milliseconds since 1970, as the sender's server claims; 0 if it claims nothing.
    pub sent_at: i64,
}

#[derive(Deserialize)]
struct Page {
    /// Read one by one, because one that cannot be read (nested too deep) must not hide the others.
    #[serde(default)]
    chunk: Vec<Box<RawValue>>,
    #[serde(default)]
    next_batch: Value,
}

#[derive(Deserialize)]
struct AnyEvent {
    event_id: String,
}

/// An event of a page. Anybody in the room can send anything, so it may not have this form.
#[derive(Deserialize)]
struct ReactionEvent {
    r#type: String,
    event_id: String,
    sender: String,
    #[serde(default)]
    origin_server_ts: Value,
    content: ReactionContent,
}

#[derive(Deserialize)]
struct ReactionContent {
    #[serde(rename = "m.relates_to")]
    relates_to: Annotation,
}

#[derive(Deserialize)]
struct Annotation {
    rel_type: String,
    event_id: String,
    key: String,
}

/// The reactions to a message, the oldest first as far as the homeserver can tell. None if there is no such message.
///
/// [`Error::Forbidden`]: the bot is not in the room. [`Error::Unexpected`]: there are more than [`MOST_PAGES`] pages, and a part of
/// them could decide something else than all.
pub fn reactions(homeserver: &Homeserver, access_token: &str, event: &RoomEvent) -> Result<Vec<Reaction>, Error> {
    let forwards = read(homeserver, access_token, event, "dir=f&limit=100")?;
    if !forwards.is_empty() {
        return Ok(forwards);
    }
    let mut unordered = read(homeserver, access_token, event, "limit=100")?;
    unordered.sort_by_key(|reaction| reaction.sent_at);
    Ok(unordered)
}

/// Sorts what [`reactions`] returned if the homeserver ignores the direction. Costs a request, so only for cases in which the
/// order decides.
pub fn put_in_order(homeserver: &Homeserver, access_token: &str, event: &RoomEvent, found: &mut [Reaction]) -> Result<(), Error> {
    let newest = page(homeserver, access_token, event, "dir=b&limit=100")?.map(|page| of_page(&page.chunk, event));
    let ignores_direction =
        newest.is_some_and(|newest| newest.first().map(|newest| &newest.event_id) == found.first().map(|first| &first.event_id));
    if ignores_direction && found.len() > 1 {
        found.sort_by_key(|reaction| reaction.sent_at);
    }
    Ok(())
}

/// An edit of a message, also of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Edit {
    pub event_id: String,
    pub sender: String,
}

/// The edits of a message; at most 2,000. None if there is no such message, or it was redacted.
pub fn edits(homeserver: &Homeserver, access_token: &str, event: &RoomEvent) -> Result<Vec<Edit>, Error> {
    let of_page = |page: Vec<Box<RawValue>>| page.iter().filter_map(|event| serde_json::from_str(event.get()).ok()).collect();
    Ok(all(homeserver, access_token, event, EDITS, "limit=100", of_page)?.0)
}

fn read(homeserver: &Homeserver, access_token: &str, event: &RoomEvent, query: &str) -> Result<Vec<Reaction>, Error> {
    match all(homeserver, access_token, event, REACTIONS, query, |page| of_page(&page, event))? {
        (found, true) => Ok(found),
        (found, false) => Err(Error::Unexpected(format!(
            "a message in the room has more than {} reactions, so what they decide is not looked up; decide by the link in the message, or by a word",
            found.len()
        ))),
    }
}

fn page(homeserver: &Homeserver, access_token: &str, event: &RoomEvent, query: &str) -> Result<Option<Page>, Error> {
    page_of(homeserver, access_token, event, REACTIONS, query, None)
}

/// What `wanted` finds in the pages, and whether those were all. Ends with the first page that brings nothing new, as a homeserver may
/// begin again.
fn all<T>(
    homeserver: &Homeserver,
    access_token: &str,
    event: &RoomEvent,
    kind: &str,
    query: &str,
    wanted: impl Fn(Vec<Box<RawValue>>) -> Vec<T>,
) -> Result<(Vec<T>, bool), Error> {
    let (mut found, mut seen, mut from): (Vec<T>, HashSet<String>, Option<String>) = Default::default();
    let begun = Instant::now();
    for _ in 0..MOST_PAGES {
        if begun.elapsed() > PATIENCE_IN_ALL {
            let seconds = PATIENCE_IN_ALL.as_secs();
            return Err(Error::Unreachable(format!("the homeserver did not list what belongs to a message within {seconds} s")));
        }
        let Some(page) = page_of(homeserver, access_token, event, kind, query, from.as_deref())? else { return Ok((found, true)) };
        let next = page.next_batch.as_str().map(str::to_owned);
        let mut events = page.chunk;
        events.retain(|event| serde_json::from_str::<AnyEvent>(event.get()).is_ok_and(|event| seen.insert(event.event_id)));
        let is_last = events.is_empty() || next.is_none() || next == from;
        found.extend(wanted(events));
        if is_last {
            return Ok((found, true));
        }
        from = next;
    }
    Ok((found, false))
}

/// One page of one kind of relations; `None` if the homeserver does not know the message.
fn page_of(
    homeserver: &Homeserver,
    access_token: &str,
    event: &RoomEvent,
    kind: &str,
    query: &str,
    from: Option<&str>,
) -> Result<Option<Page>, Error> {
    let from = from.map(|from| format!("&from={}", segment(from))).unwrap_or_default();
    let (room, event) = (segment(&event.room_id), segment(&event.event_id));
    let path = format!("/_matrix/client/v1/rooms/{room}/relations/{event}/{kind}?{query}{from}");
    match homeserver.ask::<Page>(&Call { largest: LARGEST_PAGE, ..Call::get(path).token(access_token).patience(PATIENCE) })? {
        Ok(page) => Ok(Some(page)),
        Err(refusal) if refusal.status == 404 && refusal.is_matrix_error() => Ok(None),
        Err(refusal) => Err(Refusal::unexpected(refusal)),
    }
}

/// The reactions of a page to this event; everything else is left out.
fn of_page(chunk: &[Box<RawValue>], to: &RoomEvent) -> Vec<Reaction> {
    let events = chunk.iter().filter_map(|event| serde_json::from_str::<ReactionEvent>(event.get()).ok());
    let reactions = events.filter(|event| {
        let Annotation { rel_type, event_id, key } = &event.content.relates_to;
        event.r#type == "m.reaction" && rel_type == "m.annotation" && *event_id == to.event_id && key.len() <= LONGEST_KEY
    });
    let reaction = |event: ReactionEvent| Reaction {
        event_id: event.event_id,
        sender: event.sender,
        key: event.content.relates_to.key,
        sent_at: event.origin_server_ts.as_i64().unwrap_or(0),
    };
    let mut seen = HashSet::new();
    reactions.map(reaction).filter(|reaction| seen.insert(reaction.event_id.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: &str, key: Value) -> Value {
        let relates_to = json!({"rel_type": "m.annotation", "event_id": "$ours", "key": key});
        json!({"type": "m.reaction", "event_id": id, "sender": "@a:b", "origin_server_ts": 5, "content": {"m.relates_to": relates_to}})
    }

    #[test]
    fn what_is_no_reaction_to_our_message_is_left_out() {
        let ours = RoomEvent { room_id: "!r".into(), event_id: "$ours".into() };
        let mut elsewhere = event("$2", json!("👍"));
        elsewhere["content"]["m.relates_to"]["event_id"] = json!("$other");
        let mut edit = event("$3", json!("👍"));
        edit["content"]["m.relates_to"]["rel_type"] = json!("m.replace");
        let mut message = event("$4", json!("👍"));
        message["type"] = json!("m.room.message");
        let mut text = event("$5", json!("👍"));
        text["content"]["m.relates_to"] = json!("$ours");
        let strange = [json!(null), json!("x"), json!([]), json!({}), event("$6", json!(7)), event("$7", json!("x".repeat(200)))];
        let mut timeless = event("$8", json!("👎"));
        timeless["origin_server_ts"] = json!("now");
        let chunk =
            [event("$1", json!("👍")), event("$1", json!("👎")), elsewhere, edit, message, text, timeless].into_iter().chain(strange);
        let chunk: Vec<_> = chunk.map(|event| serde_json::value::to_raw_value(&event).unwrap()).collect();
        let found = of_page(&chunk, &ours);
        assert_eq!(found.iter().map(|reaction| (reaction.event_id.as_str(), reaction.sent_at)).collect::<Vec<_>>(), [("$1", 5), ("$8", 0)]);
    }

    #[test]
    fn an_event_that_is_nested_too_deep_hides_no_other() {
        let ours = RoomEvent { room_id: "!r".into(), event_id: "$ours".into() };
        let deep = format!(r#"{{"event_id": "$deep", "content": {}{}}}"#, "[".repeat(500), "]".repeat(500));
        let page: Page = serde_json::from_str(&format!(r#"{{"chunk": [{deep}, {}]}}"#, event("$1", json!("👍")))).unwrap();
        assert_eq!(of_page(&page.chunk, &ours).len(), 1);
    }
}

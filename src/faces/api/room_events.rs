//! `internal/room_events`: the homeserver says what happened in the bot's rooms (Application Service API,
//! <https://spec.matrix.org/v1.16/application-service-api/>).
//!
//! A push is a wake-up only: what it says about an event is not believed. If a reaction points to a message about an undecided
//! request, the reactions to that message are read from the homeserver after the answer ([`looking`]).
//!
//! Whatever happens to a push of the homeserver, the answer is 200 with `{}`: after any other one Synapse repeats the same push,
//! and sends nothing else meanwhile. What is missed that way, cron finds. Whoever lacks the homeserver's token gets a 403, before
//! a byte of the body is read.

use super::{MatrixError, access};
use crate::domain::error::Error;
use crate::domain::names;
use crate::faces::gateway::{self, Pace, Program};
use crate::flow::listening;
use crate::flow::looking;
use crate::outside::cgi::{Header, Request, Response};
use crate::outside::log;
use crate::outside::matrix::messages;
use crate::outside::site::Site;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;
use std::process::ExitCode;

/// The largest push in bytes: Synapse sends up to 100 events of 64 KiB in one.
const LARGEST_PUSH: u64 = 16 * 1024 * 1024;
/// The largest number of events that are looked up for one push.
const MOST_TARGETS: usize = 1000;
/// The beginning of all paths, after which the homeserver's URL of this program ends.
const PREFIX: &str = "/_matrix/app/v1/";

#[derive(Serialize)]
struct Taken {}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// `PUT /transactions/{txnId}`.
    Push,
    /// `POST /ping`.
    Ping,
    /// `users`, `rooms` and everything else: we have none.
    Unknown,
}

/// Serves the program.
pub fn serve(program: &'static str) -> ExitCode {
    gateway::serve(Program { name: program, body_limit: admit, pace: |_| Pace::Reads, fail, respond: hear, afterwards })
}

/// The limit of the body for the homeserver; 403 for everybody else.
pub fn admit(site: &Site, request: &Request) -> Result<u64, Error> {
    access::check_address(site, request)?;
    let sent = request.header(Header::Authorization).and_then(|header| header.strip_prefix("Bearer ")).unwrap_or("");
    match site.state.service()? {
        Some(service) if access::same(&service.hs_token, sent.trim()) => Ok(LARGEST_PUSH),
        Some(_) => Err(Error::forbidden(
            "a call of room_events without the homeserver's token was refused; is its registration file the one that cron --print-appservice prints, and does the web server pass on the header Authorization?",
        )),
        None => Err(Error::forbidden("a call of room_events was refused, as there is no application service; see cron --print-appservice")),
    }
}

/// Answers the homeserver.
pub fn hear(site: &Site, request: &Request) -> Result<Response, Error> {
    admit(site, request)?;
    let method = request.variable("REQUEST_METHOD").unwrap_or("");
    match (asked(request), method) {
        (Asked::Push, "PUT") => {
            let pushed = pushed(request.body(), &own_id(site));
            let reacted: Vec<&str> = pushed.reactions.iter().map(String::as_str).collect();
            let answers: Vec<(&str, &str)> = pushed.answers.iter().map(|(event_id, to)| (event_id.as_str(), to.as_str())).collect();
            let is_work_left = looking::note_reactions(site, &reacted, pushed.is_any_taken_back)? | listening::note(site, &answers)?;
            let taken = Response::json(200, &Taken {});
            Ok(if is_work_left { taken.with_work_left() } else { taken })
        }
        (Asked::Ping, "POST") => Ok(Response::json(200, &Taken {})),
        (Asked::Push, _) => Ok(not_allowed("PUT")),
        (Asked::Ping, _) => Ok(not_allowed("POST")),
        (Asked::Unknown, _) => Ok(Response::json(404, &MatrixError { errcode: "M_NOT_FOUND", error: "There is nothing here" })),
    }
}

/// After the answer: reads the reactions.
pub fn afterwards(site: &Site) {
    if let Err(cause) = looking::read_wanted(site) {
        log::warn("reactions_unread", None, &cause.cause);
    }
    if let Err(cause) = listening::read_noted(site) {
        log::warn("words_unread", None, &cause.cause);
    }
}

/// The answer to an error. The homeserver hears of none in its pushes.
pub fn fail(site: Option<&Site>, request: Option<&Request>, error: &Error) -> Response {
    match (site, request) {
        (Some(site), Some(request)) if asked(request) == Asked::Push && admit(site, request).is_ok() => {
            log::warn("push_missed", None, &format!("{error}; cron reads the reactions"));
            Response::json(200, &Taken {})
        }
        _ => super::fail(site, request, error),
    }
}

fn not_allowed(allow: &'static str) -> Response {
    Response::json(405, &MatrixError { errcode: "M_UNRECOGNIZED", error: "Method not allowed" }).header("Allow", allow)
}

fn asked(request: &Request) -> Asked {
    let path = [request.variable("REQUEST_URI"), request.variable("PATH_INFO")];
    let rest = path.into_iter().flatten().find_map(|path| path.split('?').next()?.split_once(PREFIX)).map(|(_, rest)| rest);
    match rest {
        Some("ping") => Asked::Ping,
        Some(rest) if rest.strip_prefix("transactions/").is_some_and(|id| !id.is_empty()) => Asked::Push,
        _ => Asked::Unknown,
    }
}

fn own_id(site: &Site) -> String {
    names::mxid(&site.config.room.bot_localpart, &site.config.server_name)
}

/// What a push says of events by somebody other than `own`. Events of any form are in it, and only what has the expected form
/// counts.
pub fn pushed(push: &[u8], own: &str) -> Pushed {
    let mut deserializer = serde_json::Deserializer::from_slice(push);
    let events = Transaction::deserialize(&mut deserializer).unwrap_or_default().events.0;
    let mut pushed = Pushed::default();
    for (_, wake) in events.into_iter().filter(|(sender, _)| sender != own) {
        match wake {
            Wake::Reaction { to } => drop(pushed.reactions.insert(to)),
            Wake::Answer { event_id, to } => drop(pushed.answers.insert((event_id, to))),
            Wake::TakenBack => pushed.is_any_taken_back = true,
        }
    }
    pushed
}

/// Where a push says that there is something to read.
#[derive(Debug, Default)]
pub struct Pushed {
    /// The events to which somebody reacts.
    pub reactions: HashSet<String>,
    /// Messages that answer others: the id of each, and of the one that it answers.
    pub answers: HashSet<(String, String)>,
    /// Somebody took something back; what that was is not said.
    pub is_any_taken_back: bool,
}

#[derive(Deserialize, Default)]
struct Transaction {
    #[serde(default)]
    events: Events,
}

/// The senders of events, and where these lead, taken one at a time, so that a large push takes up no more memory than its bytes.
#[derive(Default)]
struct Events(HashSet<(String, Wake)>);

#[derive(PartialEq, Eq, Hash)]
enum Wake {
    Reaction { to: String },
    Answer { event_id: String, to: String },
    TakenBack,
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Events, D::Error> {
        deserializer.deserialize_seq(EachEvent)
    }
}

struct EachEvent;

impl<'de> Visitor<'de> for EachEvent {
    type Value = Events;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut events: A) -> Result<Events, A::Error> {
        let mut found = Events::default();
        while let Some(event) = events.next_element::<&RawValue>()? {
            if found.0.len() < MOST_TARGETS
                && let Some(wake) = wake(event.get())
            {
                found.0.insert(wake);
            }
        }
        Ok(found)
    }
}

/// The sender of an event, and where it leads, unless the homeserver hides it from the room (observed with Synapse 1.163).
fn wake(json: &str) -> Option<(String, Wake)> {
    let event: Value = serde_json::from_str(json).ok()?;
    if event["unsigned"]["io.element.synapse.soft_failed"] == Value::Bool(true) {
        return None;
    }
    if event["type"] == "m.room.redaction" {
        return Some((event["sender"].as_str()?.to_owned(), Wake::TakenBack));
    }
    if event["type"] != "m.reaction" {
        let answer = messages::answer(json)?;
        return Some((answer.sender, Wake::Answer { event_id: answer.event_id, to: answer.to }));
    }
    let reaction: Reaction = serde_json::from_value(event).ok()?;
    Some((reaction.sender, Wake::Reaction { to: reaction.content.relates_to.event_id }))
}

#[derive(Deserialize)]
struct Reaction {
    sender: String,
    content: ReactionContent,
}

#[derive(Deserialize)]
struct ReactionContent {
    #[serde(rename = "m.relates_to")]
    relates_to: Relation,
}

#[derive(Deserialize)]
struct Relation {
    event_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reaction(sender: &str, target: Value) -> Value {
        json!({"type": "m.reaction", "sender": sender, "content": {"m.relates_to": {"event_id": target, "key": "👍", "rel_type": "m.annotation"}}})
    }

    fn found(push: &str) -> Vec<String> {
        let mut found: Vec<String> = pushed(push.as_bytes(), "@bot:x").reactions.into_iter().collect();
        found.sort();
        found
    }

    #[test]
    fn of_a_push_only_what_others_react_to_counts() {
        let mut hidden = reaction("@eve:x", json!("$3"));
        hidden["unsigned"] = json!({"io.element.synapse.soft_failed": true});
        let mut text = reaction("@eve:x", json!("$4"));
        text["content"]["m.relates_to"] = json!("$4");
        let mut message = reaction("@eve:x", json!("$5"));
        message["type"] = json!("m.room.message");
        let answer = json!({"type": "m.room.message", "event_id": "$8", "sender": "@a:x",
            "content": {"msgtype": "m.text", "body": "approve", "m.relates_to": {"m.in_reply_to": {"event_id": "$1"}}}});
        let events = json!([
            null,
            7,
            "x",
            [],
            {},
            answer,
            reaction("@a:x", json!("$1")),
            reaction("@b:x", json!("$1")),
            reaction("@bot:x", json!("$2")),
            hidden,
            text,
            message,
            reaction("@c:x", json!(["$6"])),
            reaction("@a:x", json!("$7"))
        ]);
        let push = json!({ "events": events, "ephemeral": 5 }).to_string();
        assert_eq!(found(&push), ["$1", "$7"]);
        assert_eq!(pushed(push.as_bytes(), "@bot:x").answers, [("$8".to_owned(), "$1".to_owned())].into());
    }

    #[test]
    fn a_redaction_by_somebody_else_says_that_something_was_taken_back() {
        let taken_back = |sender: Value| {
            let redaction = json!({"type": "m.room.redaction", "sender": sender, "redacts": "$1", "content": {"redacts": "$1"}});
            pushed(json!({ "events": [redaction] }).to_string().as_bytes(), "@bot:x").is_any_taken_back
        };
        assert!(taken_back(json!("@a:x")));
        assert!(!taken_back(json!("@bot:x")) && !taken_back(json!(7)));
    }

    #[test]
    fn a_push_that_is_none_holds_nothing() {
        for push in ["", "{", "[]", "{}", r#"{"events":null}"#, r#"{"events":{}}"#, r#"{"events":[{]}"#, "\u{feff}{}"] {
            assert_eq!(found(push), [] as [String; 0], "{push}");
        }
        let deep = format!(r#"{{"events":[{}{}]}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(found(&deep), [] as [String; 0]);
    }

    #[test]
    fn a_push_makes_no_more_work_than_a_bounded_number_of_look_ups() {
        let events: Vec<Value> = (0..5_000).map(|number| reaction("@eve:x", json!(format!("${number}")))).collect();
        assert_eq!(found(&json!({ "events": events }).to_string()).len(), MOST_TARGETS);
    }

    #[test]
    fn paths_are_those_of_the_specification_wherever_the_program_is() {
        let asked = |uri: &str| super::asked(&Request::new([("REQUEST_URI".to_owned(), uri.to_owned())].into(), Vec::new()));
        assert_eq!(asked("/internal/room_events/_matrix/app/v1/transactions/4?access_token=x"), Asked::Push);
        assert_eq!(asked("//x/_matrix/app/v1/transactions/a%2Fb"), Asked::Push);
        assert_eq!(asked("/internal/room_events/_matrix/app/v1/ping"), Asked::Ping);
        for other in [
            "/internal/room_events",
            "/_matrix/app/v1/transactions/",
            "/_matrix/app/v1/users/@a:x",
            "/transactions/4",
            "/_matrix/app/v1/pings",
        ] {
            assert_eq!(asked(other), Asked::Unknown, "{other}");
        }
    }
}

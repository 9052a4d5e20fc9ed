//! Words in the room: people answer the message about a request, in a reply or in its thread, to decide or to ask something.
//!
//! As with reactions ([`super::looking`]), a push only says where to look. What counts is the message as the homeserver shows it
//! then, and who may decide at that moment. Cron reads the recent messages, so nothing depends on a push. Each message is noted
//! before it is read, and settled when that is done which it asks for: in the transaction of the decision or question, so that it never
//! acts twice. An answer that is repeated after a crash is recognised by its transaction id.

use crate::domain::back_off::Peer;
use crate::domain::decision::Decider;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::number::Number;
use crate::domain::registration::SideAction;
use crate::domain::text_key::{Key, room::words as text};
use crate::flow::asking;
use crate::flow::beside;
use crate::flow::deciding::{self, Verdict};
use crate::flow::failure::Failure;
use crate::flow::looking::may_decide;
use crate::flow::reading::{self, Turn};
use crate::flow::room_message;
use crate::flow::steps;
use crate::flow::words::{Command, Meaning, Mistake, Place, Spoken, Words};
use crate::outside::fault;
use crate::outside::log;
use crate::outside::matrix::messages::{self, Answer, Answering};
use crate::outside::matrix::{self, Homeserver, bot, members};
use crate::outside::page::{self, RoomPost};
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Asked, Decided, Registration, RoomMessageKind, Store, TakenBack, WordsToRead};
use crate::outside::text::Texts;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The largest number of messages that are read at a time.
const AT_A_TIME: i64 = 50;
/// Rooms whose recent messages a run of cron reads: more than one only while requests move to another room.
const MOST_ROOMS: i64 = 3;
/// The largest number of requests that `!list` names.
const MOST_LISTED: i64 = 20;
/// The lock of [`read_noted`], and how long it lasts in seconds.
const LOCK: (&str, i64) = ("words", 120);

/// Messages that answer others: the id of each, and of the one that it answers. Returns whether any of those is ours, so that
/// [`read_noted`] has something to do.
pub fn note(site: &Site, answers: &[(&str, &str)]) -> Result<bool, Error> {
    if !site.config.room.words || answers.is_empty() {
        return Ok(false);
    }
    let mut store = site.store(Access::Write)?;
    let mut is_ours = false;
    for (event_id, to) in answers {
        is_ours |= store.note_words(event_id, to, site.now())?;
    }
    Ok(is_ours)
}

/// Reads what was noted, and does what it asks for. One program at a time; what it leaves, cron reads.
pub fn read_noted(site: &Site) -> Result<(), Error> {
    let mut store = site.store(Access::Write)?;
    let (mut turn, mut left_before) = (Turn::of_length(Duration::from_secs(LOCK.1 as u64 / 2)), Vec::new());
    loop {
        let read = reading::one_at_a_time(site, &mut store, LOCK, |store| read_in_time(site, store, &mut turn))?;
        // Something may have been noted between the last look and the end of the lock. What fails is left as it is.
        let left = store.words_to_read(AT_A_TIME)?;
        if read.is_none() || left.is_empty() || left == left_before {
            return Ok(());
        }
        left_before = left;
    }
}

/// Reads the recent messages of the room, then all that were noted. Takes a quarter of the time until `deadline`. Returns why
/// messages could not be read although the homeserver answers, for the sysadmin.
pub(crate) fn listen_in_turn(site: &Site, store: &mut Store, deadline: Instant) -> Result<Option<String>, store::Error> {
    if !site.config.room.words {
        return Ok(None);
    }
    let mut turn = Turn::of(deadline, 4);
    note_recent(site, store, &mut turn)?;
    turn.begin_another_kind();
    reading::one_at_a_time(site, store, LOCK, |store| read_in_time(site, store, &mut turn))?;
    Ok(turn.hindrance)
}

/// Also while no request waits: a no can be taken back, and `!list` and `!help` can be answered. That costs one request.
fn note_recent(site: &Site, store: &mut Store, turn: &mut Turn) -> Result<(), store::Error> {
    for room in store.rooms_in_use(MOST_ROOMS)? {
        if !turn.goes_on() {
            break;
        }
        let homeserver = Homeserver::new(&site.config);
        let recent = bot::with_token(site, |token| messages::recent(&homeserver, token, &room.room_id));
        store.distrust_connection();
        match recent {
            Ok(recent) => {
                for answer in recent.iter().rev() {
                    store.note_words(&answer.event_id, &answer.to, site.now())?;
                }
            }
            // A former room, which the bot may have left.
            Err(matrix::Error::Forbidden(_)) if !room.has_open_requests => {}
            Err(cause) => turn.note(Failure::from(cause).on_the_way(Peer::Room)),
        }
    }
    Ok(())
}

fn read_in_time(site: &Site, store: &mut Store, turn: &mut Turn) -> Result<(), store::Error> {
    let noted = store.words_to_read(AT_A_TIME)?;
    if noted.is_empty() {
        return Ok(());
    }
    let known = match vocabulary(site) {
        Ok(known) => known,
        Err(cause) => {
            log::warn("words_unread", None, &cause.cause);
            turn.note(cause.into());
            return Ok(());
        }
    };
    for words in noted {
        if !turn.goes_on() {
            break;
        }
        match reading::guarded(store, |store| read_one(site, store, &words, &known))? {
            Ok(()) => {
                fault::point("words obeyed");
                store.settle_words(&words.event.event_id, site.now())?;
            }
            Err(failure) => {
                log::warn("words_unread", Some(words.registration), &failure.sentence);
                store.put_off_words(&words.event.event_id)?;
                turn.note(failure);
            }
        }
    }
    Ok(())
}

/// Somebody's words, as the homeserver shows them, and what they mean.
enum Heard {
    /// Talk, or from somebody who has no say, or gone.
    Nothing,
    /// In an encrypted room.
    Hidden,
    Meant(String, Meaning),
}

fn read_one(site: &Site, store: &mut Store, words: &WordsToRead, known: &Words) -> Result<Result<(), Failure>, store::Error> {
    let Some(registration) = store.registration(words.registration)? else { return Ok(Ok(())) };
    if steps::waits_for_its_key(site, &registration) {
        return Ok(Ok(()));
    }
    let answer = match bot::with_token(site, |token| answer_of_member(site, token, words)) {
        Ok(answer) => answer,
        Err(cause) => return Ok(Err(Failure::from(cause).on_the_way(Peer::Room))),
    };
    // The homeserver may have taken so long that the connection was closed.
    store.distrust_connection();
    let heard = match answer {
        Some(answer) if store.is_message_of(registration.id, &answer.to)? => meaning(answer, known, registration.number()),
        _ => Heard::Nothing,
    };
    match heard {
        Heard::Nothing => Ok(Ok(())),
        Heard::Hidden => say_that_words_are_hidden(site, store, &registration, words),
        Heard::Meant(sender, meaning) => obey(site, store, &registration, words, sender, meaning),
    }
}

fn vocabulary(site: &Site) -> Result<Words, Error> {
    let mut languages = vec![crate::domain::config::Language::English, site.config.default_language];
    languages.dedup();
    let texts = languages.into_iter().map(|language| Texts::load(Some(&site.config), language)).collect::<Result<Vec<_>, _>>()?;
    let spoken = texts.iter().map(|texts| {
        let word = |key: Key| texts.get(key.name()).unwrap_or_default();
        Spoken {
            approve: word(text::APPROVE),
            decline: word(text::DECLINE),
            silently: word(text::SILENTLY),
            reopen: word(text::REOPEN),
            ask: word(text::ASK),
            who: word(text::WHO),
            list: word(text::LIST),
            help: word(text::HELP),
        }
    });
    Ok(Words::new(&spoken.collect::<Vec<_>>(), &site.config.room.reasons))
}

/// The message, if it is there and of somebody who may decide now.
fn answer_of_member(site: &Site, token: &str, words: &WordsToRead) -> Result<Option<Answer>, matrix::Error> {
    let homeserver = Homeserver::new(&site.config);
    let room_id = &words.event.room_id;
    let Some(answer) = messages::read(&homeserver, token, room_id, &words.event.event_id)? else { return Ok(None) };
    if bot::own_accounts(site, &homeserver, token)?.contains(&answer.sender) {
        return Ok(None);
    }
    let has_a_say = match answer.body {
        Some(_) => may_decide(site, &homeserver, token, room_id, &answer.sender)?,
        None => members::is_joined(&homeserver, token, room_id, &answer.sender)?,
    };
    Ok(has_a_say.then_some(answer))
}

fn meaning(answer: Answer, known: &Words, of: Number) -> Heard {
    let place = match answer.way {
        Answering::Reply => Place::Reply,
        Answering::InThread => Place::Thread,
    };
    match answer.body.map(|body| known.read(&body, place, of)) {
        None => Heard::Hidden,
        Some(Meaning::Talk) => Heard::Nothing,
        Some(meaning) => Heard::Meant(answer.sender, meaning),
    }
}

/// Does what somebody wants, and answers in the thread where the message of the request does not show the result.
fn obey(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    words: &WordsToRead,
    sender: String,
    meaning: Meaning,
) -> Result<Result<(), Failure>, store::Error> {
    let by = Decider::Word { mxid: sender, event_id: words.event.event_id.clone() };
    let answer = match meaning {
        Meaning::Talk => None,
        Meaning::Mistake(mistake) => Some(of_mistake(site, mistake)),
        Meaning::Command(Command::Approve) => decide(site, store, registration, (Verdict::Approve, None), &by)?,
        Meaning::Command(Command::Decline { reason, silently }) => {
            let verdict = if silently { Verdict::DeclineSilently } else { Verdict::Decline };
            decide(site, store, registration, (verdict, reason.as_deref()), &by)?
        }
        Meaning::Command(Command::Reopen) => take_back(site, store, registration, &by)?,
        Meaning::Command(Command::Ask(question)) => ask(site, store, registration, &question, &by)?,
        Meaning::Command(Command::Who) => Some(json!({ "kind": "who", "history": history(store, registration)? })),
        Meaning::Command(Command::List) => Some(list(site, store)?),
        Meaning::Command(Command::Help) => Some(json!({ "kind": "help", "reasons": site.config.room.reasons })),
    };
    match answer {
        Some(answer) => say(site, store, registration, &format!("answer to {}", words.event.event_id), &answer),
        None => Ok(Ok(())),
    }
}

/// The answer if the decision was not taken: somebody was faster.
fn decide(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    (verdict, reason): (Verdict, Option<&str>),
    by: &Decider,
) -> Result<Option<Value>, store::Error> {
    if deciding::is_undecided(registration) && deciding::decide(site, store, registration, verdict, reason, by)? {
        reading::carry_out(site, store, registration.id);
        return Ok(None);
    }
    Ok(Some(json!({ "kind": "decided", "history": last_decision(store, registration)? })))
}

/// The answer if there is no no to take back.
fn take_back(site: &Site, store: &mut Store, registration: &Registration, by: &Decider) -> Result<Option<Value>, store::Error> {
    let taken_back = match deciding::can_be_taken_back(registration) {
        true => deciding::take_back(site, store, registration, by)?,
        false => TakenBack::NotDeclined,
    };
    Ok(match taken_back {
        TakenBack::Yes => {
            reading::carry_out(site, store, registration.id);
            None
        }
        TakenBack::NotDeclined => Some(json!({ "kind": "not_declined", "history": last_decision(store, registration)? })),
        TakenBack::NameTaken => Some(json!({ "kind": "name_taken" })),
    })
}

fn last_decision(store: &mut Store, registration: &Registration) -> Result<Vec<Value>, store::Error> {
    Ok(store.last_decision(registration.id)?.iter().map(shown).collect())
}

fn ask(site: &Site, store: &mut Store, registration: &Registration, question: &str, by: &Decider) -> Result<Option<Value>, store::Error> {
    let asked = asking::ask(site, store, registration.id, question, by)?;
    beside::act_or_leave(site, store, registration.id, SideAction::ShowInRoom);
    Ok(match asked {
        Asked::Yes(_) => None,
        Asked::NotUndecided => Some(json!({ "kind": "not_undecided" })),
        Asked::TooMany => Some(json!({ "kind": "asked_enough" })),
    })
}

fn of_mistake(site: &Site, mistake: Mistake) -> Value {
    let kind = match mistake {
        Mistake::Unknown => "unknown",
        Mistake::TooMuch => "too_much",
        Mistake::NothingAsked => "nothing_asked",
        Mistake::TooLong => "too_long",
        Mistake::NoSuchReason => "no_such_reason",
        Mistake::OtherRequest => "other_request",
    };
    let reasons = if mistake == Mistake::NoSuchReason { site.config.room.reasons.clone() } else { Vec::new() };
    json!({ "kind": kind, "reasons": reasons })
}

fn history(store: &mut Store, registration: &Registration) -> Result<Vec<Value>, store::Error> {
    Ok(store.decisions(registration.id)?.iter().map(shown).collect())
}

fn shown(decided: &Decided) -> Value {
    json!({
        "outcome": decided.outcome.name(),
        "way": decided.way.name(),
        "mxid": decided.by.as_deref().unwrap_or_default(),
        "at": decided.at,
        "reason": decided.reason,
    })
}

fn list(site: &Site, store: &mut Store) -> Result<Value, store::Error> {
    let mut requests = Vec::new();
    for id in store.undecided_requests(MOST_LISTED)? {
        // One that cannot be read is named by cron.
        let Ok(Some(registration)) = store.registration(id) else { continue };
        requests.push(json!({
            "number": registration.number().to_string(),
            "full_name": registration.full_name(),
            "mxid": names::mxid(&registration.username, &site.config.server_name),
            "asked_at": registration.requested_at,
        }));
    }
    Ok(json!({ "kind": if requests.is_empty() { "list_none" } else { "list" }, "requests": requests }))
}

/// Once in each room.
fn say_that_words_are_hidden(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    words: &WordsToRead,
) -> Result<Result<(), Failure>, store::Error> {
    if store.said_once(&words.event.room_id)? {
        return Ok(Ok(()));
    }
    let said = say(site, store, registration, &format!("words are hidden in {}", words.event.room_id), &json!({ "kind": "encrypted" }))?;
    if said.is_ok() {
        store.say_once(registration.id, &words.event.room_id, site.now())?;
    }
    Ok(said)
}

/// Posts an answer in the thread under the message of the request: once for each `occasion`.
fn say(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    occasion: &str,
    answer: &Value,
) -> Result<Result<(), Failure>, store::Error> {
    let mut answer = answer.clone();
    answer["number"] = json!(registration.number().to_string());
    Ok(page::room(&site.config, site.config.default_language, RoomPost::Answer, &answer)
        .map_err(Failure::from)
        .and_then(|text| room_message::post_under(site, store, registration, RoomMessageKind::Answer, &text, occasion)))
}

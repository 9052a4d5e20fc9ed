//! Decisions in the room: whoever may decide reacts to the message with a thumb.
//!
//! What counts is what the homeserver shows when it is asked for the reactions to a message, and who is in the room at that
//! moment. A push of the homeserver ([`crate::faces::api`]) only says where to look, because pushes get lost, come twice, and contain
//! events that nobody in the room can see. Cron looks at every open request, so without any push the same is decided, later.
//!
//! The decision itself is the move that the page of the link makes ([`deciding`]), so nothing is decided twice.

use crate::domain::back_off::Peer;
use crate::domain::config::Room;
use crate::domain::decision::{Decider, Outcome};
use crate::domain::error::Error;
use crate::flow::deciding::{self, Verdict};
use crate::flow::failure::Failure;
use crate::flow::reading::{self, Turn};
use crate::flow::steps;
use crate::flow::votes::{Vote, is_contradicted, votes};
use crate::outside::log;
use crate::outside::matrix::{self, Homeserver, bot, members, relations};
use crate::outside::site::Site;
use crate::outside::store::{self, Access, MessageToRead, Registration, RoomEvent, Store};
use std::time::{Duration, Instant};

/// The largest number of messages that a run of cron reads, and that one push makes us read before others have a turn.
const AT_A_TIME: i64 = 50;
/// The largest number of people whose membership is asked for at one message.
const MOST_ASKED_ABOUT: usize = 100;
/// How long they are asked about.
const ASKING: Duration = Duration::from_secs(15);
/// How long somebody who opens the link waits for the homeserver, which usually takes a few milliseconds.
const FOR_A_VISITOR: Duration = Duration::from_secs(3);
/// The lock of [`read_wanted`], and how long it lasts in seconds.
const LOCK: (&str, i64) = ("reactions", 60);

/// What a run of cron found.
#[derive(Debug)]
pub struct Looked {
    /// Requests that were decided.
    pub decided: u64,
    /// Why reactions could not be read although the homeserver answers, for the sysadmin.
    pub hindrance: Option<String>,
    /// The homeserver does not answer.
    pub is_away: bool,
}

/// Reads the reactions to messages about undecided requests, those read the longest ago first. Takes a third of the time until
/// `deadline`. The decisions are carried out by the queue.
pub(crate) fn look_in_turn(site: &Site, store: &mut Store, deadline: Instant) -> Result<Looked, store::Error> {
    let (mut turn, mut decided) = (Turn::of(deadline, 3), 0);
    let messages = if site.config.room.reactions { store.messages_to_read(false, AT_A_TIME)? } else { Vec::new() };
    for message in &messages {
        if !turn.goes_on() {
            break;
        }
        match look(site, store, message, None)? {
            Ok(is_decided) => decided += u64::from(is_decided),
            Err(failure) => turn.note(failure),
        }
    }
    Ok(Looked { decided, is_away: turn.is_homeserver_away(), hindrance: turn.hindrance })
}

/// Reads the reactions to the messages about one request, because somebody opens its link and would decide after those who have
/// reacted. Returns whether they have decided; [`deciding::carry_on`] follows. Whatever happens, the visitor waits a few seconds at most.
pub fn look_at_once(site: &Site, registration: &Registration) -> bool {
    let until = Instant::now() + FOR_A_VISITOR;
    let look_at_all = || -> Result<bool, Error> {
        if !site.config.room.reactions || !deciding::is_undecided(registration) {
            return Ok(false);
        }
        let mut store = site.store(Access::Write)?;
        for message in store.messages_about(registration.id, AT_A_TIME)? {
            match look(site, &mut store, &message, Some(until))? {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                Err(_) => break,
            }
        }
        Ok(false)
    };
    look_at_all().unwrap_or_else(|cause| {
        log::warn("reactions_unread", Some(registration.id), &cause.cause);
        false
    })
}

/// The homeserver said that somebody reacted to these events, or, with `is_any_taken_back`, took something back in the room. Returns
/// whether any message of ours is to be read now, with [`read_wanted`].
pub fn note_reactions(site: &Site, event_ids: &[&str], is_any_taken_back: bool) -> Result<bool, Error> {
    if !site.config.room.reactions || event_ids.is_empty() && !is_any_taken_back {
        return Ok(false);
    }
    let mut store = site.store(Access::Write)?;
    let mut wanted = store.want_read(event_ids)?;
    if is_any_taken_back {
        wanted += store.want_contradicted_read(site.now())?;
    }
    Ok(wanted > 0)
}

/// Reads what [`note_reactions`] noted, and carries out the decisions. One program at a time reads, so that a flood of reactions
/// costs no more than one after the other; what is left, cron reads.
pub fn read_wanted(site: &Site) -> Result<(), Error> {
    let mut store = site.store(Access::Write)?;
    loop {
        let read = reading::one_at_a_time(site, &mut store, LOCK, |store| read_some_wanted(site, store))?;
        let Some(decided) = read else { return Ok(()) };
        // Without the lock: the mail server may be slow, and the next reaction must not wait for it.
        for id in decided {
            reading::carry_out(site, &mut store, id);
        }
        // A reaction may have come between the last look and the end of the lock.
        if store.messages_to_read(true, 1)?.is_empty() {
            return Ok(());
        }
    }
}

/// Returns the requests that were decided.
fn read_some_wanted(site: &Site, store: &mut Store) -> Result<Vec<i64>, store::Error> {
    let mut turn = Turn::of_length(Duration::from_secs(LOCK.1 as u64 / 2));
    let mut decided = Vec::new();
    for message in store.messages_to_read(true, AT_A_TIME)? {
        if !turn.goes_on() {
            break;
        }
        match look(site, store, &message, None)? {
            Ok(true) => decided.push(message.registration),
            Ok(false) => {}
            Err(failure) => turn.note(failure),
        }
    }
    Ok(decided)
}

/// Reads the reactions to a message, and decides if somebody who may decide has reacted: the same for a push, for cron and for whoever
/// opens the link, who waits for the homeserver only `until` that time. Returns whether this decided. An error comes from the database; any other problem is
/// a [`Failure`], which is logged.
fn look(site: &Site, store: &mut Store, message: &MessageToRead, until: Option<Instant>) -> Result<Result<bool, Failure>, store::Error> {
    // Opening a page changes nothing that is stored, unless somebody has decided in the room.
    if until.is_none() {
        store.begin_reading(message.id, site.now())?;
    }
    let looked = reading::guarded(store, |store| try_to_look(site, store, message, until))?;
    if let Err(failure) = &looked {
        log::warn("reactions_unread", Some(message.registration), &failure.sentence);
    }
    Ok(looked)
}

fn try_to_look(
    site: &Site,
    store: &mut Store,
    message: &MessageToRead,
    until: Option<Instant>,
) -> Result<Result<bool, Failure>, store::Error> {
    let Some(registration) = store.registration(message.registration)? else { return Ok(Ok(false)) };
    if !deciding::is_undecided(&registration) || steps::waits_for_its_key(site, &registration) {
        return Ok(Ok(false));
    }
    let since = taken_back_at(store, registration.id)?;
    let homeserver = Homeserver::new(&site.config).until(until);
    let seen = match bot::with_token(site, |token| see(site, &homeserver, token, &message.event, since)) {
        Ok(seen) => seen,
        Err(cause) => return Ok(Err(Failure::from(cause).on_the_way(Peer::Room))),
    };
    // The homeserver may have taken so long that the connection was closed.
    store.distrust_connection();
    if seen.is_contradicted && until.is_none() {
        store.note_contradicted(message.id)?;
    }
    let Some((verdict, by)) = seen.wanted else { return Ok(Ok(false)) };
    deciding::decide(site, store, &registration, verdict, None, &Decider::Reaction(by)).map(Ok)
}

/// When the last decision was taken back: what people reacted with before has had its effect.
fn taken_back_at(store: &mut Store, id: i64) -> Result<Option<i64>, store::Error> {
    let decisions = store.decisions(id)?;
    Ok(decisions.iter().rev().find(|decided| decided.outcome == Outcome::TakenBack).map(|decided| decided.at))
}

/// What the reactions to a message say.
struct Seen {
    /// What the first person who may decide wants, and who that is.
    wanted: Option<(Verdict, String)>,
    /// Somebody shows both thumbs, and may take one back.
    is_contradicted: bool,
}

fn see(site: &Site, homeserver: &Homeserver, token: &str, event: &RoomEvent, since: Option<i64>) -> Result<Seen, matrix::Error> {
    let mut reactions = relations::reactions(homeserver, token, event)?;
    reactions.retain(|reaction| since.is_none_or(|since| reaction.sent_at / 1000 > since));
    let own = bot::own_accounts(site, homeserver, token)?;
    if votes(&reactions, &own).windows(2).any(|pair| pair[0].verdict != pair[1].verdict) {
        relations::put_in_order(homeserver, token, event, &mut reactions)?;
    }
    let is_contradicted = is_contradicted(&reactions, &own);
    let begun = Instant::now();
    for (number, Vote { sender, verdict }) in votes(&reactions, &own).into_iter().enumerate() {
        if number == MOST_ASKED_ABOUT {
            return Err(matrix::Error::Unexpected(format!(
                "the first {MOST_ASKED_ABOUT} people who reacted to a message have no say, and no more are asked about; decide by the link in the message, or by a word"
            )));
        }
        if begun.elapsed() > ASKING {
            return Err(matrix::Error::Unreachable("the homeserver takes too long to say who is in the room".into()));
        }
        if may_decide(site, homeserver, token, &event.room_id, sender)? {
            return Ok(Seen { wanted: Some((verdict, sender.to_owned())), is_contradicted });
        }
    }
    Ok(Seen { wanted: None, is_contradicted })
}

/// Whether the configuration lets a member of the room with this power decide.
pub fn lets_decide(rules: &Room, homeserver: &Homeserver, user_id: &str, power: i64) -> bool {
    let is_near_enough = !rules.decide_only_own_server || homeserver.is_of_this_server(user_id);
    is_near_enough && rules.decide_from_power.as_ref().is_none_or(|least| power >= least.0 as i64)
}

/// Whether this person may decide at this moment: a member of the room of the message, and of the room where requests are decided now
/// if that is another one, with what the configuration asks for in both.
pub(super) fn may_decide(site: &Site, homeserver: &Homeserver, token: &str, room_id: &str, user_id: &str) -> Result<bool, matrix::Error> {
    let rules = &site.config.room;
    if rules.decide_only_own_server && !homeserver.is_of_this_server(user_id) || !has_a_say(rules, homeserver, token, room_id, user_id)? {
        return Ok(false);
    }
    let living_room = bot::living_room(site, token)?;
    Ok(living_room == room_id || has_a_say(rules, homeserver, token, &living_room, user_id)?)
}

fn has_a_say(rules: &Room, homeserver: &Homeserver, token: &str, room_id: &str, user_id: &str) -> Result<bool, matrix::Error> {
    if !members::is_joined(homeserver, token, room_id, user_id)? {
        return Ok(false);
    }
    match &rules.decide_from_power {
        Some(least) => Ok(members::power(homeserver, token, room_id, user_id)? >= least.0 as i64),
        None => Ok(true),
    }
}

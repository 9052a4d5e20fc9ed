//! Decisions in the room: whoever may decide reacts to the message with a thumb.
//!
//! What counts is what the homeserver shows when it is asked for the reactions to a message, and who is in the room at that
//! moment. A push of the homeserver ([`crate::faces::api`]) only says where to look, because pushes get lost, come twice, and contain
//! events that nobody in the room can see. Cron looks at every open request, so without any push the same is decided, later.
//!
//! The decision itself is the move that the page of the link makes ([`deciding`]), so nothing is decided twice.

use crate::domain::back_off::{Blame, Peer};
use crate::domain::config::Room;
use crate::domain::decision::{Decider, Outcome};
use crate::domain::error::Error;
use crate::domain::registration::{SideAction, State};
use crate::domain::token;
use crate::flow::beside;
use crate::flow::breakers::Breakers;
use crate::flow::deciding::{self, Verdict};
use crate::flow::failure::Failure;
use crate::flow::steps;
use crate::flow::votes::{Vote, votes};
use crate::outside::log;
use crate::outside::matrix::{self, Homeserver, bot, members, relations};
use crate::outside::panics;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, MessageToRead, Owed, RoomEvent, Store};
use std::time::{Duration, Instant};

/// The largest number of messages that a run of cron reads, and that one push makes us read before others have a turn.
const AT_A_TIME: i64 = 50;
/// The largest number of people whose membership is asked for at one message.
const MOST_ASKED_ABOUT: usize = 100;
/// How long they are asked about.
const ASKING: Duration = Duration::from_secs(15);
/// The longest time that reading one message is expected to take if the homeserver stays silent, in seconds.
const SILENCE: Duration = Duration::from_secs(bot::SILENCE_SECONDS);
/// The lock of [`read_wanted`], and how long it lasts in seconds.
const LOCK: &str = "reactions";
const LOCK_SECONDS: i64 = 60;

/// What a run of cron found.
#[derive(Debug, Default)]
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
///
/// A homeserver that is away costs one time-out, after which no further message is read. The breakers are not those of the queue,
/// in which something must be tried, so that the sysadmin hears of it.
pub(crate) fn look_in_turn(site: &Site, store: &mut Store, deadline: Instant) -> Result<Looked, store::Error> {
    let (mut looked, mut breakers) = (Looked::default(), Breakers::default());
    if !site.config.room.reactions {
        return Ok(looked);
    }
    let now = Instant::now();
    let end = now + deadline.saturating_duration_since(now) / 3;
    for (index, message) in store.messages_to_read(false, AT_A_TIME)?.iter().enumerate() {
        let no_time_left = index > 0 && Instant::now() + SILENCE > end;
        if no_time_left || breakers.hold_up(Owed::Step(State::AdminSend)) {
            break;
        }
        match look(site, store, message)? {
            Ok(true) => looked.decided += 1,
            Ok(false) => {}
            Err(failure) => {
                breakers.note(&failure.blame, "");
                match failure.blame {
                    Blame::Peer(_) => looked.is_away = true,
                    _ => looked.hindrance = Some(failure.sentence),
                }
            }
        }
    }
    Ok(looked)
}

/// The homeserver said that somebody reacted to these events. Returns whether any of them is a message of ours that is to be
/// read now, with [`read_wanted`].
pub fn note_reactions(site: &Site, event_ids: &[&str]) -> Result<bool, Error> {
    if !site.config.room.reactions || event_ids.is_empty() {
        return Ok(false);
    }
    Ok(site.store(Access::Write)?.want_read(event_ids)? > 0)
}

/// Reads what [`note_reactions`] noted, and carries out the decisions. One program at a time reads, so that a flood of reactions
/// costs no more than one after the other; what is left, cron reads.
pub fn read_wanted(site: &Site) -> Result<(), Error> {
    let mut store = site.store(Access::Write)?;
    loop {
        let (holder, now) = (token::new_seed(), site.now());
        if !store.take_lock(LOCK, &holder, now, now + LOCK_SECONDS)? {
            return Ok(());
        }
        let read = read_some_wanted(site, &mut store);
        store.release_lock(LOCK, &holder)?;
        // Without the lock: the mail server may be slow, and the next reaction must not wait for it.
        for id in read? {
            beside::act_or_leave(site, &mut store, id, SideAction::ShowInRoom);
            deciding::carry_on(site, &mut store, id);
            beside::act_or_leave(site, &mut store, id, SideAction::ShowInRoom);
            beside::act_or_leave(site, &mut store, id, SideAction::Ballot);
        }
        // A reaction may have come between the last look and the end of the lock.
        if store.messages_to_read(true, 1)?.is_empty() {
            return Ok(());
        }
    }
}

/// Returns the requests that were decided.
fn read_some_wanted(site: &Site, store: &mut Store) -> Result<Vec<i64>, store::Error> {
    let end = Instant::now() + Duration::from_secs(LOCK_SECONDS as u64 / 2);
    let mut decided = Vec::new();
    for message in store.messages_to_read(true, AT_A_TIME)? {
        if Instant::now() > end {
            break;
        }
        if look(site, store, &message)?.unwrap_or(false) {
            decided.push(message.registration);
        }
    }
    Ok(decided)
}

/// Reads the reactions to a message, and decides if somebody who may decide has reacted. Returns whether this decided. An error
/// comes from the database; any other problem is a [`Failure`], which is logged.
fn look(site: &Site, store: &mut Store, message: &MessageToRead) -> Result<Result<bool, Failure>, store::Error> {
    store.begin_reading(message.id, site.now())?;
    let looked = match panics::guard(|| try_to_look(site, store, message)) {
        Ok(looked) => looked?,
        Err(panic) => {
            store.recover()?;
            Err(Failure::later(format!("the program panicked at {}; please report it", panic.place)))
        }
    };
    if let Err(failure) = &looked {
        log::warn("reactions_unread", Some(message.registration), &failure.sentence);
    }
    Ok(looked)
}

fn try_to_look(site: &Site, store: &mut Store, message: &MessageToRead) -> Result<Result<bool, Failure>, store::Error> {
    let Some(registration) = store.registration(message.registration)? else { return Ok(Ok(false)) };
    if !deciding::is_undecided(&registration) || steps::waits_for_its_key(site, &registration) {
        return Ok(Ok(false));
    }
    let since = taken_back_at(store, registration.id)?;
    let wanted = match bot::with_token(site, |token| wanted(site, token, &message.event, since)) {
        Ok(wanted) => wanted,
        Err(cause) => return Ok(Err(Failure::from(cause).on_the_way(Peer::Room))),
    };
    // The homeserver may have taken so long that the connection was closed.
    store.distrust_connection();
    let Some((verdict, by)) = wanted else { return Ok(Ok(false)) };
    deciding::decide(site, store, &registration, verdict, None, &Decider::Reaction(by)).map(Ok)
}

/// When the last decision was taken back: what people reacted with before has had its effect.
fn taken_back_at(store: &mut Store, id: i64) -> Result<Option<i64>, store::Error> {
    let decisions = store.decisions(id)?;
    Ok(decisions.iter().rev().find(|decided| decided.outcome == Outcome::TakenBack).map(|decided| decided.at))
}

/// What the first person who may decide wants, and who that is.
fn wanted(site: &Site, token: &str, event: &RoomEvent, since: Option<i64>) -> Result<Option<(Verdict, String)>, matrix::Error> {
    let homeserver = Homeserver::new(&site.config);
    let mut reactions = relations::reactions(&homeserver, token, event)?;
    reactions.retain(|reaction| since.is_none_or(|since| reaction.sent_at / 1000 > since));
    let own = bot::own_accounts(site, &homeserver, token)?;
    if votes(&reactions, &own).windows(2).any(|pair| pair[0].verdict != pair[1].verdict) {
        relations::put_in_order(&homeserver, token, event, &mut reactions)?;
    }
    let begun = Instant::now();
    for Vote { sender, verdict } in votes(&reactions, &own).into_iter().take(MOST_ASKED_ABOUT) {
        if begun.elapsed() > ASKING {
            return Err(matrix::Error::Unreachable("the homeserver takes too long to say who is in the room".into()));
        }
        if may_decide(&site.config.room, &homeserver, token, &event.room_id, sender)? {
            return Ok(Some((verdict, sender.to_owned())));
        }
    }
    Ok(None)
}

/// Whether this person may decide at this moment: a member of the room, and what the configuration asks for.
pub(super) fn may_decide(rules: &Room, homeserver: &Homeserver, token: &str, room_id: &str, user_id: &str) -> Result<bool, matrix::Error> {
    if rules.decide_only_own_server && !homeserver.is_of_this_server(user_id) {
        return Ok(false);
    }
    if !members::is_joined(homeserver, token, room_id, user_id)? {
        return Ok(false);
    }
    match &rules.decide_from_power {
        Some(least) => Ok(members::power(homeserver, token, room_id, user_id)? >= least.0 as i64),
        None => Ok(true),
    }
}

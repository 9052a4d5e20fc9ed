//! What reading the room has in common, whether it is for reactions ([`super::looking`]) or for words ([`super::listening`]): it
//! takes a limited time, one program does it at a time, and a homeserver that is away costs one time-out.

use crate::domain::back_off::Blame;
use crate::domain::registration::{SideAction, State};
use crate::domain::token;
use crate::flow::beside;
use crate::flow::breakers::Breakers;
use crate::flow::deciding;
use crate::flow::failure::Failure;
use crate::outside::panics;
use crate::outside::site::Site;
use crate::outside::store::{self, Owed, Store};
use std::time::{Duration, Instant};

/// How long it takes at most until a homeserver is known to be silent: it has 5 s for each request that only reads.
const SILENCE: Duration = Duration::from_secs(10);

/// A time in which the room is read, until it is over or the homeserver does not answer. The breakers are not those of the queue,
/// in which something must be tried, so that the sysadmin hears of it.
#[derive(Debug)]
pub struct Turn {
    end: Instant,
    has_begun: bool,
    breakers: Breakers,
    /// Why something could not be read although the homeserver answers, for the sysadmin.
    pub hindrance: Option<String>,
}

impl Turn {
    /// A part of the time until `deadline`, in which the last reading ends even if the homeserver stays silent. The first one always
    /// begins.
    pub fn of(deadline: Instant, part: u32) -> Turn {
        let time = deadline.saturating_duration_since(Instant::now()) / part;
        Turn::of_length(time.saturating_sub(SILENCE))
    }

    /// Begins to read for so long.
    pub fn of_length(time: Duration) -> Turn {
        Turn { end: Instant::now() + time, has_begun: false, breakers: Breakers::default(), hindrance: None }
    }

    /// Whether there is time for the next reading.
    pub fn goes_on(&mut self) -> bool {
        let goes_on = !self.is_homeserver_away() && (!self.has_begun || Instant::now() < self.end);
        self.has_begun = true;
        goes_on
    }

    /// The first reading of another kind begins, too.
    pub fn begin_another_kind(&mut self) {
        self.has_begun = false;
    }

    pub fn is_homeserver_away(&self) -> bool {
        self.breakers.hold_up(Owed::Step(State::AdminSend))
    }

    /// Something could not be read.
    pub fn note(&mut self, failure: Failure) {
        self.breakers.note(&failure.blame, "");
        if !matches!(failure.blame, Blame::Peer(_)) {
            self.hindrance = Some(failure.sentence);
        }
    }
}

/// Acts under this lock, which lasts so many seconds. `None`: another program holds it.
pub fn one_at_a_time<T>(
    site: &Site,
    store: &mut Store,
    (lock, seconds): (&str, i64),
    act: impl FnOnce(&mut Store) -> Result<T, store::Error>,
) -> Result<Option<T>, store::Error> {
    let (holder, now) = (token::new_seed(), site.now());
    if !store.take_lock(lock, &holder, now, now + seconds)? {
        return Ok(None);
    }
    let acted = act(store);
    store.release_lock(lock, &holder)?;
    acted.map(Some)
}

/// Turns a panic into a failure like any other.
pub fn guarded<T>(
    store: &mut Store,
    read: impl FnOnce(&mut Store) -> Result<Result<T, Failure>, store::Error>,
) -> Result<Result<T, Failure>, store::Error> {
    match panics::guard(|| read(store)) {
        Ok(read) => read,
        Err(panic) => {
            store.recover()?;
            Ok(Err(Failure::later(format!("the program panicked at {}; please report it", panic.place))))
        }
    }
}

/// All that follows a decision in the room at once: the room sees it, the next steps are taken, and the room sees what came of them.
pub fn carry_out(site: &Site, store: &mut Store, id: i64) {
    beside::act_or_leave(site, store, id, SideAction::ShowInRoom);
    deciding::carry_on(site, store, id);
    beside::act_or_leave(site, store, id, SideAction::ShowInRoom);
    beside::act_or_leave(site, store, id, SideAction::Ballot);
}

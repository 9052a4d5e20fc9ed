//! How many requests run at a time, and how many may wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests that may wait. Further ones get a 503 at once: no visitor waits ten seconds behind so many others, and the socket's
/// backlog stays free.
pub(crate) const WAITING_ROOM: usize = 256;

/// What a request may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At most for the database.
    Reads,
    /// For a homeserver or a mail server as well, which may stay silent.
    MayWait,
}

/// A counting gate: [`Gate::enter`] waits while all places are taken.
///
/// A quarter of the places, at least one, is reserved for requests that only read, so that a silent homeserver delays only
/// the requests that need it.
#[derive(Debug, Default)]
pub struct Gate {
    house: Mutex<House>,
    left: [Condvar; 2],
}

/// Both numbers are indexed by [`Pace`].
#[derive(Debug, Default)]
struct House {
    inside: [u64; 2],
    waiting: [usize; 2],
    /// Requests that were turned away and are not logged yet.
    turned_away: usize,
}

impl House {
    fn is_full(&self, limit: u64, pace: Pace) -> bool {
        let for_waiting = (limit * 3 / 4).max(1);
        let for_reading = limit.saturating_sub(for_waiting).max(1);
        let all_taken = self.inside.iter().sum::<u64>() >= limit;
        match pace {
            Pace::Reads => all_taken && self.inside[pace as usize] >= for_reading,
            Pace::MayWait => all_taken || self.inside[pace as usize] >= for_waiting,
        }
    }
}

/// A place inside; dropping it frees the place.
#[derive(Debug)]
pub struct Place<'a>(&'a Gate, Pace);

impl Gate {
    /// Waits until there is a place among `limit`; `None` after `patience`, or at once if [`WAITING_ROOM`] requests of this pace
    /// are waiting. With a limit of 1 there is one place for each pace.
    ///
    /// A request that leaves wakes one waiting request of each pace. If sites have different limits, that one may have to keep
    /// waiting, so every waiting request also checks once a second.
    pub fn enter(&self, limit: u64, pace: Pace, patience: Duration) -> Option<Place<'_>> {
        let deadline = Instant::now() + patience;
        let mut house = self.house();
        let must_wait = house.is_full(limit, pace);
        if must_wait && house.waiting[pace as usize] >= WAITING_ROOM {
            house.turned_away += 1;
            return None;
        }
        house.waiting[pace as usize] += usize::from(must_wait);
        while house.is_full(limit, pace) {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                house.waiting[pace as usize] -= 1;
                house.turned_away += 1;
                return None;
            }
            let waited = self.left[pace as usize].wait_timeout(house, remaining.min(Duration::from_secs(1)));
            house = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        house.waiting[pace as usize] -= usize::from(must_wait);
        house.inside[pace as usize] += 1;
        Some(Place(self, pace))
    }

    /// The number of requests turned away since the last call.
    pub(crate) fn take_turned_away(&self) -> usize {
        std::mem::take(&mut self.house().turned_away)
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut house = self.0.house();
        house.inside[self.1 as usize] -= 1;
        let waiting = house.waiting;
        drop(house);
        // Waking costs a system call even where nobody waits.
        for (left, _) in self.0.left.iter().zip(waiting).filter(|(_, waiting)| *waiting > 0) {
            left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_house_makes_wait_and_a_place_that_is_left_lets_the_next_in() {
        let gate = Gate::default();
        let first = gate.enter(1, Pace::Reads, Duration::ZERO);
        assert!(first.is_some());
        assert!(gate.enter(1, Pace::Reads, Duration::from_millis(20)).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(1, Pace::Reads, Duration::from_secs(10)).is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
        assert!(gate.enter(1, Pace::Reads, Duration::ZERO).is_some());
    }

    #[test]
    fn who_only_reads_gets_in_where_all_others_wait_for_a_peer() {
        for (limit, most_waiting, reading) in [(1, 1, 1), (2, 1, 1), (8, 6, 2), (100, 75, 25)] {
            let gate = Gate::default();
            let enter = |pace| gate.enter(limit, pace, Duration::ZERO);
            let waiting: Vec<_> = std::iter::from_fn(|| enter(Pace::MayWait)).collect();
            let readers: Vec<_> = std::iter::from_fn(|| enter(Pace::Reads)).collect();
            assert_eq!((waiting.len(), readers.len()), (most_waiting, reading), "{limit}");
            drop(waiting);
            let more: Vec<_> = std::iter::from_fn(|| enter(Pace::Reads)).collect();
            assert_eq!((readers.len() + more.len()) as u64, limit.max(1), "reading takes all places where nobody waits");
        }
    }

    #[test]
    fn who_finds_the_waiting_room_full_is_turned_away_at_once_and_counted() {
        let gate = Gate::default();
        let first = gate.enter(1, Pace::Reads, Duration::ZERO);
        std::thread::scope(|scope| {
            for _ in 0..WAITING_ROOM {
                scope.spawn(|| assert!(gate.enter(1, Pace::Reads, Duration::from_secs(60)).is_some()));
            }
            while gate.house().waiting[0] < WAITING_ROOM {
                std::thread::yield_now();
            }
            let start = Instant::now();
            assert!(gate.enter(1, Pace::Reads, Duration::from_secs(60)).is_none());
            assert!(start.elapsed() < Duration::from_secs(1));
            drop(first);
        });
        let house = gate.house();
        assert_eq!((house.waiting, house.inside), ([0, 0], [0, 0]));
        drop(house);
        assert_eq!((gate.take_turned_away(), gate.take_turned_away()), (1, 0));
    }
}

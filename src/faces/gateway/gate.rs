//! How many requests are worked on at a time, and how many may wait for their turn.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests that wait for their turn. Further ones are told at once to come back: nobody waits ten seconds for a turn that
/// so many others wait for, and the socket's backlog stays free for those who come next.
pub const WAITING_ROOM: usize = 256;

/// A counting gate: [`Gate::enter`] waits while the house is full.
#[derive(Debug, Default)]
pub struct Gate {
    house: Mutex<House>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct House {
    inside: u64,
    waiting: usize,
    /// Those who were told to come back and are in no log line yet.
    turned_away: usize,
}

/// One place inside; dropping it leaves.
#[derive(Debug)]
pub struct Place<'a>(&'a Gate);

impl Gate {
    /// Waits until fewer than `limit` are inside; `None` after `patience`, or at once where [`WAITING_ROOM`] wait already.
    ///
    /// Whoever leaves wakes one that waits. Where sites have different limits that may be one who still has to wait, so
    /// everybody looks again after a second.
    pub fn enter(&self, limit: u64, patience: Duration) -> Option<Place<'_>> {
        let deadline = Instant::now() + patience;
        let mut house = self.house();
        let is_full = house.inside >= limit;
        if is_full && house.waiting >= WAITING_ROOM {
            house.turned_away += 1;
            return None;
        }
        house.waiting += usize::from(is_full);
        while house.inside >= limit {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                house.waiting -= 1;
                house.turned_away += 1;
                return None;
            }
            let waited = self.left.wait_timeout(house, remaining.min(Duration::from_secs(1)));
            house = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        house.waiting -= usize::from(is_full);
        house.inside += 1;
        Some(Place(self))
    }

    /// How many were told to come back since the last call.
    pub fn take_turned_away(&self) -> usize {
        std::mem::take(&mut self.house().turned_away)
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.house().inside -= 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_house_makes_wait_and_a_place_that_is_left_lets_the_next_in() {
        let gate = Gate::default();
        let first = gate.enter(1, Duration::ZERO);
        assert!(first.is_some());
        assert!(gate.enter(1, Duration::from_millis(20)).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(1, Duration::from_secs(10)).is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
        assert!(gate.enter(1, Duration::ZERO).is_some());
    }

    #[test]
    fn who_finds_the_waiting_room_full_is_turned_away_at_once_and_counted() {
        let gate = Gate::default();
        let first = gate.enter(1, Duration::ZERO);
        std::thread::scope(|scope| {
            for _ in 0..WAITING_ROOM {
                scope.spawn(|| assert!(gate.enter(1, Duration::from_secs(60)).is_some()));
            }
            while gate.house().waiting < WAITING_ROOM {
                std::thread::yield_now();
            }
            let start = Instant::now();
            assert!(gate.enter(1, Duration::from_secs(60)).is_none());
            assert!(start.elapsed() < Duration::from_secs(1));
            drop(first);
        });
        let house = gate.house();
        assert_eq!((house.waiting, house.inside), (0, 0));
        drop(house);
        assert_eq!((gate.take_turned_away(), gate.take_turned_away()), (1, 0));
    }
}

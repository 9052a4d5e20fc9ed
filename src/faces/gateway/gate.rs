//! How many requests run at a time, and how many may wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests that may wait. Further ones get a 503 at once: no visitor waits ten seconds behind so many others, and the socket's
/// backlog stays free.
pub const WAITING_ROOM: usize = 256;

/// A counting gate: [`Gate::enter`] waits while all places are taken.
#[derive(Debug, Default)]
pub struct Gate {
    house: Mutex<House>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct House {
    inside: u64,
    waiting: usize,
    /// Requests that were turned away and are not logged yet.
    turned_away: usize,
}

/// A place inside; dropping it frees the place.
#[derive(Debug)]
pub struct Place<'a>(&'a Gate);

impl Gate {
    /// Waits until fewer than `limit` requests are inside; `None` after `patience`, or at once if [`WAITING_ROOM`] are waiting.
    ///
    /// A request that leaves wakes one that waits. If sites have different limits, that one may have to keep waiting, so every
    /// waiting request also checks once a second.
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

    /// The number of requests turned away since the last call.
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

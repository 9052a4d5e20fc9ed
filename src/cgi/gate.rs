//! How many requests are worked on at a time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A counting gate: [`Gate::enter`] waits while the house is full.
#[derive(Debug, Default)]
pub struct Gate {
    inside: Mutex<u64>,
    left: Condvar,
}

/// One place inside; dropping it leaves.
#[derive(Debug)]
pub struct Place<'a>(&'a Gate);

impl Gate {
    /// Waits until fewer than `limit` are inside; `None` after `patience`.
    ///
    /// Whoever leaves wakes one that waits. Where sites have different limits that may be one who still has to wait, so
    /// everybody looks again after a second.
    pub fn enter(&self, limit: u64, patience: Duration) -> Option<Place<'_>> {
        let deadline = Instant::now() + patience;
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while *inside >= limit {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return None;
            }
            let waited = self.left.wait_timeout(inside, remaining.min(Duration::from_secs(1)));
            inside = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *inside += 1;
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
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
}

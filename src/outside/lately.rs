//! An answer that may be a little old, so that a FastCGI program does not ask for it at each request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old an answer may be.
const AGE: Duration = Duration::from_secs(1);

/// The last answer to one question.
#[derive(Debug, Default)]
pub struct Lately<T>(Mutex<Option<(Instant, T)>>);

impl<T: Clone> Lately<T> {
    /// The answer, at most a second old and as old as it takes to `ask`. While one request asks, others get the answer before.
    pub fn known_or(&self, ask: impl FnOnce() -> T) -> T {
        if let Some((since, known)) = self.lock().as_mut() {
            if since.elapsed() < AGE {
                return known.clone();
            }
            *since = Instant::now();
        }
        let answer = ask();
        *self.lock() = Some((Instant::now(), answer.clone()));
        answer
    }

    /// The next request asks.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_asked_for_once_a_second_and_after_it_was_forgotten() {
        let lately = Lately::default();
        assert_eq!(lately.known_or(|| 1), 1);
        assert_eq!(lately.known_or(|| 2), 1);
        lately.forget();
        assert_eq!(lately.known_or(|| 3), 3);
        std::thread::sleep(AGE);
        let asked = lately.known_or(|| {
            assert_eq!(lately.known_or(|| 5), 3, "nobody waits for who asks");
            4
        });
        assert_eq!((asked, lately.known_or(|| 6)), (4, 4));
    }
}

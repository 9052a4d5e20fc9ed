//! Threads for what may never end: the crates that speak to a database server wait longer than a visitor should.
//!
//! Such a thread is waited for until a bound, and left behind then. It ends when the server speaks again, or the connection
//! breaks; until then no more than [`MOST_LEFT`] are, as a server that hangs for an hour must not fill the process.

#![cfg_attr(not(any(feature = "mysql", feature = "postgres")), allow(dead_code))] // SQLite needs none

use super::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::thread;

/// Threads left behind at which no more are started.
const MOST_LEFT: isize = 32;

static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// May be below zero for a moment, where one ends while it is left.
static LEFT: AtomicIsize = AtomicIsize::new(0);

/// How many of the threads of this process work for the store.
pub(crate) fn threads() -> usize {
    RUNNING.load(Ordering::Relaxed)
}

/// A thread that works for a connection.
#[derive(Debug, Default)]
pub(super) struct Worker {
    is_left: Arc<AtomicBool>,
}

impl Worker {
    /// Starts it, unless too many were left behind.
    pub(super) fn start(work: impl FnOnce() + Send + 'static) -> Result<Worker, Error> {
        if LEFT.load(Ordering::Relaxed) >= MOST_LEFT {
            return Err(Error::Unavailable("the database server does not answer, and many wait for it already".into()));
        }
        let worker = Worker::default();
        let place = Place::take(worker.is_left.clone());
        let started = thread::Builder::new().name("database".into()).spawn(move || {
            let _place = place;
            work();
        });
        started.map_err(|cause| Error::Unavailable(format!("no thread for a database connection can be started: {cause}")))?;
        Ok(worker)
    }

    /// It is not waited for any more.
    pub(super) fn leave(&self) {
        if !self.is_left.swap(true, Ordering::SeqCst) {
            LEFT.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Counts the thread while it runs.
struct Place(Arc<AtomicBool>);

impl Place {
    fn take(is_left: Arc<AtomicBool>) -> Place {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Place(is_left)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        // From now on nobody can leave it any more.
        if self.0.swap(true, Ordering::SeqCst) {
            LEFT.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

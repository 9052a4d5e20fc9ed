//! Threads for calls that may never return: the database crates wait longer than a visitor should.
//!
//! A caller waits for such a thread up to a limit and then abandons it. The thread ends when the server answers or the
//! connection breaks. At most [`MOST_LEFT`] threads may be abandoned, so that a server that hangs for an hour does not exhaust
//! the process.

#![cfg_attr(not(any(feature = "mysql", feature = "postgres")), allow(dead_code))] // SQLite needs none

use super::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::thread;

/// Abandoned threads at which no new ones are started.
const MOST_LEFT: isize = 32;

static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// May drop below zero for a moment, when a thread ends while it is being abandoned.
static LEFT: AtomicIsize = AtomicIsize::new(0);

/// How many threads of this process work for the store.
pub(crate) fn threads() -> usize {
    RUNNING.load(Ordering::Relaxed)
}

/// A thread that works for a connection.
#[derive(Debug, Default)]
pub(super) struct Worker {
    is_left: Arc<AtomicBool>,
}

impl Worker {
    /// Starts the thread, unless too many were abandoned.
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

    /// Abandons the thread.
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
        // From here on the thread cannot be abandoned.
        if self.0.swap(true, Ordering::SeqCst) {
            LEFT.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

//! What a panic leaves behind: never a message on a visitor's screen, and never request contents in the log.
//!
//! A panic's message may quote what a visitor sent (`byte index 3 is not a char boundary of "..."`), so only its place in
//! the source is kept. Three kinds occur:
//!
//! * in a request: [`guard`] hands its place to the caller, who logs it;
//! * in the `fastcgi` crate, in a connection's thread: that is how the crate gives up on records that it cannot read; it
//!   is counted, and the main loop logs the count ([`take_broken_connections`]);
//! * in the `fastcgi` crate, while it accepts: that is how it returns to us; [`guard`] again.
//!
//! The hook itself never logs: a log that cannot be written would be a panic within a panic, which ends the process.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicUsize, Ordering};

static BROKEN_CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// `Some` while this thread is in [`guard`]: the place of the panic in it, empty before.
    static GUARDED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that [`guard`] caught.
pub struct Panic {
    /// File, line and column in the source.
    pub place: String,
    message: Box<dyn Any + Send>,
}

impl Panic {
    /// The message, which may quote a request: to compare, not to log.
    pub fn message(&self) -> &str {
        text(&*self.message)
    }

    /// Whether it is the `fastcgi` crate's way to give up on a connection.
    pub fn is_of_fastcgi(&self) -> bool {
        is_of_fastcgi(&self.place)
    }
}

/// Replaces the hook that would print messages; to be called once, before the first request.
pub fn keep_quiet() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !keep_place(info) && !count_if_fastcgi(info) {
            default(info);
        }
    }));
}

/// Runs `work`; a panic in it comes back as an error.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = GUARDED.replace(Some(String::new()));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let place = GUARDED.replace(outer).unwrap_or_default();
    done.map_err(|message| Panic { place, message })
}

/// How many connections broke off in the middle of a record, or sent what is none, since the last call.
pub fn take_broken_connections() -> usize {
    BROKEN_CONNECTIONS.swap(0, Ordering::Relaxed)
}

fn keep_place(info: &PanicHookInfo) -> bool {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    GUARDED.with_borrow_mut(|kept| kept.as_mut().map(|kept| *kept = place).is_some())
}

/// A peer that closes between two requests is a failed assertion on the length of a header, and no news.
fn count_if_fastcgi(info: &PanicHookInfo) -> bool {
    let is_fastcgi = info.location().is_some_and(|place| is_of_fastcgi(place.file()));
    if is_fastcgi && !text(info.payload()).contains("HEADER_LEN") {
        BROKEN_CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    }
    is_fastcgi
}

fn is_of_fastcgi(place: &str) -> bool {
    place.contains("fastcgi-1.")
}

fn text(message: &(dyn Any + Send)) -> &str {
    message.downcast_ref::<String>().map(String::as_str).or_else(|| message.downcast_ref::<&str>().copied()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_tells_its_place_and_a_nested_one_does_not_confuse_it() {
        keep_quiet();
        let outer = guard(|| {
            let inner = guard(|| panic!("secret {}", 1)).err().map(|panic| panic.message().to_owned());
            assert_eq!(inner.as_deref(), Some("secret 1"));
            7
        });
        assert_eq!(outer.ok(), Some(7));
        let place = guard(|| panic!("x")).err().map(|panic| panic.place).unwrap_or_default();
        assert!(place.starts_with("src/cgi/panics.rs:"), "{place}");
    }
}

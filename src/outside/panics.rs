//! What a panic leaves behind: never a message on a visitor's screen, and never request contents in the log.
//!
//! A panic's message may quote what a visitor sent (`byte index 3 is not a char boundary of "..."`), so only its place in
//! the source is kept. These kinds occur:
//!
//! * in a request, or in the driver of a database: [`guard`] hands its place to the caller, who makes an error of it;
//! * in the `fastcgi` crate, in a connection's thread: that is how the crate gives up on records that it cannot read; it
//!   is counted, and the main loop logs the count ([`take_broken_connections`]). It is known by its thread, which the crate starts
//!   without a name, outside of [`guard`]; where the crate's source lies differs from build to build;
//! * in the `fastcgi` crate, while it accepts or reads a body: that is how it returns to us; [`guard`] again.
//!
//! The hook itself never logs: a log that cannot be written would be a panic within a panic, which ends the process.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Whether threads without a name are the `fastcgi` crate's.
static HAS_CONNECTIONS: AtomicBool = AtomicBool::new(false);
static BROKEN_CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// `Some` while this thread is in [`guard`]: the place of the panic in it, empty before.
    static GUARDED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that [`guard`] caught.
pub struct Panic {
    /// File, line and column in the source; of a crate, from its folder on.
    pub place: String,
    message: Box<dyn Any + Send>,
}

impl Panic {
    /// The message, which may quote a request: to compare, not to log.
    pub fn message(&self) -> &str {
        text(&*self.message)
    }
}

/// Replaces the hook that would print messages; to be called once, before the first request.
pub fn keep_quiet() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !keep_place(info) && !count_if_connection(info) {
            default(info);
        }
    }));
}

/// From now on, what panics outside of [`guard`] in a thread without a name is a connection of the `fastcgi` crate's. Our own threads
/// have names.
pub fn expect_broken_connections() {
    HAS_CONNECTIONS.store(true, Ordering::Relaxed);
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
    let place = info.location().map(|place| from_crate_on(&place.to_string()).to_owned()).unwrap_or_default();
    GUARDED.with_borrow_mut(|kept| kept.as_mut().map(|kept| *kept = place).is_some())
}

/// `mysql-28.0.4/src/conn/mod.rs:7:1`, wherever crates lie on the machine that built the program.
fn from_crate_on(place: &str) -> &str {
    let folder = place.rfind("/src/").and_then(|source| place[..source].rfind('/'));
    folder.map_or(place, |folder| &place[folder + 1..])
}

/// A peer that closes between two requests is a failed assertion on the length of a header, and no news.
fn count_if_connection(info: &PanicHookInfo) -> bool {
    let is_connection = HAS_CONNECTIONS.load(Ordering::Relaxed) && thread::current().name().is_none();
    if is_connection && !text(info.payload()).contains("HEADER_LEN") {
        BROKEN_CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    }
    is_connection
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
        assert!(place.starts_with("src/outside/panics.rs:"), "{place}");
    }

    #[test]
    fn a_connection_that_breaks_is_known_by_its_thread_and_not_by_a_path() {
        keep_quiet();
        expect_broken_connections();
        take_broken_connections();
        // What these panic with has a place in this file, as that of a crate has one somewhere.
        let end = |work: fn()| assert!(thread::spawn(work).join().is_err());
        end(|| panic!("assertion failed: header[0] == 1"));
        assert_eq!(take_broken_connections(), 1);
        end(|| panic!("assertion failed: r.take(HEADER_LEN as u64) == HEADER_LEN"));
        assert!(thread::spawn(|| guard(|| panic!("ours"))).join().is_ok_and(|guarded| guarded.is_err()));
        assert_eq!(take_broken_connections(), 0);
        HAS_CONNECTIONS.store(false, Ordering::Relaxed);
    }

    #[test]
    fn a_place_in_a_crate_is_told_from_its_folder_on() {
        for (place, told) in [
            (
                "/home/x/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/mysql-28.0.4/src/conn/mod.rs:7:1",
                "mysql-28.0.4/src/conn/mod.rs:7:1",
            ),
            ("/srv/vendor/fastcgi/src/lib.rs:1:2", "fastcgi/src/lib.rs:1:2"),
            ("/rustc/0123/library/core/src/option.rs:1:2", "core/src/option.rs:1:2"),
            ("src/outside/log.rs:1:2", "src/outside/log.rs:1:2"),
            ("", ""),
        ] {
            assert_eq!(from_crate_on(place), told);
        }
    }
}

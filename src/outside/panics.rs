//! Handling of panics: no message reaches a visitor, and no request content reaches the log.
//!
//! A panic message may quote what a visitor sent (`byte index 3 is not a char boundary of "..."`), so only its place in the
//! source is kept. Panics occur:
//!
//! * in a request or in a database driver: [`guard`] returns the place to the caller, who turns it into an error;
//! * in the `fastcgi` crate, in a connection's thread, if it reads malformed records. They are counted, and the main loop logs
//!   the count ([`take_broken_connections`]). They are recognised by their thread, which the crate starts without a name,
//!   outside of [`guard`]; the path of the crate's source differs between builds;
//! * in the `fastcgi` crate, while it accepts or reads a body: this is how it returns to us, again through [`guard`].
//!
//! The hook itself never logs. If the log could not be written, that would panic within a panic, which ends the process.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Whether unnamed threads belong to the `fastcgi` crate.
static HAS_CONNECTIONS: AtomicBool = AtomicBool::new(false);
static BROKEN_CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// `Some` while this thread is in [`guard`]: the place of the panic, or empty before one.
    static GUARDED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that [`guard`] caught.
pub struct Panic {
    /// File, line and column in the source; for a crate, relative to the parent of its folder.
    pub place: String,
    message: Box<dyn Any + Send>,
}

impl Panic {
    /// The message, which may quote a request: for comparison, not for logging.
    pub fn message(&self) -> &str {
        text(&*self.message)
    }
}

/// Replaces the hook that would print messages. Call this once, before the first request.
pub fn keep_quiet() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !keep_place(info) && !count_if_connection(info) {
            default(info);
        }
    }));
}

/// From now on, a panic outside of [`guard`] in an unnamed thread counts as a broken connection of the `fastcgi` crate. Our own
/// threads have names.
pub(crate) fn expect_broken_connections() {
    HAS_CONNECTIONS.store(true, Ordering::Relaxed);
}

/// Runs `work`; a panic in it is returned as an error.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = GUARDED.replace(Some(String::new()));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let place = GUARDED.replace(outer).unwrap_or_default();
    done.map_err(|message| Panic { place, message })
}

/// The number of connections since the last call that broke off within a record, or sent something else.
pub(crate) fn take_broken_connections() -> usize {
    BROKEN_CONNECTIONS.swap(0, Ordering::Relaxed)
}

fn keep_place(info: &PanicHookInfo) -> bool {
    let place = info.location().map(|place| from_crate_on(&place.to_string()).to_owned()).unwrap_or_default();
    GUARDED.with_borrow_mut(|kept| kept.as_mut().map(|kept| *kept = place).is_some())
}

/// `mysql-28.0.4/src/conn/mod.rs:7:1`, wherever crates are stored on the build machine.
fn from_crate_on(place: &str) -> &str {
    let folder = place.rfind("/src/").and_then(|source| place[..source].rfind('/'));
    folder.map_or(place, |folder| &place[folder + 1..])
}

/// If a peer closes between two requests, an assertion on the length of a header fails; that is not counted.
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
        // These panics have their place in this file, as a crate's panic has one in the crate.
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
            ("/home/x/.cargo/registry/src/registry-0123456789abcdef/mysql-28.0.4/src/conn/mod.rs:7:1", "mysql-28.0.4/src/conn/mod.rs:7:1"),
            ("/srv/vendor/fastcgi/src/lib.rs:1:2", "fastcgi/src/lib.rs:1:2"),
            ("/rustc/0123/library/core/src/option.rs:1:2", "core/src/option.rs:1:2"),
            ("src/outside/log.rs:1:2", "src/outside/log.rs:1:2"),
            ("", ""),
        ] {
            assert_eq!(from_crate_on(place), told);
        }
    }
}

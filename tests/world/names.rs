//! Names that no other test has on the shared homeserver.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells this process from all others of a test run, also from an earlier one with the same id.
pub fn mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        format!("{}t{}", std::process::id(), seconds % 100_000)
    })
}

/// A username that no other test has.
pub fn fresh(name: &str) -> String {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    format!("{name}{}x{}", mark(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

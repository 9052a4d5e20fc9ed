//! Named points at which a test ends the program as a power cut would. A release build has none of them.

/// The environment variable that names the point, and behind a colon which time it counts: `settled:2`.
pub const DIE_AT_VARIABLE: &str = "MATRIX_REGISTER_BOT_DIE_AT";

/// Ends the process by SIGKILL, if a test wants it here.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var(DIE_AT_VARIABLE) else { return };
    let (point, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point == name && times.parse() == Ok(PASSED.fetch_add(1, Ordering::Relaxed) + 1) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, outside of tests.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &str) {}

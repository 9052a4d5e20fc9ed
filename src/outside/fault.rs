//! Named points at which tests kill the program, as a power failure would. The programs that `cargo build` makes have none of them.

/// The environment variable that says where a program dies:
///
/// * `settled`, `settled:2`: at this point, or when it is reached for the second time;
/// * `1/40`, `1/40:7`: at each point that is reached, with this probability; the number after the colon is the random seed;
/// * `panic settled`: panics once at this point instead;
/// * `/a/file`: according to the content of this file, if it exists.
pub const DIE_AT_VARIABLE: &str = "MATRIX_REGISTER_BOT_DIE_AT";

/// The environment variable that names a file to which each death is appended, as a line with process id and point.
pub const DEATHS_VARIABLE: &str = "MATRIX_REGISTER_BOT_DEATHS";

/// Kills the process with SIGKILL if a test asks for it at this point.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::io::Write;
    let Ok(wanted) = std::env::var(DIE_AT_VARIABLE) else { return };
    let wanted = if wanted.starts_with('/') { std::fs::read_to_string(&wanted).unwrap_or_default() } else { wanted };
    if let Some(place) = wanted.strip_prefix("panic ") {
        assert!(!is_last(name, place), "a test wants a panic here");
        return;
    }
    if !is_last(name, &wanted) {
        return;
    }
    let deaths = std::env::var_os(DEATHS_VARIABLE).map(|path| std::fs::OpenOptions::new().create(true).append(true).open(path));
    if let Some(Ok(mut deaths)) = deaths {
        // Writes once, so that lines of other dying processes do not mix in.
        let _ = deaths.write_all(format!("{} {name}\n", std::process::id()).as_bytes());
    }
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

#[cfg(debug_assertions)]
fn is_last(name: &str, wanted: &str) -> bool {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let (point, after_colon) = wanted.trim_end().split_once(':').unwrap_or((wanted.trim_end(), ""));
    let Some(of) = point.strip_prefix("1/") else {
        let times = if after_colon.is_empty() { Ok(1) } else { after_colon.parse() };
        return point == name && times == Ok(PASSED.fetch_add(1, Ordering::Relaxed) + 1);
    };
    let mut chance = DefaultHasher::new();
    match after_colon {
        "" => crate::domain::token::random::<8>().hash(&mut chance),
        seed => (seed, PASSED.fetch_add(1, Ordering::Relaxed)).hash(&mut chance),
    }
    of.parse().is_ok_and(|of: u64| of > 0 && chance.finish().is_multiple_of(of))
}

/// Does nothing in the programs that are installed.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &str) {}

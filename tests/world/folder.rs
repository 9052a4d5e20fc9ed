//! Folders and ports for one test.

use std::fs;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A folder that is removed at the end of the test; with `KEEP_FOLDERS=1` it stays, and its path is printed.
#[derive(Debug)]
pub struct TempFolder {
    path: PathBuf,
}

impl TempFolder {
    /// A new empty folder that only this user can read. Its path is short, as it may contain unix sockets.
    pub fn new(name: &str) -> TempFolder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("register-bot-{}-{number}-{name}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .unwrap_or_else(|cause| panic!("cannot make the temporary folder {}: {cause}", path.display()));
        TempFolder { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        if std::env::var_os("KEEP_FOLDERS").is_some() {
            eprintln!("kept: {}", self.path.display());
        } else {
            // A program that has answered may still be at work there.
            let end = Instant::now() + Duration::from_secs(5);
            while fs::remove_dir_all(&self.path).is_err() && self.path.exists() && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// A loopback port on which nobody listens and which no later call returns.
///
/// The ports lie below the range that the kernel uses for outgoing connections, so none is taken before the server listens.
/// `tests/run` gives each test that runs at the same time ports of its own in TEST_PORTS; otherwise the process id keeps
/// parallel runs apart.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ours = own_ports();
    let count = u32::from(ours.end() - ours.start()) + 1;
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..count {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = ours.start() + number as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {ours:?}");
}

fn own_ports() -> RangeInclusive<u16> {
    let Ok(ports) = std::env::var("TEST_PORTS") else {
        return 20_000..=31_999;
    };
    let bounds = ports.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    bounds.unwrap_or_else(|| panic!("TEST_PORTS is {ports:?}: expected two numbers with a hyphen between"))
}

/// The place of what `tests/world/install` installs below `~/.cache`, such as a library.
pub fn installed(name: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map_or_else(home, PathBuf::from);
    let place = cache.join("matrix-register-bot").join(name);
    assert!(place.exists(), "{} is missing; run tests/world/install test", place.display());
    place
}

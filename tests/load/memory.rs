//! The memory and threads of a site's processes during a test.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The peak values of one program: its supervisor and its worker together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Most {
    pub kib: u64,
    pub threads: u64,
}

/// Measures every 100 ms until it is asked for the result.
pub struct Watch {
    done: Arc<AtomicBool>,
    watching: JoinHandle<Most>,
}

impl Watch {
    /// The processes that run `program`, whatever started them; its path belongs only to this site.
    pub fn of(program: &std::path::Path) -> Watch {
        let name = program.to_str().unwrap().to_owned();
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let watching = std::thread::spawn(move || {
            let mut most = Most::default();
            while !is_done.load(Ordering::Relaxed) {
                let now = now(&name);
                most = Most { kib: most.kib.max(now.kib), threads: most.threads.max(now.threads) };
                std::thread::sleep(Duration::from_millis(100));
            }
            most
        });
        Watch { done, watching }
    }

    pub fn end(self) -> Most {
        self.done.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

/// The present values of a program's processes.
pub fn now(program: &str) -> Most {
    let mut sum = Most::default();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command.split(|byte| *byte == 0).next() == Some(program.as_bytes()) {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            sum.kib += field(&status, "VmRSS:");
            sum.threads += field(&status, "Threads:");
        }
    }
    sum
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

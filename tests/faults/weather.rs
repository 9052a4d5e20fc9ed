//! What goes wrong, and when: random choices from a seed, and whether there is a storm.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time that a proxy hangs: longer than the programs wait for a mail server.
const HANGS_FOR: Duration = Duration::from_millis(1200);

/// Random choices that repeat with the same seed, if threads make them in the same order.
pub struct Chance(AtomicU64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(AtomicU64::new(seed.wrapping_shl(20)))
    }

    pub fn next(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.fetch_add(1, Ordering::Relaxed).hash(&mut hasher);
        hasher.finish()
    }

    /// A number from 0 to `end` - 1.
    pub fn below(&self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn one_in(&self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The faults of all proxies.
pub struct Weather {
    pub chance: Chance,
    storm: AtomicBool,
    /// Counts the storms; each fault is recorded with its storm.
    beat: AtomicUsize,
    /// The present actions by number.
    under_way: Mutex<BTreeMap<u64, String>>,
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

impl Weather {
    pub fn new(seed: u64) -> Weather {
        Weather {
            chance: Chance::new(seed),
            storm: AtomicBool::new(false),
            beat: AtomicUsize::new(0),
            under_way: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Starts the next storm.
    pub fn rise(&self) {
        self.beat.fetch_add(1, Ordering::SeqCst);
        self.storm.store(true, Ordering::SeqCst);
    }

    /// Ends the storm: no more faults, and whatever hangs is released.
    pub fn calm(&self) {
        self.storm.store(false, Ordering::SeqCst);
    }

    pub fn is_storm(&self) -> bool {
        self.storm.load(Ordering::SeqCst)
    }

    pub fn beat(&self) -> usize {
        self.beat.load(Ordering::SeqCst)
    }

    /// Sometimes one of the faults.
    pub fn mishap(&self, of: &[&'static str]) -> &'static str {
        if !self.is_storm() || !self.chance.one_in(7) {
            return "";
        }
        let mishap = self.chance.pick(of);
        self.count(mishap);
        mishap
    }

    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    /// The number of faults of each kind.
    pub fn counts(&self) -> String {
        let counts = self.counts.lock().unwrap();
        counts.iter().map(|(what, times)| format!("{what} {times}")).collect::<Vec<_>>().join(", ")
    }

    /// Hangs for a while, but not beyond the storm.
    pub fn hang(&self) {
        let end = Instant::now() + HANGS_FOR;
        while self.is_storm() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// An action is in progress while the returned value lives.
    pub fn under_way(&self, what: impl Into<String>) -> UnderWay<'_> {
        let number = self.chance.next();
        self.under_way.lock().unwrap().insert(number, what.into());
        UnderWay { weather: self, number }
    }

    pub fn what_is_under_way(&self) -> Vec<String> {
        self.under_way.lock().unwrap().values().cloned().collect()
    }
}

pub struct UnderWay<'a> {
    weather: &'a Weather,
    number: u64,
}

impl UnderWay<'_> {
    /// Changes the description of the action.
    pub fn is_at(&self, what: impl Into<String>) {
        self.weather.under_way.lock().unwrap().insert(self.number, what.into());
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.weather.under_way.lock().unwrap().remove(&self.number);
    }
}

//! Figures of a campaign.

use crate::promises::Found;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counts so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Programs that died at a named point, as they recorded themselves.
    pub died_at_points: AtomicUsize,
    /// Crons killed by our signal at any moment, by their exit status.
    pub died_anywhere: AtomicUsize,
    /// Signals sent to running web programs, which may just have ended. Not counted as kills.
    pub web_signals: AtomicUsize,
    pub crons: AtomicUsize,
    /// Crons in a row that survived, because they had nothing to do.
    pub crons_in_vain: AtomicUsize,
    pub database_kills: AtomicUsize,
    pub web_kills: AtomicUsize,
    pub full_disks: AtomicUsize,
    pub errors_seen: AtomicUsize,
    /// The error that somebody saw last.
    pub last_error: Mutex<String>,
    /// Deaths by point.
    pub points: Mutex<BTreeMap<String, usize>>,
}

impl Tally {
    pub fn kills(&self) -> usize {
        self.died_at_points.load(Ordering::SeqCst) + self.died_anywhere.load(Ordering::SeqCst)
    }

    /// The line for docs/reliability.md.
    pub fn figures(&self, found: &Found, rounds: usize, time: Duration) -> String {
        let count = |number: &AtomicUsize| number.load(Ordering::SeqCst);
        format!(
            "{} kills ({} at named points, {} of crons at any instant) in {:.0} s, {:.1} a second; {rounds} rounds, {} registrations, {} approved; \
             {} runs of cron, {} kills of the database server, {} of a web server, {} times a full disk, {} further signals to web programs, \
             {} errors seen by people; {} mails, further copies: {} as the answer was lost, {} as the program was killed, \
             {} as the database was away, {} by the proxy; 0 violations",
            self.kills(),
            count(&self.died_at_points),
            count(&self.died_anywhere),
            time.as_secs_f64(),
            self.kills() as f64 / time.as_secs_f64(),
            found.people,
            found.approved,
            count(&self.crons),
            count(&self.database_kills),
            count(&self.web_kills),
            count(&self.full_disks),
            count(&self.web_signals),
            count(&self.errors_seen),
            found.mails,
            found.copies_answer_lost,
            found.copies_killed,
            found.copies_database_away,
            found.copies_by_proxy,
        )
    }
}

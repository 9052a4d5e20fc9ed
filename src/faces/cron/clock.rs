//! Whether the clock can be trusted for actions that cannot be undone. Pure, no I/O.
//!
//! Requests expire and are deleted by the clock, which may be wrong for a while: a machine without a clock battery, a virtual
//! machine that was suspended. For a program a jump ahead looks like a pause of cron. So after either, nothing is ended or
//! deleted until the clock has run evenly for most of a day. After a real pause a request therefore keeps its name a day
//! longer.

use crate::domain::seconds::{DAY, HOUR};
use crate::outside::store::CronClock;

const MINUTE: i64 = 60;

/// The longest gap between runs for cron jobs set up as in docs/install.md; longer gaps of a crontab are learnt.
const EVEN_GAP: i64 = HOUR;
/// The longest gap that is learnt.
const LONGEST_USUAL_GAP: i64 = DAY;
/// How far a time correction may set the clock back, or another machine's clock may be ahead.
const SKEW: i64 = 5 * MINUTE;
/// The clock is trusted after this many seconds without a jump.
const EVEN_FOR: i64 = 20 * HOUR;
/// 2026-01-01: the clock of a machine without a battery begins earlier, and this program is younger.
const EARLIEST: i64 = 1_767_225_600;
/// Shorter pauses are not reported.
const TELLING: i64 = DAY;

/// A cron run's judgement of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judged {
    /// To be stored for the next run.
    pub clock: CronClock,
    /// Seconds since the last run, if that is far more or less than usual: a jump or a pause.
    pub jump: Option<i64>,
}

impl Judged {
    /// Whether actions that cannot be undone are allowed.
    pub(crate) fn is_trusted(&self) -> bool {
        is_trusted(self.clock.ran_at, self.clock.even_seconds)
    }

    /// The message for the sysadmin.
    pub fn sentence(&self) -> Option<String> {
        let jump = self.jump.filter(|jump| jump.abs() >= TELLING || *jump < 0)?;
        let happened = match jump {
            ..0 => format!("the clock went back by {} since the last run of cron or the newest request", span(-jump)),
            _ => format!("cron did not run for {}, or the clock jumped", span(jump)),
        };
        Some(format!("{happened}: no request is ended or forgotten until the clock has gone evenly for a day"))
    }
}

fn is_trusted(ran_at: i64, even_seconds: i64) -> bool {
    ran_at >= EARLIEST && even_seconds >= EVEN_FOR
}

/// Judges `now` by the last run; if there was none, by the newest time in the database.
pub(crate) fn judge(last: Option<CronClock>, newest_time: Option<i64>, now: i64) -> Judged {
    let Some(last) = last else {
        let jump = newest_time.map(|newest| now.saturating_sub(newest)).filter(|gap| !(-SKEW..=DAY).contains(gap));
        let even_seconds = if jump.is_some() { 0 } else { EVEN_FOR };
        let trusted_at = if is_trusted(now, even_seconds) { now } else { 0 };
        return Judged { clock: CronClock { ran_at: now, usual_gap: 0, even_seconds, trusted_at }, jump };
    };
    let gap = now.saturating_sub(last.ran_at);
    let is_even = (-SKEW..=EVEN_GAP.max(last.usual_gap.saturating_mul(2))).contains(&gap);
    // A single manual run in between does not shorten the usual gap.
    let usual_gap = gap.max(last.usual_gap / 2).clamp(0, LONGEST_USUAL_GAP);
    let even_seconds = if is_even { last.even_seconds.clamp(0, EVEN_FOR).saturating_add(gap.max(0)) } else { 0 };
    let newly_trusted_at = if is_trusted(now, even_seconds) { now } else { 0 };
    let trusted_at = last.trusted_at.max(newly_trusted_at);
    Judged { clock: CronClock { ran_at: now, usual_gap, even_seconds, trusted_at }, jump: (!is_even).then_some(gap) }
}

fn span(seconds: i64) -> String {
    match seconds {
        s if s >= 2 * DAY => format!("{} days", s / DAY),
        s if s >= 2 * HOUR => format!("{} hours", s / HOUR),
        s => format!("{} minutes", s / MINUTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000;
    const FIVE_MINUTES: i64 = 5 * MINUTE;

    /// Runs at these times; whether the clock was trusted at each.
    fn trusted(times: impl IntoIterator<Item = i64>) -> Vec<bool> {
        let mut last = None;
        let mut trusted = Vec::new();
        for time in times {
            let judged = judge(last, None, START + time);
            last = Some(judged.clock);
            trusted.push(judged.is_trusted());
        }
        trusted
    }

    #[test]
    fn a_clock_that_goes_evenly_is_trusted_from_the_start() {
        assert!(trusted((0..100).map(|run| run * FIVE_MINUTES)).iter().all(|trusted| *trusted));
    }

    #[test]
    fn a_clock_that_is_ahead_for_some_runs_ends_nothing_nor_does_the_way_back() {
        let ahead = (0..10).map(|run| 45 * DAY + run * FIVE_MINUTES);
        let back = (0..10).map(|run| run * FIVE_MINUTES + HOUR);
        let seen = trusted([0].into_iter().chain(ahead).chain(back));
        assert_eq!(seen.iter().filter(|trusted| **trusted).count(), 1, "{seen:?}");
    }

    #[test]
    fn after_a_pause_of_a_month_requests_end_a_day_later() {
        let seen = trusted([0].into_iter().chain((0..300).map(|run| 31 * DAY + run * FIVE_MINUTES)));
        assert!(!seen[1] && !seen[200] && seen[260], "{seen:?}");
    }

    #[test]
    fn two_jumps_in_a_row_are_not_taken_for_a_rare_crontab() {
        assert_eq!(trusted([0, 45 * DAY, 75 * DAY, 76 * DAY, 77 * DAY]), [true, false, false, true, true]);
    }

    #[test]
    fn a_crontab_that_runs_once_a_day_is_learnt() {
        let seen = trusted([0, DAY, 2 * DAY, 2 * DAY + 7, 3 * DAY, 4 * DAY]);
        assert_eq!(seen, [true, false, true, true, true, true]);
    }

    #[test]
    fn the_first_run_of_all_is_judged_by_the_newest_request() {
        assert!(judge(None, Some(START - HOUR), START).is_trusted());
        let first = judge(None, Some(START - 45 * DAY), START);
        assert!(!first.is_trusted() && first.sentence().is_some_and(|sentence| sentence.contains("45 days")));
    }

    #[test]
    fn a_clock_that_is_behind_at_the_first_run_of_all_is_not_trusted() {
        let first = judge(None, Some(START + 45 * DAY), START);
        assert!(!first.is_trusted() && first.sentence().is_some_and(|sentence| sentence.contains("went back by 45 days")));
        assert!(judge(None, Some(START + MINUTE), START).is_trusted(), "another machine's clock");
    }

    #[test]
    fn a_clock_from_before_this_program_is_never_trusted() {
        let mut judged = judge(None, None, 0);
        for run in 1..300 {
            assert!(!judged.is_trusted() && judged.clock.trusted_at == 0);
            judged = judge(Some(judged.clock), None, run * FIVE_MINUTES);
        }
    }

    #[test]
    fn the_newest_time_that_was_trusted_is_kept_under_a_clock_that_goes_evenly_and_is_behind() {
        let behind = (0..300).map(|run| run * FIVE_MINUTES - 45 * DAY);
        let mut judged = judge(None, None, START);
        for time in behind {
            judged = judge(Some(judged.clock), None, START + time);
        }
        assert!(judged.is_trusted() && judged.clock.trusted_at == START);
        let ahead = judge(Some(judge(None, None, START).clock), None, START + 45 * DAY);
        assert_eq!(ahead.clock.trusted_at, START, "nor is the time of a jump taken for right");
    }

    #[test]
    fn a_small_correction_is_no_jump() {
        assert_eq!(trusted([0, 300, 290, 600]), [true, true, true, true]);
    }
}

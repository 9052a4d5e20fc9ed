//! Durations in seconds, the unit of all times in the code and in the database (since 1970, UTC).

pub(crate) const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;

/// `2026-11-27 14:05 UTC`, for the sysadmin.
pub fn utc(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// `40 s`, `12 min`, `30 h`, `9 days`, for the sysadmin: rounded down.
pub fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} days", seconds / DAY),
    }
}

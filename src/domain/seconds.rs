//! Durations in seconds, the unit of all times in the code and in the database (since 1970, UTC).

pub(crate) const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;

//! Lengths of time in seconds, the unit of every time here and in the database (since 1970, UTC).

pub const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;

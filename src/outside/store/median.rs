//! How long decisions take.
//!
//! A database sorts all of them for a median, which takes far longer than to read them. So a sample says between which values the
//! median is likely, the decisions below are counted, and only those between are sorted.

use super::{Error, Store};

/// The sign keeps SQLite from using the index of `requested_at`, and from reading each request then.
const DECIDED: &str = "FROM registrations WHERE decided_at > 0 AND confirmed_at IS NOT NULL AND +requested_at >= ?";

/// One of a hundred. 101 divides no minute, hour or day, so decisions at regular times do not distort the sample.
pub(super) fn sample_of_decided() -> String {
    format!("SELECT decided_at - confirmed_at {DECIDED} AND decided_at % 101 = 0")
}

pub(super) fn count_decided() -> String {
    format!("SELECT COUNT(*), COUNT(CASE WHEN decided_at - confirmed_at < ? THEN 1 END) {DECIDED}")
}

pub(super) fn decided_within() -> String {
    let within = "decided_at - confirmed_at >= ? AND decided_at - confirmed_at <= ?";
    format!("SELECT decided_at - confirmed_at {DECIDED} AND {within} ORDER BY decided_at - confirmed_at LIMIT 1 OFFSET ?")
}

impl Store {
    /// Half of the requests that were filed since `from`, are kept and were decided, were decided within so many seconds after the
    /// confirmation. Needs only the index `registrations_by_decision`.
    pub fn median_to_a_decision(&mut self, from: i64) -> Result<Option<i64>, Error> {
        let (least, most) = self.likely_median(from)?;
        let [count, below] = self
            .first(&count_decided(), &[least.into(), from.into()], |row| Ok([row.integer_at(0)?, row.integer_at(1)?]))?
            .map_or([0; 2], |counts| counts.map(|count| count.unwrap_or(0)));
        let half = count / 2;
        let median = match self.decided_within(from, (least, most), half - below)? {
            // The sample was not like the rest.
            None => self.decided_within(from, (i64::MIN, i64::MAX), half)?,
            found => found,
        };
        Ok(median.map(|seconds| seconds.max(0)))
    }

    /// Between which values the median is likely to be: four standard deviations of its place in the sample.
    fn likely_median(&mut self, from: i64) -> Result<(i64, i64), Error> {
        let rows = self.query(&sample_of_decided(), &[from.into()])?;
        let mut sample: Vec<i64> = rows.iter().filter_map(|row| row.optional_integer().ok().flatten()).collect();
        sample.sort_unstable();
        let (middle, margin) = (sample.len() / 2, 2 * sample.len().isqrt());
        let least = middle.checked_sub(margin).and_then(|place| sample.get(place));
        let most = sample.get(middle + margin);
        Ok((least.copied().unwrap_or(i64::MIN), most.copied().unwrap_or(i64::MAX)))
    }

    /// The decision with this place, counted from 0, among those that took so long. `None` if there are not as many, or the place is
    /// before the first.
    fn decided_within(&mut self, from: i64, (least, most): (i64, i64), place: i64) -> Result<Option<i64>, Error> {
        if place < 0 {
            return Ok(None);
        }
        self.first(&decided_within(), &[from.into(), least.into(), most.into(), place.into()], |row| row.integer())
    }
}

//! What cron remembers between runs: what it has reported (`troubles`), and how the clock runs (`cron_clock`).

use super::{Error, Row, Store};

/// A reported trouble that has not ended yet. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub name: String,
    pub since: i64,
    pub told_at: i64,
}

/// How the clock ran at the last run of cron. In seconds, the first one since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CronClock {
    pub ran_at: i64,
    /// The time between two runs.
    pub usual_gap: i64,
    /// For how long the clock has run evenly.
    pub even_seconds: i64,
}

impl Store {
    /// Reported troubles that have not ended. A time that cannot be read counts as long ago.
    pub fn told_troubles(&mut self) -> Result<Vec<Told>, Error> {
        let read = |mut row: Row| {
            let name = row.text()?;
            Ok(Told { name, since: row.integer().unwrap_or(0), told_at: row.integer().unwrap_or(0) })
        };
        self.query("SELECT name, since, told_at FROM troubles", &[])?.into_iter().map(read).collect()
    }

    pub fn note_told(&mut self, told: &Told) -> Result<(), Error> {
        self.transaction(|store| {
            store.execute("DELETE FROM troubles WHERE name = ?", &[told.name.as_str().into()])?;
            let sql = "INSERT INTO troubles (name, since, told_at) VALUES (?, ?, ?)";
            store.execute(sql, &[told.name.as_str().into(), told.since.into(), told.told_at.into()]).map(|_| ())
        })
    }

    pub fn forget_told(&mut self, name: &str) -> Result<(), Error> {
        self.execute("DELETE FROM troubles WHERE name = ?", &[name.into()]).map(|_| ())
    }

    /// `None` if cron has not run yet, or its record cannot be read.
    pub fn cron_clock(&mut self) -> Result<Option<CronClock>, Error> {
        let read = |mut row: Row| {
            let mut next = || row.integer().ok();
            Ok(next().zip(next()).zip(next()))
        };
        let noted = self.first("SELECT ran_at, usual_gap, even_seconds FROM cron_clock WHERE id = 1", &[], read)?.flatten();
        Ok(noted.map(|((ran_at, usual_gap), even_seconds)| CronClock { ran_at, usual_gap, even_seconds }))
    }

    pub fn note_cron_clock(&mut self, clock: &CronClock) -> Result<(), Error> {
        self.transaction(|store| {
            store.execute("DELETE FROM cron_clock WHERE id = 1", &[])?;
            let sql = "INSERT INTO cron_clock (id, ran_at, usual_gap, even_seconds) VALUES (1, ?, ?, ?)";
            store.execute(sql, &[clock.ran_at.into(), clock.usual_gap.into(), clock.even_seconds.into()]).map(|_| ())
        })
    }
}

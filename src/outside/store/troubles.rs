//! What cron remembers between runs: what it has reported (`troubles`), and how the clock runs (`cron_clock`).

use super::{Column, Error, NamedRow, Selection, Store, Value};

/// A reported trouble that has not ended yet. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub name: String,
    pub since: i64,
    pub told_at: i64,
}

/// How the clock ran at the last run of cron. In seconds; `ran_at` and `trusted_at` since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CronClock {
    pub ran_at: i64,
    /// The time between two runs.
    pub usual_gap: i64,
    /// For how long the clock has run evenly.
    pub even_seconds: i64,
    /// The newest time at which the clock was trusted; 0 if it never was.
    pub trusted_at: i64,
}

impl Store {
    /// Reported troubles that have not ended. A time that cannot be read counts as long ago.
    pub(crate) fn told_troubles(&mut self) -> Result<Vec<Told>, Error> {
        const TOLD: Selection = Selection { table: "troubles", columns: &[Column::Name, Column::Since, Column::ToldAt] };
        let read = |row: NamedRow| {
            let time = |column| row.readable_integer(column).unwrap_or(0);
            Ok(Told { name: row.text(Column::Name)?, since: time(Column::Since), told_at: time(Column::ToldAt) })
        };
        self.select(&TOLD, "", &[], read)
    }

    pub(crate) fn note_told(&mut self, told: &Told) -> Result<(), Error> {
        self.transaction(|store| {
            store.execute("DELETE FROM troubles WHERE name = ?", &[told.name.as_str().into()])?;
            let sql = "INSERT INTO troubles (name, since, told_at) VALUES (?, ?, ?)";
            store.execute(sql, &[told.name.as_str().into(), told.since.into(), told.told_at.into()]).map(|_| ())
        })
    }

    pub(crate) fn forget_told(&mut self, name: &str) -> Result<(), Error> {
        self.execute("DELETE FROM troubles WHERE name = ?", &[name.into()]).map(|_| ())
    }

    /// `None` if cron has not run yet, or its record cannot be read.
    pub fn cron_clock(&mut self) -> Result<Option<CronClock>, Error> {
        const CLOCK: Selection =
            Selection { table: "cron_clock", columns: &[Column::RanAt, Column::UsualGap, Column::EvenSeconds, Column::TrustedAt] };
        let read = |row: NamedRow| {
            let [ran_at, usual_gap, even_seconds] =
                [Column::RanAt, Column::UsualGap, Column::EvenSeconds].map(|column| row.readable_integer(column));
            let trusted_at = row.readable_integer(Column::TrustedAt).unwrap_or(0);
            let noted = ran_at.zip(usual_gap).zip(even_seconds);
            Ok(noted.map(|((ran_at, usual_gap), even_seconds)| CronClock { ran_at, usual_gap, even_seconds, trusted_at }))
        };
        Ok(self.select_first(&CLOCK, "WHERE id = 1", &[], read)?.flatten())
    }

    pub(crate) fn note_cron_clock(&mut self, clock: &CronClock) -> Result<(), Error> {
        self.transaction(|store| {
            store.execute("DELETE FROM cron_clock WHERE id = 1", &[])?;
            let sql = "INSERT INTO cron_clock (id, ran_at, usual_gap, even_seconds, trusted_at) VALUES (1, ?, ?, ?, ?)";
            let values = [clock.ran_at, clock.usual_gap, clock.even_seconds, clock.trusted_at].map(Value::from);
            store.execute(sql, &values).map(|_| ())
        })
    }
}

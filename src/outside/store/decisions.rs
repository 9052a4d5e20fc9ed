//! `decisions`: what was decided about a request, by whom and in which way, and what the applicant was asked.

use super::{Column, Error, NamedRow, Selection, Store};
use crate::domain::decision::{Decider, Outcome, Way};

/// The largest number of decisions that are read for one request.
const MOST_READ: i64 = 100;

/// A decision. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub outcome: Outcome,
    pub way: Way,
    /// The Matrix id of whoever decided, or the name of the user in the shell, if the way tells it.
    pub by: Option<String>,
    /// For [`Outcome::Asked`] the question.
    pub reason: Option<String>,
    pub at: i64,
}

/// `None` if there is none in this row, or one of a later version.
pub(super) fn read_decided(row: &NamedRow) -> Option<Decided> {
    Some(Decided {
        outcome: Outcome::from_name(&row.optional_text(Column::Outcome)?)?,
        way: Way::from_name(&row.optional_text(Column::Way)?)?,
        by: row.optional_text(Column::DecidedBy),
        reason: row.optional_text(Column::Reason),
        at: row.readable_integer(Column::DecidedAt).unwrap_or(0),
    })
}

impl Store {
    /// The decisions about a request and the questions to the applicant, the oldest first. Those of versions that did not write
    /// down who decided are missing.
    pub fn decisions(&mut self, registration: i64) -> Result<Vec<Decided>, Error> {
        const DECISION: Selection = Selection {
            table: "decisions",
            columns: &[Column::Outcome, Column::Way, Column::DecidedBy, Column::Reason, Column::DecidedAt],
        };
        let read = |row: NamedRow| Ok(read_decided(&row));
        let newest =
            self.select(&DECISION, "WHERE registration_id = ? ORDER BY id DESC LIMIT ?", &[registration.into(), MOST_READ.into()], read)?;
        Ok(newest.into_iter().rev().flatten().collect())
    }

    /// The last decision about a request, questions left out.
    pub fn last_decision(&mut self, registration: i64) -> Result<Option<Decided>, Error> {
        Ok(self.decisions(registration)?.into_iter().rev().find(|decided| decided.outcome != Outcome::Asked))
    }

    /// Part of the transaction of the decision: words that decided are settled with it, so that they never decide again, whatever
    /// happens to the request afterwards.
    pub(super) fn note_decided(
        &mut self,
        registration: i64,
        outcome: Outcome,
        by: &Decider,
        reason: Option<&str>,
        now: i64,
    ) -> Result<(), Error> {
        let sql = "INSERT INTO decisions (registration_id, outcome, way, decided_by, reason, decided_at) VALUES (?, ?, ?, ?, ?, ?)";
        let values = [registration.into(), outcome.name().into(), by.way().name().into(), by.name().into(), reason.into(), now.into()];
        self.execute(sql, &values)?;
        self.count_decision(outcome, by.way())?;
        match by.words() {
            Some(event_id) => self.settle_words(event_id, now),
            None => Ok(()),
        }
    }
}

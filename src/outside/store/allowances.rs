//! What strangers may use up in a day: requests and mails, by the network or the mail address they come from or go to.
//!
//! An allowance fills up again evenly: one of 24 a day gives back one each hour. Its whole state is the second at which it
//! will be whole again, so using one is a single statement, exact however many programs and machines are at it.

use super::{End, Error, LONGEST_WAIT, Store};
use crate::domain::seconds::DAY;

/// So many a day for one subject.
#[derive(Debug, Clone, Copy)]
pub struct Allowance<'a> {
    pub kind: AllowanceKind,
    /// Whom it is about, as a keyed hash: the table tells nobody who was here.
    pub subject: &'a str,
    /// 0: no limit.
    pub per_day: u64,
}

/// What is counted. The text is what the database keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowanceKind {
    RequestsOfNetwork,
    RequestsOfAddress,
    MailsToAddress,
    ConfirmMails,
}

impl AllowanceKind {
    fn text(self) -> &'static str {
        match self {
            AllowanceKind::RequestsOfNetwork => "requests of network",
            AllowanceKind::RequestsOfAddress => "requests of address",
            AllowanceKind::MailsToAddress => "mails to address",
            AllowanceKind::ConfirmMails => "confirm mails",
        }
    }
}

impl Allowance<'_> {
    /// Seconds in which one comes back.
    fn interval(&self) -> i64 {
        i64::try_from(self.per_day).map_or(1, |per_day| (DAY / per_day.max(1)).max(1))
    }

    /// The latest second at which it may become whole and still have one to give now.
    fn latest(&self, now: i64) -> i64 {
        let others = i64::try_from(self.per_day.saturating_sub(1)).unwrap_or(i64::MAX);
        now.saturating_add(self.interval().saturating_mul(others).min(DAY))
    }
}

impl Store {
    /// Takes one of each, or of none: the one that is used up, and the seconds until there is one again.
    pub fn use_allowances(&mut self, allowances: &[Allowance], now: i64) -> Result<Option<(AllowanceKind, i64)>, Error> {
        for allowance in allowances {
            self.open_allowance(allowance, now)?;
        }
        self.transaction_that_may_end(|store| {
            for allowance in allowances {
                if let Some(seconds) = store.take_from_allowance(allowance, now)? {
                    return Ok(End::RollBack(Some((allowance.kind, seconds))));
                }
            }
            Ok(End::Commit(None))
        })
    }

    /// Undoes [`Store::use_allowances`].
    pub fn give_back_allowances(&mut self, allowances: &[Allowance], now: i64) -> Result<(), Error> {
        for allowance in allowances.iter().filter(|allowance| allowance.per_day > 0) {
            let sql = "UPDATE allowances SET whole_at = whole_at - ? WHERE kind = ? AND subject = ? AND whole_at > ?";
            self.execute(sql, &[allowance.interval().into(), allowance.kind.text().into(), allowance.subject.into(), now.into()])?;
        }
        Ok(())
    }

    /// Makes the row of an allowance that was not used of late, and says whether there is one to take. Apart from the taking,
    /// which happens in a transaction: a row that
    /// somebody else makes at the same moment would end it.
    pub(super) fn open_allowance(&mut self, allowance: &Allowance, now: i64) -> Result<bool, Error> {
        if allowance.per_day == 0 {
            return Ok(true);
        }
        if let Some(whole_at) = self.whole_at(allowance)? {
            return Ok(whole_at <= allowance.latest(now) || whole_at > now + LONGEST_WAIT);
        }
        let first = "INSERT INTO allowances (kind, subject, whole_at) VALUES (?, ?, ?)";
        match self.execute(first, &[allowance.kind.text().into(), allowance.subject.into(), now.into()]) {
            Err(Error::Conflict) => Ok(true),
            inserted => inserted.map(|_| true),
        }
    }

    /// Takes one, once the row is there: `None`, or the seconds until there is one again. Holds the row until the end of the
    /// transaction.
    pub(super) fn take_from_allowance(&mut self, allowance: &Allowance, now: i64) -> Result<Option<i64>, Error> {
        if allowance.per_day == 0 {
            return Ok(None);
        }
        // A time beyond any use was written under a wrong clock.
        let (latest, never) = (allowance.latest(now), now + LONGEST_WAIT);
        let sql = "UPDATE allowances SET whole_at = CASE WHEN whole_at > ? AND whole_at <= ? THEN whole_at ELSE ? END + ?
                   WHERE kind = ? AND subject = ? AND (whole_at <= ? OR whole_at > ?)";
        let values = [
            now.into(),
            never.into(),
            now.into(),
            allowance.interval().into(),
            allowance.kind.text().into(),
            allowance.subject.into(),
            latest.into(),
            never.into(),
        ];
        if self.execute(sql, &values)? == 1 {
            return Ok(None);
        }
        Ok(Some(self.whole_at(allowance)?.map_or(1, |whole_at| (whole_at - latest).max(1))))
    }

    fn whole_at(&mut self, allowance: &Allowance) -> Result<Option<i64>, Error> {
        let sql = "SELECT whole_at FROM allowances WHERE kind = ? AND subject = ?";
        self.first(sql, &[allowance.kind.text().into(), allowance.subject.into()], |mut row| row.integer())
    }

    /// For cron: allowances that were whole before `before` say nothing any more, nor do those from the future.
    pub fn forget_whole_allowances(&mut self, before: i64, now: i64) -> Result<u64, Error> {
        self.execute("DELETE FROM allowances WHERE whole_at < ? OR whole_at > ?", &[before.into(), (now + LONGEST_WAIT).into()])
    }
}

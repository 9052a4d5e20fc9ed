//! How much strangers may use up in a day: requests and mails, counted by network or mail address.
//!
//! An allowance refills evenly: one of 24 a day regains one each hour. Its whole state is the time when it will be full again,
//! so using one takes a single statement, which is exact for any number of programs and machines.

use super::{End, Error, LONGEST_WAIT, Store};
use crate::domain::seconds::DAY;

/// A number per day for one subject.
#[derive(Debug, Clone, Copy)]
pub struct Allowance<'a> {
    pub kind: AllowanceKind,
    /// The subject as a keyed hash, so that the table does not reveal who was here.
    pub subject: &'a str,
    /// 0: no limit.
    pub per_day: u64,
}

/// What is counted. The database stores the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowanceKind {
    RequestsOfNetwork,
    RequestsOfAddress,
    /// Checks with the homeserver whether a name is free.
    NameChecksOfNetwork,
    MailsToAddress,
    ConfirmMails,
    /// Requests for a new password.
    ResetsOfNetwork,
    /// Requests for a new password of one account, whether or not there is one.
    ResetsAskedFor,
    ResetMailsToAddress,
    ResetMails,
}

impl AllowanceKind {
    fn text(self) -> &'static str {
        match self {
            AllowanceKind::RequestsOfNetwork => "requests of network",
            AllowanceKind::RequestsOfAddress => "requests of address",
            AllowanceKind::NameChecksOfNetwork => "name checks of network",
            AllowanceKind::MailsToAddress => "mails to address",
            AllowanceKind::ConfirmMails => "confirm mails",
            AllowanceKind::ResetsOfNetwork => "resets of network",
            AllowanceKind::ResetsAskedFor => "resets asked for",
            AllowanceKind::ResetMailsToAddress => "reset mails to address",
            AllowanceKind::ResetMails => "reset mails",
        }
    }
}

impl Allowance<'_> {
    /// Seconds until one is regained.
    fn interval(&self) -> i64 {
        i64::try_from(self.per_day).map_or(1, |per_day| (DAY / per_day.max(1)).max(1))
    }

    /// The latest time of being full, in seconds since 1970, at which there is still one to give now.
    fn latest(&self, now: i64) -> i64 {
        let others = i64::try_from(self.per_day.saturating_sub(1)).unwrap_or(i64::MAX);
        now.saturating_add(self.interval().saturating_mul(others).min(DAY))
    }
}

impl Store {
    /// Takes one of each allowance, or nothing. Returns the kind that is used up, and the seconds until one is regained.
    pub(crate) fn use_allowances(&mut self, allowances: &[Allowance], now: i64) -> Result<Option<(AllowanceKind, i64)>, Error> {
        self.open_all(allowances, now)?;
        self.transaction_that_may_end(|store| match store.take_all(allowances, now)? {
            None => Ok(End::Commit(None)),
            used_up => Ok(End::RollBack(used_up)),
        })
    }

    /// Makes the rows that [`Store::take_all`] needs, in the same order. Not in its transaction, which would fail if another
    /// program made a row at the same moment. Stops at one that is used up: a network without allowance leaves no row for each
    /// address that it tries.
    pub(super) fn open_all(&mut self, allowances: &[Allowance], now: i64) -> Result<(), Error> {
        for allowance in allowances {
            if !self.open_allowance(allowance, now)? {
                break;
            }
        }
        Ok(())
    }

    /// Takes one of each allowance. Returns the kind that is used up, and the seconds until one is regained: the transaction must
    /// then be rolled back. Until its end it excludes others with these subjects.
    pub(super) fn take_all(&mut self, allowances: &[Allowance], now: i64) -> Result<Option<(AllowanceKind, i64)>, Error> {
        for allowance in allowances {
            if let Some(seconds) = self.take_from_allowance(allowance, now)? {
                return Ok(Some((allowance.kind, seconds)));
            }
        }
        Ok(None)
    }

    /// Undoes [`Store::use_allowances`].
    pub(crate) fn give_back_allowances(&mut self, allowances: &[Allowance], now: i64) -> Result<(), Error> {
        for allowance in allowances.iter().filter(|allowance| allowance.per_day > 0) {
            let sql = "UPDATE allowances SET whole_at = whole_at - ? WHERE kind = ? AND subject = ? AND whole_at > ?";
            self.execute(sql, &[allowance.interval().into(), allowance.kind.text().into(), allowance.subject.into(), now.into()])?;
        }
        Ok(())
    }

    /// Seconds until the next one is available, checked without creating a row; `None`: one is available now.
    pub(super) fn used_up(&mut self, allowance: &Allowance, now: i64) -> Result<Option<i64>, Error> {
        if allowance.per_day == 0 {
            return Ok(None);
        }
        let latest = allowance.latest(now);
        let is_used_up = |whole_at: &i64| *whole_at > latest && *whole_at <= now + LONGEST_WAIT;
        Ok(self.whole_at(allowance)?.filter(is_used_up).map(|whole_at| (whole_at - latest).max(1)))
    }

    /// Creates the row of an allowance if it has none, and returns whether one is available.
    fn open_allowance(&mut self, allowance: &Allowance, now: i64) -> Result<bool, Error> {
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

    /// Takes one from an allowance with a row. Returns `None`, or the seconds until one is regained. The row stays locked until
    /// the end of the transaction.
    fn take_from_allowance(&mut self, allowance: &Allowance, now: i64) -> Result<Option<i64>, Error> {
        if allowance.per_day == 0 {
            return Ok(None);
        }
        // A time that no use can explain was written under a wrong clock.
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
        self.first(sql, &[allowance.kind.text().into(), allowance.subject.into()], |row| row.integer())
    }

    /// For cron: deletes allowances that were full before `before`, and those with a time in the future.
    pub(crate) fn forget_whole_allowances(&mut self, before: i64, now: i64) -> Result<u64, Error> {
        self.execute("DELETE FROM allowances WHERE whole_at < ? OR whole_at > ?", &[before.into(), (now + LONGEST_WAIT).into()])
    }
}

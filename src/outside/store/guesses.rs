//! Wrong passwords of late, by account and the network they came from.

use super::{Error, Store};

impl Store {
    /// Wrong passwords since `since` (seconds since 1970).
    pub fn wrong_guesses(&mut self, account: &str, network: &str, since: i64) -> Result<i64, Error> {
        let sql = "SELECT failures FROM guesses WHERE account = ? AND network = ? AND first_at >= ?";
        Ok(self.first(sql, &[account.into(), network.into(), since.into()], |mut row| row.integer())?.unwrap_or(0))
    }

    /// One more; counting starts anew where the last count began before `since`.
    pub fn note_wrong_guess(&mut self, account: &str, network: &str, since: i64, now: i64) -> Result<(), Error> {
        let more = "UPDATE guesses SET failures = CASE WHEN first_at >= ? THEN failures + 1 ELSE 1 END,
                    first_at = CASE WHEN first_at >= ? THEN first_at ELSE ? END WHERE account = ? AND network = ?";
        let values = [since.into(), since.into(), now.into(), account.into(), network.into()];
        if self.execute(more, &values)? == 1 {
            return Ok(());
        }
        let first = "INSERT INTO guesses (account, network, failures, first_at) VALUES (?, ?, 1, ?)";
        match self.execute(first, &[account.into(), network.into(), now.into()]) {
            Err(Error::Conflict) => self.execute(more, &values).map(|_| ()),
            inserted => inserted.map(|_| ()),
        }
    }

    /// For cron: counts that began before `before` mean nothing any more, nor do those from the future.
    pub fn forget_old_guesses(&mut self, before: i64, now: i64) -> Result<u64, Error> {
        self.execute("DELETE FROM guesses WHERE first_at < ? OR first_at > ?", &[before.into(), now.into()])
    }
}

//! Recent wrong passwords, by account and network; and the networks from which right ones came.
//!
//! Times are seconds since 1970. A time in the future was written under a wrong clock and does not count.

use super::{Error, LONGEST_WAIT, Store};

/// How far the clocks of several machines may differ, in seconds.
const CLOCK_MARGIN: i64 = 60;
/// Networks remembered per account.
const MOST_NETWORKS: i64 = 32;
/// How long a network is remembered after the right password came from there, in seconds.
const NETWORK_SECONDS: i64 = 90 * 86_400;
/// The time of a network is updated after this many seconds rather than at each login.
const NETWORK_FRESH_SECONDS: i64 = 86_400;
/// This many of 256 wrong guesses also delete old rows, so that the table does not grow if cron does not run.
const TIDYING: u8 = 4;

impl Store {
    /// Wrong passwords since `since`.
    pub(crate) fn wrong_guesses(&mut self, account: &str, network: &str, since: i64, now: i64) -> Result<i64, Error> {
        let sql = "SELECT failures FROM guesses WHERE account = ? AND network = ? AND first_at >= ? AND first_at <= ?";
        let values = [account.into(), network.into(), since.into(), (now + CLOCK_MARGIN).into()];
        Ok(self.first(sql, &values, |row| row.integer())?.unwrap_or(0))
    }

    /// Adds one wrong password; counting starts again if the last count began before `since`.
    pub fn note_wrong_guess(&mut self, account: &str, network: &str, since: i64, now: i64) -> Result<(), Error> {
        if crate::domain::token::random::<1>()[0] < TIDYING {
            self.forget_old_guesses(since, now)?;
        }
        let latest = now + CLOCK_MARGIN;
        let more = "UPDATE guesses SET failures = CASE WHEN first_at >= ? AND first_at <= ? THEN failures + 1 ELSE 1 END,
                    first_at = CASE WHEN first_at >= ? AND first_at <= ? THEN first_at ELSE ? END WHERE account = ? AND network = ?";
        let values = [since.into(), latest.into(), since.into(), latest.into(), now.into(), account.into(), network.into()];
        if self.execute(more, &values)? == 1 {
            return Ok(());
        }
        let first = "INSERT INTO guesses (account, network, failures, first_at) VALUES (?, ?, 1, ?)";
        match self.execute(first, &[account.into(), network.into(), now.into()]) {
            Err(Error::Conflict) => self.execute(more, &values).map(|_| ()),
            inserted => inserted.map(|_| ()),
        }
    }

    /// Deletes counts that began before `before`, and those with a time in the future.
    pub(crate) fn forget_old_guesses(&mut self, before: i64, now: i64) -> Result<u64, Error> {
        self.execute("DELETE FROM guesses WHERE first_at < ? OR first_at > ?", &[before.into(), (now + CLOCK_MARGIN).into()])
    }

    /// Whether the right password of an account came from this network before.
    pub(crate) fn is_familiar_network(&mut self, login_id: i64, network: &str) -> Result<bool, Error> {
        Ok(self.network_seen_at(login_id, network)?.is_some())
    }

    fn network_seen_at(&mut self, login_id: i64, network: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT seen_at FROM familiar_networks WHERE login_id = ? AND network = ?";
        self.first(sql, &[login_id.into(), network.into()], |row| row.integer())
    }

    /// Records that the right password came from this network. If there are too many networks, the one seen longest ago is
    /// deleted.
    pub(crate) fn note_familiar_network(&mut self, login_id: i64, network: &str, now: i64) -> Result<(), Error> {
        match self.network_seen_at(login_id, network)? {
            Some(seen_at) if now.abs_diff(seen_at) < NETWORK_FRESH_SECONDS as u64 => return Ok(()),
            Some(_) => {
                let sql = "UPDATE familiar_networks SET seen_at = ? WHERE login_id = ? AND network = ?";
                return self.execute(sql, &[now.into(), login_id.into(), network.into()]).map(|_| ());
            }
            None => self.make_room_for_network(login_id)?,
        }
        let sql = "INSERT INTO familiar_networks (login_id, network, seen_at) VALUES (?, ?, ?)";
        match self.execute(sql, &[login_id.into(), network.into(), now.into()]) {
            Err(Error::Conflict) => Ok(()),
            inserted => inserted.map(|_| ()),
        }
    }

    fn make_room_for_network(&mut self, login_id: i64) -> Result<(), Error> {
        let sql = "SELECT COUNT(*), MIN(seen_at) FROM familiar_networks WHERE login_id = ?";
        let known = self.first(sql, &[login_id.into()], |row| Ok((row.integer()?, row.integer_at(1)?)))?;
        match known {
            Some((MOST_NETWORKS.., Some(oldest))) => {
                let sql = "DELETE FROM familiar_networks WHERE login_id = ? AND seen_at <= ?";
                self.execute(sql, &[login_id.into(), oldest.into()]).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// For cron: deletes networks that were not seen for a long time.
    pub(crate) fn forget_old_networks(&mut self, now: i64) -> Result<u64, Error> {
        let values = [(now - NETWORK_SECONDS).into(), (now + LONGEST_WAIT).into()];
        self.execute("DELETE FROM familiar_networks WHERE seen_at < ? OR seen_at > ?", &values)
    }
}

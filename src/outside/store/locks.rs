//! Locks that work across processes and machines, and expire if their holder dies.

use super::{CLOCK_SKEW, Error, Store};

impl Store {
    /// Takes the lock `name` until `until`, unless somebody else holds it after `now` (both seconds since 1970).
    /// A lock that ends later than ours would was taken under a wrong clock and does not count.
    pub fn take_lock(&mut self, name: &str, holder: &str, now: i64, until: i64) -> Result<bool, Error> {
        let free = "UPDATE locks SET holder = ?, held_until = ? WHERE name = ? AND (held_until <= ? OR held_until > ?)";
        if self.execute(free, &[holder.into(), until.into(), name.into(), now.into(), (until + CLOCK_SKEW).into()])? == 1 {
            return Ok(true);
        }
        let first = "INSERT INTO locks (name, holder, held_until) VALUES (?, ?, ?)";
        match self.execute(first, &[name.into(), holder.into(), until.into()]) {
            Ok(_) => Ok(true),
            Err(Error::Conflict) => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// Releases the lock, if `holder` still holds it.
    pub fn release_lock(&mut self, name: &str, holder: &str) -> Result<(), Error> {
        self.execute("DELETE FROM locks WHERE name = ? AND holder = ?", &[name.into(), holder.into()])?;
        Ok(())
    }
}

//! What cron reports, and when: once when something starts to fail, once a day while it fails, and once when it works again.
//! cron mails all output, so a report at each run would hide the next one.

use crate::domain::seconds::utc;
use crate::outside::store::{self, Store, Told};

/// Something that is wrong at this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Stays the same from run to run.
    pub name: String,
    /// Since when; `None`: since cron first noticed it.
    pub since: Option<i64>,
    /// How much, and the newest message.
    pub what: String,
    /// Seconds after which it is reported again.
    pub again_after: i64,
}

/// Under this name cron remembers when it last looked at the way to accounts: a time, and no trouble.
pub const LOOKED_AT_ACCOUNTS: &str = "accounts_looked_at";

/// What to report about `troubles` at this run, one line each.
pub fn say(store: &mut Store, troubles: &[Trouble], now: i64) -> Result<Vec<String>, store::Error> {
    let told = store.told_troubles()?;
    let mut lines = Vec::new();
    for trouble in troubles {
        let before = told.iter().find(|told| told.name == trouble.name);
        if let Some(line) = line(trouble, before, now) {
            lines.push(line);
            let since = before.map_or(trouble.since.unwrap_or(now), |before| before.since);
            store.note_told(&Told { name: trouble.name.clone(), since, told_at: now })?;
        }
    }
    let is_over = |told: &&Told| told.name != LOOKED_AT_ACCOUNTS && troubles.iter().all(|trouble| trouble.name != told.name);
    for over in told.iter().filter(is_over) {
        lines.push(format!("{}: well again, after trouble since {}", over.name, utc(over.since)));
        store.forget_told(&over.name)?;
    }
    Ok(lines)
}

/// `None` if it was reported recently. A time later than `now` was stored under a wrong clock.
fn line(trouble: &Trouble, before: Option<&Told>, now: i64) -> Option<String> {
    match before {
        Some(before) if (0..trouble.again_after).contains(&(now - before.told_at)) => None,
        Some(before) => Some(format!("{}: still, since {}: {}", trouble.name, utc(before.since), trouble.what)),
        None => Some(full(trouble)),
    }
}

/// The line for a trouble, reported before or not.
pub fn full(trouble: &Trouble) -> String {
    match trouble.since {
        Some(since) => format!("{}, since {}: {}", trouble.name, utc(since), trouble.what),
        None => format!("{}: {}", trouble.name, trouble.what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::seconds::DAY;

    const NOW: i64 = 1_800_000_000;

    fn told(told_at: i64) -> Told {
        Told { name: "mail server".into(), since: NOW - 3 * DAY, told_at }
    }

    #[test]
    fn a_trouble_is_told_when_it_begins_and_once_a_day() {
        let trouble = Trouble { name: "mail server".into(), since: Some(NOW), what: "1 fails".into(), again_after: DAY };
        assert_eq!(line(&trouble, None, NOW).as_deref(), Some("mail server, since 2027-01-15 08:00 UTC: 1 fails"));
        assert_eq!(line(&trouble, Some(&told(NOW)), NOW + DAY - 1), None);
        assert_eq!(line(&trouble, Some(&told(NOW)), NOW + DAY).as_deref(), Some("mail server: still, since 2027-01-12 08:00 UTC: 1 fails"));
        assert!(line(&trouble, Some(&told(NOW + 45 * DAY)), NOW).is_some(), "a clock that was ahead does not make cron silent");
    }
}

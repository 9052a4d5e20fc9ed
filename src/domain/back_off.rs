//! How long to wait after a failed attempt, and when to give up. Pure, no I/O.
//!
//! Only real attempts count. If this program itself has to wait (for a limit, an unusable template, a database that was
//! unavailable), nothing is given up, however long that lasts. A pause of cron or a jump of the clock counts as a day at most, and
//! never as more than a part of the time after which a mail is given up.

use super::seconds::{DAY, HOUR};

const MINUTE: i64 = 60;

/// The wait after the first failure, in seconds; it doubles each time.
const FIRST_WAIT: i64 = MINUTE;
/// The longest wait for something that other requests need as well, as it may return at any time.
const LONGEST_WAIT: i64 = HOUR;
/// The longest wait for a mailbox or a domain that, according to the mail server, does not exist.
const LONGEST_WAIT_FOR_ADDRESS: i64 = 12 * HOUR;
/// The longest wait that the other side may ask for.
const LONGEST_ASKED_WAIT: i64 = DAY;
/// The longest wait of all, in seconds: a time further ahead was written under a wrong clock.
pub(crate) const LONGEST: i64 = DAY;

/// The time between two attempts counts up to this, in seconds, and only up to its share of the [`Patience`].
const LONGEST_GAP: i64 = DAY;
/// Nothing is given up after fewer attempts, however long they took.
pub(crate) const FEWEST_TRIES: i64 = 5;
/// How long to try a domain that the mail server does not find, or a mailbox that it puts off. RFC 5321, 4.5.4.1, recommends
/// four to five days for mail servers.
const PUT_OFF_FOR: i64 = 5 * DAY;

/// Something outside that several requests need.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    MailServer,
    /// The mail servers of recipients in one domain.
    MailDomain(String),
    Homeserver,
    /// The bot's access to the room.
    Room,
    /// The creation of accounts.
    Accounts,
}

/// What the mail server says about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// The mailbox does not exist.
    Gone,
    /// Not now, perhaps never: no such domain, no answer from its mail server, or a full mailbox.
    PutOff,
}

/// The cause of a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blame {
    /// Nothing outside was involved: a setting, a template, our database.
    Ours,
    /// One of our own limits: the mail waits for its time, and nothing is wrong.
    Limit,
    /// The other side answered, but not as expected; other requests may succeed.
    Answer(Peer),
    /// The other side is unavailable, or accepts nothing at the moment; other requests would fail, too.
    Peer(Peer),
    Address(AddressFault),
}

/// The groups in which cron reports failures. The database stores the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    MailServer,
    Addresses,
    Homeserver,
    Room,
    Accounts,
    Ours,
    Limits,
}

impl Trouble {
    pub const ALL: [Trouble; 7] =
        [Trouble::MailServer, Trouble::Addresses, Trouble::Homeserver, Trouble::Room, Trouble::Accounts, Trouble::Ours, Trouble::Limits];

    /// Whether the sysadmin can do something about it. Strangers can make up addresses and reach limits as often as they like.
    pub(crate) fn is_the_sysadmins(self) -> bool {
        !matches!(self, Trouble::Addresses | Trouble::Limits)
    }

    pub fn name(self) -> &'static str {
        match self {
            Trouble::MailServer => "mail server",
            Trouble::Addresses => "mail addresses",
            Trouble::Homeserver => "homeserver",
            Trouble::Room => "room",
            Trouble::Accounts => "accounts",
            Trouble::Ours => "programs",
            Trouble::Limits => "limits",
        }
    }

    /// In metrics.
    pub(crate) fn label(self) -> String {
        self.name().replace(' ', "_")
    }

    pub(crate) fn from_name(name: &str) -> Option<Trouble> {
        Trouble::ALL.into_iter().find(|trouble| trouble.name() == name)
    }
}

impl Blame {
    fn is_about_mail(&self) -> bool {
        match self {
            Blame::Ours | Blame::Limit => false,
            Blame::Address(_) => true,
            Blame::Answer(peer) | Blame::Peer(peer) => matches!(peer, Peer::MailServer | Peer::MailDomain(_)),
        }
    }

    pub(crate) fn trouble(&self) -> Trouble {
        match self {
            Blame::Ours => Trouble::Ours,
            Blame::Limit => Trouble::Limits,
            Blame::Address(_) => Trouble::Addresses,
            Blame::Answer(peer) | Blame::Peer(peer) => match peer {
                Peer::MailServer => Trouble::MailServer,
                Peer::MailDomain(_) => Trouble::Addresses,
                Peer::Homeserver => Trouble::Homeserver,
                Peer::Room => Trouble::Room,
                Peer::Accounts => Trouble::Accounts,
            },
        }
    }
}

/// For how long a mail is tried, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For a mailbox that does not exist according to the mail server.
    pub gone_for: i64,
    /// For everything else, an address that the mail server puts off apart.
    pub in_all: i64,
}

impl Patience {
    /// For addresses that the mail server rejects.
    fn with_address(self, is_gone: bool) -> i64 {
        if is_gone { self.gone_for } else { PUT_OFF_FOR.max(self.gone_for) }
    }
}

/// How much of the time between two attempts counts towards `patience`: not so much that a pause takes the place of attempts.
fn counted(gap: i64, patience: i64) -> i64 {
    gap.clamp(0, LONGEST_GAP.min(patience / (FEWEST_TRIES - 1)).max(0))
}

/// The failed attempts so far. Times are seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    pub count: i64,
    pub failing_since: Option<i64>,
    pub last_at: Option<i64>,
    /// The duration of the attempts, in seconds.
    pub seconds: i64,
    /// Attempts at which the mail server rejected the address, and their duration in seconds.
    pub refusals: i64,
    pub refused_seconds: i64,
    /// Whether the mail server ever said that the mailbox does not exist; later failures do not change that.
    pub is_gone: bool,
}

impl Tries {
    /// Adds one failed attempt.
    pub(crate) fn and(self, blame: &Blame, patience: Patience, now: i64) -> Tries {
        let gap = self.last_at.map_or(0, |last| now.saturating_sub(last));
        let mut tries = Tries { count: self.count.saturating_add(1), last_at: Some(now), ..self };
        tries.failing_since = Some(self.failing_since.filter(|since| *since <= now).unwrap_or(now));
        if !matches!(blame, Blame::Ours | Blame::Limit) {
            tries.seconds = self.seconds.saturating_add(counted(gap, patience.in_all));
        }
        if let Blame::Address(fault) = blame {
            tries.is_gone |= *fault == AddressFault::Gone;
            let gap = counted(gap, patience.with_address(tries.is_gone));
            tries.refused_seconds = if self.refusals > 0 { self.refused_seconds.saturating_add(gap) } else { 0 };
            tries.refusals = self.refusals.saturating_add(1);
        }
        tries
    }

    /// Seconds until the next attempt; `asked` is the wait that the other side asked for.
    pub fn wait(&self, blame: &Blame, asked: Option<i64>) -> i64 {
        let longest = if matches!(blame, Blame::Address(_)) { LONGEST_WAIT_FOR_ADDRESS } else { LONGEST_WAIT };
        let doublings = self.count.saturating_sub(1).clamp(0, 16) as u32;
        (FIRST_WAIT << doublings).min(longest).max(asked.unwrap_or(0).clamp(0, LONGEST_ASKED_WAIT))
    }

    /// Whether a mail has been tried for long enough, right after an attempt with this outcome.
    pub(crate) fn are_enough(&self, blame: &Blame, patience: Patience) -> bool {
        let put_off_for = patience.with_address(self.is_gone);
        match blame {
            Blame::Address(_) if self.refusals >= FEWEST_TRIES && self.refused_seconds >= put_off_for => true,
            blame => blame.is_about_mail() && self.count >= FEWEST_TRIES && self.seconds >= patience.in_all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE_FOR: i64 = 2 * DAY;
    const IN_ALL: i64 = 30 * DAY;
    const PATIENCE: Patience = Patience { gone_for: GONE_FOR, in_all: IN_ALL };
    const AWAY: Blame = Blame::Peer(Peer::MailServer);
    const GONE: Blame = Blame::Address(AddressFault::Gone);
    const NO_SUCH_DOMAIN: Blame = Blame::Address(AddressFault::PutOff);

    /// Fails with `blame` whenever an attempt is due, until that is enough: the number of attempts and the seconds they took.
    fn until_enough(blame: &Blame) -> (i64, i64) {
        let (mut tries, mut now) = (Tries::default(), 1000);
        loop {
            tries = tries.and(blame, PATIENCE, now);
            if tries.are_enough(blame, PATIENCE) {
                return (tries.count, now - 1000);
            }
            assert!(tries.count < 10_000, "{blame:?} is never enough");
            now += tries.wait(blame, None);
        }
    }

    #[test]
    fn a_domain_that_does_not_exist_is_tried_for_days_and_not_each_hour() {
        let (tries, seconds) = until_enough(&NO_SUCH_DOMAIN);
        assert!((PUT_OFF_FOR..PUT_OFF_FOR + DAY).contains(&seconds) && tries < 25, "{tries} tries in {} h", seconds / HOUR);
    }

    #[test]
    fn a_mail_box_that_is_gone_is_given_up_after_two_days_and_a_dead_mail_server_after_a_month() {
        let (tries, seconds) = until_enough(&GONE);
        assert!((GONE_FOR..GONE_FOR + DAY).contains(&seconds) && tries >= FEWEST_TRIES);
        assert!((IN_ALL..IN_ALL + DAY).contains(&until_enough(&AWAY).1));
    }

    #[test]
    fn nothing_is_given_up_at_the_first_try_after_a_pause_or_under_a_clock_that_jumped() {
        for blame in [AWAY, GONE, NO_SUCH_DOMAIN] {
            let mut tries = Tries::default();
            for minute in 0..10 {
                tries = tries.and(&blame, PATIENCE, minute * MINUTE);
            }
            for later in [45 * DAY, 45 * DAY + HOUR] {
                tries = tries.and(&blame, PATIENCE, later);
                assert!(!tries.are_enough(&blame, PATIENCE), "{blame:?}");
            }
        }
    }

    #[test]
    fn a_pause_ends_nothing_however_short_the_patience() {
        let short = Patience { gone_for: HOUR, in_all: DAY };
        for blame in [AWAY, GONE] {
            let mut tries = (0..10).fold(Tries::default(), |tries, minute| tries.and(&blame, short, minute * MINUTE));
            tries = tries.and(&blame, short, 45 * DAY);
            assert!(!tries.are_enough(&blame, short), "{blame:?}");
            let mut now = 45 * DAY;
            while !tries.are_enough(&blame, short) {
                now += tries.wait(&blame, None);
                tries = tries.and(&blame, short, now);
                assert!(now < 48 * DAY, "{blame:?} is never enough");
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_and_forth_adds_nothing() {
        let mut tries = Tries::default();
        for _ in 0..20 {
            tries = tries.and(&AWAY, PATIENCE, 45 * DAY).and(&AWAY, PATIENCE, 0);
        }
        assert!(tries.seconds <= 20 * DAY && tries.failing_since == Some(0));
    }

    #[test]
    fn days_without_a_mail_server_do_not_count_against_an_address() {
        let mut tries = Tries::default();
        for hour in 0..10 * 24 {
            tries = tries.and(&AWAY, PATIENCE, hour * HOUR);
        }
        tries = tries.and(&GONE, PATIENCE, 10 * DAY);
        assert!(!tries.are_enough(&GONE, PATIENCE));
    }

    #[test]
    fn a_mail_that_was_never_tried_is_never_given_up() {
        for blame in [Blame::Ours, Blame::Limit, Blame::Peer(Peer::Homeserver)] {
            let mut tries = Tries::default();
            for day in 0..100 {
                tries = tries.and(&blame, PATIENCE, day * DAY);
                assert!(!tries.are_enough(&blame, PATIENCE), "{blame:?}");
            }
        }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_for_an_address_up_to_half_a_day() {
        let waits = |blame: &Blame| [1, 2, 5, 7, 12, 99].map(|count| Tries { count, ..Tries::default() }.wait(blame, None));
        assert_eq!(waits(&AWAY), [60, 120, 960, 3600, 3600, 3600]);
        assert_eq!(waits(&NO_SUCH_DOMAIN), [60, 120, 960, 3840, 43200, 43200]);
        assert_eq!(Tries { count: 1, ..Tries::default() }.wait(&AWAY, Some(600)), 600);
        assert_eq!(Tries { count: 1, ..Tries::default() }.wait(&AWAY, Some(i64::MAX)), LONGEST);
    }
}

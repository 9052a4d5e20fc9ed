//! `password_resets`, `reset_links` and `used_reset_links`: forgotten passwords of local mode.
//!
//! A request is written without a look at the accounts, so that the answer to the visitor depends on none of them. Who gets a
//! mail is found out afterwards, by the program that sends it.

use super::allowances::{Allowance, AllowanceKind};
use super::logins::LOGIN;
use super::owed::UNTRIED;
use super::{CLOCK_SKEW, Column, End, Error, LONGEST_WAIT, Login, NamedRow, Selection, Store};
use crate::domain::config::Language;
use crate::domain::registration::State;
use crate::domain::seconds::HOUR;
use crate::domain::token;
use crate::outside::fault;

/// How long a link sets a new password after its mail was sent, in seconds.
pub(crate) const LINK_SECONDS: i64 = HOUR;
/// The most accounts of one address for which links are mailed.
const MOST_ACCOUNTS: i64 = 20;
/// How long a form that has set a password is recognised if it comes again, in seconds.
const RECOGNISED_SECONDS: i64 = HOUR;

/// A request for a new password, before anybody knows whether there is such an account.
#[derive(Debug, Clone)]
pub struct NewReset {
    /// The hash of the form token.
    pub submission: String,
    /// A localpart, or a folded mail address.
    pub asked_for: String,
    pub seed: String,
    pub language: Language,
    /// Seconds since 1970.
    pub asked_at: i64,
}

/// What became of a request for a new password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetAsked {
    /// It is kept, and a mail is owed if there is such an account.
    Kept,
    /// The same form was sent before.
    CameBefore,
    /// This allowance is used up; seconds until one is regained.
    UsedUp(AllowanceKind, i64),
}

/// A request whose mail is still to be sent.
#[derive(Debug, Clone)]
pub struct Reset {
    pub seed: String,
    pub asked_for: String,
    pub language: Language,
    /// Seconds since 1970.
    pub asked_at: i64,
}

/// A link that sets a new password.
#[derive(Debug, Clone)]
pub struct ResetLink {
    pub token_hash: String,
    pub login_id: i64,
}

impl Store {
    /// Keeps a request, unless an allowance is used up. The first allowance should be that of the network: without one, no row
    /// is written.
    pub fn ask_reset(&mut self, new: &NewReset, allowances: &[Allowance]) -> Result<ResetAsked, Error> {
        self.open_all(allowances, new.asked_at)?;
        let asked = self.transaction_that_may_end(|store| {
            if let Some((kind, seconds)) = store.take_all(allowances, new.asked_at)? {
                return Ok(End::RollBack(ResetAsked::UsedUp(kind, seconds)));
            }
            store.insert_reset(new).map(|()| End::Commit(ResetAsked::Kept))
        });
        match asked {
            Err(Error::Conflict) => Ok(ResetAsked::CameBefore),
            Ok(ResetAsked::UsedUp(kind, seconds)) => match self.reset_came_before(&new.submission)? {
                true => Ok(ResetAsked::CameBefore),
                false => Ok(ResetAsked::UsedUp(kind, seconds)),
            },
            asked => asked,
        }
    }

    fn insert_reset(&mut self, new: &NewReset) -> Result<(), Error> {
        let sql = "INSERT INTO password_resets (submission, asked_for, seed, language, asked_at, due_at) VALUES (?, ?, ?, ?, ?, ?)";
        let values = [
            new.submission.as_str().into(),
            new.asked_for.as_str().into(),
            new.seed.as_str().into(),
            new.language.tag().into(),
            new.asked_at.into(),
            new.asked_at.into(),
        ];
        self.execute(sql, &values).map(|_| ())
    }

    fn reset_came_before(&mut self, submission: &str) -> Result<bool, Error> {
        Ok(self.first("SELECT 1 FROM password_resets WHERE submission = ?", &[submission.into()], |_| Ok(()))?.is_some())
    }

    /// A request whose mail is still to be sent.
    pub(crate) fn reset(&mut self, id: i64) -> Result<Option<Reset>, Error> {
        const RESET: Selection =
            Selection { table: "password_resets", columns: &[Column::Seed, Column::AskedFor, Column::Language, Column::AskedAt] };
        let read = |row: NamedRow| {
            let language = Language::from_tag(&row.text(Column::Language)?).unwrap_or_default();
            let (seed, asked_for) = (row.text(Column::Seed)?, row.text(Column::AskedFor)?);
            Ok(Reset { seed, asked_for, language, asked_at: row.integer(Column::AskedAt)? })
        };
        self.select_first(&RESET, "WHERE id = ? AND is_done = 0 AND asked_for IS NOT NULL", &[id.into()], read)
    }

    /// The active accounts with the localpart, or with the folded mail address; the oldest first. Not those whose password was changed
    /// since the request: a link that was mailed before may have done so, and a repeated mail must not make it good again.
    pub(crate) fn accounts_asked_for(&mut self, reset: &Reset, now: i64) -> Result<Vec<Login>, Error> {
        let column = if reset.asked_for.contains('@') { "email_folded" } else { "localpart" };
        let rest = format!("WHERE {column} = ? AND active = 1 AND NOT (changed_at > ? AND changed_at <= ?) ORDER BY id LIMIT ?");
        let values = [reset.asked_for.as_str().into(), reset.asked_at.into(), (now + CLOCK_SKEW).into(), MOST_ACCOUNTS.into()];
        self.select(&LOGIN, &rest, &values, Login::read)
    }

    /// Makes links good for [`LINK_SECONDS`] from now on, and returns when they end. Before their mail is sent, because it may be
    /// read at once; repeated with the mail. A repeated mail says the same, so the end stays while at least half of the time is left.
    pub(crate) fn open_reset_links(&mut self, links: &[ResetLink], now: i64) -> Result<i64, Error> {
        let end = self.transaction(|store| {
            let end = match store.end_of_reset_links(links)? {
                Some(end) if end - now >= LINK_SECONDS / 2 && end <= latest_end(now) => end,
                _ => now + LINK_SECONDS,
            };
            for link in links {
                let values = [end.into(), link.token_hash.as_str().into()];
                if store.execute("UPDATE reset_links SET expires_at = ? WHERE token_hash = ?", &values)? == 0 {
                    let sql = "INSERT INTO reset_links (token_hash, login_id, expires_at) VALUES (?, ?, ?)";
                    store.execute(sql, &[link.token_hash.as_str().into(), link.login_id.into(), end.into()])?;
                }
            }
            Ok(end)
        })?;
        fault::point("reset links opened");
        Ok(end)
    }

    /// When the first of these links ends that are in the database already.
    fn end_of_reset_links(&mut self, links: &[ResetLink]) -> Result<Option<i64>, Error> {
        let sql = "SELECT expires_at FROM reset_links WHERE token_hash = ?";
        let ends = links.iter().map(|link| self.first(sql, &[link.token_hash.as_str().into()], |row| row.integer()));
        Ok(ends.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().min())
    }

    /// Nothing is owed for a request any more: the mail was sent, or nobody gets one. `false`: the lease was lost.
    pub(crate) fn settle_reset(&mut self, id: i64, holder: &str) -> Result<bool, Error> {
        let sql = format!(
            "UPDATE password_resets SET is_done = 1, asked_for = NULL, {UNTRIED}, lease = NULL, lease_until = NULL WHERE id = ? AND lease = ?"
        );
        Ok(self.execute(&sql, &[id.into(), holder.into()])? == 1)
    }

    /// The account whose password a link sets, if the link is good and the account active.
    pub(crate) fn login_of_reset_link(&mut self, token_hash: &str, now: i64) -> Result<Option<Login>, Error> {
        let rest =
            "WHERE active = 1 AND id = (SELECT login_id FROM reset_links WHERE token_hash = ? AND expires_at > ? AND expires_at <= ?)";
        self.select_first(&LOGIN, rest, &[token_hash.into(), now.into(), latest_end(now).into()], Login::read)
    }

    /// Sets a new password with a link, which ends an initial password, this link and all others of the account. Wrong passwords
    /// for the old one are forgotten, as are the networks from which it came. `None`: the link is not good any more.
    pub(crate) fn set_password_by_link(&mut self, token_hash: &str, password_hash: &str, now: i64) -> Result<Option<Login>, Error> {
        self.transaction_that_may_end(|store| {
            let Some(login) = store.login_of_reset_link(token_hash, now)? else { return Ok(End::RollBack(None)) };
            // Whoever deletes the link has used it.
            if store.execute("DELETE FROM reset_links WHERE token_hash = ?", &[token_hash.into()])? != 1 {
                return Ok(End::RollBack(None));
            }
            store.end_reset_links(login.id)?;
            store.note_used_link(token_hash, login.id, now)?;
            let sql = "UPDATE logins SET password_hash = ?, changed_at = ?, initial_password_until = NULL WHERE id = ? AND active = 1";
            if store.execute(sql, &[password_hash.into(), now.into(), login.id.into()])? != 1 {
                return Ok(End::RollBack(None));
            }
            // A credentials mail that is still to be sent must not name the initial password.
            let sql = "UPDATE registrations SET password_chosen = 1 WHERE username = ? AND state = ?";
            store.execute(sql, &[login.localpart.as_str().into(), State::MailCredentials.number().into()])?;
            store.execute("DELETE FROM guesses WHERE account = ?", &[token::hash(&login.localpart).as_str().into()])?;
            store.execute("DELETE FROM familiar_networks WHERE login_id = ?", &[login.id.into()])?;
            Ok(End::Commit(Some(login)))
        })
    }

    /// One for each account: the last. Part of a transaction.
    fn note_used_link(&mut self, token_hash: &str, login: i64, now: i64) -> Result<(), Error> {
        self.execute("DELETE FROM used_reset_links WHERE login_id = ?", &[login.into()])?;
        let sql = "INSERT INTO used_reset_links (token_hash, login_id, used_at) VALUES (?, ?, ?)";
        self.execute(sql, &[token_hash.into(), login.into(), now.into()]).map(|_| ())
    }

    /// The account for which a link has set a password within the last hour.
    pub(crate) fn login_of_used_link(&mut self, token_hash: &str, now: i64) -> Result<Option<Login>, Error> {
        let rest = "WHERE active = 1 AND id = (SELECT login_id FROM used_reset_links WHERE token_hash = ? AND used_at > ?)";
        self.select_first(&LOGIN, rest, &[token_hash.into(), (now - RECOGNISED_SECONDS).into()], Login::read)
    }

    /// Ends all links of an account. Part of a transaction.
    pub(super) fn end_reset_links(&mut self, login: i64) -> Result<(), Error> {
        self.execute("DELETE FROM reset_links WHERE login_id = ?", &[login.into()]).map(|_| ())
    }

    /// For cron: deletes requests made before `before` and links that have expired or were used, and those with a time in the future.
    pub(crate) fn forget_old_resets(&mut self, before: i64, now: i64) -> Result<(), Error> {
        let sql = "DELETE FROM password_resets WHERE asked_at < ? OR asked_at > ?";
        self.execute(sql, &[before.into(), (now + LONGEST_WAIT).into()])?;
        let sql = "DELETE FROM reset_links WHERE expires_at <= ? OR expires_at > ?";
        self.execute(sql, &[now.into(), latest_end(now).into()])?;
        let sql = "DELETE FROM used_reset_links WHERE used_at <= ? OR used_at > ?";
        self.execute(sql, &[(now - RECOGNISED_SECONDS).into(), (now + CLOCK_SKEW).into()]).map(|_| ())
    }
}

/// A link that ends later was made under a wrong clock.
fn latest_end(now: i64) -> i64 {
    now + LINK_SECONDS + CLOCK_SKEW
}

//! An account that the homeserver has and MAS does not, because a try of ours was interrupted between the two. Nobody can log in to
//! it. MAS completes it when told to skip the homeserver's check, but would hand over anybody's account in the same way; so that is
//! done only for one that is proved to be ours.

use super::{Outcome, Sought, Use, Work};
use crate::domain::names;
use crate::flow::failure::Failure;
use crate::outside::log;
use crate::outside::mas::users::{self, Created, Left, NotCreated};
use crate::outside::matrix::accounts::{self as homeserver_accounts, AccountFacts};
use crate::outside::matrix::availability::display_name;
use crate::outside::matrix::{self, Homeserver, bot};
use crate::outside::store::{AccountNote, Store, WasFree};

/// Seconds by which the homeserver's clock may differ from MAS's.
const CLOCK_MARGIN_SECONDS: i64 = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Ours,
    /// Another account has the name, or the homeserver keeps the name for another reason.
    NotOurs,
    Unclear,
}

/// Completes the account, if it is proved to be half of one that an earlier try made.
pub(super) fn complete(work: &Work, store: &mut Store) -> Result<Sought, Failure> {
    let note = store.account_note(work.registration.id)?;
    match whose(work, &note)? {
        Half::Ours => take(work, store),
        Half::NotOurs => Ok(Err(Outcome::Refused("Username is reserved by the homeserver".into()))),
        Half::Unclear => Err(Failure::later(explained(work))),
    }
}

fn take(work: &Work, store: &mut Store) -> Result<Sought, Failure> {
    log::warn(
        "account_half_made",
        Some(work.registration.id),
        "an earlier try made the account in the homeserver and not in MAS; it is completed now",
    );
    match users::complete_half_made(work.session, &work.registration.username, &work.display_name()) {
        Ok(Created::Made(user)) => work.keep(store, &user, Use::None).map(Ok),
        Ok(other) => Err(Failure::later(format!("MAS does not complete {}: {other:?}", work.mxid()))),
        Err(NotCreated { cause, left }) => {
            if left == Left::Half {
                store.note_half(work.registration.id)?;
            }
            Err(cause.into())
        }
    }
}

fn whose(work: &Work, note: &AccountNote) -> Result<Half, Failure> {
    let homeserver = Homeserver::new(&work.site.config);
    let username = &work.registration.username;
    let ask = |token: &str| match homeserver_accounts::find(&homeserver, token, username)? {
        None => Ok(None),
        Some(facts) => Ok(Some((facts, homeserver_accounts::has_sessions(&homeserver, token, username)?))),
    };
    match bot::with_token(work.site, ask) {
        Ok(None) => Ok(Half::NotOurs),
        Ok(Some((facts, has_sessions))) => Ok(by_facts(&facts, has_sessions, note)),
        Err(matrix::Error::Unreachable(sentence)) => Err(matrix::Error::Unreachable(sentence).into()),
        // The bot is no administrator, as it should be.
        Err(_) => by_name(work, &homeserver, note),
    }
}

fn by_facts(facts: &AccountFacts, has_sessions: bool, note: &AccountNote) -> Half {
    let is_unused = facts.last_seen_ts.is_none() && !has_sessions;
    if facts.admin || facts.deactivated || facts.appservice_id.is_some() || !is_unused {
        return Half::NotOurs;
    }
    let Some(first_try_at) = note.first_try_at else { return Half::NotOurs };
    let after_first_try = facts.creation_ts - first_try_at;
    let is_surely_new = note.was_free == WasFree::Surely;
    match after_first_try {
        0.. => Half::Ours,
        // The clocks may differ, but the homeserver itself had none before.
        _ if after_first_try >= -CLOCK_MARGIN_SECONDS && is_surely_new => Half::Ours,
        _ if after_first_try >= -CLOCK_MARGIN_SECONDS => Half::Unclear,
        _ => Half::NotOurs,
    }
}

/// What strangers see: weaker, so it counts only if MAS itself said that it found the name free and told the homeserver to make the
/// account.
fn by_name(work: &Work, homeserver: &Homeserver, note: &AccountNote) -> Result<Half, Failure> {
    if !note.may_be_half || note.was_free == WasFree::Unknown {
        return Ok(Half::Unclear);
    }
    let own = [work.display_name(), work.registration.username.clone()];
    match display_name(homeserver, &work.registration.username) {
        Ok(Some(shown)) if own.contains(&shown) => Ok(Half::Ours),
        Err(matrix::Error::Unreachable(sentence)) => Err(matrix::Error::Unreachable(sentence).into()),
        _ => Ok(Half::Unclear),
    }
}

/// For the log, cron's words and the room.
fn explained(work: &Work) -> String {
    let username = &work.registration.username;
    format!(
        "{mxid} exists in the homeserver and not in MAS, perhaps because an earlier try was interrupted, and whether it is ours cannot be told. Either let the bot \
         see it: give access_token in [room] the scope urn:synapse:admin:* until the next try. Or look yourself, and if nobody uses it, complete it: POST \
         {{\"username\":{username:?},\"skip_homeserver_check\":true}} to {users}, and add the applicant's address to it. If it is somebody else's, end the request: cron --end {id}",
        mxid = names::mxid(username, &work.site.config.server_name),
        users = work.site.config.mas.as_ref().map_or_else(String::new, |mas| mas.admin_url.join("/api/admin/v1/users")),
        id = work.registration.id,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(creation_ts: i64) -> AccountFacts {
        AccountFacts { admin: false, deactivated: false, creation_ts, last_seen_ts: None, appservice_id: None }
    }

    fn noted(was_free: WasFree) -> AccountNote {
        AccountNote { first_try_at: Some(10_000), last_try_at: Some(20_000), was_free, ..AccountNote::default() }
    }

    #[test]
    fn an_unused_account_made_since_the_first_try_is_ours() {
        assert_eq!(by_facts(&unused(10_000), false, &noted(WasFree::Unknown)), Half::Ours);
        assert_eq!(by_facts(&unused(9_800), false, &noted(WasFree::Surely)), Half::Ours, "the clocks differ");
    }

    #[test]
    fn one_that_may_be_older_is_left_to_a_person() {
        for was_free in [WasFree::Unknown, WasFree::AsStrangersSee] {
            assert_eq!(by_facts(&unused(9_800), false, &noted(was_free)), Half::Unclear, "{was_free:?}");
        }
        assert_eq!(by_facts(&unused(1_000), false, &noted(WasFree::Surely)), Half::NotOurs);
        assert_eq!(by_facts(&unused(10_000), false, &AccountNote::default()), Half::NotOurs, "no try of ours");
    }

    #[test]
    fn one_that_is_somebodys_is_never_taken() {
        for facts in [
            AccountFacts { admin: true, ..unused(10_000) },
            AccountFacts { deactivated: true, ..unused(10_000) },
            AccountFacts { last_seen_ts: Some(1), ..unused(10_000) },
            AccountFacts { appservice_id: Some("bridge".into()), ..unused(10_000) },
        ] {
            assert_eq!(by_facts(&facts, false, &noted(WasFree::Surely)), Half::NotOurs, "{facts:?}");
        }
        assert_eq!(by_facts(&unused(10_000), true, &noted(WasFree::Surely)), Half::NotOurs, "it has a session");
    }
}

//! Whose an account is that MAS has, after a try whose answer was lost or a database that was restored.

use super::{Use, Work, wants_none};
use crate::domain::address::Address;
use crate::flow::failure::Failure;
use crate::outside::log;
use crate::outside::mas::users::User;
use crate::outside::mas::{addresses, sessions};
use crate::outside::matrix::{Homeserver, login};
use crate::outside::store::AccountNote;

/// Seconds after the look-up before a try within which that try can have made an account. MAS waits up to 150 seconds for its
/// database and the homeserver; before that we may wait for the homeserver.
const TRY_SECONDS: i64 = 300;
/// Seconds by which MAS's clock may differ from ours.
const CLOCK_MARGIN_SECONDS: i64 = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Ours(Use),
    SomebodyElses,
    /// Nothing is against it, and nothing proves it.
    Unclear,
}

/// What MAS says about an account.
#[derive(Debug, Clone, Copy)]
struct Facts {
    is_deactivated: bool,
    is_unused: bool,
    has_our_address: bool,
    has_foreign_address: bool,
    /// During one of our tries: before the last of them MAS had no such account.
    was_made_in_our_try: bool,
    was_made_after_the_request: bool,
    /// One of our tries ended without an answer.
    is_awaited: bool,
}

/// Whose account `user` is. The password is tried only if nothing else decides, because MAS counts failed logins.
pub(super) fn whose(work: &Work, user: &User, note: &AccountNote) -> Result<Whose, Failure> {
    let facts = facts(work, user, note)?;
    match by_facts(facts) {
        Whose::Ours(use_) => Ok(Whose::Ours(use_)),
        doubtful if facts.is_deactivated || wants_none(work.site, work.registration) => Ok(doubtful),
        doubtful => match login::proves(&Homeserver::new(&work.site.config), &work.registration.username, &work.password.text)? {
            true => {
                log::warn(
                    "account_found",
                    Some(work.registration.id),
                    "the account exists with the password of this request, and counts as made",
                );
                Ok(Whose::Ours(Use::WithOurPassword))
            }
            false => Ok(doubtful),
        },
    }
}

fn facts(work: &Work, user: &User, note: &AccountNote) -> Result<Facts, Failure> {
    let created_at = user.created_at.as_second();
    let addresses = addresses::of_user(work.session, &user.id)?;
    let is_ours = |address: &String| Address::parse(address).is_ok_and(|address| address.folded() == work.registration.email_folded);
    let in_a_try = |looked_at: i64| (looked_at..=looked_at + TRY_SECONDS).contains(&created_at);
    Ok(Facts {
        is_deactivated: user.is_deactivated,
        is_unused: sessions::is_unused(work.session, &user.id)?,
        has_our_address: addresses.iter().any(is_ours),
        has_foreign_address: !addresses.iter().all(is_ours),
        was_made_in_our_try: note.last_try_at.is_some_and(in_a_try),
        was_made_after_the_request: created_at + CLOCK_MARGIN_SECONDS >= work.registration.requested_at,
        is_awaited: note.first_try_at.is_some(),
    })
}

fn by_facts(facts: Facts) -> Whose {
    let Facts { is_unused, has_our_address, .. } = facts;
    if facts.is_deactivated || facts.has_foreign_address {
        return Whose::SomebodyElses;
    }
    // The address was confirmed to us, and MAS has it for this account: both are the same person's.
    if has_our_address && facts.was_made_after_the_request {
        return Whose::Ours(Use::by_owner_if(!is_unused));
    }
    match (is_unused, facts.was_made_in_our_try, facts.is_awaited) {
        (true, true, _) => Whose::Ours(Use::None),
        (true, false, true) => Whose::Unclear,
        _ => Whose::SomebodyElses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Facts = Facts {
        is_deactivated: false,
        is_unused: true,
        has_our_address: false,
        has_foreign_address: false,
        was_made_in_our_try: true,
        was_made_after_the_request: true,
        is_awaited: true,
    };

    #[test]
    fn an_account_made_in_our_try_and_never_used_is_ours() {
        assert_eq!(by_facts(FRESH), Whose::Ours(Use::None));
        assert_eq!(by_facts(Facts { has_our_address: true, ..FRESH }), Whose::Ours(Use::None));
    }

    #[test]
    fn one_thing_against_it_is_enough() {
        for facts in [
            Facts { is_deactivated: true, ..FRESH },
            Facts { has_foreign_address: true, ..FRESH },
            Facts { has_foreign_address: true, has_our_address: true, ..FRESH },
            Facts { is_unused: false, ..FRESH },
            Facts { was_made_in_our_try: false, is_awaited: false, ..FRESH },
            Facts { has_our_address: true, was_made_after_the_request: false, was_made_in_our_try: false, is_awaited: false, ..FRESH },
        ] {
            assert_eq!(by_facts(facts), Whose::SomebodyElses, "{facts:?}");
        }
        assert_eq!(by_facts(Facts { was_made_in_our_try: false, ..FRESH }), Whose::Unclear);
    }

    #[test]
    fn after_a_restored_database_the_confirmed_address_proves_whose_it_is() {
        let restored = Facts { has_our_address: true, was_made_in_our_try: false, is_awaited: false, is_unused: false, ..FRESH };
        assert_eq!(by_facts(restored), Whose::Ours(Use::ByOwner));
    }
}

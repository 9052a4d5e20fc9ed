//! Accounts in Synapse that the PHP program made, but could not complete.

use crate::flow::failure::Failure;
use crate::outside::matrix::accounts::{self as homeserver_accounts, AccountFacts};
use crate::outside::matrix::{self, Homeserver, bot};
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store};

/// Seconds by which the clocks of two machines may differ.
const CLOCK_MARGIN_SECONDS: i64 = 600;

/// Whether an existing account was most likely made by the PHP program: on SQLite its cron made and mailed accounts again and
/// again, and could not record that. Such a registration has an attempt from before the take-over.
pub(super) fn may_have_made(store: &mut Store, registration: &Registration) -> Result<bool, Failure> {
    // For a request that was approved here, the first attempt is in the second of the decision.
    let tried_before = registration.decided_at.is_none() && registration.account_tried_at == Some(registration.state_since);
    let may = tried_before && store.is_from_php(registration.id)?;
    if may {
        crate::outside::log::warn(
            "account_of_php_found",
            Some(registration.id),
            "the account exists: PHP's cron made it and mailed its password. It counts as done; if no mail reached the person, hand over a new password",
        );
    }
    Ok(may)
}

/// Sets the initial password of an account whose password is lost: the PHP program could not mail it, or it was derived from a
/// lost secret key. Does nothing for other accounts.
///
/// The PHP program took a name in use for a success. So this function first makes sure that the account belongs to this person:
/// made after the request, and never used.
pub(super) fn renew_lost_password(site: &Site, store: &mut Store, registration: &Registration, initial: &str) -> Result<(), Failure> {
    let is_lost = !registration.password_chosen
        && registration.account_tried_at.is_none()
        && (store.is_from_php(registration.id)? || store.had_another_key(registration.id)?);
    if !is_lost {
        return Ok(());
    }
    let homeserver = Homeserver::new(&site.config);
    let token = bot::access_token(site)?;
    let facts =
        homeserver_accounts::facts(&homeserver, &token, &registration.username).map_err(|cause| explained(site, registration, cause))?;
    if let Some(doubt) = doubt(&facts, registration) {
        return Err(Failure::later(format!(
            "{} {doubt}, so it may be somebody else's, and gets no new password; tell the applicant in another way",
            homeserver.mxid(&registration.username)
        )));
    }
    homeserver_accounts::set_password(&homeserver, &token, &registration.username, initial)
        .map_err(|cause| explained(site, registration, cause))?;
    // From now on the password is known: a repeated mail contains the same one, even if the person has changed it meanwhile.
    Ok(store.note_account_try(registration.id, site.now())?)
}

fn doubt(facts: &AccountFacts, registration: &Registration) -> Option<&'static str> {
    if facts.admin || facts.deactivated {
        Some("is an administrator's or deactivated")
    } else if facts.creation_ts + CLOCK_MARGIN_SECONDS < registration.requested_at {
        Some("was there before the request")
    } else if facts.last_seen_ts.is_some() {
        Some("was used already")
    } else {
        None
    }
}

fn explained(site: &Site, registration: &Registration, cause: matrix::Error) -> Failure {
    match cause {
        matrix::Error::Forbidden(sentence) => Failure::later(format!(
            "{} is made, but nobody knows its password; to let the bot set a new one, make its account {} a server administrator for a while ({sentence})",
            Homeserver::new(&site.config).mxid(&registration.username),
            site.config.room.bot_localpart,
        )),
        cause => cause.into(),
    }
}

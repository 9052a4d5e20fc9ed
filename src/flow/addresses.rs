//! Binds the confirmed address to the account at the homeserver (synapse mode), so that its owner can log in with it and reset the
//! password by mail. Only a server administrator may do that; without that right nothing else is different.

use crate::domain::back_off::Peer;
use crate::flow::failure::Failure;
use crate::outside::log;
use crate::outside::matrix::accounts::{Bound, bind_address};
use crate::outside::matrix::{self, Homeserver, bot};
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store, Told};

/// Under this name cron remembers that the bot is no server administrator.
pub(crate) const NOT_BOUND: &str = "address_not_bound";

/// Binds the address of a request whose account is made. `false`: it stays unbound, and no further try would change that.
pub(crate) fn bind(site: &Site, store: &mut Store, registration: &Registration) -> Result<bool, Failure> {
    let homeserver = Homeserver::new(&site.config);
    match bot::with_token(site, |token| bind_address(&homeserver, token, &registration.username, &registration.email)) {
        Ok(Bound::ToAccount) => {
            store.forget_told(NOT_BOUND)?;
            Ok(true)
        }
        Ok(Bound::ToAnother) => {
            log::info(
                "address_of_another",
                Some(registration.id),
                "the address belongs to another account at the homeserver, and stays there",
            );
            Ok(false)
        }
        Ok(Bound::NoAccount) => Ok(false),
        Ok(Bound::Refused(sentence)) => {
            log::info("address_refused", Some(registration.id), &sentence);
            Ok(false)
        }
        Err(matrix::Error::Forbidden(sentence)) => {
            note(site, store, &sentence)?;
            Ok(false)
        }
        Err(cause) => Err(Failure::from(cause).on_the_way(Peer::Accounts)),
    }
}

/// Says once that the right is missing.
fn note(site: &Site, store: &mut Store, sentence: &str) -> Result<(), Failure> {
    if store.told_troubles()?.iter().all(|told| told.name != NOT_BOUND) {
        let now = site.now();
        store.note_told(&Told { name: NOT_BOUND.into(), since: now, told_at: now })?;
        log::warn(NOT_BOUND, None, &format!("{} ({sentence})", missing_right(site)));
    }
    Ok(())
}

/// What the operator can do.
pub(crate) fn missing_right(site: &Site) -> String {
    let bot = match site.config.has_access_token() {
        true => "the account of access_token in [room]".to_owned(),
        false => Homeserver::new(&site.config).mxid(&site.config.room.bot_localpart),
    };
    format!(
        "confirmed addresses are not added to the accounts, because {bot} is not a server administrator; see \"The confirmed address\" in docs/accounts.md, or leave it as it is"
    )
}

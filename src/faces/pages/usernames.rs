//! Whether an applicant may have a username: asked by the form, and by the page that confirms the address.

use crate::domain::config::Config;
use crate::domain::error::Error;
use crate::domain::names::{Localpart, LocalpartFault};
use crate::domain::text_key::{Key, form::error as text};
use crate::flow::limits;
use crate::outside::matrix::Homeserver;
use crate::outside::matrix::availability::{Availability, availability};
use crate::outside::site::Site;
use crate::outside::store::Store;

/// The username that was typed, or the text key of what is wrong with it.
pub(super) fn choose(config: &Config, typed: &str) -> Result<Localpart, Key> {
    Localpart::choose(typed, &config.form, &config.server_name).map_err(|fault| match fault {
        LocalpartFault::Missing => text::USERNAME_MISSING,
        LocalpartFault::TooShort => text::USERNAME_TOO_SHORT,
        LocalpartFault::TooLong => text::USERNAME_TOO_LONG,
        LocalpartFault::Characters => text::USERNAME_CHARACTERS,
        LocalpartFault::StartsWithUnderscore => text::USERNAME_UNDERSCORE,
        LocalpartFault::OnlyDigits => text::USERNAME_DIGITS,
        LocalpartFault::Pattern => text::USERNAME_PATTERN,
        LocalpartFault::Invisible => text::INVISIBLE,
    })
}

/// Whether nobody may have a username.
pub(super) enum Kept {
    Yes,
    /// Also if the homeserver does not tell.
    No,
    /// This network has used up its checks with the homeserver. Reserved names get the same answer as all others; otherwise a
    /// network without checks could find out which names are reserved.
    NotAsked {
        seconds_to_next: i64,
    },
}

/// Whether a username is reserved, or taken according to what the homeserver tells any stranger. If the homeserver does not
/// answer, nobody is turned away; the account step finds out.
///
/// For a reserved name the homeserver is asked about the bot's name, which exists. Otherwise the response time would reveal
/// which names are reserved.
pub(super) fn is_kept_from_everybody(site: &Site, store: &mut Store, network: &str, username: &Localpart) -> Result<Kept, Error> {
    let bot = site.config.room.bot_localpart.as_str();
    let reserved = username.is_reserved(&site.config.form, bot);
    if let Some(seconds_to_next) = limits::count_name_check(site, store, network)? {
        return Ok(Kept::NotAsked { seconds_to_next });
    }
    let asked = if reserved { bot } else { username.as_str() };
    let taken = availability(&Homeserver::new(&site.config), asked) == Ok(Availability::Taken);
    Ok(if taken || reserved { Kept::Yes } else { Kept::No })
}

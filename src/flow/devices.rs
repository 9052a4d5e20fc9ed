//! Logging out the devices of an account, which a new password does not do by itself.

use crate::outside::matrix::{Error, Homeserver, bot, sessions};
use crate::outside::site::Site;

/// Logs out all devices of an account but the one with the id `keep`. The bot has to be a server administrator.
pub(crate) fn log_out(site: &Site, localpart: &str, keep: Option<&str>) -> Result<(), Error> {
    bot::with_token(site, |token| sessions::end_others(&Homeserver::new(&site.config), token, localpart, keep))
}

//! Reminds the owner of an account, by mail, that the initial password ends soon (local mode): at a login the client can only say
//! that a password is wrong.

use crate::domain::address::{self, Address};
use crate::domain::names;
use crate::domain::seconds::DAY;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::flow::letters::{self, Envelope};
use crate::outside::page::MailName;
use crate::outside::site::Site;
use crate::outside::store::{Registration, Store};
use serde_json::json;

/// How long before its end the owner is reminded, in seconds; half of its time if that is shorter.
const BEFORE_THE_END: i64 = 2 * DAY;

/// Seconds from the credentials mail to the reminder; `None` if initial passwords do not end.
pub(crate) fn delay(site: &Site) -> Option<i64> {
    let times = &site.config.times;
    let full = times.initial_password_days.0 as i64 * DAY;
    // The request, and the reminder with it, is deleted by then.
    let forgotten = times.forget_after_days.0 as i64 * DAY;
    let ends = site.config.operation_mode.has_own_passwords() && full > 0;
    ends.then(|| (full - BEFORE_THE_END).max(full / 2).min(forgotten - DAY / 2))
}

/// Reminds once. `false`: there is nothing to remind of, because the password was changed or never ends.
pub(crate) fn remind(site: &Site, store: &mut Store, registration: &Registration) -> Result<bool, Failure> {
    let Some(login) = store.login(&registration.username)?.filter(|login| login.active) else { return Ok(false) };
    let Some(until) = login.initial_password_until else { return Ok(false) };
    if Address::parse(&login.email).is_err() {
        return Ok(false);
    }
    let context = json!({
        "name": registration.full_name(),
        "mxid": names::mxid(&login.localpart, &site.config.server_name),
        "until": until,
        "is_over": until <= site.now(),
    });
    let envelope = Envelope {
        name: MailName::PasswordEnds,
        // The operator may have changed it since the request.
        to: &login.email,
        to_folded: &address::folded(&login.email),
        language: registration.language,
        seed: &registration.seed,
        registration: Some(registration.id),
    };
    letters::send(site, store, &keys::of(site, registration)?, &envelope, &context)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::{Config, OperationMode};

    fn delay_with(mode: &str, days: u64) -> Option<i64> {
        let sample =
            include_str!("../../config.sample.toml").replace("# initial_password_days = 7", &format!("initial_password_days = {days}"));
        let mut config = Config::parse(&sample, std::path::PathBuf::new()).unwrap();
        config.operation_mode = OperationMode::from_name(mode).unwrap();
        delay(&Site::new(config, || 0))
    }

    #[test]
    fn the_reminder_comes_two_days_before_the_end_or_after_half_of_a_short_time() {
        let days = [0, 1, 2, 3, 4, 7, 30].map(|days| delay_with("local", days));
        assert_eq!(days, [None, Some(DAY / 2), Some(DAY), Some(DAY * 3 / 2), Some(2 * DAY), Some(5 * DAY), Some(28 * DAY)]);
        assert_eq!(delay_with("local", 60), Some(30 * DAY - DAY / 2), "before the request is forgotten after 30 days");
        assert_eq!(delay_with("synapse", 7), None);
    }
}

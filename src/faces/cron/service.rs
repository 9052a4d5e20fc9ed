//! The application service: its registration file for the homeserver, and whether it works.

use super::word::Trouble;
use crate::domain::error::Error;
use crate::domain::seconds::DAY;
use crate::outside::matrix::{self, Homeserver, service, sessions};
use crate::outside::site::Site;

/// `cron --print-appservice`: the registration file. The tokens are made at the first call and stay.
///
/// The namespaces are empty: the homeserver tells us of rooms where the bot is, and of no others. JSON strings are valid YAML.
pub fn registration(site: &Site) -> Result<String, Error> {
    let tokens = site.state.make_service()?;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    Ok(format!(
        "id: {}\nurl: {}\nas_token: {}\nhs_token: {}\nsender_localpart: {}\nrate_limited: false\n\
         namespaces:\n  users: []\n  aliases: []\n  rooms: []\n",
        quoted(service::ID),
        quoted(&site.config.internal.url.join("/internal/room_events")),
        quoted(&tokens.as_token),
        quoted(&tokens.hs_token),
        quoted(&localpart(site)?),
    ))
}

/// Whose rooms the homeserver tells us of: those of whoever owns the operator's token, or those of `bot_localpart`.
fn localpart(site: &Site) -> Result<String, Error> {
    let configured = || site.config.room.bot_localpart.clone();
    let Some(token) = site.config.access_token()? else { return Ok(configured()) };
    let owner = sessions::whoami(&Homeserver::new(&site.config), &token).ok().and_then(Result::ok);
    let localpart = owner.and_then(|owner| Some(owner.user_id.strip_prefix('@')?.split_once(':')?.0.to_owned()));
    Ok(localpart.unwrap_or_else(configured))
}

/// Has the homeserver call us, if there is a service. Returns what is wrong.
pub fn check(site: &Site) -> Result<Option<Trouble>, Error> {
    let what = match hindrance(site)? {
        // The rest of cron says so where it matters.
        None | Some(matrix::Error::Unreachable(_) | matrix::Error::Limited { .. }) => return Ok(None),
        Some(cause) => sentence(&cause),
    };
    Ok(Some(Trouble { name: "application_service".into(), since: None, what, again_after: DAY }))
}

/// The same for somebody who waits for the answer: no answer is trouble as well.
pub fn trouble(site: &Site) -> Result<Option<String>, Error> {
    Ok(hindrance(site)?.map(|cause| match &cause {
        matrix::Error::Unreachable(_) => format!("{}; does it reach internal.url of config.toml?", sentence(&cause)),
        _ => sentence(&cause),
    }))
}

/// Why the homeserver does not call us; `None`: it does, or there is no service.
fn hindrance(site: &Site) -> Result<Option<matrix::Error>, Error> {
    let Some(tokens) = site.state.service()? else { return Ok(None) };
    Ok(service::ping(&Homeserver::new(&site.config), &tokens.as_token).err())
}

fn sentence(cause: &matrix::Error) -> String {
    let why = match cause {
        matrix::Error::UnknownToken { .. } => {
            "the homeserver does not know the service of cron --print-appservice: name its file in app_service_config_files, restart the homeserver, and see docs/room.md; \
             to do without, take \"service\" out of config.json"
                .into()
        }
        cause => cause.to_string(),
    };
    format!(
        "the homeserver does not tell us at once of reactions and words in the room, so that they count only at the next run of cron: {why}"
    )
}

//! The application service that the bot is to the homeserver (Application Service API).

use super::{Call, Error, Homeserver, Refusal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The id in the registration file.
pub const ID: &str = "matrix-register-bot";

/// Time limit for a ping, in which the homeserver calls us.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Ping {
    transaction_id: &'static str,
}

#[derive(Deserialize)]
struct Pong {}

/// Asks the homeserver to call us, which shows that both sides are set up, and wakes up pushes that wait
/// (<https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv1appserviceappserviceidping>).
///
/// [`Error::UnknownToken`]: the homeserver has not read the registration file. [`Error::Misconfigured`] says what is wrong
/// otherwise.
pub fn ping(homeserver: &Homeserver, as_token: &str) -> Result<(), Error> {
    let path = format!("/_matrix/client/v1/appservice/{ID}/ping");
    let call = Call::post(&path, &Ping { transaction_id: "cron" })?;
    match homeserver.ask::<Pong>(&call.token(as_token).patience(PATIENCE))? {
        Ok(Pong {}) => Ok(()),
        Err(refusal) if refusal.is(502, "M_BAD_STATUS") => Err(Error::Misconfigured(
            refusal.sentence("403: the file that the homeserver read has another hs_token than config.json, or the web server does not pass on the header Authorization; 404: the web server has no line for internal/room_events"),
        )),
        Err(refusal) if refusal.is(502, "M_CONNECTION_FAILED") => {
            Err(Error::Misconfigured(refusal.sentence("the homeserver does not reach internal.url of config.toml, which is in its registration file")))
        }
        Err(refusal) => Err(Refusal::unexpected(refusal)),
    }
}

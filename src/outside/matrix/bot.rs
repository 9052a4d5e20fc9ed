//! The bot's own account, and what it says in the room.
//!
//! Whose token it speaks with:
//! 1. the operator's, if `[room]` has an `access_token`;
//! 2. else the one in `config.json`, from an earlier login;
//! 3. else it logs in as `bot_localpart` with the password in `config.json`. If that is refused and there is a shared
//!    secret, it makes the account first. The token is kept before it is used.
//!
//! A token of `config.json` that has ended is replaced in the same way, once. The device id is always the same, so a
//! message that was sent before with the same transaction id is not sent twice (contract synapse 4, 5).
//!
//! Programs that find no token at the same time log in one after the other, under the lock of the state file; the
//! second finds the token of the first. Logins are few: Synapse takes about 5 in a row.

use super::register::{self, NewAccount, Registered};
use super::room::{self, RoomMessage};
use super::{Error, Homeserver, PATIENCE, login};
use crate::outside::site::Site;
use crate::outside::state_file::State;

/// The device of the bot's logins. Another one would end what transaction ids promise.
pub const DEVICE_ID: &str = "REGISTERBOT";
/// How an account that the bot made for itself is called.
pub const DISPLAY_NAME: &str = "Registration bot";

/// Seconds after which [`say`] has come to an end, if every single request of a first message (alias, message, login,
/// account, join, ...) is answered just in time; usually it takes a fraction of one. Waiting for another program's
/// login comes on top.
pub const LONGEST_SECONDS: u64 = 12 * PATIENCE.as_secs();

/// Says something in the room of `[room]`; the same `txn_id` again says it once.
///
/// [`Error::Limited`] says when to try again. [`Error::Forbidden`] and [`Error::Misconfigured`] name what the operator
/// has to do: an invitation, a key, a password.
pub fn say(site: &Site, message: &RoomMessage, txn_id: &str) -> Result<(), Error> {
    let bot = Bot { site, homeserver: Homeserver::new(&site.config) };
    match site.config.access_token()? {
        Some(token) => bot.speak(&token, message, txn_id).map_err(|cause| match cause {
            Error::UnknownToken { .. } => Error::Misconfigured(
                "the homeserver does not know access_token (or access_token_file) of [room]; give it another one, or take it out to let the bot log in by itself"
                    .into(),
            ),
            other => other,
        }),
        None => bot.say_as_itself(message, txn_id),
    }
}

/// The token with which the bot speaks: the operator's, or its own.
pub fn access_token(site: &Site) -> Result<String, Error> {
    if let Some(token) = site.config.access_token()? {
        return Ok(token);
    }
    match site.state.complete()?.access_token {
        Some(token) => Ok(token),
        None => Bot { site, homeserver: Homeserver::new(&site.config) }.log_in(None),
    }
}

struct Bot<'a> {
    site: &'a Site,
    homeserver: Homeserver,
}

impl Bot<'_> {
    fn say_as_itself(&self, message: &RoomMessage, txn_id: &str) -> Result<(), Error> {
        // with the password on the disk: an account is never made with one that a crash could take away
        let state = self.site.state.complete()?;
        let token = match state.access_token {
            Some(token) => token,
            None => self.log_in(None)?,
        };
        match self.speak(&token, message, txn_id) {
            Err(Error::UnknownToken { .. }) => self.speak(&self.log_in(Some(&token))?, message, txn_id),
            outcome => outcome,
        }
    }

    /// A token other than `ended`: from another program that was faster, or by a login.
    fn log_in(&self, ended: Option<&str>) -> Result<String, Error> {
        let mut outcome = Ok(());
        let state = self.site.state.update(|state| outcome = self.renew_token(state, ended))?;
        outcome?;
        state.access_token.ok_or_else(|| Error::Unexpected("the login brought no access token".into()))
    }

    /// Runs under the lock of the state file. After a failure the ended token is gone from the state.
    fn renew_token(&self, state: &mut State, ended: Option<&str>) -> Result<(), Error> {
        if state.access_token.is_some() && state.access_token.as_deref() != ended {
            return Ok(());
        }
        state.access_token = None;
        let password = state.register_password.as_deref().unwrap_or_default();
        let token = match self.log_in_with(password) {
            Err(Error::Forbidden(sentence)) => self.make_account(password, &sentence).and_then(|()| self.log_in_with(password)),
            outcome => outcome,
        };
        state.access_token = Some(token?);
        Ok(())
    }

    fn log_in_with(&self, password: &str) -> Result<String, Error> {
        let login = login::login(&self.homeserver, self.localpart(), password, DEVICE_ID, DISPLAY_NAME)?;
        crate::outside::log::info("bot_logged_in", None, &format!("as {}", self.mxid()));
        Ok(login.access_token)
    }

    /// `refused` is what the login said.
    fn make_account(&self, password: &str, refused: &str) -> Result<(), Error> {
        let bot = self.mxid();
        let Some(shared_secret) = self.site.config.registration_shared_secret()? else {
            return Err(Error::Misconfigured(format!(
                "{bot} cannot log in ({refused}); make that account with the register_password of config.json, or set access_token in [room], or registration_shared_secret to let the bot make it"
            )));
        };
        let account = NewAccount { localpart: self.localpart(), password, display_name: Some(DISPLAY_NAME) };
        match register::register(&self.homeserver, &shared_secret, &account)? {
            Registered::Made => {
                crate::outside::log::info("bot_account_made", None, &bot);
                Ok(())
            }
            Registered::NameInUse { .. } => Err(Error::Misconfigured(format!(
                "{bot} exists, but not with the register_password of config.json ({refused}); set access_token in [room] to one of that account, or reset its password to the register_password, or choose another bot_localpart in [room]"
            ))),
            Registered::NameRefused { errcode, error } => Err(Error::Misconfigured(format!(
                "the homeserver does not give the name {bot} ({errcode}: {error}); choose another bot_localpart in [room]"
            ))),
        }
    }

    /// Sends; if that is refused, joins and sends again.
    fn speak(&self, token: &str, message: &RoomMessage, txn_id: &str) -> Result<(), Error> {
        let room_id = self.room_id()?;
        let send = || room::send_message(&self.homeserver, token, &room_id, txn_id, message).map(|_| ());
        match send() {
            Err(Error::Forbidden(_)) => {
                self.join(token)?;
                send().map_err(|cause| match cause {
                    Error::Forbidden(sentence) => {
                        Error::Forbidden(format!("{sentence}; let the bot's account send messages in the room (its power level there)"))
                    }
                    other => other,
                })
            }
            outcome => outcome,
        }
    }

    fn room_id(&self) -> Result<String, Error> {
        let room = &self.site.config.room.id;
        if room.is_alias() { room::resolve_alias(&self.homeserver, &room.0) } else { Ok(room.0.clone()) }
    }

    fn join(&self, token: &str) -> Result<(), Error> {
        let room = &self.site.config.room.id.0;
        room::join(&self.homeserver, token, room).map_err(|cause| match cause {
            Error::Forbidden(sentence) => {
                Error::Forbidden(format!("the bot is not in the room: invite {} to {room} ({sentence})", self.mxid()))
            }
            other => other,
        })
    }

    fn localpart(&self) -> &str {
        &self.site.config.room.bot_localpart
    }

    fn mxid(&self) -> String {
        self.homeserver.mxid(self.localpart())
    }
}

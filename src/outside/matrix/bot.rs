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
//! Where it speaks: in the room of `[room]`. Where that was upgraded (`m.room.tombstone`), in the room that replaced it, as
//! soon as the bot is let in there; until then nothing is said, as nobody reads the old one.
//!
//! Programs that find no token at the same time log in one after the other, under the lock of the state file; the
//! second finds the token of the first. Logins are few: Synapse takes about 5 in a row.

use super::register::{self, NewAccount, Registered};
use super::room::{self, Removal, RoomMessage};
use super::{Error, Homeserver, PATIENCE, login, sessions};
use crate::outside::site::Site;
use crate::outside::state_file::State;

/// The device of the bot's logins. Another one would end what transaction ids promise.
pub const DEVICE_ID: &str = "REGISTERBOT";
/// How an account that the bot made for itself is called.
pub const DISPLAY_NAME: &str = "Registration bot";

/// How often the room of `[room]` may have been upgraded before somebody has to change the configuration.
const MOST_UPGRADES: u64 = 5;

/// Seconds after which [`say`] has come to an end, if every single request of a first message (alias, tombstone, login,
/// account, join, message, ...) is answered just in time; usually it takes a fraction of one. Waiting for another
/// program's login comes on top.
pub const LONGEST_SECONDS: u64 = (18 + 3 * MOST_UPGRADES) * PATIENCE.as_secs();

/// Seconds after which a homeserver that falls silent has been given up: at its first answer, or at the next one.
pub const SILENCE_SECONDS: u64 = 2 * PATIENCE.as_secs();

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
        // A bot need not accept the terms of a homeserver. One other than Synapse may know no kinds of accounts.
        let account = NewAccount { localpart: self.localpart(), password, display_name: Some(DISPLAY_NAME), is_bot: true };
        let registered = match register::register(&self.homeserver, &shared_secret, &account) {
            Err(Error::Misconfigured(_)) => register::register(&self.homeserver, &shared_secret, &NewAccount { is_bot: false, ..account }),
            outcome => outcome,
        };
        match registered? {
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

    /// Sends to the room of `[room]`, or to the one that replaced it.
    fn speak(&self, token: &str, message: &RoomMessage, txn_id: &str) -> Result<(), Error> {
        let room_id = self.living_room(token)?;
        let send = || room::send_message(&self.homeserver, token, &room_id, txn_id, message).map(|_| ());
        match send() {
            Err(Error::Forbidden(_)) => {
                self.join(token, &room_id)?;
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

    /// The room at the end of all upgrades. A message to an upgraded room would be accepted where the bot has the power for it,
    /// and nobody would read it.
    fn living_room(&self, token: &str) -> Result<String, Error> {
        let configured = self.room_id()?;
        let Some(mut room_id) = self.replacement(token, &configured, &self.site.config.room.id.0)? else { return Ok(configured) };
        for _ in 1..MOST_UPGRADES {
            let Some(next) = self.successor(token, &configured, &room_id)? else {
                crate::outside::log::warn(
                    "room_replaced",
                    None,
                    &format!("{configured} was upgraded, requests go to the room that replaced it: set id = \"{room_id}\" in [room]"),
                );
                return Ok(room_id);
            };
            room_id = next;
        }
        Err(Error::Misconfigured(format!(
            "{configured} was replaced by another room, and that one again, more than {MOST_UPGRADES} times or in a circle; set id in [room] to the room where requests are to be decided"
        )))
    }

    /// Looks for the tombstone in a room that stands at the end of other tombstones.
    fn successor(&self, token: &str, configured: &str, room_id: &str) -> Result<Option<String>, Error> {
        self.replacement(token, room_id, room_id).map_err(|cause| match cause {
            Error::Forbidden(sentence) => Error::Forbidden(format!(
                "{configured} was upgraded and replaced by {room_id}: set id = {room_id:?} in [room], and let the bot in there ({sentence})"
            )),
            other => other,
        })
    }

    /// The room that replaced this one; the bot joins where only members may see that. `name`: the room's id or alias.
    fn replacement(&self, token: &str, room_id: &str, name: &str) -> Result<Option<String>, Error> {
        match room::replacement(&self.homeserver, token, room_id) {
            Err(Error::Forbidden(_)) => {
                self.join(token, name)?;
                room::replacement(&self.homeserver, token, room_id)
            }
            outcome => outcome,
        }
    }

    fn room_id(&self) -> Result<String, Error> {
        let room = &self.site.config.room.id;
        if room.is_alias() { room::resolve_alias(&self.homeserver, &room.0) } else { Ok(room.0.clone()) }
    }

    /// Joins, or says why not and who can help.
    fn join(&self, token: &str, room: &str) -> Result<(), Error> {
        room::join(&self.homeserver, token, room).map_err(|cause| match cause {
            Error::Forbidden(sentence) => {
                let bot = self.owner(token);
                let removed = match room::removal(&self.homeserver, token, room, &bot) {
                    Ok(Some(Removal { by, reason: None })) => format!("{by} removed it, without giving a reason; "),
                    Ok(Some(Removal { by, reason: Some(reason) })) => format!("{by} removed it, reason {reason:?}; "),
                    _ => String::new(),
                };
                Error::Forbidden(format!("the bot is not in the room: {removed}invite {bot} to {room} ({sentence})"))
            }
            other => other,
        })
    }

    /// Whose token it is; the operator's may be of another account than `bot_localpart`.
    fn owner(&self, token: &str) -> String {
        match sessions::whoami(&self.homeserver, token) {
            Ok(Ok(whoami)) => super::line(&whoami.user_id),
            _ => self.mxid(),
        }
    }

    fn localpart(&self) -> &str {
        &self.site.config.room.bot_localpart
    }

    fn mxid(&self) -> String {
        self.homeserver.mxid(self.localpart())
    }
}

//! The bot's own account, and its messages to the room.
//!
//! The bot uses the first token that is available:
//! 1. the operator's, if `[room]` has an `access_token`;
//! 2. the one of the application service, if the homeserver has read its registration file (`cron --print-appservice`);
//! 3. the one in `config.json` from an earlier login;
//! 4. a new one, by logging in as `bot_localpart` with the password in `config.json`. If that is refused and there is a shared
//!    secret or a registration token, the bot creates the account first. The token is stored before it is used.
//!
//! A token in `config.json` that has ended is replaced once, in the same way. The device id is always the same, so a message
//! that was already sent with the same transaction id is not sent twice (Client-Server API, "Transaction identifiers").
//!
//! Messages go to the room of `[room]`. If it was upgraded (`m.room.tombstone`), they go to its replacement as soon as the bot
//! can join that. Until then nothing is sent, because nobody reads the old room.
//!
//! Programs that find no token at the same time log in one after the other, under the lock of the state file; the second finds
//! the token of the first. Logins must be rare: Synapse accepts about 5 in a row.

use super::own_password::{self, Changed};
use super::register::{self, NewAccount, Registered};
use super::room::{self, EventId, Relation, Removal, RoomMessage};
use super::room_report::{self, RoomReport};
use super::sessions::Whoami;
use super::token_registration::{self, Answered, Begun, Means};
use super::{Error, Homeserver, PATIENCE, login, relations, sessions};
use crate::domain::config::OperationMode;
use crate::outside::site::Site;
use crate::outside::state_file::State;
use crate::outside::store::RoomEvent;

/// The device of the bot's logins. With another device, transaction ids would not prevent repeated messages.
pub const DEVICE_ID: &str = "REGISTERBOT";
/// The display name of an account that the bot creates.
pub const DISPLAY_NAME: &str = "Registration bot";

/// How many upgrades of the room of `[room]` are followed before the configuration has to be changed.
const MOST_UPGRADES: u64 = 5;

/// The longest time that [`say`] takes, in seconds, if every single request of a first message (alias, tombstone, login,
/// account, join, message, ...) is answered just in time; usually it takes a fraction of a second. Waiting for another
/// program's login is not included.
pub(crate) const LONGEST_SECONDS: u64 = (18 + 3 * MOST_UPGRADES) * PATIENCE.as_secs();

/// The longest time to detect that a homeserver stays silent, in seconds: at its first answer, or at the next one.
pub(crate) const SILENCE_SECONDS: u64 = 2 * PATIENCE.as_secs();

/// The result of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    Yes,
    /// The message is in a room that is not that of `[room]` any more, and the bot cannot write there.
    RoomLeft,
}

/// Posts a message to the room of `[room]`; repetitions with the same `txn_id` post it once.
///
/// [`Error::Limited`] says when to try again. [`Error::Forbidden`] and [`Error::Misconfigured`] say what the operator has to
/// do: an invitation, a key, a password.
pub fn say(site: &Site, message: &RoomMessage, txn_id: &str) -> Result<RoomEvent, Error> {
    as_bot(site, |bot, token| bot.speak(token, message, None, txn_id))
}

/// The same in the thread under an earlier message, unless that is in a room that was left since.
pub fn say_under(site: &Site, root: &RoomEvent, message: &RoomMessage, txn_id: &str) -> Result<RoomEvent, Error> {
    as_bot(site, |bot, token| bot.speak(token, message, Some(root), txn_id))
}

/// Replaces the text of a message that the bot posted; repetitions with the same `txn_id` do so once. The errors are those of
/// [`say`].
pub fn edit(site: &Site, posted: &RoomEvent, message: &RoomMessage, txn_id: &str) -> Result<Edited, Error> {
    as_bot(site, |bot, token| bot.edit(token, posted, message, txn_id))
}

/// Reacts to a message; once, however often it is tried.
pub fn react(site: &Site, to: &RoomEvent, key: &str, txn_id: &str) -> Result<(), Error> {
    as_bot(site, |bot, token| room::react(&bot.homeserver, token, &to.room_id, &to.event_id, key, txn_id))
}

/// Takes back the bot's own reactions with these keys. `txn_id` makes a transaction id for the redaction of an event.
pub fn take_back_reactions(site: &Site, from: &RoomEvent, keys: &[&str], txn_id: &impl Fn(&str) -> String) -> Result<(), Error> {
    as_bot(site, |bot, token| {
        let own = own_accounts(site, &bot.homeserver, token)?;
        for reaction in relations::reactions(&bot.homeserver, token, from)? {
            if own.contains(&reaction.sender) && keys.contains(&reaction.key.as_str()) {
                room::redact(&bot.homeserver, token, &from.room_id, &reaction.event_id, &txn_id(&reaction.event_id))?;
            }
        }
        Ok(())
    })
}

/// Redacts a message that the bot posted: its edits first, because a homeserver does not list them once the message is redacted.
/// `txn_id` gives the transaction id for an event. In a room that is not that of `[room]` any more, and where the bot cannot do
/// this, the message stays.
pub fn redact(site: &Site, posted: &RoomEvent, txn_id: &impl Fn(&str) -> String) -> Result<(), Error> {
    as_bot(site, |bot, token| bot.redact(token, posted, txn_id))
}

/// About an operator's token behind matrix-authentication-service.
pub fn no_device() -> String {
    format!(
        "access_token in [room] has no device, so the homeserver would refuse every message: make another personal session in MAS, with the scope \"urn:matrix:client:api:* urn:matrix:client:device:{DEVICE_ID}\""
    )
}

fn as_bot<T>(site: &Site, act: impl Fn(&Bot, &str) -> Result<T, Error>) -> Result<T, Error> {
    let bot = Bot { site, homeserver: Homeserver::new(&site.config) };
    match site.config.access_token()? {
        Some(token) => act(&bot, &token).map_err(|cause| match cause {
            Error::UnknownToken { .. } => Error::Misconfigured(
                "the homeserver does not know access_token (or access_token_file) of [room]; give it another one, or take it out to let the bot log in by itself"
                    .into(),
            ),
            other => other,
        }),
        None => {
            let bot = Bot { homeserver: speaker(site)?, ..bot };
            let act = |token: &str| act(&bot, token);
            bot.as_service(act).unwrap_or_else(|| bot.as_itself(act))
        }
    }
}

/// The bot's access token: the operator's, one from an earlier login, the application service's, or one from a new login.
pub fn access_token(site: &Site) -> Result<String, Error> {
    if let Some(token) = site.config.access_token()? {
        return Ok(token);
    }
    match (site.state.complete()?.access_token, site.state.service()?) {
        (Some(token), _) => Ok(token),
        (None, Some(service)) => Ok(service.as_token),
        (None, None) => Bot { site, homeserver: Homeserver::new(&site.config) }.log_in(None),
    }
}

/// Does something with the bot's access token; if the homeserver does not know the bot's own token any more, once more with a
/// new one.
pub fn with_token<T>(site: &Site, act: impl Fn(&str) -> Result<T, Error>) -> Result<T, Error> {
    if let Some(token) = site.config.access_token()? {
        return act(&token);
    }
    let bot = Bot { site, homeserver: Homeserver::new(&site.config) };
    bot.as_service(&act).unwrap_or_else(|| bot.as_itself(act))
}

/// Which secrets of the bot are new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Why the password is the old one, if it is.
    pub password_stays: Option<String>,
}

/// Gives the bot's own account another password, where the homeserver allows that, and another access token; its other sessions end. The
/// password is in `config.json` before the homeserver hears of it, so that this can be repeated after a crash.
pub fn renew_secrets(site: &Site) -> Result<Renewed, Error> {
    if site.config.has_access_token() {
        return Err(Error::Misconfigured(
            "the bot uses access_token (or access_token_file) of [room], which is yours: log its session out, log in anew with the device REGISTERBOT, and write the new token there"
                .into(),
        ));
    }
    let bot = Bot { site, homeserver: Homeserver::new(&site.config) };
    if bot.is_behind_mas() {
        return Err(Error::Misconfigured(
            "with operation_mode = \"mas\" the bot has no password: end its personal session in MAS, and write the token of a new one into access_token_file of [room]"
                .into(),
        ));
    }
    // An own session, whatever the application service may do.
    bot.as_itself(|token| sessions::whoami(&bot.homeserver, token).map(drop))?;
    let mut outcome = Ok(Renewed { password_stays: None });
    site.state.update(|state| {
        if state.next_register_password.is_none() {
            state.next_register_password = Some(crate::outside::state_file::new_key());
        }
    })?;
    crate::outside::fault::point("next password kept");
    site.state.update(|state| outcome = bot.renew_all(state))?;
    outcome
}

/// The homeserver for events of the bot, whose transaction ids must hold whichever token is used.
fn speaker(site: &Site) -> Result<Homeserver, Error> {
    let homeserver = Homeserver::new(&site.config);
    Ok(match site.state.service()? {
        // Behind matrix-authentication-service, Synapse answers requests of a service's device with an internal error (observed with
        // Synapse 1.163).
        Some(_) if site.config.operation_mode == OperationMode::Mas => homeserver,
        Some(service) => homeserver.with_device(&service.as_token, &site.config.room.bot_localpart, DEVICE_ID, DISPLAY_NAME),
        None => homeserver,
    })
}

/// The room where requests are decided now: that of `[room]`, or the one that replaced it.
pub fn living_room(site: &Site, token: &str) -> Result<String, Error> {
    Bot { site, homeserver: Homeserver::new(&site.config) }.living_room(token)
}

/// What the room where requests are decided is like. Accepts an invitation, as the first message would.
pub fn look_at_room(site: &Site) -> Result<RoomReport, Error> {
    with_token(site, |token| {
        let bot = Bot { site, homeserver: Homeserver::new(&site.config) };
        let (room_id, own) = (bot.living_room(token)?, own_accounts(site, &bot.homeserver, token)?);
        match room_report::report(&bot.homeserver, token, &room_id, &own) {
            Err(Error::Forbidden(_)) => {
                bot.join(token, &room_id)?;
                room_report::report(&bot.homeserver, token, &room_id, &own)
            }
            outcome => outcome,
        }
    })
}

/// The user ids under which the bot acts: of `bot_localpart`, and of whoever owns the operator's token.
pub fn own_accounts(site: &Site, homeserver: &Homeserver, access_token: &str) -> Result<Vec<String>, Error> {
    let mut own = vec![homeserver.mxid(&site.config.room.bot_localpart)];
    if site.config.access_token()?.is_some() {
        // Without an answer the bot's own reactions would count as somebody's.
        let owner = sessions::whoami(homeserver, access_token)?;
        own.push(
            owner
                .map_err(|refused| Error::Unexpected(format!("whoami: {} {}: {}", refused.status, refused.errcode, refused.error)))?
                .user_id,
        );
    }
    Ok(own)
}

struct Bot<'a> {
    site: &'a Site,
    homeserver: Homeserver,
}

impl Bot<'_> {
    /// Acts with the token of the application service. `None`: there is none, or the homeserver has not read its file yet.
    fn as_service<T>(&self, act: impl Fn(&str) -> Result<T, Error>) -> Option<Result<T, Error>> {
        match self.site.state.service().map(|service| service.map(|service| act(&service.as_token))) {
            Ok(None | Some(Err(Error::UnknownToken { .. }))) => None,
            Ok(Some(outcome)) => Some(outcome),
            Err(cause) => Some(Err(cause.into())),
        }
    }

    /// Acts with the token of a login; once more with a new one if it has ended.
    fn as_itself<T>(&self, act: impl Fn(&str) -> Result<T, Error>) -> Result<T, Error> {
        // The password must be on disk, so that no account is made with one that a crash could lose.
        let token = match self.site.state.complete()?.access_token {
            Some(token) => token,
            None => self.log_in(None)?,
        };
        match act(&token) {
            Err(Error::UnknownToken { .. }) => act(&self.log_in(Some(&token))?),
            outcome => outcome,
        }
    }

    /// A token other than `ended`: from another program that was faster, or from a new login.
    fn log_in(&self, ended: Option<&str>) -> Result<String, Error> {
        if self.is_behind_mas() {
            return Err(Error::Misconfigured(format!(
                "{} has no token: with operation_mode = \"mas\" it does not log in with a password; set access_token_file in [room] to the token of a personal session in MAS, or let the homeserver read the file of cron --print-appservice",
                self.mxid()
            )));
        }
        let mut outcome = Ok(());
        let state = self.site.state.update(|state| outcome = self.renew_token(state, ended))?;
        outcome?;
        state.access_token.ok_or_else(|| Error::Unexpected("the login brought no access token".into()))
    }

    /// Runs under the lock of the state file. After a failure the ended token is removed from the state.
    fn renew_token(&self, state: &mut State, ended: Option<&str>) -> Result<(), Error> {
        if state.access_token.is_some() && state.access_token.as_deref() != ended {
            return Ok(());
        }
        state.access_token = None;
        let password = state.register_password.clone().unwrap_or_default();
        let token = match self.log_in_with(&password) {
            Err(Error::Forbidden(sentence)) => match self.log_in_with_next(state)? {
                Some(token) => Ok(token),
                None => self.make_account(&password, &sentence).and_then(|()| self.log_in_with(&password)),
            },
            outcome => outcome,
        };
        state.access_token = Some(token?);
        Ok(())
    }

    /// A program may have died after it had given the account the next password. `None`: there is none, or it is not the account's.
    fn log_in_with_next(&self, state: &mut State) -> Result<Option<String>, Error> {
        let Some(next) = state.next_register_password.clone() else { return Ok(None) };
        match self.log_in_with(&next) {
            Ok(token) => {
                (state.register_password, state.next_register_password) = (Some(next), None);
                Ok(Some(token))
            }
            Err(Error::Forbidden(_)) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// A new session first: a change of the password ends all sessions but the one that asks for it, also an earlier one on the same device,
    /// which a login does not end (observed with Synapse 1.163). Runs under the lock of the state file.
    fn renew_all(&self, state: &mut State) -> Result<Renewed, Error> {
        let former = state.access_token.clone();
        let token = match self.log_in_with(state.register_password.as_deref().unwrap_or_default()) {
            Err(Error::Forbidden(sentence)) => self.log_in_with_next(state)?.ok_or(Error::Forbidden(sentence))?,
            outcome => outcome?,
        };
        state.access_token = Some(token.clone());
        let old = state.register_password.clone().unwrap_or_default();
        // An earlier start gave the account its next password, and ended the former session with that.
        let Some(next) = state.next_register_password.clone() else { return Ok(Renewed { password_stays: None }) };
        let changed = own_password::change(&self.homeserver, &token, self.localpart(), (&old, &next))?;
        crate::outside::fault::point("bot has next password");
        state.next_register_password = None;
        match changed {
            Changed::Yes => {
                state.register_password = Some(next);
                Ok(Renewed { password_stays: None })
            }
            Changed::NotOffered(why) => {
                self.begin_session_anew(state, former.as_deref(), &old)?;
                Ok(Renewed { password_stays: Some(why) })
            }
        }
    }

    /// Ends the former session, and with it the device and its new session.
    fn begin_session_anew(&self, state: &mut State, former: Option<&str>, password: &str) -> Result<(), Error> {
        let Some(former) = former.filter(|former| state.access_token.as_deref() != Some(former)) else { return Ok(()) };
        match login::logout(&self.homeserver, former) {
            Ok(()) => {
                state.access_token = None;
                state.access_token = Some(self.log_in_with(password)?);
                Ok(())
            }
            Err(Error::UnknownToken { .. }) => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    fn log_in_with(&self, password: &str) -> Result<String, Error> {
        let login = login::login(&self.homeserver, self.localpart(), password, DEVICE_ID, DISPLAY_NAME)?;
        crate::outside::log::info("bot_logged_in", None, &format!("as {}", self.mxid()));
        Ok(login.access_token)
    }

    /// `refused` is the homeserver's answer to the login.
    fn make_account(&self, password: &str, refused: &str) -> Result<(), Error> {
        let bot = self.mxid();
        let config = &self.site.config;
        let by_token = config.operation_mode == OperationMode::RegistrationToken;
        let registered = match (config.registration_shared_secret()?, config.registration_token()?.filter(|_| by_token)) {
            (Some(shared_secret), _) => self.register_by_secret(password, &shared_secret)?,
            (None, Some(token)) => self.register_by_token(password, &token)?,
            (None, None) => {
                return Err(Error::Misconfigured(format!(
                    "{bot} cannot log in ({refused}); make that account with the register_password of config.json, or set access_token in [room], or registration_shared_secret to let the bot make it"
                )));
            }
        };
        match registered {
            Registered::Made => {
                crate::outside::log::info("bot_account_made", None, &bot);
                Ok(())
            }
            Registered::NameInUse { .. } => Err(Error::Misconfigured(format!(
                "{bot} exists, but not with the register_password of config.json ({refused}); {}set access_token in [room] to one of that account, or reset its password to the register_password, or choose another bot_localpart in [room]",
                self.first_with_own_passwords(),
            ))),
            Registered::PasswordRefused(error) => Err(Error::Misconfigured(format!(
                "the homeserver does not accept the register_password of config.json for {bot} ({error}); set access_token in [room]"
            ))),
            Registered::NameRefused { errcode, error } => Err(Error::Misconfigured(format!(
                "the homeserver does not give the name {bot} ({errcode}: {error}); choose another bot_localpart in [room]"
            ))),
        }
    }

    /// A bot need not accept the terms of a homeserver. Homeservers other than Synapse may not know the kind "bot".
    fn register_by_secret(&self, password: &str, shared_secret: &str) -> Result<Registered, Error> {
        let account = NewAccount { localpart: self.localpart(), password, display_name: Some(DISPLAY_NAME), is_bot: true };
        match register::register(&self.homeserver, shared_secret, &account) {
            Err(Error::Misconfigured(_)) => register::register(&self.homeserver, shared_secret, &NewAccount { is_bot: false, ..account }),
            outcome => outcome,
        }
    }

    /// The login that follows proves whose the account is.
    fn register_by_token(&self, password: &str, token: &str) -> Result<Registered, Error> {
        let account = token_registration::NewAccount { localpart: self.localpart(), password };
        let means = Means { token, accepts_terms: self.site.config.registration_token.accept_terms };
        let answered = match token_registration::begin(&self.homeserver, &account, &means)? {
            Begun::Answered(answered) => answered,
            Begun::Open(session) => token_registration::finish(&self.homeserver, &account, &means, &session)?,
        };
        Ok(match answered {
            Answered::Made | Answered::TokenGone => Registered::Made,
            Answered::InUse => Registered::NameInUse { asked_again: false },
            Answered::NameRefused { errcode, error } => Registered::NameRefused { errcode, error },
            Answered::PasswordRefused(error) => Registered::PasswordRefused(error),
        })
    }

    /// Where the passwords are ours, the bot's login also requires that the homeserver asks us and we answer.
    fn first_with_own_passwords(&self) -> &'static str {
        match self.site.config.operation_mode.has_own_passwords() {
            true => {
                "in local mode the homeserver asks internal/login for this password, so let it reach these programs first \
                 (after a move from the PHP program: switch the web server to them); if it does, "
            }
            false => "",
        }
    }

    /// Sends to the room of `[room]`, or to its replacement.
    fn speak(&self, token: &str, message: &RoomMessage, thread: Option<&RoomEvent>, txn_id: &str) -> Result<RoomEvent, Error> {
        self.check_device(token)?;
        let room_id = self.living_room(token)?;
        let relation = match thread {
            Some(root) if root.room_id == room_id => Relation::InThread(&root.event_id),
            _ => Relation::None,
        };
        let EventId(event_id) = self.send(token, &room_id, message, relation, txn_id)?;
        Ok(RoomEvent { room_id, event_id })
    }

    /// Behind matrix-authentication-service a token may have no device, and Synapse answers every message of such a token with an
    /// internal error (observed with Synapse 1.163). Only the application service needs none.
    fn check_device(&self, token: &str) -> Result<(), Error> {
        if self.is_behind_mas()
            && self.site.config.has_access_token()
            && matches!(sessions::whoami(&self.homeserver, token)?, Ok(Whoami { device_id: None, .. }))
        {
            return Err(Error::Misconfigured(no_device()));
        }
        Ok(())
    }

    fn is_behind_mas(&self) -> bool {
        self.site.config.operation_mode == OperationMode::Mas
    }

    fn edit(&self, token: &str, posted: &RoomEvent, message: &RoomMessage, txn_id: &str) -> Result<Edited, Error> {
        let edited = self.send(token, &posted.room_id, message, Relation::Replaces(&posted.event_id), txn_id);
        match edited {
            Ok(_) => Ok(Edited::Yes),
            // In an upgraded room the bot has no power to write.
            Err(Error::Forbidden(_)) if self.living_room(token)? != posted.room_id => Ok(Edited::RoomLeft),
            Err(cause) => Err(cause),
        }
    }

    fn redact(&self, token: &str, posted: &RoomEvent, txn_id: &impl Fn(&str) -> String) -> Result<(), Error> {
        match self.redact_all(token, posted, txn_id) {
            Err(Error::Forbidden(_)) if self.living_room(token)? != posted.room_id => {
                crate::outside::log::info("room_message_left", None, "it is in a room where requests are not decided any more");
                Ok(())
            }
            Err(Error::Forbidden(_)) => {
                self.join(token, &posted.room_id)?;
                self.redact_all(token, posted, txn_id)
            }
            outcome => outcome,
        }
    }

    fn redact_all(&self, token: &str, posted: &RoomEvent, txn_id: &impl Fn(&str) -> String) -> Result<(), Error> {
        let redact = |event_id: &str| room::redact(&self.homeserver, token, &posted.room_id, event_id, &txn_id(event_id)).map(drop);
        let own = own_accounts(self.site, &self.homeserver, token)?;
        // Anybody can claim to edit the message; homeservers ignore that.
        for edit in relations::edits(&self.homeserver, token, posted)?.iter().filter(|edit| own.contains(&edit.sender)) {
            redact(&edit.event_id)?;
        }
        redact(&posted.event_id)
    }

    /// Sends to a room, and joins if that is what is missing.
    fn send(&self, token: &str, room_id: &str, message: &RoomMessage, relation: Relation, txn_id: &str) -> Result<EventId, Error> {
        let send = || room::send_message(&self.homeserver, token, room_id, txn_id, message, relation);
        match send() {
            Err(Error::Forbidden(_)) => {
                self.join(token, room_id)?;
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

    /// The room at the end of all upgrades. A message to an upgraded room would be accepted if the bot has the power to send,
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

    /// Looks for the tombstone in a room at the end of other tombstones.
    fn successor(&self, token: &str, configured: &str, room_id: &str) -> Result<Option<String>, Error> {
        self.replacement(token, room_id, room_id).map_err(|cause| match cause {
            Error::Forbidden(sentence) => Error::Forbidden(format!(
                "{configured} was upgraded and replaced by {room_id}: set id = {room_id:?} in [room], and let the bot in there ({sentence})"
            )),
            other => other,
        })
    }

    /// The room that replaced this one; the bot joins if only members can see that. `name` is the room's id or alias.
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

    /// Joins, or says why that failed and who can help.
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

    /// The owner of a token; the operator's token may belong to another account than `bot_localpart`.
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

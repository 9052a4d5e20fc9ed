//! Accounts: finding them, making them, and their passwords.

use super::meaning::Meaning;
use super::{Answer, Call, Error, Refusal, Session, Single, segment};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Time limit for making an account. MAS gives up its work when the caller hangs up, and then the account may be in the
/// homeserver and not in MAS. It waits up to 60 seconds for each of two answers of the homeserver, and up to 30 for its database.
pub(super) const PATIENCE: Duration = Duration::from_secs(150);
/// Synapse's limit for a display name, in characters.
const LONGEST_DISPLAY_NAME: usize = 256;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// A ULID: what the other requests name it by.
    pub id: String,
    /// As MAS has it; a look-up finds it in any case of letters.
    pub username: String,
    /// By MAS's own clock.
    pub created_at: Timestamp,
    pub is_deactivated: bool,
}

/// What a look-up found, and when, by MAS's own clock.
#[derive(Debug)]
pub enum Found {
    User(User),
    Nobody { at: Timestamp },
}

/// The outcome of [`create`].
#[derive(Debug)]
pub enum Created {
    Made(User),
    /// MAS has an account of this name, perhaps from an earlier try of ours, and none from this one.
    NameTaken,
    /// The homeserver does not give the name, perhaps because an earlier try of ours made half an account.
    Reserved,
    /// Nobody can have this name.
    NotValid(String),
}

/// Why no account was made, and what that leaves open.
#[derive(Debug)]
pub struct NotCreated {
    pub cause: Error,
    pub left: Left,
}

/// What a failed [`create`] may have left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Certainly nothing.
    Nothing,
    /// MAS found the name free and told the homeserver to make the account; whether that did is not known. MAS has none.
    Half,
    /// Anything.
    Unknown,
}

/// The outcome of [`set_password`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSet {
    Yes,
    /// MAS finds it too easy to guess.
    TooWeak,
}

#[derive(Deserialize)]
struct Attributes {
    username: String,
    created_at: String,
    #[serde(default)]
    deactivated_at: Option<String>,
}

#[derive(Serialize)]
struct NewUser<'a> {
    username: &'a str,
    /// From MAS 1.18 on; earlier versions ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    displayname: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skip_homeserver_check: bool,
}

#[derive(Serialize)]
struct NewPassword<'a> {
    password: &'a str,
    skip_password_check: bool,
}

/// The account of this name, in any case of letters.
pub fn by_username(session: &Session, username: &str) -> Result<Found, Error> {
    let call = Call::get(format!("users/by-username/{}", segment(username)), "users/by-username/...");
    match session.ask::<Single<Attributes>>(&call)? {
        Ok(answer) => user(answer).map(Found::User),
        Err(Refusal { date: None, asked, .. }) => Err(Error::Unexpected(format!(
            "{asked}: the answer has no header Date, which tells when an account was there; let admin_url in [mas] lead straight to MAS"
        ))),
        Err(refusal @ Refusal { date: Some(at), .. }) => match refusal.meaning() {
            Meaning::NotFound => Ok(Found::Nobody { at }),
            _ => Err(refusal.unexpected()),
        },
    }
}

/// The account of this id; `None` if there is none any more, for example because MAS's database was restored.
pub fn by_id(session: &Session, id: &str) -> Result<Option<User>, Error> {
    match session.ask::<Single<Attributes>>(&Call::get(format!("users/{}", segment(id)), "users/..."))? {
        Ok(answer) => user(answer).map(Some),
        Err(refusal) if refusal.meaning() == Meaning::NotFound => Ok(None),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// Makes an account, in the homeserver first and in MAS last. Do not repeat blindly. No browser may be able to end this call.
pub fn create(session: &Session, username: &str, display_name: &str) -> Result<Created, NotCreated> {
    attempt(session, username, display_name, false)
}

/// Makes the account in MAS although the homeserver has it, and takes that one over. Only for an account that is proved to be
/// half of one that we made: MAS would hand over anybody's.
pub fn complete_half_made(session: &Session, username: &str, display_name: &str) -> Result<Created, NotCreated> {
    attempt(session, username, display_name, true)
}

fn attempt(session: &Session, username: &str, display_name: &str, skip_homeserver_check: bool) -> Result<Created, NotCreated> {
    let displayname = Some(display_name.chars().take(LONGEST_DISPLAY_NAME).collect()).filter(|name: &String| !name.trim().is_empty());
    let new = NewUser { username, displayname, skip_homeserver_check };
    let call = Call::post("users".into(), "users", &new).map_err(|cause| NotCreated { cause, left: Left::Nothing })?;
    let answer = session.ask::<Single<Attributes>>(&Call { patience: PATIENCE, ..call });
    match answer.map_err(|cause| NotCreated { cause, left: Left::Unknown })? {
        Ok(answer) => user(answer).map(Created::Made).map_err(|cause| NotCreated { cause, left: Left::Unknown }),
        Err(refusal) => match refusal.meaning() {
            Meaning::NameTaken | Meaning::LostRace => Ok(Created::NameTaken),
            Meaning::Reserved => Ok(Created::Reserved),
            Meaning::NameNotValid => Ok(Created::NotValid(refusal.sentence(""))),
            meaning => Err(NotCreated { left: left(meaning, refusal.status), cause: refusal.unexpected() }),
        },
    }
}

fn left(meaning: Meaning, status: u16) -> Left {
    match meaning {
        Meaning::HomeserverUnclear => Left::Half,
        Meaning::HomeserverAway | Meaning::WrongSecret => Left::Nothing,
        // Refused before anything else.
        Meaning::TokenOver | Meaning::TokenUnfit | Meaning::NoHeader | Meaning::NoAdminApi => Left::Nothing,
        _ if matches!(status, 400 | 413 | 415 | 422) => Left::Nothing,
        _ => Left::Unknown,
    }
}

fn user(answer: Answer<Single<Attributes>>) -> Result<User, Error> {
    let resource = answer.body.data;
    let created_at = resource.attributes.created_at.parse();
    let created_at = created_at.map_err(|_| Error::Unexpected("MAS gives an account a created_at that is no time".into()))?;
    Ok(User {
        id: resource.id,
        username: resource.attributes.username,
        created_at,
        is_deactivated: resource.attributes.deactivated_at.is_some(),
    })
}

/// Sets the password of an account, in place of any other. `is_checked`: MAS's own rules apply, as they should to one that a
/// person chose.
pub fn set_password(session: &Session, id: &str, password: &str, is_checked: bool) -> Result<PasswordSet, Error> {
    let new = NewPassword { password, skip_password_check: !is_checked };
    let call = Call::post(format!("users/{}/set-password", segment(id)), "users/.../set-password", &new)?;
    match session.ask::<()>(&call)? {
        Ok(Answer { body: () }) => Ok(PasswordSet::Yes),
        Err(refusal) if refusal.meaning() == Meaning::PasswordTooWeak => Ok(PasswordSet::TooWeak),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

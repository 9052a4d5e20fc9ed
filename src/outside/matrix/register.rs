//! Accounts by Synapse's shared-secret registration, `/_synapse/admin/v1/register` (contract synapse 3).

use super::{Call, Error, Homeserver, Refusal};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;

/// The `user_type` of a program's account.
const BOT: &str = "bot";
const PATH: &str = "/_synapse/admin/v1/register";
/// Characters that Synapse takes for a display name (contract synapse 0, rule 2).
const LONGEST_DISPLAY_NAME: usize = 256;

/// An account to be made. It is never an administrator's.
#[derive(Clone, Copy)]
pub struct NewAccount<'a> {
    pub localpart: &'a str,
    /// At most 512 characters (contract synapse 3).
    pub password: &'a str,
    /// `None` or blank: the localpart. Of a longer one the first 256 characters are used.
    pub display_name: Option<&'a str>,
    /// A program's account: Synapse does not ask it to accept terms of use (`user_type` "bot").
    pub is_bot: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    Made,
    /// Somebody has the name, perhaps we ourselves through an earlier try whose answer was lost; `login::proves` tells.
    NameInUse {
        /// This very call asked more than once: something between us and the homeserver may have delivered the first request
        /// twice, and the account is ours.
        asked_again: bool,
    },
    /// The homeserver gives this name to nobody (`M_INVALID_USERNAME`) or to an application service (`M_EXCLUSIVE`).
    NameRefused {
        errcode: String,
        error: String,
    },
}

#[derive(Deserialize)]
struct NonceAnswer {
    nonce: String,
}

#[derive(Serialize)]
struct RegisterRequest<'a> {
    nonce: &'a str,
    username: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    displayname: Option<String>,
    admin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_type: Option<&'static str>,
    /// Else the answer brings a device with a token that nobody uses.
    inhibit_login: bool,
    mac: String,
}

#[derive(Deserialize)]
struct RegisterAnswer {
    #[allow(dead_code)] // that it is there makes the answer one
    user_id: String,
}

/// A number that the homeserver takes once, within 60 s and until it restarts.
pub struct Nonce(String);

/// Makes an account. Not safe to repeat blindly: after [`Error::Unreachable`] the account may exist.
pub fn register(homeserver: &Homeserver, shared_secret: &str, account: &NewAccount) -> Result<Registered, Error> {
    register_with(homeserver, shared_secret, account, nonce(homeserver)?)
}

/// The first half: nothing is made yet.
pub fn nonce(homeserver: &Homeserver) -> Result<Nonce, Error> {
    let answer = homeserver.ask::<NonceAnswer>(&Call::get(PATH.into()))?;
    answer.map(|answer| Nonce(answer.nonce)).map_err(no_registration)
}

/// The second half. [`Error::Unreachable`] and [`Error::Unexpected`] leave open whether the account was made.
pub fn register_with(homeserver: &Homeserver, shared_secret: &str, account: &NewAccount, first: Nonce) -> Result<Registered, Error> {
    match attempt(homeserver, shared_secret, account, first)? {
        Err(refusal) if refusal.error == "unrecognised nonce" => {
            let again = nonce(homeserver).and_then(|fresh| attempt(homeserver, shared_secret, account, fresh)?.or_else(meaning));
            match again {
                Ok(Registered::NameInUse { .. }) => Ok(Registered::NameInUse { asked_again: true }),
                // Whatever it is, the first request may have made the account.
                Err(cause) => Err(Error::Unexpected(cause.to_string())),
                outcome => outcome,
            }
        }
        outcome => outcome.or_else(meaning),
    }
}

fn attempt(homeserver: &Homeserver, shared_secret: &str, account: &NewAccount, nonce: Nonce) -> Result<Result<Registered, Refusal>, Error> {
    let Nonce(nonce) = nonce;
    let request = RegisterRequest {
        nonce: &nonce,
        username: account.localpart,
        password: account.password,
        displayname: account
            .display_name
            .filter(|name| !name.trim().is_empty())
            .map(|name| name.chars().take(LONGEST_DISPLAY_NAME).collect()),
        admin: false,
        user_type: account.is_bot.then_some(BOT),
        inhibit_login: true,
        mac: mac(shared_secret, &nonce, account),
    };
    let answer = homeserver.ask::<RegisterAnswer>(&Call::post(PATH, &request)?)?;
    Ok(answer.map(|_| Registered::Made))
}

/// HMAC-SHA1 of nonce, name, password, the absence of rights and, where there is one, the `user_type`, with NUL between
/// them, in lower-case hexadecimal. The display name is not part of it.
fn mac(shared_secret: &str, nonce: &str, account: &NewAccount) -> String {
    #[allow(clippy::expect_used)] // HMAC takes keys of any length
    let mut mac = Hmac::<Sha1>::new_from_slice(shared_secret.as_bytes()).expect("a key of any length");
    let mut parts = vec![nonce, account.localpart, account.password, "notadmin"];
    parts.extend(account.is_bot.then_some(BOT));
    mac.update(parts.join("\0").as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// `M_UNKNOWN` stands for five different things here; status and text tell them apart.
fn meaning(refusal: Refusal) -> Result<Registered, Error> {
    match (refusal.status, refusal.errcode.as_str(), refusal.error.as_str()) {
        (400, "M_USER_IN_USE", _) => Ok(Registered::NameInUse { asked_again: false }),
        (400, "M_INVALID_USERNAME" | "M_EXCLUSIVE", _) => Ok(Registered::NameRefused { errcode: refusal.errcode, error: refusal.error }),
        (403, _, "HMAC incorrect") => Err(Error::Misconfigured(
            refusal.sentence("registration_shared_secret in config.toml is not the one of homeserver.yaml (with registration_shared_secret_path there: of that file)"),
        )),
        (400, _, "Shared secret registration is not enabled") => Err(Error::Misconfigured(
            refusal.sentence("set registration_shared_secret in homeserver.yaml, restart Synapse, and set the same in config.toml"),
        )),
        _ => Err(no_registration(refusal)),
    }
}

fn no_registration(refusal: Refusal) -> Error {
    let hidden = matches!(refusal.status, 401 | 403 | 404) && !refusal.is_matrix_error();
    if hidden || refusal.is(404, "M_UNRECOGNIZED") {
        return Error::Misconfigured(refusal.sentence(
            "either homeserver_url does not reach /_synapse/admin (a proxy hides it: use Synapse's own address, such as http://127.0.0.1:8008), or this homeserver leaves accounts to an authentication service (MAS), which is not supported",
        ));
    }
    refusal.unexpected()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_the_one_that_synapse_computes() {
        // reference: python3 -c 'import hmac; print(hmac.new(b"s3cret", b"n\0max\0p\xc3\xa4ss\0notadmin", "sha1").hexdigest())'
        let account = NewAccount { localpart: "max", password: "päss", display_name: Some("not in it"), is_bot: false };
        assert_eq!(mac("s3cret", "n", &account), "e7367309668c783183dd500ba8fd7e7690657ee6");
        // and with b"\0bot" at the end
        assert_eq!(mac("s3cret", "n", &NewAccount { is_bot: true, ..account }), "a4b26bfcb1c0a0cd36e6e5ef070442426d38173b");
    }
}

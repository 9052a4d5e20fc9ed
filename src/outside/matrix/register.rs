//! Accounts by Synapse's shared-secret registration, `/_synapse/admin/v1/register`.

use super::profile::LONGEST_DISPLAY_NAME;
use super::{Call, Error, Homeserver, Refusal};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;

/// The `user_type` of accounts that belong to a program.
const BOT: &str = "bot";
const PATH: &str = "/_synapse/admin/v1/register";

/// An account to create. It is never a server administrator.
#[derive(Clone, Copy)]
pub struct NewAccount<'a> {
    pub localpart: &'a str,
    /// At most 512 characters (Synapse's limit).
    pub password: &'a str,
    /// `None` or blank: the localpart is shown. Longer names are cut to 256 characters.
    pub display_name: Option<&'a str>,
    /// Whether a program uses the account: Synapse does not ask it to accept terms of use (`user_type` "bot").
    pub is_bot: bool,
}

/// The outcome of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    Made,
    /// The name is taken, perhaps by an earlier attempt of ours whose answer was lost; `login::proves` tells.
    NameInUse {
        /// This call sent more than one request. If something on the way delivered the first one twice, the account is
        /// ours.
        asked_again: bool,
    },
    /// The homeserver does not allow this name (`M_INVALID_USERNAME`) or reserves it for an application service
    /// (`M_EXCLUSIVE`).
    NameRefused {
        errcode: String,
        error: String,
    },
    /// The homeserver does not accept the password; the text is its sentence. Synapse accepts any here; other homeservers have
    /// rules.
    PasswordRefused(String),
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
    /// Without this the answer contains a device and a token that nobody uses.
    inhibit_login: bool,
    mac: String,
}

#[derive(Deserialize)]
struct RegisterAnswer {
    #[allow(dead_code)] // its presence makes the answer valid
    user_id: String,
}

/// A number that the homeserver accepts once, within 60 seconds and until it restarts.
pub struct Nonce(String);

/// Creates an account. Do not repeat blindly: after [`Error::Unreachable`] the account may exist.
pub fn register(homeserver: &Homeserver, shared_secret: &str, account: &NewAccount) -> Result<Registered, Error> {
    register_with(homeserver, shared_secret, account, nonce(homeserver)?)
}

/// The first half: creates nothing yet.
pub fn nonce(homeserver: &Homeserver) -> Result<Nonce, Error> {
    let answer = homeserver.ask::<NonceAnswer>(&Call::get(PATH.into()))?;
    answer.map(|answer| Nonce(answer.nonce)).map_err(no_registration)
}

/// The second half. After [`Error::Unreachable`] or [`Error::Unexpected`] the account may exist.
pub(crate) fn register_with(homeserver: &Homeserver, shared_secret: &str, account: &NewAccount, first: Nonce) -> Result<Registered, Error> {
    match attempt(homeserver, shared_secret, account, first)? {
        Err(refusal) if refusal.error == "unrecognised nonce" => {
            let again = nonce(homeserver).and_then(|fresh| attempt(homeserver, shared_secret, account, fresh)?.or_else(meaning));
            match again {
                Ok(Registered::NameInUse { .. }) => Ok(Registered::NameInUse { asked_again: true }),
                // Whatever the cause, the first request may have created the account.
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

/// HMAC-SHA1 of nonce, name, password, "notadmin" and, if there is one, the `user_type`, separated by NUL, in
/// lower-case hexadecimal. The display name is not included.
fn mac(shared_secret: &str, nonce: &str, account: &NewAccount) -> String {
    #[allow(clippy::expect_used)] // HMAC accepts keys of any length
    let mut mac = Hmac::<Sha1>::new_from_slice(shared_secret.as_bytes()).expect("a key of any length");
    let mut parts = vec![nonce, account.localpart, account.password, "notadmin"];
    parts.extend(account.is_bot.then_some(BOT));
    mac.update(parts.join("\0").as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// `M_UNKNOWN` has five meanings here; status and text tell them apart.
fn meaning(refusal: Refusal) -> Result<Registered, Error> {
    match (refusal.status, refusal.errcode.as_str(), refusal.error.as_str()) {
        (400, "M_USER_IN_USE", _) => Ok(Registered::NameInUse { asked_again: false }),
        (400, "M_INVALID_USERNAME" | "M_EXCLUSIVE", _) => Ok(Registered::NameRefused { errcode: refusal.errcode, error: refusal.error }),
        (400, "M_WEAK_PASSWORD", _) => Ok(Registered::PasswordRefused(refusal.error)),
        (400, errcode, _) if errcode.starts_with("M_PASSWORD_") => Ok(Registered::PasswordRefused(refusal.error)),
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
            "either homeserver_url does not reach /_synapse/admin (a proxy hides it: use Synapse's own address, such as http://127.0.0.1:8008), or this homeserver leaves accounts to an authentication service (MAS): set operation_mode = \"mas\"",
        ));
    }
    refusal.unexpected()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_the_one_that_synapse_computes() {
        // Reference: python3 -c 'import hmac; print(hmac.new(b"s3cret", b"n\0max\0p\xc3\xa4ss\0notadmin", "sha1").hexdigest())'
        let account = NewAccount { localpart: "max", password: "päss", display_name: Some("not in it"), is_bot: false };
        assert_eq!(mac("s3cret", "n", &account), "e7367309668c783183dd500ba8fd7e7690657ee6");
        // With b"\0bot" at the end
        assert_eq!(mac("s3cret", "n", &NewAccount { is_bot: true, ..account }), "a4b26bfcb1c0a0cd36e6e5ef070442426d38173b");
    }
}

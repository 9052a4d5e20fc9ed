//! Values derived from the secret key: link tokens, form tokens, transaction ids.
//!
//! A link token is an HMAC over a random seed of the registration, so a repeated mail contains the same link. The database
//! stores only the seed and the hash of the token: a stolen dump opens no link.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The secret key of an installation (from `config.json`). It is never shown.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    pub fn new(bytes: [u8; 32]) -> Secret {
        Secret(bytes)
    }

    /// HMAC-SHA256 of a purpose and its parts. Each part is preceded by its length, so that different lists of parts never
    /// collide.
    pub fn derive(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        #[allow(clippy::expect_used)] // HMAC accepts keys of any length
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A repeatable identifier for something that belongs to a registration: a link token, a `txnId`, a Message-ID. 32
    /// hexadecimal digits (128 bits), the length of the PHP program's tokens.
    pub fn token(&self, purpose: &str, seed: &str) -> String {
        HEXLOWER.encode(&self.derive(purpose, &[seed.as_bytes()])[..16])
    }

    /// The token of the link with which the applicant confirms the address.
    pub fn verify_token(&self, seed: &str) -> String {
        self.token("verify link", seed)
    }

    /// The token of the link with which the room decides.
    pub fn admin_token(&self, seed: &str) -> String {
        self.token("admin link", seed)
    }

    /// The token of the link with which the applicant chooses a password after the approval.
    pub fn choose_token(&self, seed: &str) -> String {
        self.token("choose link", seed)
    }

    /// The hashes of both link tokens, for the database: the applicant's and the room's.
    pub(crate) fn link_token_hashes(&self, seed: &str) -> (String, String) {
        (hash(&self.verify_token(seed)), hash(&self.admin_token(seed)))
    }
}

/// The database's form of a link token: its SHA-256 in hexadecimal.
pub fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[allow(clippy::expect_used)] // nothing is safe without randomness, so stop here
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// The seed of a new registration: 128 random bits in hexadecimal.
pub fn new_seed() -> String {
    HEXLOWER.encode(&random::<16>())
}

/// Why a form token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormTokenFault {
    Expired,
    Forged,
}

/// The token of a form: time, random nonce and an HMAC over both, the purpose and the subject (e.g. the link token that the
/// form belongs to). It can be checked without being stored.
pub fn form_token(secret: &Secret, purpose: &str, subject: &str, now: i64) -> String {
    sign_form_token(secret, purpose, subject, now, random())
}

fn sign_form_token(secret: &Secret, purpose: &str, subject: &str, now: i64, nonce: [u8; 16]) -> String {
    let mut bytes = now.to_be_bytes().to_vec();
    bytes.extend_from_slice(&nonce);
    let mac = secret.derive("form token", &[purpose.as_bytes(), subject.as_bytes(), &bytes]);
    bytes.extend_from_slice(&mac[..16]);
    BASE64URL_NOPAD.encode(&bytes)
}

/// Checks the token of a form that was sent back within `max_age` seconds. `Ok` contains the time when the token was made
/// (seconds since 1970).
pub fn check_form_token(secret: &Secret, purpose: &str, subject: &str, token: &str, now: i64, max_age: i64) -> Result<i64, FormTokenFault> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| FormTokenFault::Forged)?;
    let (Some(time), Some(nonce)) = (bytes.first_chunk::<8>(), bytes.get(8..24).and_then(|nonce| nonce.try_into().ok())) else {
        return Err(FormTokenFault::Forged);
    };
    let made = i64::from_be_bytes(*time);
    let expected = sign_form_token(secret, purpose, subject, made, nonce);
    if !bool::from(expected.as_bytes().ct_eq(token.as_bytes())) {
        return Err(FormTokenFault::Forged);
    }
    if made > now.saturating_add(60) || now.saturating_sub(made) > max_age {
        return Err(FormTokenFault::Expired);
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_token_is_good_for_its_form_and_time_only() {
        let secret = Secret::new([7; 32]);
        let token = form_token(&secret, "register", "", 1000);
        assert_eq!(check_form_token(&secret, "register", "", &token, 1100, 3600), Ok(1000));
        assert_eq!(check_form_token(&secret, "register", "", &token, 9000, 3600), Err(FormTokenFault::Expired));
        assert_eq!(check_form_token(&secret, "verify", "", &token, 1100, 3600), Err(FormTokenFault::Forged));
        assert_eq!(check_form_token(&secret, "register", "x", &token, 1100, 3600), Err(FormTokenFault::Forged));
        assert_eq!(check_form_token(&Secret::new([8; 32]), "register", "", &token, 1100, 3600), Err(FormTokenFault::Forged));
        for broken in ["", "AAAA", &token[1..], &format!("{token}A")] {
            assert_eq!(check_form_token(&secret, "register", "", broken, 1100, 3600), Err(FormTokenFault::Forged), "{broken}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_token_and_each_purpose_another() {
        let secret = Secret::new([7; 32]);
        assert_eq!(secret.token("verify", "s"), secret.token("verify", "s"));
        assert_ne!(secret.token("verify", "s"), secret.token("admin", "s"));
        assert_ne!(secret.derive("a", &[b"b", b""]), secret.derive("a", &[b"", b"b"]));
    }
}

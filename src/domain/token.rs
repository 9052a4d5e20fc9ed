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
///
/// While it replaces a former one, it knows that as well: for what was made with the former key, and is not yet made anew.
#[derive(Clone)]
pub struct Secret {
    key: [u8; 32],
    former: Option<[u8; 32]>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    pub fn new(bytes: [u8; 32]) -> Secret {
        Secret { key: bytes, former: None }
    }

    /// The same key while it replaces a former one.
    pub fn replacing(self, former: [u8; 32]) -> Secret {
        Secret { former: Some(former), ..self }
    }

    /// The key that this one is replacing.
    pub fn former(&self) -> Option<Secret> {
        self.former.map(Secret::new)
    }

    /// The key with which the request with this seed was filed, known by the hash of its applicant's link. `None`: neither this one
    /// nor the former one.
    pub fn of_request(&self, seed: &str, verify_token_hash: &str) -> Option<Secret> {
        let is_of = |secret: &Secret| secret.link_token_hashes(seed).0 == verify_token_hash;
        if is_of(self) { Some(self.clone()) } else { self.former().filter(is_of) }
    }

    /// The key that signed a form token; this one if neither did.
    pub fn signer_of(&self, purpose: &str, subject: &str, token: &str) -> Secret {
        let former = self.former().filter(|former| check_form_token(former, purpose, subject, token, i64::MAX, i64::MAX).is_ok());
        former.unwrap_or_else(|| self.clone())
    }

    /// HMAC-SHA256 of a purpose and its parts. Each part is preceded by its length, so that different lists of parts never
    /// collide.
    pub fn derive(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        #[allow(clippy::expect_used)] // HMAC accepts keys of any length
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
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
    let is_signed_with = |secret: &Secret| {
        let expected = sign_form_token(secret, purpose, subject, made, nonce);
        bool::from(expected.as_bytes().ct_eq(token.as_bytes()))
    };
    if !is_signed_with(secret) && !secret.former().is_some_and(|former| is_signed_with(&former)) {
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
    fn while_a_key_replaces_another_both_know_what_they_made() {
        let (old, new) = (Secret::new([7; 32]), Secret::new([8; 32]));
        let both = new.clone().replacing([7; 32]);
        let (form, hash) = (form_token(&old, "register", "", 1000), old.link_token_hashes("seed").0);
        assert_eq!(check_form_token(&both, "register", "", &form, 1100, 3600), Ok(1000));
        assert_eq!(check_form_token(&both, "register", "", &form_token(&new, "register", "", 1000), 1100, 3600), Ok(1000));
        assert_eq!(both.signer_of("register", "", &form).token("x", ""), old.token("x", ""));
        assert_eq!(both.of_request("seed", &hash).unwrap().token("x", ""), old.token("x", ""));
        assert_eq!(both.of_request("seed", &new.link_token_hashes("seed").0).unwrap().token("x", ""), new.token("x", ""));
        assert_eq!(both.token("x", ""), new.token("x", ""), "what is made from now on");
        assert!(new.of_request("seed", &hash).is_none());
        assert!(check_form_token(&both, "register", "", &form_token(&Secret::new([9; 32]), "register", "", 1000), 1100, 3600).is_err());
    }

    #[test]
    fn the_same_seed_gives_the_same_token_and_each_purpose_another() {
        let secret = Secret::new([7; 32]);
        assert_eq!(secret.token("verify", "s"), secret.token("verify", "s"));
        assert_ne!(secret.token("verify", "s"), secret.token("admin", "s"));
        assert_ne!(secret.derive("a", &[b"b", b""]), secret.derive("a", &[b"", b"b"]));
    }
}

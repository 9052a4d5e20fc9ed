//! Passwords: hashed, derived, or sealed.
//!
//! * The password of an account is stored as an Argon2id hash.
//! * An initial password is derived from the secret key and the registration's seed: it is never stored in clear, and a
//!   repeated mail contains the same one.
//! * A password that the applicant chose, and that the homeserver must later get in clear, is sealed with a key that is not in
//!   the database, and wiped once the account is made.

use crate::domain::token::{Secret, random};
use argon2::password_hash::{PasswordHasher, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64URL_NOPAD;
use std::sync::{Condvar, Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Characters of initial passwords: none is easily mistaken for another when read from a phone's screen.
const ALPHABET: &str = "abcdefghjkmnpqrstuvwxyz23456789";
/// How many of them are letters; the rest are digits.
const LETTERS: u8 = 23;

/// The largest password, in bytes; Synapse's limit is 512 characters.
pub const MAX_BYTES: usize = 512;

/// The library failed, which no visitor can cause.
#[derive(Debug)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Why a password cannot be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordFault {
    TooShort,
    /// Too long, or contains a NUL, at which some programs stop reading.
    TooLong,
    /// The same as the username or mail address.
    Weak,
}

/// What is wrong with a chosen password; it needs at least `least` characters and at most [`MAX_BYTES`].
pub fn fault(password: &str, least: u64, localpart: &str, address: &str) -> Option<PasswordFault> {
    let own = |text: &str| !text.is_empty() && text.eq_ignore_ascii_case(password);
    if (password.chars().count() as u64) < least {
        Some(PasswordFault::TooShort)
    } else if password.len() > MAX_BYTES || password.contains('\0') {
        Some(PasswordFault::TooLong)
    } else if own(localpart) || own(address) {
        Some(PasswordFault::Weak)
    } else {
        None
    }
}

/// Argon2id with 19 MiB, 2 passes, 1 lane: OWASP's first recommendation with little memory.
fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|cause| Error(cause.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash of a password as a PHC string, `$argon2id$v=19$m=19456,t=2,p=1$...`, with a random salt.
pub fn hash(password: &str) -> Result<String, Error> {
    argon2()?.hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|cause| Error(cause.to_string()))
}

/// Whether this is a hash rather than a sealed password, which contains no `$`.
pub fn is_hash(stored: &str) -> bool {
    stored.starts_with('$')
}

/// The most memory for checking an Argon2 hash, in KiB. PHP's own hashes use 64 MiB.
const MOST_MEMORY: u32 = 256 * 1024;
/// The most memory accessed in all passes, in KiB. This takes seconds; without a limit a hash could take years.
const MOST_WORK: u64 = 1024 * 1024;
/// PHP's own bcrypt hashes have a cost of 10 or 12; each step doubles the time.
const HIGHEST_COST: u32 = 15;

/// Whether checking this hash would take too much memory or time for a login. We make no such hashes, but a database from
/// another program may contain any.
pub fn is_too_costly(stored: &str) -> bool {
    if is_php_hash(stored) {
        let cost = stored.split('$').nth(2).and_then(|cost| cost.parse().ok());
        return cost.is_some_and(|cost: u32| cost > HIGHEST_COST);
    }
    let params = PasswordHash::new(stored).ok().and_then(|parsed| Params::try_from(&parsed).ok());
    params.is_some_and(|params| params.m_cost() > MOST_MEMORY || u64::from(params.m_cost()) * u64::from(params.t_cost()) > MOST_WORK)
}

/// Whether checking this hash takes the time that its kind and cost imply. A hash that is [too costly](is_too_costly) or
/// invalid is refused at once.
pub(crate) fn is_checkable(stored: &str) -> bool {
    if is_too_costly(stored) {
        return false;
    }
    if is_php_hash(stored) {
        return stored.parse::<bcrypt::HashParts>().is_ok();
    }
    PasswordHash::new(stored).is_ok_and(|parsed| parsed.salt.is_some() && parsed.hash.is_some() && argon2_of(&parsed).is_some())
}

/// Whether the password belongs to a hash, ours or PHP's.
pub(crate) fn verify_any(password: &str, stored: &str) -> bool {
    if is_php_hash(stored) { verify_php(password, stored) } else { verify(password, stored) }
}

/// Whether the password belongs to a PHC string. All bytes count. A hash that is [too costly](is_too_costly) matches nothing.
pub fn verify(password: &str, stored: &str) -> bool {
    if is_too_costly(stored) {
        return false;
    }
    let Ok(parsed) = PasswordHash::new(stored) else { return false };
    let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else { return false };
    let Some(argon2) = argon2_of(&parsed) else { return false };
    let mut computed = vec![0; expected.as_bytes().len()];
    let hashed = with_memory(argon2.params().block_count(), |memory| {
        argon2.hash_password_into_with_memory(password.as_bytes(), salt.as_ref(), &mut computed, memory)
    });
    hashed.is_ok() && bool::from(computed.as_slice().ct_eq(expected.as_bytes()))
}

fn argon2_of(parsed: &PasswordHash) -> Option<Argon2<'static>> {
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).ok()?;
    let version = parsed.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
    Some(Argon2::new(algorithm, version, Params::try_from(parsed).ok()?))
}

/// Runs `work` with memory that was used before.
///
/// Whether the allocator has to ask the system for 19 MiB depends on the request's earlier allocations, and asking takes as
/// long as hashing: the difference revealed which users exist.
fn with_memory<T>(blocks: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
    let mut piece = Piece::take();
    if piece.0.len() < blocks {
        piece.0.resize(blocks, Block::default());
    }
    work(&mut piece.0[..blocks])
}

/// The memory for one Argon2 hash. There are as many pieces as processors, as more hashes at a time would not be faster.
struct Piece(Vec<Block>);

struct Pieces {
    made: usize,
    idle: Vec<Piece>,
}

static PIECES: Mutex<Pieces> = Mutex::new(Pieces { made: 0, idle: Vec::new() });
static GIVEN_BACK: Condvar = Condvar::new();

impl Piece {
    /// Waits while all pieces are in use.
    fn take() -> Piece {
        let most = std::thread::available_parallelism().map_or(1, usize::from);
        let mut pieces = PIECES.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(piece) = pieces.idle.pop() {
                return piece;
            }
            if pieces.made < most {
                pieces.made += 1;
                return Piece(Vec::new());
            }
            pieces = GIVEN_BACK.wait(pieces).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let piece = Piece(std::mem::take(&mut self.0));
        PIECES.lock().unwrap_or_else(PoisonError::into_inner).idle.push(piece);
        GIVEN_BACK.notify_one();
    }
}

/// A hash of an unknown password, with the parameters of [`hash`]: for checks of users who do not exist.
pub(crate) const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bWF0cml4LXJlZ2lzdGVyLWJvdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether this hash was made by PHP's `password_hash` (bcrypt).
pub fn is_php_hash(stored: &str) -> bool {
    stored.starts_with("$2")
}

/// Whether the password belongs to a hash that PHP made. PHP used only the first 72 bytes, so we must do the same, or users
/// with longer passwords would be locked out.
pub fn verify_php(password: &str, stored: &str) -> bool {
    let bytes = password.as_bytes();
    !is_too_costly(stored) && bcrypt::verify(&bytes[..bytes.len().min(72)], stored).unwrap_or(false)
}

/// The initial password of a registration: four groups of five characters, about 98 bits.
pub fn initial(secret: &Secret, seed: &str) -> String {
    let bytes = secret.derive("initial password", &[seed.as_bytes()]);
    let letters: Vec<char> = bytes.iter().take(20).map(|byte| char::from(ALPHABET.as_bytes()[usize::from(byte % 31)])).collect();
    letters.chunks(5).map(String::from_iter).collect::<Vec<_>>().join("-")
}

/// The same for a homeserver that applies its rules for passwords to new accounts: with capital letters, small letters, digits and
/// symbols. About 96 bits.
pub(crate) fn initial_of_all_kinds(secret: &Secret, seed: &str) -> String {
    let mut password = initial(secret, seed);
    let bytes = secret.derive("initial password of all kinds", &[seed.as_bytes()]);
    let capital = char::from(ALPHABET.as_bytes()[usize::from(bytes[0] % LETTERS)]).to_ascii_uppercase();
    let digit = char::from(ALPHABET.as_bytes()[usize::from(LETTERS + bytes[1] % 8)]);
    password.replace_range(..1, capital.encode_utf8(&mut [0; 4]));
    password.pop();
    password.push(digit);
    password
}

/// The password in Synapse's own table in local mode, where nobody should log in with it: 256 bits that nobody knows. It is
/// derived, so that after a lost answer we can prove that the account is ours.
pub(crate) fn for_homeserver(secret: &Secret, seed: &str) -> String {
    BASE64URL_NOPAD.encode(&secret.derive("homeserver password", &[seed.as_bytes()]))
}

/// Seals a chosen password until the account is made.
pub(crate) fn seal(secret: &Secret, seed: &str, password: &str) -> Result<String, Error> {
    let nonce: [u8; 24] = random();
    let sealed = cipher(secret)
        .encrypt(&XNonce::from(nonce), Payload { msg: password.as_bytes(), aad: seed.as_bytes() })
        .map_err(|_| Error("the password cannot be sealed".into()))?;
    Ok(BASE64URL_NOPAD.encode(&[nonce.as_slice(), &sealed].concat()))
}

/// Opens a sealed password; `None` if it was sealed with another key or for another registration.
pub fn open(secret: &Secret, seed: &str, sealed: &str) -> Option<String> {
    let bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).ok()?;
    let (nonce, ciphertext) = bytes.split_at_checked(24)?;
    let nonce: [u8; 24] = nonce.try_into().ok()?;
    let plain = cipher(secret).decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: seed.as_bytes() }).ok()?;
    String::from_utf8(plain).ok()
}

fn cipher(secret: &Secret) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(secret.derive("sealed password", &[])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_password_counts() {
        let long = "ä".repeat(60);
        let stored = hash(&long).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify(&long, &stored));
        assert!(!verify(&"ä".repeat(59), &stored) && !verify("", &stored) && !verify(&long, "") && !verify("", "*"));
    }

    #[test]
    fn a_hash_that_asks_for_terabytes_or_years_is_nobodys_at_once() {
        let rest = "$bWF0cml4LXJlZ2lzdGVyLWJvdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for parameters in ["m=4294967295,t=1,p=1", "m=19456,t=4294967295,p=1", "m=262145,t=1,p=1"] {
            let stored = format!("$argon2id$v=19${parameters}{rest}");
            assert!(is_too_costly(&stored) && !verify("secret", &stored), "{parameters}");
        }
        let php = "$2y$31$abcdefghijklmnopqrstuuQ8i6gx/5hJBBYgzcL2rO8nVqLyLWVNm";
        assert!(is_too_costly(php) && !verify_php("secret", php));
        // PHP's own, and ours.
        assert!(!is_too_costly(&format!("$argon2id$v=19$m=65536,t=4,p=1{rest}")) && !is_too_costly(DUMMY_HASH));
        assert!(
            !is_too_costly("$2y$12$abcdefghijklmnopqrstuuQ8i6gx/5hJBBYgzcL2rO8nVqLyLWVNm") && !is_too_costly("*") && !is_too_costly("")
        );
    }

    #[test]
    fn many_hashes_at_a_time_wait_for_each_other() {
        let stored = hash("right").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(verify("right", &stored) && !verify("wrong", &stored)));
            }
        });
    }

    #[test]
    fn an_initial_password_is_the_same_each_time_and_nobody_elses() {
        let secret = Secret::new([1; 32]);
        let password = initial(&secret, "seed");
        assert_eq!(password, initial(&secret, "seed"));
        assert_ne!(password, initial(&secret, "other"));
        assert_ne!(password, initial(&Secret::new([2; 32]), "seed"));
        assert_eq!(password.len(), 23);
        assert!(password.chars().all(|c| c == '-' || ALPHABET.contains(c)));
    }

    #[test]
    fn an_initial_password_of_all_kinds_looks_like_the_other_one() {
        for number in 0..200_u8 {
            let secret = Secret::new([number; 32]);
            let password = initial_of_all_kinds(&secret, "seed");
            assert_eq!((password.len(), password.split('-').map(str::len).collect::<Vec<_>>()), (23, vec![5; 4]));
            assert_eq!(password, initial_of_all_kinds(&secret, "seed"));
            assert!(password.chars().all(|c| c == '-' || ALPHABET.contains(c.to_ascii_lowercase())), "{password}");
            let has = |kind: fn(char) -> bool| password.chars().any(kind);
            assert!(has(|c| c.is_ascii_uppercase()) && has(|c| c.is_ascii_lowercase()) && has(|c| c.is_ascii_digit()), "{password}");
        }
    }

    #[test]
    fn a_sealed_password_opens_for_its_own_registration_only() {
        let secret = Secret::new([1; 32]);
        let sealed = seal(&secret, "seed", "pässword").unwrap();
        assert!(!sealed.contains("pässword"));
        assert_eq!(open(&secret, "seed", &sealed).as_deref(), Some("pässword"));
        assert_eq!(open(&secret, "other", &sealed), None);
        assert_eq!(open(&Secret::new([2; 32]), "seed", &sealed), None);
        assert_eq!(open(&secret, "seed", "AAAA"), None);
    }
}

//! Password hashes that cost nothing, for tests that are not about the costs of hashing.

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};

/// An Argon2id hash with the least memory, and one pass: checking it takes microseconds instead of 20 ms. The programs check a
/// hash with the parameters that are in it.
pub fn cheap_hash(password: &str) -> String {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).expect("the least memory is enough");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password.as_bytes()).expect("a hash").to_string()
}

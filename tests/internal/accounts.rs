//! Accounts for the internal programs.

use crate::World;
use crate::world::cheap_hash;
use matrix_register_bot::domain::address;
use matrix_register_bot::outside::store::{Access, NewLogin};

/// John's password: every character that some encoding mangles.
pub const JOHNS_PASSWORD: &str = "p=&<>'\"ä€😀\\";

/// The two accounts in the example requests.
pub fn add_known_accounts(world: &World) {
    add(world, "john", ("John", "Dœ"), "John.Doe@Example.org", &cheap_hash(JOHNS_PASSWORD));
    add(world, "jane", ("Jane", ""), "jane@example.org", &cheap_hash("secret"));
}

/// Adds an account as the approval of a registration does.
pub fn add(world: &World, localpart: &str, (first, last): (&str, &str), email: &str, password_hash: &str) {
    let login = NewLogin {
        localpart: localpart.into(),
        first_name: first.into(),
        last_name: last.into(),
        password_hash: password_hash.into(),
        email: email.into(),
        email_folded: address::Address::parse(email).unwrap().folded(),
        created_at: 1_700_000_000,
        initial_password_until: None,
    };
    world.site.store(Access::Write).unwrap().import_login(&login).unwrap();
}

//! The checks of the modes that make accounts with the shared secret, `operation_mode = "synapse"` and `"local"`. None of them
//! makes an account.

use super::Finding;
use super::Weight::{Advice, Fault, Fine, Warning};
use crate::domain::token;
use crate::outside::matrix::register::{self, NewAccount, Registered};
use crate::outside::matrix::{Error, Homeserver};
use crate::outside::site::Site;

/// No Matrix ID has such a localpart, and Synapse looks at the secret before it looks at the name (observed with Synapse 1.163).
const IMPOSSIBLE: &str = "_check:";

/// Proves the shared secret; `without` is what it means that none is set.
pub(super) fn check(site: &Site, without: Finding) -> Vec<Finding> {
    vec![match site.config.registration_shared_secret() {
        Ok(Some(secret)) => shared_secret(site, &secret),
        Ok(None) => without,
        Err(cause) => Finding::new(Fault, "shared_secret_unreadable", cause.to_string()),
    }]
}

fn shared_secret(site: &Site, secret: &str) -> Finding {
    let account = NewAccount { localpart: IMPOSSIBLE, password: &token::new_seed(), display_name: None, is_bot: false };
    match register::register(&Homeserver::new(&site.config), secret, &account) {
        Ok(Registered::NameRefused { .. } | Registered::NameInUse { .. }) => {
            Finding::new(Fine, "shared_secret", "registration_shared_secret is right")
        }
        Ok(Registered::PasswordRefused(error)) => {
            let sentence = format!("registration_shared_secret is right; the homeserver has rules for passwords: {error}");
            Finding::new(Advice, "shared_secret", sentence)
        }
        Ok(Registered::Made) => {
            let sentence = format!("the homeserver made an account with the impossible name {IMPOSSIBLE:?}: deactivate it there");
            Finding::new(Warning, "shared_secret", sentence)
        }
        // Nothing is known about the secret, and nobody waits for an account yet.
        Err(cause @ (Error::Unreachable(_) | Error::Limited { .. })) => Finding::new(Advice, "shared_secret_untold", cause.to_string()),
        Err(cause) => Finding::new(Fault, "shared_secret_wrong", cause.to_string()),
    }
}

//! Access control of the internal programs.
//!
//! The callers cannot authenticate. Access depends on the address they call from and, if the caller can send a header (our own
//! Synapse module, or a proxy that adds it), a shared secret.

use crate::domain::error::Error;
use crate::flow::caller::{self, contains};
use crate::outside::cgi::{Header, Request};
use crate::outside::site::Site;
use subtle::ConstantTimeEq;

/// `Ok` if the request may pass, else 403.
pub fn check(site: &Site, request: &Request) -> Result<(), Error> {
    check_address(site, request)?;
    match site.config.internal_secret()? {
        Some(secret) if !same(&secret, request.header(Header::XRegisterBotSecret).unwrap_or("")) => Err(Error::forbidden(format!(
            "a call without the right {} was refused; see internal.shared_secret in config.toml",
            Header::XRegisterBotSecret.name()
        ))),
        _ => Ok(()),
    }
}

/// `Ok` if the request comes from an address that may call internal programs, else 403.
pub(super) fn check_address(site: &Site, request: &Request) -> Result<(), Error> {
    let rules = &site.config.internal;
    let forwarded = request.header(Header::XForwardedFor);
    let mut caller = caller::address(rules, request.variable("REMOTE_ADDR"), forwarded);
    // Any other sign of a proxy: it may serve the whole world, and we cannot read its headers.
    if forwarded.is_none() && [Header::Forwarded, Header::XRealIp, Header::Via].iter().any(|sign| request.header(*sign).is_some()) {
        caller = None;
    }
    if !caller.as_deref().is_some_and(|caller| contains(&rules.allowed_addresses, caller)) {
        return Err(Error::forbidden(format!(
            "a call from {} was refused; allowed are internal.allowed_addresses in config.toml (a proxy in between must be in internal.trusted_proxies)",
            caller.as_deref().unwrap_or("an unknown address, or through a proxy that is not trusted")
        )));
    }
    Ok(())
}

/// Whether both are the same, in a time that does not depend on where they differ.
pub(super) fn same(secret: &str, sent: &str) -> bool {
    bool::from(secret.as_bytes().ct_eq(sent.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Internal;

    #[test]
    fn loopback_and_unix_sockets_are_allowed_from_the_start() {
        let allowed = Internal::default().allowed_addresses;
        for address in ["127.0.0.1", "::1", "unix:", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"] {
            assert!(contains(&allowed, address), "{address}");
        }
        for address in ["127.0.0.2", "192.0.2.1", "", "127.0.0.1:80", "localhost"] {
            assert!(!contains(&allowed, address), "{address}");
        }
    }
}

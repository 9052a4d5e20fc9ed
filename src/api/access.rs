//! Who may call the internal programs.
//!
//! The callers have no way to prove who they are (contract mxisd 1): the address they call from decides, plus a shared
//! secret in a header where the caller can send one (our own Synapse module, or a proxy that adds it).

use crate::cgi::Request;
use crate::config::Internal;
use crate::error::Error;
use crate::site::Site;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// The header with `internal.shared_secret`.
pub const SECRET_HEADER: &str = "x-register-bot-secret";

/// Lets the request pass, or 403.
pub fn check(site: &Site, request: &Request) -> Result<(), Error> {
    let rules = &site.config.internal;
    let mut caller = caller(rules, request.variable("REMOTE_ADDR"), request.header("x-forwarded-for"));
    // Any other sign of a proxy: it may stand before the world, and is not one of those that we can read.
    if ["forwarded", "x-real-ip", "via"].iter().any(|sign| request.header(sign).is_some()) && request.header("x-forwarded-for").is_none() {
        caller = None;
    }
    if !caller.as_deref().is_some_and(|caller| contains(&rules.allowed_addresses, caller)) {
        return Err(Error::forbidden(format!(
            "a call from {} was refused; allowed are internal.allowed_addresses in config.toml (a proxy in between must be in internal.trusted_proxies)",
            caller.as_deref().unwrap_or("an unknown address, or through a proxy that is not trusted")
        )));
    }
    match site.config.internal_secret()? {
        Some(secret) if !same(&secret, request.header(SECRET_HEADER).unwrap_or("")) => Err(Error::forbidden(format!(
            "a call without the right {SECRET_HEADER} was refused; see internal.shared_secret in config.toml"
        ))),
        _ => Ok(()),
    }
}

/// Where the client of a request from the world sits, as far as it can be believed: if it came through a proxy that is
/// not trusted, the proxy.
pub fn client(site: &Site, request: &Request) -> Option<String> {
    let remote = request.variable("REMOTE_ADDR");
    caller(&site.config.internal, remote, request.header("x-forwarded-for")).or(remote.map(str::to_owned))
}

/// The address of who really calls. `X-Forwarded-For` counts only as far as trusted proxies wrote it; where a proxy that
/// is not trusted wrote one, the caller is unknown: behind it the world could call from a loopback address.
fn caller(rules: &Internal, remote: Option<&str>, forwarded: Option<&str>) -> Option<String> {
    let remote = remote.filter(|remote| !remote.is_empty())?;
    let Some(forwarded) = forwarded else { return Some(remote.to_owned()) };
    let hops: Vec<&str> = forwarded.split(',').map(str::trim).chain([remote]).collect();
    let mut trusted_from = hops.len();
    for (index, hop) in hops.iter().enumerate().rev() {
        if !contains(&rules.trusted_proxies, hop) {
            break;
        }
        trusted_from = index;
    }
    // hops[trusted_from..] are trusted proxies; the one before was written down by the first of them.
    match trusted_from {
        0 => Some(hops[0].to_owned()),
        index if index < hops.len() => Some(hops[index - 1].to_owned()),
        _ => None,
    }
}

/// Compares addresses, not spellings: `::ffff:127.0.0.1` is `127.0.0.1`. Anything else, like nginx's `unix:`, as text.
fn contains(list: &[String], address: &str) -> bool {
    let canonical = |text: &str| text.parse::<IpAddr>().map(|address| address.to_canonical());
    match canonical(address) {
        Ok(address) => list.iter().any(|allowed| canonical(allowed) == Ok(address)),
        Err(_) => !address.is_empty() && list.iter().any(|allowed| allowed == address),
    }
}

fn same(secret: &str, sent: &str) -> bool {
    bool::from(secret.as_bytes().ct_eq(sent.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller_of(trusted: &[&str], remote: &str, forwarded: Option<&str>) -> Option<String> {
        let mut rules = Internal::default();
        rules.trusted_proxies = trusted.iter().map(|text| text.to_string()).collect();
        caller(&rules, Some(remote), forwarded)
    }

    #[test]
    fn a_forwarded_address_counts_from_trusted_proxies_only() {
        assert_eq!(caller_of(&[], "127.0.0.1", None).as_deref(), Some("127.0.0.1"));
        assert_eq!(caller_of(&[], "127.0.0.1", Some("127.0.0.1")), None, "somebody forwards for the world");
        assert_eq!(caller_of(&["10.0.0.1"], "10.0.0.1", Some("127.0.0.1, 192.0.2.7")).as_deref(), Some("192.0.2.7"));
        assert_eq!(caller_of(&["10.0.0.1", "10.0.0.2"], "10.0.0.1", Some("192.0.2.7, 10.0.0.2")).as_deref(), Some("192.0.2.7"));
        assert_eq!(caller_of(&["10.0.0.1"], "10.0.0.1", Some("10.0.0.1")).as_deref(), Some("10.0.0.1"));
        assert_eq!(caller(&Internal::default(), None, None), None);
        assert_eq!(caller(&Internal::default(), Some(""), None), None);
    }

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

//! Where a request comes from: the trustworthy part of its address, and the network around it.

use crate::domain::config::{CallerRange, Internal};
use crate::outside::cgi::{Header, Request};
use crate::outside::site::Site;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of the client of a public request, as far as it can be trusted: if an untrusted proxy is involved, that of the
/// proxy.
pub fn client(site: &Site, request: &Request) -> Option<String> {
    let remote = request.variable("REMOTE_ADDR");
    address(&site.config.internal, remote, request.header(Header::XForwardedFor)).or(remote.map(str::to_owned))
}

/// The address of the real caller. `X-Forwarded-For` counts only as far as trusted proxies wrote it. If an untrusted proxy
/// wrote one, the caller is unknown; otherwise anybody behind that proxy could claim a loopback address.
pub fn address(rules: &Internal, remote: Option<&str>, forwarded: Option<&str>) -> Option<String> {
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
    // hops[trusted_from..] are trusted proxies; the first of them recorded the hop before it.
    match trusted_from {
        0 => Some(hops[0].to_owned()),
        index if index < hops.len() => Some(hops[index - 1].to_owned()),
        _ => None,
    }
}

/// Whether one of the ranges contains an address as written by the web server or a proxy.
pub fn contains(ranges: &[CallerRange], address: &str) -> bool {
    ranges.iter().any(|range| range.contains(address))
}

/// The caller's network: the /24 of an IPv4 address, the /48 of an IPv6 address; empty if unknown.
pub fn network(client: Option<&str>) -> String {
    match client.and_then(written_by_a_proxy).map(behind_a_gateway) {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0")
        }
        Some(IpAddr::V6(address)) => format!("{:x}", u128::from(address) >> 80),
        None => String::new(),
    }
}

/// Parses also what some proxies write: `192.0.2.7:51234` and `[2001:db8::1]:443`.
fn written_by_a_proxy(text: &str) -> Option<IpAddr> {
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse()).ok()
}

/// The IPv4 address that an IPv6 address represents: mapped (RFC 4291, 2.5.5.2), or behind NAT64 (RFC 6052, 2.1).
fn behind_a_gateway(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller_of(trusted: &[&str], remote: &str, forwarded: Option<&str>) -> Option<String> {
        let mut rules = Internal::default();
        rules.trusted_proxies = trusted.iter().map(|text| text.parse().unwrap()).collect();
        address(&rules, Some(remote), forwarded)
    }

    #[test]
    fn a_forwarded_address_counts_from_trusted_proxies_only() {
        assert_eq!(caller_of(&[], "127.0.0.1", None).as_deref(), Some("127.0.0.1"));
        assert_eq!(caller_of(&[], "127.0.0.1", Some("127.0.0.1")), None, "somebody forwards for the world");
        assert_eq!(caller_of(&["10.0.0.1"], "10.0.0.1", Some("127.0.0.1, 192.0.2.7")).as_deref(), Some("192.0.2.7"));
        assert_eq!(caller_of(&["10.0.0.1", "10.0.0.2"], "10.0.0.1", Some("192.0.2.7, 10.0.0.2")).as_deref(), Some("192.0.2.7"));
        assert_eq!(caller_of(&["10.0.0.1"], "10.0.0.1", Some("10.0.0.1")).as_deref(), Some("10.0.0.1"));
        assert_eq!(caller_of(&["10.0.0.0/8"], "10.0.0.1", Some("10.0.1.1, 192.0.2.7, 10.7.7.7")).as_deref(), Some("192.0.2.7"));
        assert_eq!(address(&Internal::default(), None, None), None);
        assert_eq!(address(&Internal::default(), Some(""), None), None);
    }

    #[test]
    fn neighbours_are_one_network() {
        assert_eq!(network(Some("192.0.2.7")), network(Some("::ffff:192.0.2.200")));
        assert_ne!(network(Some("192.0.2.7")), network(Some("192.0.3.7")));
        assert_eq!(network(Some("2001:db8:1:2:3::4")), network(Some("2001:db8:1:ffff::1")));
        assert_ne!(network(Some("2001:db8:1:2::1")), network(Some("2001:db8:2:2::1")));
        for written in ["192.0.2.9:51234", "[::ffff:192.0.2.9]:80", "64:ff9b::c000:207"] {
            assert_eq!(network(Some(written)), network(Some("192.0.2.7")), "{written}");
        }
        assert_eq!(network(Some("[2001:db8:1::7]:443")), network(Some("2001:db8:1::9")));
        assert_eq!(network(Some("[2001:db8:1::7]")), network(Some("2001:db8:1::9")));
        assert_ne!(network(Some("64:ff9b::c000:207")), network(Some("64:ff9b::c000:307")));
        assert_eq!((network(None), network(Some("unix:"))), (String::new(), String::new()));
    }
}

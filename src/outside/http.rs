//! The HTTP client for the homeserver and what belongs to it.

use crate::domain::characters;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// Time limit for connecting, TLS handshake included.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Time limit for a whole request that has none of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// A client that takes every status for an answer and follows no redirect. Certificates are checked against the system's
/// certificate authorities.
pub(super) fn agent() -> Agent {
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // In a CGI program a visitor's "Proxy:" header appears as HTTP_PROXY in the environment, and ureq would use it.
        .proxy(None)
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .timeout_connect(Some(CONNECT_PATIENCE))
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("matrix-register-bot/", env!("CARGO_PKG_VERSION")))
        .build();
    agent.into()
}

/// Text from outside for an error message: one line of at most 200 characters.
pub(super) fn line(text: &str) -> String {
    let beginning: String = text.chars().take(1000).collect();
    characters::one_line(&beginning).chars().take(200).collect()
}

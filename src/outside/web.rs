//! Fetches a page as a stranger's browser would: with the certificate authorities of this machine, and no redirect.

use crate::domain::characters;
use crate::outside::http;
use std::io::ErrorKind;
use ureq::Error;

/// Bytes read of a page.
const LARGEST: u64 = 1024 * 1024;

const UNKNOWN_HOST: &str = "the name of the host is not known (DNS)";

/// A page, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub status: u16,
    /// Where it redirects to.
    pub location: Option<String>,
    pub content_type: String,
    pub body: String,
}

/// GET. The error says why there is no page.
pub fn fetch(url: &str) -> Result<Fetched, String> {
    let mut response = http::agent().get(url).call().map_err(|cause| why(&cause))?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(characters::one_line);
    let (location, content_type) = (header("Location"), header("Content-Type").unwrap_or_default());
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(|cause| why(&cause))?;
    Ok(Fetched { status, location, content_type, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Why there is no page, and who can help.
fn why(cause: &Error) -> String {
    let said = characters::one_line(&cause.to_string());
    match cause {
        Error::Timeout(_) => format!(
            "no answer within {} s; if others get one, this machine does not reach its own public address: give it the name in /etc/hosts",
            http::PATIENCE.as_secs()
        ),
        Error::HostNotFound => UNKNOWN_HOST.into(),
        _ if said.contains("lookup address") => UNKNOWN_HOST.into(),
        _ if said.contains("InvalidContentType") => format!("nobody speaks TLS there: {said}"),
        _ if said.contains("certificate") => format!("the web server has no certificate for this name that browsers trust: {said}"),
        Error::ConnectionFailed => "nobody answers at this address and port; does the web server run, and listen there?".into(),
        Error::Io(refused) if refused.kind() == ErrorKind::ConnectionRefused => {
            "nobody listens at this address and port; does the web server run, and listen there?".into()
        }
        _ => said,
    }
}

//! Passes a client's request to the homeserver unchanged, and returns the answer unchanged.

use super::{Error, Homeserver, LARGEST_ANSWER};
use crate::outside::cgi::Header;
use ureq::http::{Method, Request};

/// The parts of a client's request that the homeserver needs.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// Path and query.
    pub path: &'a str,
    /// The whole `Authorization` header.
    pub authorization: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    /// The client's address, for the homeserver's rate limits and its list of sessions.
    pub client_address: Option<&'a str>,
    /// The value of [`Header::XRegisterBotForwarded`]; only we can compute it.
    pub mark: &'a str,
    pub body: &'a [u8],
}

/// The homeserver's answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
}

/// POSTs the request to the homeserver.
pub fn post(homeserver: &Homeserver, forwarded: &Forwarded) -> Result<Answer, Error> {
    let mut request = Request::builder().method(Method::POST).uri(homeserver.base.join(forwarded.path));
    let headers = [
        ("Content-Type", Some("application/json")),
        ("Authorization", forwarded.authorization),
        ("User-Agent", forwarded.user_agent),
        ("X-Forwarded-For", forwarded.client_address),
        (Header::XRegisterBotForwarded.name(), Some(forwarded.mark)),
    ];
    for (name, value) in headers {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    // The query is left out, as it may contain an access token.
    let place = homeserver.base.join(forwarded.path.split('?').next().unwrap_or(""));
    let unreachable = |cause: ureq::Error| Error::Unreachable(format!("POST {place}: {cause}; see homeserver_url"));
    let request = request.body(forwarded.body).map_err(|cause| unreachable(cause.into()))?;
    let mut response = homeserver.agent.run(request).map_err(unreachable)?;
    let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().map_err(unreachable)?;
    let retry_after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Answer { status: response.status().as_u16(), retry_after, body })
}

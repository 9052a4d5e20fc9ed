//! Which homeserver answers, and what its clock says.

use super::{Call, Error, Homeserver};
use serde::Deserialize;

/// What a homeserver says of itself to anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The newest version of the specification that it speaks.
    pub newest: String,
    /// Its clock (seconds since 1970), from the header `Date`.
    pub clock: Option<i64>,
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<String>,
}

/// Asks for the versions of the specification (Client-Server API, `GET /versions`).
pub fn about(homeserver: &Homeserver) -> Result<About, Error> {
    let call = Call::get("/_matrix/client/versions".into());
    let mut response = homeserver.send(&call)?;
    let status = response.status().as_u16();
    let clock = response.headers().get("Date").and_then(|date| seconds(date.to_str().ok()?));
    let body = response.body_mut().with_config().limit(call.largest).read_to_vec().map_err(|cause| homeserver.no_answer(&call, cause))?;
    match serde_json::from_slice::<Versions>(&body) {
        Ok(Versions { versions }) if status == 200 => {
            Ok(About { newest: versions.last().map(|last| super::line(last)).unwrap_or_default(), clock })
        }
        _ => Err(homeserver.nonsense(&call, status, "no list of versions")),
    }
}

/// `Sat, 28 Nov 2026 10:00:00 GMT` (RFC 9110, 5.6.7).
fn seconds(date: &str) -> Option<i64> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date.trim()).ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_date_of_http_is_a_time() {
        assert_eq!(seconds("Sat, 28 Nov 2026 10:00:00 GMT"), Some(1_795_860_000));
        assert_eq!(seconds("yesterday"), None);
    }
}

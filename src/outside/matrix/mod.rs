//! The homeserver, over its HTTP interfaces: accounts, logins, profiles, and the room where requests are decided.
//!
//! One file for each purpose: `register` (shared-secret registration), `token_registration`, `login`, `availability` (whether a name is
//! free), `accounts` (what a server administrator may do), `password_policy`, `service` (the application service), `room` (messages), `relations` (reactions to them), `members` (who may decide), `bot` (the bot's own account, and the one function that programs call to post to the
//! room). This file contains what they share: the connection and the errors.
//!
//! `internal/login` must not use this module: Synapse waits for that program and answers no other request until it
//! ends.

pub mod accounts;
pub mod availability;
pub mod bot;
pub mod delegation;
pub mod forward;
pub mod login;
pub mod members;
pub mod messages;
pub mod own_password;
pub mod password_policy;
pub mod profile;
pub mod register;
pub mod relations;
pub mod room;
pub mod room_report;
pub mod service;
pub mod sessions;
pub mod token_registration;
pub mod versions;

use crate::domain::config::{self, BaseUrl, Config, ServerName};
use crate::domain::names;
use crate::outside::fault;
use crate::outside::http::{self, line};
use crate::outside::state_file;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::{Duration, Instant};
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

/// Time limit for a whole request.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time limit for a request of somebody who has waited long enough.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(1);
/// Bytes read of an answer. The answers we parse have a few hundred.
const LARGEST_ANSWER: u64 = 1024 * 1024;
/// Seconds to wait after a 429 that does not say how long.
const DEFAULT_RETRY: u64 = 5;
/// Seconds: the longest wait after a 429, whatever the answer asks for.
const LONGEST_RETRY: u64 = 3600;

/// Characters of a URI that an error message repeats.
const LONGEST_URI: usize = 500;

const NOT_THE_HOMESERVER: &str = "is homeserver_url right, and nothing between us and the homeserver?";

/// Characters that need no encoding in a path segment (RFC 3986: unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why the homeserver did not do what it was asked to do. The messages are for the log and contain no passwords or
/// tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// 429: too many requests. The same request may be sent again after this many seconds (1 to 3600).
    Limited { retry_after_seconds: u64, sentence: String },
    /// 401 `M_UNKNOWN_TOKEN`: the access token has expired or never existed. After a soft logout the client keeps its session
    /// data and only needs to log in again (<https://spec.matrix.org/v1.11/client-server-api/#soft-logout>).
    UnknownToken { error: String, soft_logout: bool },
    /// 403: the homeserver understood the request and refused it.
    Forbidden(String),
    /// No answer: the homeserver is down, unreachable or too slow, or TLS failed. The request may have been carried
    /// out.
    Unreachable(String),
    /// An answer that does not fit the protocol or this request.
    Unexpected(String),
    /// The operator has to change something first; the message says what.
    Misconfigured(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownToken { .. } => f.write_str("the homeserver does not know the access token (any more)"),
            Error::Limited { retry_after_seconds, sentence } => {
                write!(f, "{sentence}; it takes the request again in {retry_after_seconds} s")
            }
            Error::Forbidden(sentence) | Error::Unreachable(sentence) | Error::Unexpected(sentence) | Error::Misconfigured(sentence) => {
                f.write_str(sentence)
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<config::Error> for Error {
    fn from(cause: config::Error) -> Error {
        Error::Misconfigured(cause.to_string())
    }
}

impl From<state_file::Error> for Error {
    fn from(cause: state_file::Error) -> Error {
        Error::Misconfigured(cause.to_string())
    }
}

/// A client for one homeserver. It connects at the first request.
pub struct Homeserver {
    base: BaseUrl,
    server_name: ServerName,
    agent: Agent,
    device: Option<Device>,
    /// When whoever waits for the answers has waited long enough.
    until: Option<Instant>,
}

/// A device of an application service's own account. With it, transaction ids hold across restarts of Synapse, which they do not
/// with the bare token of the service (observed with Synapse 1.163).
struct Device {
    /// The service's token.
    token: String,
    user_id: String,
    device_id: &'static str,
    name: &'static str,
}

impl fmt::Debug for Homeserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Homeserver({})", self.base.join("/"))
    }
}

impl Homeserver {
    /// The homeserver at `homeserver_url`. Certificates are checked against the system's certificate authorities.
    pub fn new(config: &Config) -> Homeserver {
        Homeserver {
            base: config.homeserver_url.clone(),
            server_name: config.server_name.clone(),
            agent: http::agent(),
            device: None,
            until: None,
        }
    }

    /// Every request ends at this time at the latest, as if the homeserver were too slow.
    pub fn until(self, until: Option<Instant>) -> Homeserver {
        Homeserver { until, ..self }
    }

    /// `@localpart:server_name`.
    pub fn mxid(&self, localpart: &str) -> String {
        names::mxid(localpart, &self.server_name)
    }

    /// Makes every request with the application service's token one of this device, which is made at the first need.
    pub(super) fn with_device(self, service_token: &str, localpart: &str, device_id: &'static str, name: &'static str) -> Homeserver {
        let user_id = self.mxid(localpart);
        Homeserver { device: Some(Device { token: service_token.to_owned(), user_id, device_id, name }), ..self }
    }

    /// Whether a user id is one of this homeserver.
    pub fn is_of_this_server(&self, user_id: &str) -> bool {
        user_id.split_once(':').is_some_and(|(_, server)| server == self.server_name.0)
    }

    /// Where it is, for sentences.
    pub fn url(&self) -> String {
        self.base.join("/")
    }

    /// Whether it is on this machine, and no web server elsewhere sees what is asked.
    pub(crate) fn is_on_this_machine(&self) -> bool {
        self.base.is_loopback()
    }

    /// Sends a request. `Ok(Err(..))` is a refusal that the caller has to interpret. Failures that mean the same to
    /// every caller (429, an unknown token, no answer, an unreadable answer) are `Err`.
    fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<Result<T, Refusal>, Error> {
        match (self.ask_once(call)?, self.device_of(call)) {
            (Err(refusal), Some(device)) if refusal.is(400, "M_UNKNOWN_DEVICE") => {
                self.make_device(device)?;
                self.ask_once(call)
            }
            (answer, _) => Ok(answer),
        }
    }

    fn ask_once<T: DeserializeOwned>(&self, call: &Call) -> Result<Result<T, Refusal>, Error> {
        let answer = self.answer(call)?;
        self.read(call, &answer)
    }

    /// Asks an interface that may want more before it does anything (Client-Server API, "User-interactive authentication API").
    fn ask_interactively<T: DeserializeOwned>(&self, call: &Call) -> Result<Interactive<T>, Error> {
        let answer = self.answer(call)?;
        if let (401, Ok(wanted)) = (answer.status, serde_json::from_slice(&answer.body)) {
            return Ok(Interactive::Wanted(wanted));
        }
        Ok(match self.read(call, &answer)? {
            Ok(done) => Interactive::Done(done),
            Err(refusal) => Interactive::Refused(refusal),
        })
    }

    fn answer(&self, call: &Call) -> Result<Answer, Error> {
        let mut response = self.send(call)?;
        let retry_after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.body_mut().with_config().limit(call.largest).read_to_vec().map_err(|cause| self.no_answer(call, cause))?;
        Ok(Answer { status: response.status().as_u16(), retry_after, body })
    }

    fn read<T: DeserializeOwned>(&self, call: &Call, answer: &Answer) -> Result<Result<T, Refusal>, Error> {
        let Answer { status, retry_after, ref body } = *answer;
        if status == 200 {
            return serde_json::from_slice(body)
                .map(Ok)
                .map_err(|cause| self.nonsense(call, status, &format!("something else than expected ({})", line(&cause.to_string()))));
        }
        let error = serde_json::from_slice::<MatrixError>(body).unwrap_or_default();
        match (status, error.errcode.as_str()) {
            (429, _) => Err(Error::Limited {
                retry_after_seconds: retry_seconds(error.retry_after_ms.and_then(|ms| ms.as_f64()), retry_after),
                sentence: format!("{}: too many requests", self.asked(call)),
            }),
            (403, "M_CONSENT_NOT_GIVEN") => Err(Error::Misconfigured(self.consent_wanted(call, &error))),
            (401, "M_UNKNOWN_TOKEN") => Err(Error::UnknownToken { error: line(&error.error), soft_logout: error.is_soft_logout() }),
            _ => Ok(Err(Refusal {
                asked: self.asked(call),
                status,
                errcode: line(&error.errcode),
                error: line(&error.error),
                soft_logout: error.is_soft_logout(),
            })),
        }
    }

    fn device_of(&self, call: &Call) -> Option<&Device> {
        self.device.as_ref().filter(|device| call.token == Some(&device.token))
    }

    /// Makes the device of the application service, and gives its account a name if it has none
    /// (<https://spec.matrix.org/v1.17/client-server-api/#put_matrixclientv3devicesdeviceid>).
    fn make_device(&self, device: &Device) -> Result<(), Error> {
        let user = segment(&device.user_id);
        let put = |path: String, name: serde_json::Value| -> Result<u16, Error> {
            let call = Call::with_body(Method::PUT, format!("{path}?user_id={user}"), &name)?;
            // As nobody's device, which it is not yet.
            self.send_to(&call.token(&device.token), None).map(|response| response.status().as_u16())
        };
        let status = put(format!("/_matrix/client/v3/devices/{}", device.device_id), serde_json::json!({ "display_name": device.name }))?;
        if !matches!(status, 200 | 201) {
            return Err(Error::Unexpected(format!(
                "the homeserver does not make the device {} of the application service: {status}",
                device.device_id
            )));
        }
        let name = format!("/_matrix/client/v3/profile/{user}/displayname");
        let shown = self.send_to(&Call::get(name.clone()).token(&device.token), None)?;
        if shown.status() == 404 {
            put(name, serde_json::json!({ "displayname": device.name }))?;
        }
        Ok(())
    }

    fn send(&self, call: &Call) -> Result<Response<Body>, Error> {
        self.send_to(call, self.device_of(call))
    }

    fn send_to(&self, call: &Call, device: Option<&Device>) -> Result<Response<Body>, Error> {
        let acting = device.map(|device| {
            let separator = if call.path.contains('?') { '&' } else { '?' };
            format!("{separator}user_id={}&device_id={}", segment(&device.user_id), device.device_id)
        });
        let uri = self.base.join(&call.path) + &acting.unwrap_or_default();
        let mut request = Request::builder().method(call.method.clone()).uri(uri).header("Accept", "application/json");
        if let Some(token) = call.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let sent = match &call.body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.as_slice());
                request.map_err(ureq::Error::Http).and_then(|request| self.run(call, request))
            }
            None => request.body(()).map_err(ureq::Error::Http).and_then(|request| self.run(call, request)),
        };
        sent.map_err(|cause| self.no_answer(call, cause))
    }

    fn run(&self, call: &Call, request: Request<impl ureq::AsSendBody>) -> Result<Response<Body>, ureq::Error> {
        fault::point("homeserver asked");
        let left = self.until.map_or(call.patience, |until| until.saturating_duration_since(Instant::now()));
        let patience = left.clamp(SHORTEST_PATIENCE, call.patience);
        let answer = self.agent.run(self.agent.configure_request(request).timeout_global(Some(patience)).build());
        fault::point("homeserver answered");
        answer
    }

    /// The account that sent the request has not accepted the homeserver's terms of use. Synapse does not require this
    /// of accounts with `user_type` "bot".
    fn consent_wanted(&self, call: &Call, error: &MatrixError) -> String {
        let uri = error.consent_uri.as_ref().and_then(|uri| uri.as_str()).unwrap_or("the page with its terms");
        let uri: String = uri.chars().filter(|c| !c.is_control()).take(LONGEST_URI).collect();
        format!(
            "{}: 403 M_CONSENT_NOT_GIVEN: the homeserver wants this account to accept its terms of use; open {uri} and agree, or make it a bot's account, which need not: \
             as a server administrator PUT {{\"user_type\":\"bot\"}} to /_synapse/admin/v2/users/ACCOUNT",
            self.asked(call)
        )
    }

    /// `PUT http://127.0.0.1:8008/_matrix/...`, for the log: without names and addresses of people.
    fn asked(&self, call: &Call) -> String {
        format!("{} {}", call.method, self.base.join(&without_people(&call.path)))
    }

    fn no_answer(&self, call: &Call, cause: ureq::Error) -> Error {
        let asked = self.asked(call);
        match cause {
            ureq::Error::Timeout(_) => Error::Unreachable(format!(
                "{asked}: no answer within {} s; is the homeserver running, and is homeserver_url right?",
                call.patience.as_secs()
            )),
            ureq::Error::Protocol(cause) => {
                Error::Unexpected(format!("{asked}: the answer is not HTTP ({cause}); is homeserver_url right?"))
            }
            ureq::Error::BodyExceedsLimit(limit) => {
                Error::Unexpected(format!("{asked}: the answer has more than {limit} bytes; is homeserver_url right?"))
            }
            ureq::Error::Http(cause) => {
                Error::Misconfigured(format!("{asked}: cannot be asked ({cause}); is the access token one line without blanks?"))
            }
            cause => Error::Unreachable(format!("{asked}: {cause}; is the homeserver running, and is homeserver_url right?")),
        }
    }

    fn nonsense(&self, call: &Call, status: u16, what: &str) -> Error {
        Error::Unexpected(format!("{}: answered {status} with {what}; {NOT_THE_HOMESERVER}", self.asked(call)))
    }
}

/// One request.
struct Call<'a> {
    method: Method,
    path: String,
    token: Option<&'a str>,
    body: Option<Vec<u8>>,
    patience: Duration,
    /// Bytes read of the answer.
    largest: u64,
}

impl<'a> Call<'a> {
    fn get(path: String) -> Call<'a> {
        Call { method: Method::GET, path, token: None, body: None, patience: PATIENCE, largest: LARGEST_ANSWER }
    }

    fn with_body(method: Method, path: String, body: &impl serde::Serialize) -> Result<Call<'a>, Error> {
        let body = serde_json::to_vec(body).map_err(|cause| Error::Unexpected(format!("{path}: cannot be written as JSON: {cause}")))?;
        Ok(Call { method, path, token: None, body: Some(body), patience: PATIENCE, largest: LARGEST_ANSWER })
    }

    fn post(path: &str, body: &impl serde::Serialize) -> Result<Call<'a>, Error> {
        Call::with_body(Method::POST, path.to_owned(), body)
    }

    fn token(self, token: &'a str) -> Call<'a> {
        Call { token: Some(token), ..self }
    }

    fn patience(self, patience: Duration) -> Call<'a> {
        Call { patience, ..self }
    }
}

/// An answer as it came.
struct Answer {
    status: u16,
    /// In seconds.
    retry_after: Option<u64>,
    body: Vec<u8>,
}

/// The answer of an interface with interactive authentication.
enum Interactive<T> {
    Done(T),
    /// 401: one of the flows has to be completed first.
    Wanted(Wanted),
    Refused(Refusal),
}

/// What an interface wants before it does anything. Whoever knows the session is, for Synapse, as good as the person, so it is
/// never logged.
#[derive(Deserialize)]
struct Wanted {
    session: String,
    flows: Vec<WantedFlow>,
    #[serde(default)]
    completed: Vec<String>,
    /// Why the last stage was not accepted.
    #[serde(default)]
    errcode: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct WantedFlow {
    stages: Vec<String>,
}

/// The body of every error answer (Client-Server API, "Standard error response"). Empty if the body is not one.
#[derive(Deserialize, Default)]
struct MatrixError {
    errcode: String,
    #[serde(default)]
    error: String,
    /// Sent with 429.
    #[serde(default)]
    retry_after_ms: Option<serde_json::Value>,
    /// Sent with 401.
    #[serde(default)]
    soft_logout: Option<serde_json::Value>,
    /// Sent with `M_CONSENT_NOT_GIVEN`.
    #[serde(default)]
    consent_uri: Option<serde_json::Value>,
}

impl MatrixError {
    fn is_soft_logout(&self) -> bool {
        self.soft_logout == Some(true.into())
    }
}

/// An answer other than 200, and the request it belongs to.
#[derive(Debug)]
struct Refusal {
    asked: String,
    status: u16,
    /// Empty if the body is not a Matrix error; the answer then usually comes from a proxy.
    errcode: String,
    error: String,
    soft_logout: bool,
}

impl Refusal {
    /// `POST http://...: 403 M_FORBIDDEN "..."`, followed by `hint`.
    fn sentence(&self, hint: &str) -> String {
        let separator = if hint.is_empty() { "" } else { "; " };
        match self.is_matrix_error() {
            true => format!("{}: {} {} {:?}{separator}{hint}", self.asked, self.status, self.errcode, self.error),
            false => format!("{}: {} without a Matrix error{separator}{hint}", self.asked, self.status),
        }
    }

    /// The error for an answer that the caller does not expect.
    fn unexpected(self) -> Error {
        match self.status {
            _ if !self.is_matrix_error() => Error::Unexpected(self.sentence(NOT_THE_HOMESERVER)),
            403 => Error::Forbidden(self.sentence("")),
            _ => Error::Unexpected(self.sentence("")),
        }
    }

    fn is_matrix_error(&self) -> bool {
        !self.errcode.is_empty()
    }

    fn is(&self, status: u16, errcode: &str) -> bool {
        self.status == status && self.errcode == errcode
    }
}

/// An empty JSON object, as a request or an answer.
#[derive(Default, serde::Serialize, Deserialize)]
struct Empty {}

/// A path segment, percent-encoded.
fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The longer of `retry_after_ms` and the Retry-After header (in seconds; dates are ignored), rounded up, from 1 second
/// to an hour.
fn retry_seconds(milliseconds: Option<f64>, header: Option<u64>) -> u64 {
    // The cast saturates at 0 and u64::MAX.
    let from_body = milliseconds.filter(|ms| ms.is_finite()).map(|ms| (ms / 1000.0).ceil() as u64);
    from_body.max(header).unwrap_or(DEFAULT_RETRY).clamp(1, LONGEST_RETRY)
}

/// A path without its query, and with `...` for each segment that names a person: an encoded Matrix id or mail address.
fn without_people(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let shown = path.split('/').map(|segment| if segment.contains("%40") { "..." } else { segment });
    shown.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_log_names_nobody() {
        assert_eq!(
            without_people("/_synapse/admin/v1/threepid/email/users/max%40example.org"),
            "/_synapse/admin/v1/threepid/email/users/..."
        );
        assert_eq!(without_people("/_matrix/client/v3/register/available?username=max"), "/_matrix/client/v3/register/available");
        assert_eq!(
            without_people("/_matrix/client/v3/rooms/%21a%3Ab/state/m.room.member/%40max%3Ab"),
            "/_matrix/client/v3/rooms/%21a%3Ab/state/m.room.member/..."
        );
    }

    #[test]
    fn the_longer_of_both_waits_counts_within_an_hour() {
        assert_eq!(retry_seconds(Some(3633.0), Some(4)), 4);
        assert_eq!(retry_seconds(Some(3633.0), None), 4);
        assert_eq!(retry_seconds(None, Some(17)), 17);
        assert_eq!(retry_seconds(None, None), 5);
        assert_eq!(retry_seconds(Some(-9.0), None), 1);
        assert_eq!(retry_seconds(Some(1e300), None), 3600);
        assert_eq!(retry_seconds(Some(f64::NAN), Some(u64::MAX)), 3600);
    }

    #[test]
    fn whatever_a_name_holds_stays_in_its_segment_of_the_path() {
        assert_eq!(segment("!x:example.org"), "%21x%3Aexample.org");
        assert_eq!(segment("../a/b?c#d e"), "..%2Fa%2Fb%3Fc%23d%20e");
    }
}

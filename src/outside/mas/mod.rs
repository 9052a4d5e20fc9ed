//! matrix-authentication-service (MAS): accounts by its admin API, for homeservers that leave accounts to it.
//!
//! One file for each purpose: `users` (accounts and passwords), `addresses`, `sessions` (what an account was used for, and tokens
//! that act as it), `server` (version and settings), `meaning` (what the English titles of MAS's errors mean). This file contains
//! what they share: the token, the connection and the errors.
//!
//! What MAS does was observed with MAS 1.22 and Synapse 1.163. Its API is described at
//! <https://element-hq.github.io/matrix-authentication-service/api/>.

pub mod addresses;
mod meaning;
pub mod server;
pub mod sessions;
pub mod users;

use crate::domain::config::{self, BaseUrl, Config};
use crate::outside::fault;
use crate::outside::http::{self, line};
use data_encoding::BASE64;
use jiff::Timestamp;
use meaning::Meaning;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Method, Request};

/// Time limit for all requests but the one that makes an account. MAS itself waits up to 30 seconds for its database.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes read of an answer. The answers that we parse have a few hundred.
const LARGEST_ANSWER: u64 = 1024 * 1024;
/// The longest time to detect that MAS stays silent, in seconds: at its first answer, or at the one for which it asks Synapse.
pub(crate) const SILENCE_SECONDS: u64 = PATIENCE.as_secs() + users::PATIENCE.as_secs();
/// The longest time that an account takes, in seconds, if every single request is answered just in time.
pub(crate) const LONGEST_SECONDS: u64 = 16 * PATIENCE.as_secs() + users::PATIENCE.as_secs();

/// Characters that need no encoding in a path segment or in a value of a form (RFC 3986: unreserved).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why MAS did not do what it was asked to do. The messages are for the log and contain no tokens and no passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No answer: MAS is down, unreachable or too slow, or TLS failed. The request may have been carried out.
    Unreachable(String),
    /// MAS can do nothing at present: its database, or the homeserver behind it, does not answer.
    Away(String),
    /// An answer that does not fit the API or this request, or that a later version of MAS gives.
    Unexpected(String),
    /// The operator has to change something first; the message says what.
    Misconfigured(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable(sentence) | Error::Away(sentence) | Error::Unexpected(sentence) | Error::Misconfigured(sentence) => {
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

/// A client for one MAS. It connects at the first request.
pub struct Mas {
    admin_url: BaseUrl,
    token_url: String,
    revoke_url: String,
    client_id: String,
    client_secret: String,
    agent: Agent,
}

/// With a token for the admin API.
pub struct Session<'a> {
    mas: &'a Mas,
    token: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    scope: String,
}

/// OAuth 2.0, RFC 6749 section 5.2.
#[derive(Deserialize, Default)]
struct TokenError {
    error: String,
}

impl Mas {
    /// The MAS of `[mas]` in config.toml.
    pub fn new(config: &Config) -> Result<Mas, Error> {
        let Some(settings) = &config.mas else {
            return Err(Error::Misconfigured("[mas] is missing in config.toml".into()));
        };
        Ok(Mas {
            admin_url: settings.admin_url.clone(),
            token_url: settings.token_url(),
            revoke_url: settings.revoke_url(),
            client_id: settings.client_id.0.clone(),
            client_secret: settings.client_secret()?,
            agent: http::agent(),
        })
    }

    /// Does something with a token of its own, which is revoked afterwards: a token that only expires stays listed as an active
    /// session for ever.
    pub fn with_token<T, E: From<Error>>(&self, work: impl FnOnce(&Session) -> Result<T, E>) -> Result<T, E> {
        let session = Session { mas: self, token: self.token()? };
        let outcome = work(&session);
        session.end();
        outcome
    }

    /// A token that may use the admin API, by the client's own credentials (RFC 6749 section 4.4).
    fn token(&self) -> Result<String, Error> {
        let form = [("grant_type", "client_credentials"), ("scope", "urn:mas:admin")];
        let (status, body) = self.post_form(&self.token_url, &form)?;
        let asked = format!("POST {}", self.token_url);
        if status != 200 {
            return Err(no_token(&asked, status, &body));
        }
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|cause| {
            Error::Unexpected(format!("{asked}: answered 200 with something else than a token ({}); {LOOK}", line(&cause.to_string())))
        })?;
        if answer.scope.split(' ').all(|scope| scope != "urn:mas:admin") {
            return Err(Error::Misconfigured(format!("{asked}: the token is not for the admin API; {LOOK}")));
        }
        Ok(answer.access_token)
    }

    fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Result<(u16, Vec<u8>), Error> {
        let encode = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let body = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
        // RFC 6749 section 2.3.1: both are form-encoded first.
        let credentials = BASE64.encode(format!("{}:{}", encode(&self.client_id), encode(&self.client_secret)).as_bytes());
        let request = Request::post(url)
            .header("Accept", "application/json")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Authorization", format!("Basic {credentials}"))
            .body(body);
        let no_answer = |cause| no_answer(&format!("POST {url}"), PATIENCE, cause);
        let request = request.map_err(|cause| no_answer(cause.into()))?;
        fault::point("mas asked");
        let answer = self.agent.run(self.agent.configure_request(request).timeout_global(Some(PATIENCE)).build());
        fault::point("mas answered");
        let mut answer = answer.map_err(no_answer)?;
        let body = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().map_err(no_answer)?;
        Ok((answer.status().as_u16(), body))
    }
}

impl Session<'_> {
    /// Ends the token. It would expire within minutes, so a failure is only logged.
    fn end(self) {
        let trouble = match self.mas.post_form(&self.mas.revoke_url, &[("token", &self.token)]) {
            Ok((200, _)) => return,
            Ok((status, _)) => format!("POST {}: {status}", self.mas.revoke_url),
            Err(cause) => cause.to_string(),
        };
        crate::outside::log::warn(
            "mas_token_left",
            None,
            &format!("a token for MAS could not be revoked, and expires by itself: {trouble}"),
        );
    }

    /// Sends a request to the admin API. `Ok(Err(..))` is a refusal that the caller has to interpret.
    fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<Result<Answer<T>, Refusal>, Error> {
        let (agent, asked) = (&self.mas.agent, self.asked(call));
        let no_answer = |cause| no_answer(&asked, call.patience, cause);
        let request = Request::builder()
            .method(call.method.clone())
            .uri(self.mas.admin_url.join(&format!("/api/admin/v1/{}", call.path)))
            .header("Accept", "application/json")
            .header("Authorization", format!("Bearer {}", self.token));
        fault::point("mas asked");
        let sent = match &call.body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.as_slice());
                request
                    .map_err(ureq::Error::Http)
                    .and_then(|request| agent.run(agent.configure_request(request).timeout_global(Some(call.patience)).build()))
            }
            None => {
                let request = request.body(());
                request
                    .map_err(ureq::Error::Http)
                    .and_then(|request| agent.run(agent.configure_request(request).timeout_global(Some(call.patience)).build()))
            }
        };
        fault::point("mas answered");
        let mut response = sent.map_err(no_answer)?;
        let status = response.status().as_u16();
        let date = response
            .headers()
            .get("Date")
            .and_then(|date| jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok())
            .map(|date| date.timestamp());
        let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().map_err(no_answer)?;
        if !matches!(status, 200 | 201 | 204) {
            return Ok(Err(Refusal::read(asked, status, date, &body)));
        }
        let body = if body.is_empty() { b"null".as_slice() } else { &body };
        let body = serde_json::from_slice(body).map_err(|cause| {
            Error::Unexpected(format!(
                "{asked}: answered {status} with something else than expected ({}); {LOOK}",
                line(&cause.to_string())
            ))
        })?;
        Ok(Ok(Answer { body }))
    }

    /// `POST http://.../api/admin/v1/users`, for the log: without names and addresses of people.
    fn asked(&self, call: &Call) -> String {
        format!("{} {}", call.method, self.mas.admin_url.join(&format!("/api/admin/v1/{}", call.shown)))
    }
}

struct Answer<T> {
    body: T,
}

/// One request.
struct Call {
    method: Method,
    /// Below `/api/admin/v1/`.
    path: String,
    /// The same for the log.
    shown: &'static str,
    body: Option<Vec<u8>>,
    patience: Duration,
}

impl Call {
    fn get(path: String, shown: &'static str) -> Call {
        Call { method: Method::GET, path, shown, body: None, patience: PATIENCE }
    }

    fn post(path: String, shown: &'static str, body: &impl Serialize) -> Result<Call, Error> {
        let body = serde_json::to_vec(body).map_err(|cause| Error::Unexpected(format!("{shown}: cannot be written as JSON: {cause}")))?;
        Ok(Call { method: Method::POST, path, shown, body: Some(body), patience: PATIENCE })
    }
}

/// An object of the API: `{"data": {"id": .., "attributes": {..}}}`.
#[derive(Deserialize)]
struct Single<T> {
    data: Resource<T>,
}

#[derive(Deserialize)]
struct Resource<T> {
    id: String,
    attributes: T,
}

/// A list of the API; with `count=only` it has no `data`.
#[derive(Deserialize)]
struct List<T> {
    meta: Meta,
    #[serde(default = "Vec::new")]
    data: Vec<Resource<T>>,
}

#[derive(Deserialize)]
struct Meta {
    count: u64,
}

/// `{"errors": [{"title": ".."}, ..]}`: the error and its causes. There are no codes.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<Title>,
}

#[derive(Deserialize)]
struct Title {
    title: String,
}

/// An answer other than success, and the request that it belongs to.
#[derive(Debug)]
struct Refusal {
    asked: String,
    status: u16,
    /// When MAS answered, by its own clock.
    date: Option<Timestamp>,
    /// The error and its causes; empty if the body is none of MAS's errors.
    titles: Vec<String>,
}

impl Refusal {
    fn read(asked: String, status: u16, date: Option<Timestamp>, body: &[u8]) -> Refusal {
        let titles = match serde_json::from_slice::<Errors>(body) {
            Ok(Errors { errors }) => errors.iter().take(6).map(|error| line(&error.title)).collect(),
            Err(_) => Vec::new(),
        };
        Refusal { asked, status, date, titles }
    }

    fn meaning(&self) -> Meaning {
        meaning::of(self.status, &self.titles)
    }

    /// `POST http://...: 409 "User already exists"`, followed by `hint`.
    fn sentence(&self, hint: &str) -> String {
        let separator = if hint.is_empty() { "" } else { "; " };
        match self.titles.as_slice() {
            [] => format!("{}: {} without an error of MAS{separator}{hint}", self.asked, self.status),
            titles => format!("{}: {} {:?}{separator}{hint}", self.asked, self.status, titles.join(": ")),
        }
    }

    /// The error for an answer that means the same to every caller.
    fn unexpected(self) -> Error {
        match (self.meaning(), self.status) {
            (Meaning::NoAdminApi, _) => Error::Misconfigured(self.sentence(
                "there is no admin API: add the resource adminapi to this listener in MAS's configuration, and see whether admin_url in [mas] leads to it",
            )),
            (Meaning::NoHeader, _) => {
                Error::Misconfigured(self.sentence("something between us and MAS removes the header Authorization; let admin_url in [mas] lead straight to MAS"))
            }
            (Meaning::TokenOver, _) => Error::Unexpected(self.sentence("the token ended meanwhile, the next try takes another one")),
            (Meaning::TokenUnfit, _) => Error::Misconfigured(self.sentence("is token_url in [mas] the one of the same MAS as admin_url?")),
            (Meaning::PasswordsOff, _) => Error::Misconfigured(self.sentence(
                "set passwords.enabled: true in MAS's configuration",
            )),
            (Meaning::WrongSecret, _) => Error::Away(self.sentence(
                "the secret below matrix in MAS's configuration is not the one below matrix_authentication_service in homeserver.yaml",
            )),
            (Meaning::HomeserverAway | Meaning::HomeserverUnclear, _) => Error::Away(self.sentence("MAS gets no answer from the homeserver; see matrix.endpoint in MAS's configuration, and whether the homeserver runs")),
            (Meaning::DatabaseAway, _) => Error::Away(self.sentence("MAS has no database; it ends by itself then, so see whether it runs")),
            (_, 502..=504) => Error::Away(self.sentence("MAS does not run, or does not answer the web server before it")),
            _ => Error::Unexpected(self.sentence("")),
        }
    }
}

const LOOK: &str = "are admin_url and token_url in [mas] right?";

fn no_token(asked: &str, status: u16, body: &[u8]) -> Error {
    let error = serde_json::from_slice::<TokenError>(body).unwrap_or_default().error;
    match (status, error.as_str()) {
        (401, _) | (400, "invalid_client" | "unauthorized_client") => Error::Misconfigured(format!(
            "{asked}: {status} {}: client_id or client_secret in [mas] is not the one below clients in MAS's configuration, or client_auth_method there is not client_secret_basic",
            line(&error)
        )),
        (403, _) | (400, "invalid_scope") => Error::Misconfigured(format!(
            "{asked}: {status} {}: add the client to policy.data.admin_clients in MAS's configuration",
            line(&error)
        )),
        (404 | 405, _) => Error::Misconfigured(format!("{asked}: {status}: there are no tokens; {LOOK}")),
        (500..=599, _) => Error::Away(format!("{asked}: {status}: MAS has no database, or does not run behind the web server before it")),
        _ => Error::Unexpected(format!("{asked}: {status} {}; {LOOK}", line(&error))),
    }
}

fn no_answer(asked: &str, patience: Duration, cause: ureq::Error) -> Error {
    match cause {
        ureq::Error::Timeout(_) => Error::Unreachable(format!(
            "{asked}: no answer within {} s; is MAS running, and is admin_url in [mas] right?",
            patience.as_secs()
        )),
        ureq::Error::Protocol(cause) => Error::Unexpected(format!("{asked}: the answer is not HTTP ({cause}); {LOOK}")),
        ureq::Error::BodyExceedsLimit(limit) => Error::Unexpected(format!("{asked}: the answer has more than {limit} bytes; {LOOK}")),
        ureq::Error::Http(cause) => Error::Misconfigured(format!("{asked}: cannot be asked ({cause}); {LOOK}")),
        cause => Error::Unreachable(format!("{asked}: {cause}; is MAS running, and is admin_url in [mas] right?")),
    }
}

/// A path segment, percent-encoded.
fn segment(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

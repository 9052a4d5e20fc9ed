//! `internal/intercept_change_password`: a Matrix client changes a password, and the proxy sends it here.
//!
//! `POST /_matrix/client/(r0|v3|unstable)/account/password`, answered as Synapse answers it, including user-interactive
//! authentication. The new password is stored in our own table. Requests for other accounts are passed to Synapse unchanged, or
//! refused (`password_change.foreign_accounts`).
//!
//! The whole world may call this program. A client with an access token can change only the password of the token's owner. A
//! client without one, such as a user whose initial password has expired and who cannot log in, must know the old password as
//! well, and learns nothing about who has an account: such a request is never passed on.
//!
//! A change whose answer was lost may come again. The old password is wrong by then, and the new one is in force: that is the same
//! success, and only what may be left of the change is done, which is to end other sessions. Whoever knows only the old password gets
//! nothing this way. A change that is passed on is Synapse's, which recognises a repetition by its authentication session.

use super::{MatrixError, is_localpart};
use crate::domain::address::Address;
use crate::domain::characters;
use crate::domain::config::ForeignAccounts;
use crate::domain::error::Error;
use crate::domain::password::{self, PasswordFault};
use crate::domain::seconds::HOUR;
use crate::domain::token;
use crate::flow::caller;
use crate::flow::devices;
use crate::flow::password_check::{self, Caller, ChangeVerdict};
use crate::outside::cgi::{Header, Method, Request, Response};
use crate::outside::log;
use crate::outside::matrix::forward::{self, Forwarded};
use crate::outside::matrix::sessions::{self, Whoami};
use crate::outside::matrix::{self, Homeserver};
use crate::outside::site::Site;
use crate::outside::store::{Access, Login};
use serde::{Deserialize, Serialize};

/// How long an authentication session lasts, in seconds.
const SESSION_SECONDS: i64 = HOUR;
const UNKNOWN_TOKEN: &str = "M_UNKNOWN_TOKEN";
/// The paths that the proxy may send here.
const PATHS: [&str; 3] =
    ["/_matrix/client/v3/account/password", "/_matrix/client/r0/account/password", "/_matrix/client/unstable/account/password"];

/// The body of the request; a missing `logout_devices` means true.
#[derive(Deserialize)] // no Debug: passwords
struct PasswordChange {
    #[serde(default)]
    new_password: Option<String>,
    #[serde(default)]
    logout_devices: Option<bool>,
    #[serde(default)]
    auth: Option<AuthenticationData>,
}

/// `m.login.password`, with an `identifier` or, from older clients, a `user`.
#[derive(Deserialize)] // no Debug: a password
struct AuthenticationData {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    identifier: Option<UserIdentifier>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

impl AuthenticationData {
    /// Synapse does not count `{}` as authentication.
    fn is_empty(&self) -> bool {
        let AuthenticationData { r#type, session, identifier, user, password } = self;
        r#type.is_none() && session.is_none() && identifier.is_none() && user.is_none() && password.is_none()
    }
}

#[derive(Debug, Deserialize)]
struct UserIdentifier {
    r#type: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    medium: Option<String>,
    #[serde(default)]
    address: Option<String>,
}

/// 401: the stages that the client has to complete, and those it has completed.
#[derive(Debug, Serialize)]
struct AuthenticationNeeded {
    session: String,
    flows: [Flow; 1],
    params: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<[&'static str; 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Flow {
    stages: [&'static str; 1],
}

#[derive(Debug, Serialize)]
struct Empty {}

/// The homeserver's refusal of an access token. Without `soft_logout: true` a client may delete the data of the session,
/// including its message keys.
#[derive(Debug, Serialize)]
struct TokenError<'a> {
    errcode: &'a str,
    error: &'a str,
    soft_logout: bool,
}

#[derive(Debug, Serialize)]
struct LimitExceeded {
    errcode: &'static str,
    error: &'static str,
    retry_after_ms: u64,
}

/// Ends a change early, with an answer.
enum Stop {
    Answer(Response),
    /// Not our account: Synapse is responsible.
    Foreign,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(cause: E) -> Stop {
        Stop::Failed(cause.into())
    }
}

/// Changes the password, or says what is missing.
pub fn change(site: &Site, request: &Request) -> Result<Response, Error> {
    let response = match request.method() {
        Method::Options => Response::new(204, "application/json", ""),
        Method::Post => match attempt(site, request) {
            Ok(()) => Response::json(200, &Empty {}),
            Err(Stop::Answer(response)) => response,
            Err(Stop::Foreign) => foreign(site, request)?,
            Err(Stop::Failed(error)) => return Err(error),
        },
        _ => return Err(Error::method_not_allowed("POST, OPTIONS")),
    };
    Ok(with_cors(response))
}

/// Adds the headers that Synapse sends, so that web clients may read the answer.
pub(crate) fn with_cors(response: Response) -> Response {
    response
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
        .header("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization, Date")
        .header("Access-Control-Expose-Headers", "Synapse-Trace-Id, Server")
        .header("Cache-Control", "no-cache, no-store, must-revalidate")
}

fn attempt(site: &Site, request: &Request) -> Result<(), Stop> {
    let change = parse(request)?;
    let caller = owner_of_token(site, request)?;
    let owner = caller.as_ref().map(|caller| own_account(site, &caller.user_id)).transpose()?;
    if let Some(new_password) = &change.new_password {
        check_policy(site, new_password, owner.as_ref())?;
    }
    let subject = owner.as_ref().map_or("", |owner| owner.localpart.as_str());
    let address = caller::client(site, request);
    let client = if owner.is_some() { Caller::Owner { address } } else { Caller::World { address } };
    let Authenticated { login, is_repetition } = authenticate(site, &change, owner.as_ref(), subject, &client)?;
    let Some(new_password) = change.new_password.as_deref() else {
        return Err(refuse(400, "M_MISSING_PARAM", "Missing params: new_password"));
    };
    // Without an access token it is known only now whose password will be changed.
    if owner.is_none() {
        check_policy(site, new_password, Some(&login))?;
    }
    if !is_repetition {
        write(site, &login, new_password, &client)?;
    }
    if change.logout_devices.unwrap_or(true) {
        end_other_sessions(site, &login.localpart, caller.and_then(|caller| caller.device_id).as_deref());
    }
    Ok(())
}

fn parse(request: &Request) -> Result<PasswordChange, Stop> {
    let json: serde_json::Value = serde_json::from_slice(request.body()).map_err(|_| refuse(400, "M_NOT_JSON", "Content not JSON."))?;
    if !json.is_object() {
        return Err(refuse(400, "M_BAD_JSON", "Content must be a JSON object."));
    }
    serde_json::from_value(json).map_err(|_| refuse(400, "M_BAD_JSON", "A member has the wrong type."))
}

/// The owner of the client's access token; `None` if the client sent none.
fn owner_of_token(site: &Site, request: &Request) -> Result<Option<Whoami>, Stop> {
    let Some(access_token) = access_token(request) else { return Ok(None) };
    if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(token_error(401, UNKNOWN_TOKEN, "Invalid access token passed.", false));
    }
    match sessions::whoami(&Homeserver::new(&site.config), &access_token) {
        Ok(Ok(whoami)) => Ok(Some(whoami)),
        Ok(Err(refused)) if refused.soft_logout => Err(token_error(refused.status, &refused.errcode, &refused.error, true)),
        Ok(Err(refused)) => Err(refuse(refused.status, &refused.errcode, &refused.error)),
        Err(matrix::Error::UnknownToken { error, soft_logout }) => Err(token_error(401, UNKNOWN_TOKEN, &error, soft_logout)),
        Err(matrix::Error::Limited { retry_after_seconds, .. }) => {
            let body =
                LimitExceeded { errcode: "M_LIMIT_EXCEEDED", error: "Too Many Requests", retry_after_ms: retry_after_seconds * 1000 };
            Err(Stop::Answer(Response::json(429, &body).header("Retry-After", retry_after_seconds.to_string())))
        }
        Err(cause) => Err(Stop::Failed(Error::unavailable(format!("whose access token it is cannot be asked: {cause}")))),
    }
}

fn token_error(status: u16, errcode: &str, error: &str, soft_logout: bool) -> Stop {
    Stop::Answer(Response::json(status, &TokenError { errcode, error, soft_logout }))
}

fn access_token(request: &Request) -> Option<String> {
    let header = request.header(Header::Authorization).and_then(|value| value.strip_prefix("Bearer ")).map(|token| token.trim().to_owned());
    header.or_else(|| {
        let query: Vec<(String, String)> = request.query().unwrap_or_default();
        query.into_iter().find(|(name, _)| name == "access_token").map(|(_, token)| token)
    })
}

/// The account in our table for a Matrix id; for any other Synapse is responsible.
fn own_account(site: &Site, mxid: &str) -> Result<Login, Stop> {
    let login = match super::own_localpart(site, mxid) {
        Some(localpart) => site.store(Access::Hasty)?.login(localpart)?,
        None => None,
    };
    login.ok_or(Stop::Foreign)
}

/// Synapse checks its policy before it asks for the old password; so do we.
fn check_policy(site: &Site, new_password: &str, owner: Option<&Login>) -> Result<(), Stop> {
    let least = site.config.form.password_min_length.0;
    let (localpart, address) = owner.map_or(("", ""), |owner| (&owner.localpart, &owner.email));
    match password::fault(new_password, least, localpart, address) {
        None => Ok(()),
        Some(PasswordFault::TooLong) => Err(refuse(400, "M_BAD_JSON", "The password is too long (512 bytes at the most) or has a NUL.")),
        Some(PasswordFault::TooShort) => {
            Err(refuse(400, "M_PASSWORD_TOO_SHORT", &format!("The password must be at least {least} characters long")))
        }
        Some(PasswordFault::Weak) => Err(refuse(400, "M_WEAK_PASSWORD", "The password must not be your own username or mail address")),
    }
}

/// Whose password may be changed.
struct Authenticated {
    login: Login,
    /// The client does not know the password of before, but the new one, which is in force since a moment ago.
    is_repetition: bool,
}

/// The account that the client may change.
fn authenticate(
    site: &Site,
    change: &PasswordChange,
    owner: Option<&Login>,
    subject: &str,
    client: &Caller<'_>,
) -> Result<Authenticated, Stop> {
    let Some(auth) = change.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Err(needed(site, subject, None, false)?) };
    let session = auth.session.as_deref();
    if let Some(session) = session
        && token::check_form_token(&site.state.secret()?, "password", subject, session, site.now(), SESSION_SECONDS).is_err()
    {
        let shown: String = session.chars().take(100).collect();
        return Err(refuse(400, "M_UNKNOWN", &format!("Unknown session ID: {shown}")));
    }
    if auth.r#type.as_deref() != Some("m.login.password") {
        return Err(needed(site, subject, session, true)?);
    }
    let Some(old_password) = auth.password.as_deref() else { return Err(refuse(400, "M_INVALID_PARAM", "Bad parameter: password")) };
    let localpart = named_localpart(site, auth)?;
    // A name that cannot be ours counts as a wrong password; a name that belongs to another user is refused.
    if let (Some(owner), Some(localpart)) = (owner, &localpart)
        && owner.localpart != *localpart
    {
        return Err(refuse(403, "M_FORBIDDEN", "Invalid auth"));
    }
    let passwords = (old_password, change.new_password.as_deref());
    match password_check::check_change(site, localpart.as_deref(), passwords, client)? {
        ChangeVerdict::Allowed(login) => Ok(Authenticated { login: *login, is_repetition: false }),
        ChangeVerdict::MadeBefore(login) => Ok(Authenticated { login: *login, is_repetition: true }),
        ChangeVerdict::Wrong => Err(wrong(site, subject, session)?),
    }
}

/// The user that the client names: by username, full id or mail address. Case is ignored, as in Synapse.
fn named_localpart(site: &Site, auth: &AuthenticationData) -> Result<Option<String>, Stop> {
    let user = match &auth.identifier {
        Some(identifier) if identifier.r#type == "m.id.user" => identifier.user.as_deref(),
        Some(identifier) if identifier.r#type == "m.id.thirdparty" && identifier.medium.as_deref() == Some("email") => {
            let address = identifier.address.as_deref().and_then(|address| Address::parse(address).ok());
            return match address {
                Some(address) => Ok(site.store(Access::Read)?.localpart_of_address(&address.folded())?),
                None => Ok(None),
            };
        }
        Some(_) => None,
        None => auth.user.as_deref(),
    };
    let Some(user) = user else { return Err(refuse(400, "M_INVALID_PARAM", "Invalid login submission")) };
    let Ok(user) = characters::plain(user).map(|user| user.to_lowercase()) else { return Ok(None) };
    let localpart = match user.strip_prefix('@') {
        Some(_) => super::own_localpart(site, &user).map(str::to_owned),
        None => Some(user),
    };
    Ok(localpart.filter(|localpart| is_localpart(localpart)))
}

/// Of two equal changes at once, one writes, and both succeed.
fn write(site: &Site, login: &Login, new_password: &str, client: &Caller<'_>) -> Result<(), Stop> {
    let hash = password::hash(new_password).map_err(|cause| Error::internal(format!("cannot hash a password: {cause}")))?;
    if !site.store(Access::Write)?.change_password(login.id, &login.password_hash, &hash, site.now())? {
        if password_check::is_just_set(site, &login.localpart, new_password, client)? {
            return Ok(());
        }
        return Err(refuse(403, "M_FORBIDDEN", "The password was changed by somebody else meanwhile"));
    }
    log::info("password_changed", None, &format!("account {}", login.id));
    Ok(())
}

/// The password has been changed already, so failures here are only logged.
fn end_other_sessions(site: &Site, localpart: &str, keep: Option<&str>) {
    if !site.config.password_change.logout_devices {
        return;
    }
    if let Err(cause) = devices::log_out(site, localpart, keep) {
        log::warn(
            "sessions_not_ended",
            None,
            &format!("{cause}; password_change.logout_devices needs a bot that is a server administrator"),
        );
    }
}

/// Synapse's answer for an account that is not ours, or a refusal.
fn foreign(site: &Site, request: &Request) -> Result<Response, Error> {
    if site.config.password_change.foreign_accounts == ForeignAccounts::Refuse {
        return Ok(Response::json(403, &MatrixError { errcode: "M_FORBIDDEN", error: "Password change disabled" }));
    }
    let mark = site.state.secret()?.token("forwarded", "");
    if request.header(Header::XRegisterBotForwarded) == Some(&mark) {
        return Err(Error::internal("homeserver_url leads back to this program; it must be the homeserver's own address"));
    }
    let path = request.variable("REQUEST_URI").unwrap_or("");
    let known = PATHS.contains(&path.split('?').next().unwrap_or("")) && path.bytes().all(|byte| byte.is_ascii_graphic());
    let client = caller::client(site, request);
    let forwarded = Forwarded {
        path: if known { path } else { PATHS[0] },
        authorization: request.header(Header::Authorization),
        user_agent: request.header(Header::UserAgent),
        client_address: client.as_deref(),
        mark: &mark,
        body: request.body(),
    };
    let answer = forward::post(&Homeserver::new(&site.config), &forwarded).map_err(|cause| Error::unavailable(cause.to_string()))?;
    let response = Response::new(answer.status, "application/json", answer.body);
    Ok(match answer.retry_after {
        Some(seconds) => response.header("Retry-After", seconds),
        None => response,
    })
}

fn needed(site: &Site, subject: &str, session: Option<&str>, completed: bool) -> Result<Stop, Stop> {
    challenge(site, subject, session, completed, None)
}

fn wrong(site: &Site, subject: &str, session: Option<&str>) -> Result<Stop, Stop> {
    challenge(site, subject, session, true, Some(("M_FORBIDDEN", "Invalid username or password")))
}

fn challenge(
    site: &Site,
    subject: &str,
    session: Option<&str>,
    completed: bool,
    error: Option<(&'static str, &'static str)>,
) -> Result<Stop, Stop> {
    let session = match session {
        Some(session) => session.to_owned(),
        None => token::form_token(&site.state.secret()?, "password", subject, site.now()),
    };
    let body = AuthenticationNeeded {
        session,
        flows: [Flow { stages: ["m.login.password"] }],
        params: Empty {},
        completed: completed.then_some([]),
        errcode: error.map(|(errcode, _)| errcode),
        error: error.map(|(_, sentence)| sentence),
    };
    Ok(Stop::Answer(Response::json(401, &body)))
}

fn refuse(status: u16, errcode: &str, error: &str) -> Stop {
    Stop::Answer(Response::json(status, &MatrixError { errcode, error }))
}

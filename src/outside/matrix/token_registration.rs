//! Accounts by the specification's own way: `POST /register` with a registration token (Client-Server API, "Account registration"
//! and "Token-authenticated registration"), for homeservers without shared-secret registration.
//!
//! Whatever the homeserver answers, it does not prove whose the account is: Conduit answers 200 to two requests for one name at
//! the same moment, and `M_USER_IN_USE` is also the answer to a repeated request. Only [`super::login::proof`] proves it.
//!
//! Each request has the whole body. What is left out, homeservers take from elsewhere, and then create the wrong account: Synapse
//! 1.163 one with a number as name, Conduit 0.11 one with a random name and without a password.

use super::{Call, Empty, Error, Homeserver, Interactive, NOT_THE_HOMESERVER, Refusal, Wanted, line, login, segment};
use serde::{Deserialize, Serialize};

const PATH: &str = "/_matrix/client/v3/register";

/// An account to create.
#[derive(Clone, Copy)]
pub struct NewAccount<'a> {
    pub localpart: &'a str,
    /// Without one Conduit creates an account that nobody can ever enter.
    pub password: &'a str,
}

/// What a program may answer to the homeserver's stages.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The operator's registration token.
    pub token: &'a str,
    /// Whether the applicant has accepted the homeserver's terms.
    pub accepts_terms: bool,
}

/// A stage that a program can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Token,
    Dummy,
    Terms,
}

/// What the homeserver says about the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It exists now.
    Made,
    /// It exists, perhaps since an earlier attempt of ours whose answer was lost.
    InUse,
    /// The token was removed during the registration, and Synapse may have created the account all the same.
    TokenGone,
    /// The homeserver does not allow this name, or reserves it for an application service.
    NameRefused { errcode: String, error: String },
    /// The homeserver does not accept the password; the text is its sentence.
    PasswordRefused(String),
}

/// The first half of a registration, which creates nothing.
pub enum Begun {
    Open(Session),
    Answered(Answered),
}

/// An open registration.
pub struct Session {
    id: String,
    stages: Vec<Stage>,
}

#[derive(Serialize)]
struct RegisterRequest<'a> {
    username: &'a str,
    password: &'a str,
    /// Without this Conduit makes the first account an administrator, and every homeserver leaves a device.
    inhibit_login: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Authentication<'a>>,
}

#[derive(Serialize)]
struct Authentication<'a> {
    r#type: &'static str,
    session: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[derive(Deserialize)]
struct RegisterAnswer {
    user_id: String,
    /// From a homeserver that does not know `inhibit_login`.
    #[serde(default)]
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Validity {
    valid: bool,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Token => "m.login.registration_token",
            Stage::Dummy => "m.login.dummy",
            Stage::Terms => "m.login.terms",
        }
    }

    fn of(name: &str, means: &Means) -> Option<Stage> {
        let stages = [Stage::Token, Stage::Dummy, Stage::Terms];
        stages.into_iter().find(|stage| stage.name() == name && (*stage != Stage::Terms || means.accepts_terms))
    }
}

/// Why none of a homeserver's flows can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoFlow {
    /// Anybody may register, without a token.
    OpenToEverybody,
    /// Every flow has a stage that a program cannot complete; the text names the flows.
    OtherStages(String),
}

/// The shortest flow that contains the token and nothing that a program cannot complete.
pub fn usable_flow(flows: &[Vec<String>], means: &Means) -> Result<Vec<Stage>, NoFlow> {
    let usable = flows.iter().filter_map(|flow| flow.iter().map(|stage| Stage::of(stage, means)).collect::<Option<Vec<_>>>());
    if let Some(shortest) = usable.filter(|flow| flow.contains(&Stage::Token)).min_by_key(Vec::len) {
        return Ok(shortest);
    }
    if flows.iter().any(|flow| is_open(flow)) {
        return Err(NoFlow::OpenToEverybody);
    }
    let flows: Vec<String> = flows.iter().map(|flow| line(&flow.join(" + "))).collect();
    Err(NoFlow::OtherStages(flows.join(", or ")))
}

/// Whether a stranger passes this flow as easily as we do, and without the token.
pub fn is_open(flow: &[String]) -> bool {
    flow.iter().all(|stage| [Stage::Dummy.name(), Stage::Terms.name()].contains(&stage.as_str()))
}

/// The flows of a registration, without beginning one: Synapse counts this against no limit, and forgets the session after two days.
pub fn flows(homeserver: &Homeserver) -> Result<Vec<Vec<String>>, Error> {
    match homeserver.ask_interactively::<RegisterAnswer>(&Call::post(PATH, &Empty {})?)? {
        Interactive::Wanted(wanted) => Ok(wanted.flows.into_iter().map(|flow| flow.stages).collect()),
        // A homeserver that needs no authentication at all.
        Interactive::Done(_) => Ok(vec![Vec::new()]),
        Interactive::Refused(refusal) => {
            let answered = meaning(refusal)?;
            Err(Error::Unexpected(format!("the homeserver answers a registration without a name with {answered:?}")))
        }
    }
}

/// Whether a token is good, without using it up (Client-Server API, "Registration token validity"). `None`: the homeserver does not
/// say (Conduit). The token is in the address, so this should not be asked through a web server that logs addresses.
pub fn is_valid(homeserver: &Homeserver, token: &str) -> Result<Option<bool>, Error> {
    let path = format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={}", segment(token));
    match homeserver.ask::<Validity>(&Call::get(path))? {
        Ok(answer) => Ok(Some(answer.valid)),
        Err(refusal) if refusal.status == 404 => Ok(None),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// Asks for the account without authentication.
pub fn begin(homeserver: &Homeserver, account: &NewAccount, means: &Means) -> Result<Begun, Error> {
    match ask(homeserver, account, None)? {
        Interactive::Wanted(wanted) => session(homeserver, wanted, means).map(Begun::Open),
        Interactive::Done(answer) => made(homeserver, account, &answer).map(Begun::Answered),
        Interactive::Refused(refusal) => meaning(refusal).map(Begun::Answered),
    }
}

/// Completes the stages. After [`Error::Unreachable`] or [`Error::Unexpected`] the account may exist.
pub fn finish(homeserver: &Homeserver, account: &NewAccount, means: &Means, session: &Session) -> Result<Answered, Error> {
    if let Some(answered) = complete(homeserver, account, means, session)? {
        return Ok(answered);
    }
    // The session is lost, for example after a restart. Another one is as good.
    match begin(homeserver, account, means)? {
        Begun::Answered(answered) => Ok(answered),
        Begun::Open(session) => complete(homeserver, account, means, &session)?
            .ok_or_else(|| Error::Unexpected("the homeserver does not know the session that it has just opened for a registration".into())),
    }
}

/// `None`: the homeserver does not know the session any more.
fn complete(homeserver: &Homeserver, account: &NewAccount, means: &Means, session: &Session) -> Result<Option<Answered>, Error> {
    for stage in &session.stages {
        let token = (*stage == Stage::Token).then_some(means.token);
        let auth = Authentication { r#type: stage.name(), session: &session.id, token };
        match ask(homeserver, account, Some(auth))? {
            Interactive::Done(answer) => return made(homeserver, account, &answer).map(Some),
            Interactive::Wanted(wanted) if wanted.errcode.is_none() && wanted.completed.iter().any(|done| done == stage.name()) => {}
            Interactive::Wanted(wanted) => return Err(not_accepted(*stage, &wanted)),
            Interactive::Refused(refusal) if is_about_the_session(&refusal) => return Ok(None),
            Interactive::Refused(refusal) => return meaning(refusal).map(Some),
        }
    }
    Err(Error::Unexpected("the homeserver accepted every stage of a registration, and created no account".into()))
}

fn ask(homeserver: &Homeserver, account: &NewAccount, auth: Option<Authentication>) -> Result<Interactive<RegisterAnswer>, Error> {
    let request = RegisterRequest { username: account.localpart, password: account.password, inhibit_login: true, auth };
    homeserver.ask_interactively(&Call::post(PATH, &request)?)
}

fn session(homeserver: &Homeserver, wanted: Wanted, means: &Means) -> Result<Session, Error> {
    let flows: Vec<Vec<String>> = wanted.flows.into_iter().map(|flow| flow.stages).collect();
    match usable_flow(&flows, means) {
        Ok(stages) => Ok(Session { id: wanted.session, stages }),
        Err(why) => Err(Error::Misconfigured(why.sentence(homeserver))),
    }
}

impl NoFlow {
    /// What the operator has to do.
    pub fn sentence(&self, homeserver: &Homeserver) -> String {
        let base = homeserver.url();
        match self {
            NoFlow::OpenToEverybody => format!(
                "the homeserver at {base} lets everybody register without the registration token, so nobody needs a moderator's yes: set \
                 registration_requires_token: true in homeserver.yaml, or registration_token in conduit.toml"
            ),
            NoFlow::OtherStages(flows) => format!(
                "the homeserver at {base} wants {flows} for a registration; a program can complete only m.login.registration_token and m.login.dummy, \
                 and m.login.terms with accept_terms = true in [registration_token]: switch the rest off there for registrations with a token"
            ),
        }
    }
}

fn made(homeserver: &Homeserver, account: &NewAccount, answer: &RegisterAnswer) -> Result<Answered, Error> {
    if let Some(token) = &answer.access_token
        && let Err(cause) = login::logout(homeserver, token)
    {
        crate::outside::log::warn("registration_device_left", None, &format!("the homeserver does not know inhibit_login: {cause}"));
    }
    let wanted = homeserver.mxid(account.localpart);
    if answer.user_id == wanted {
        return Ok(Answered::Made);
    }
    Err(Error::Unexpected(format!("the homeserver created the account {} instead of {wanted}; look at server_name", line(&answer.user_id))))
}

fn not_accepted(stage: Stage, wanted: &Wanted) -> Error {
    let said = format!("{} {:?}", line(wanted.errcode.as_deref().unwrap_or_default()), line(wanted.error.as_deref().unwrap_or_default()));
    match (stage, wanted.errcode.as_deref()) {
        (Stage::Token, Some("M_UNAUTHORIZED" | "M_FORBIDDEN")) => Error::Misconfigured(format!(
            "the homeserver does not accept the token of [registration_token]: 401 {said}; it is not the homeserver's, used up, or at its end: make an \
             unlimited one, and set token or token_file"
        )),
        _ => Error::Unexpected(format!("the homeserver does not accept the stage {}: 401 {said}", stage.name())),
    }
}

/// The text contains the session, so it is not repeated.
fn is_about_the_session(refusal: &Refusal) -> bool {
    let about = refusal.error.to_ascii_lowercase().contains("session");
    about && matches!((refusal.status, refusal.errcode.as_str()), (400, "M_UNKNOWN" | "M_INVALID_PARAM") | (403, "M_FORBIDDEN"))
}

/// What a refusal means; the only place that knows the texts of homeservers.
fn meaning(refusal: Refusal) -> Result<Answered, Error> {
    match (refusal.status, refusal.errcode.as_str()) {
        (400, "M_USER_IN_USE") => Ok(Answered::InUse),
        (400, "M_INVALID_USERNAME" | "M_EXCLUSIVE") => Ok(Answered::NameRefused { errcode: refusal.errcode, error: refusal.error }),
        // Conduwuit and Tuwunel: `forbidden_usernames`.
        (403, "M_FORBIDDEN") if refusal.error.contains("Username is forbidden") => {
            Ok(Answered::NameRefused { errcode: refusal.errcode, error: refusal.error })
        }
        (400, "M_WEAK_PASSWORD") => Ok(Answered::PasswordRefused(refusal.error)),
        (400, errcode) if errcode.starts_with("M_PASSWORD_") => Ok(Answered::PasswordRefused(refusal.error)),
        (404, "M_UNKNOWN") => Ok(Answered::TokenGone),
        (403, "M_FORBIDDEN") => Err(Error::Misconfigured(refusal.sentence(
            "registration is switched off: enable_registration: true and registration_requires_token: true in homeserver.yaml, or allow_registration = true and registration_token in conduit.toml",
        ))),
        (404, "M_UNRECOGNIZED") => Err(Error::Misconfigured(refusal.sentence(
            "this homeserver registers nobody by itself; with an authentication service (MAS) operation_mode = \"registration_token\" is not the way",
        ))),
        (404, _) if !refusal.is_matrix_error() => Err(Error::Misconfigured(refusal.sentence(NOT_THE_HOMESERVER))),
        _ if is_about_the_session(&refusal) => Err(Error::Unexpected(format!("{}: {} about the session", refusal.asked, refusal.status))),
        _ => Err(refusal.unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(flows: &[&[&str]], accepts_terms: bool) -> Result<Vec<Stage>, NoFlow> {
        let named = |flow: &&[&str]| flow.iter().map(|stage| format!("m.login.{stage}")).collect();
        usable_flow(&flows.iter().map(named).collect::<Vec<_>>(), &Means { token: "t", accepts_terms })
    }

    #[test]
    fn the_shortest_flow_with_the_token_is_taken_and_terms_only_if_accepted() {
        use Stage::*;
        assert_eq!(flow(&[&["registration_token"]], false), Ok(vec![Token]));
        assert_eq!(flow(&[&["registration_token", "dummy"], &["registration_token", "email.identity"]], false), Ok(vec![Token, Dummy]));
        assert_eq!(flow(&[&["dummy"], &["terms", "registration_token"], &["registration_token"]], true), Ok(vec![Token]));
        assert_eq!(flow(&[&["registration_token", "terms", "dummy"]], true), Ok(vec![Token, Terms, Dummy]));
        assert_eq!(flow(&[&["email.identity"], &["registration_token"]], false), Ok(vec![Token]));
    }

    #[test]
    fn a_homeserver_that_needs_a_person_or_nobody_is_refused() {
        for open in [&[&["dummy"][..]][..], &[&["terms"]], &[&[]], &[&["registration_token", "recaptcha"], &["dummy"]]] {
            assert_eq!(flow(open, false), Err(NoFlow::OpenToEverybody), "{open:?}");
        }
        let stages = |flows: &[&[&str]]| match flow(flows, false) {
            Err(NoFlow::OtherStages(named)) => named,
            other => panic!("{other:?}"),
        };
        assert_eq!(stages(&[&["registration_token", "terms"]]), "m.login.registration_token + m.login.terms");
        assert_eq!(stages(&[&["recaptcha", "dummy"], &["email.identity"]]), "m.login.recaptcha + m.login.dummy, or m.login.email.identity");
        assert_eq!(stages(&[]), "");
    }
}

//! The form: a stranger asks for an account.
//!
//! GET shows it. POST checks the input. If something is wrong, the form is shown again with an error beside each field and
//! everything that was typed. Otherwise the request is filed, and only then a mail is sent.

use super::usernames::{self, Kept};
use super::{
    DeadEnd, Faults, Field, address_fault, again_context, context, dead_end, form_token_text, language, query_value, registered, verify,
};
use crate::domain::address::Address;
use crate::domain::config::{Config, Language};
use crate::domain::error::Error;
use crate::domain::names::{self, Localpart, PersonName, PersonNameFault};
use crate::domain::registration::State;
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::text_key::{self, Key, form::error as text};
use crate::domain::token::{self, Secret};
use crate::flow::limits::{self, Subjects};
use crate::flow::steps;
use crate::outside::cgi::{Header, Request, Response};
use crate::outside::log;
use crate::outside::page::PageName;
use crate::outside::site::Site;
use crate::outside::store::{Access, AllowanceKind, Closed, Filed, NewRegistration, Registration};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How long a form may stay open in the browser, in seconds.
const FORM_SECONDS: i64 = 24 * HOUR;

/// The input of the form; a missing field is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Typed {
    form_token: String,
    /// The token of the thank-you page, whose forms come here as well.
    t: String,
    first_name: String,
    last_name: String,
    username: String,
    email: String,
    note: String,
    terms: String,
    /// Hidden from people at first, but filled in by programs that fill in every field, and by some password managers.
    topic: String,
    /// Not empty if the form showed that field.
    topic_shown: String,
    /// `check`: only asks whether the username is free.
    action: String,
    /// The main button. If a browser sends both buttons, this one counts; otherwise its users could never send the form.
    send: String,
    /// The button of another language: only asks for the form in the language of the address.
    switch_language: String,
}

/// The values that the form shows again.
#[derive(Debug, Default, Serialize)]
struct Shown<'a> {
    first_name: &'a str,
    last_name: &'a str,
    username: &'a str,
    email: &'a str,
    note: &'a str,
    terms: bool,
}

/// The status of the closed form. Not 503, which would make a load balancer remove all machines, including the pages with which
/// the room decides and thereby opens the form again.
const CLOSED: u16 = 429;

/// The parsed input.
struct Applicant {
    first_name: PersonName,
    last_name: PersonName,
    username: Localpart,
    address: Address,
    note: String,
}

/// GET: the empty form, or the thank-you page of a request by its token.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    if let Some(page_token) = query_value(request, "t").filter(|token| !token.is_empty()) {
        return registered::show(site, request, &page_token);
    }
    if let Some(word) = query_value(request, "check").filter(|word| super::known_form(word).is_some()) {
        return Ok(Response::text(200, &own_word(&site.state.secret()?, &word)));
    }
    let language = language(site, request);
    match limits::closed(site) {
        Some(closed) => {
            let kind = if closed.is_by_hand() { DeadEnd::ClosedByHand } else { DeadEnd::Closed };
            let page = dead_end(site, language, None, CLOSED, kind, words_of(&closed, language))?;
            Ok(page.header("Retry-After", opens_in(&closed, site.now()).to_string()))
        }
        None => empty_form(site, language),
    }
}

/// What only this installation answers to a word of 32 hexadecimal digits: the operator's check finds out by it whether
/// `public_url` leads here.
pub fn own_word(secret: &Secret, word: &str) -> String {
    secret.token("installation", word)
}

/// POST: files the request, or shows the form again.
pub fn submit(site: &Site, request: &Request) -> Result<Response, Error> {
    let mut typed: Typed = request.form()?;
    if !typed.t.is_empty() {
        return registered::submit(site, request);
    }
    let language = language(site, request);
    if !typed.switch_language.is_empty() && typed.send.is_empty() {
        return form(site, language, 200, &typed, &Faults::new(), json!({}));
    }
    let secret = site.state.secret()?;
    let made_at = match token::check_form_token(&secret, "register", "", &typed.form_token, site.now(), FORM_SECONDS) {
        Ok(made_at) => made_at,
        Err(fault) => {
            typed.form_token.clear();
            return again(site, language, &typed, &Faults::from([(Field::Form, form_token_text(fault))]));
        }
    };
    // A page elsewhere could make its visitors send forms from their networks (https://www.w3.org/TR/fetch-metadata/).
    if request.header(Header::SecFetchSite) == Some("cross-site") {
        typed.form_token.clear();
        return again(site, language, &typed, &Faults::from([(Field::Form, text::FORM_FORGED)]));
    }
    let network = limits::network(site, request, &secret);
    if typed.action == "check" && typed.send.is_empty() {
        return check_username(site, language, &network, &typed);
    }
    if let Some(fault) = looks_made_by_a_program(site, &mut typed, made_at) {
        return again(site, language, &typed, &Faults::from([(Field::Form, fault)]));
    }
    let applicant = match parse(&site.config, &typed) {
        Ok(applicant) => applicant,
        Err(faults) => return again(site, language, &typed, &faults),
    };
    let subjects = Subjects::of(network, &secret, &applicant.address.folded());
    file(site, language, &secret, &mut typed, &applicant, &subjects)
}

/// A person needs a few seconds, and does not see the field that should stay empty. A person who is mistaken for a program
/// sends the form again. The field is then visible, and if it is filled in again, the room is told.
fn looks_made_by_a_program(site: &Site, typed: &mut Typed, made_at: i64) -> Option<Key> {
    let seconds = site.now().saturating_sub(made_at);
    if !typed.topic.is_empty() && typed.topic_shown.is_empty() {
        typed.topic_shown = "1".into();
        return Some(text::FORM_HIDDEN_FIELD);
    }
    (seconds < site.config.limits.form_minimum_seconds.0 as i64).then_some(text::FORM_TOO_FAST)
}

/// The secondary button: checks whether the username is free.
fn check_username(site: &Site, language: Language, network: &str, typed: &Typed) -> Result<Response, Error> {
    let not_available = |fault| again(site, language, typed, &Faults::from([(Field::Username, fault)]));
    let username = match usernames::choose(&site.config, &typed.username) {
        Ok(username) => username,
        Err(fault) => return not_available(fault),
    };
    let mut store = site.store(Access::Write)?;
    if store.username_is_taken(username.as_str())? {
        return not_available(text::USERNAME_UNAVAILABLE);
    }
    match usernames::is_kept_from_everybody(site, &mut store, network, &username)? {
        Kept::Yes => not_available(text::USERNAME_UNAVAILABLE),
        Kept::No => form(site, language, 200, typed, &Faults::new(), json!({ "username": text_key::register::USERNAME_FREE })),
        Kept::NotAsked { seconds_to_next } => names_used_up(site, language, typed, seconds_to_next),
    }
}

fn file(
    site: &Site,
    language: Language,
    secret: &Secret,
    typed: &mut Typed,
    applicant: &Applicant,
    subjects: &Subjects,
) -> Result<Response, Error> {
    let mut store = site.store(Access::Write)?;
    let page_token = page_token(secret, &typed.form_token);
    let new = new_registration(site, language, secret, typed, applicant);
    let limits = limits::of_filing(&site.config.limits, subjects);
    // The cheapest checks come first: a request that our own tables refuse neither asks the homeserver nor leaves a row.
    let filed = match store.refusal(&new, &limits)? {
        Some(refusal) => refusal,
        None => match usernames::is_kept_from_everybody(site, &mut store, &subjects.network, &applicant.username)? {
            Kept::Yes => store.unless_it_came_before(&new, Filed::NameTaken)?,
            Kept::No => store.file(&new, &limits)?,
            Kept::NotAsked { seconds_to_next } => return names_used_up(site, language, typed, seconds_to_next),
        },
    };
    match filed {
        Filed::Accepted(id) => {
            log::info("request_filed", Some(id), "");
            limits::ask_anew_whether_closed(site);
            steps::carry_on_or_leave(site, &mut store, id);
            registered::thanks(site, &mut store, language, &page_token, id)
        }
        Filed::CameBefore(before) if same_request(&before, applicant) => match before.state {
            state if state.is_unconfirmed() => registered::thanks(site, &mut store, language, &page_token, before.id),
            _ => {
                let kind = dead_end_of(&before);
                site.page(language, 200, PageName::Message, &json!({ "kind": kind, "back": verify::leads_back(kind) }))
            }
        },
        Filed::CameBefore(before) if before.state == State::Expired => {
            typed.form_token.clear();
            again(site, language, typed, &Faults::from([(Field::Form, text::FORM_EXPIRED)]))
        }
        Filed::CameBefore(_) => {
            typed.form_token.clear();
            again(site, language, typed, &Faults::from([(Field::Form, text::FORM_ALREADY_SENT)]))
        }
        Filed::AddressBusy => refused(site, language, typed, (Field::Email, text::EMAIL_BUSY), "unconfirmed_per_address", DAY),
        Filed::UsedUp(AllowanceKind::RequestsOfAddress, seconds) => {
            refused(site, language, typed, (Field::Email, text::EMAIL_USED_UP), "requests_per_address_per_day", seconds)
        }
        Filed::UsedUp(_, seconds) => {
            refused(site, language, typed, (Field::Form, text::NETWORK_USED_UP), "requests_per_network_per_day", seconds)
        }
        Filed::Closed(closed) => {
            limits::ask_anew_whether_closed(site);
            let fault = if closed.is_by_hand() { text::CLOSED_BY_HAND } else { text::CLOSED };
            let page = form(site, language, CLOSED, typed, &Faults::from([(Field::Form, fault)]), words_of(&closed, language))?;
            Ok(page.header("Retry-After", opens_in(&closed, site.now()).to_string()))
        }
        // A reserved name gets the same words as a taken one, so that nobody learns which names are reserved.
        Filed::NameTaken => again(site, language, typed, &Faults::from([(Field::Username, text::USERNAME_UNAVAILABLE)])),
    }
}

fn new_registration(site: &Site, language: Language, secret: &Secret, typed: &Typed, applicant: &Applicant) -> NewRegistration {
    let seed = token::new_seed();
    let (verify_token_hash, admin_token_hash) = secret.link_token_hashes(&seed);
    NewRegistration {
        submission: token::hash(&typed.form_token),
        page_token_hash: token::hash(&page_token(secret, &typed.form_token)),
        verify_token_hash,
        admin_token_hash,
        username: applicant.username.as_str().to_owned(),
        first_name: applicant.first_name.as_str().to_owned(),
        last_name: applicant.last_name.as_str().to_owned(),
        email: applicant.address.as_typed().to_owned(),
        email_folded: applicant.address.folded(),
        note: applicant.note.clone(),
        language,
        filled_hidden_field: !typed.topic.is_empty(),
        requested_at: site.now(),
        seed,
    }
}

/// The token of the thank-you page: the same for the same form, and known only from the answer to it.
fn page_token(secret: &Secret, form_token: &str) -> String {
    secret.signer_of("register", "", form_token).token("thank-you page", form_token)
}

/// Whether an earlier form asked for the same; a second click then gets the answer to the first.
fn same_request(before: &Registration, applicant: &Applicant) -> bool {
    before.username == applicant.username.as_str()
        && before.email_folded == applicant.address.folded()
        && before.first_name == applicant.first_name.as_str()
        && before.last_name == applicant.last_name.as_str()
        && before.note == applicant.note
}

/// The text (`message.KIND.*`) for somebody who sends the form of a request again that does not await confirmation any more. It
/// says less than the applicant's own page, because it may be somebody else.
fn dead_end_of(registration: &Registration) -> DeadEnd {
    match registration.state {
        State::ChooseSend | State::Choosing | State::Register | State::MailCredentials | State::Done => DeadEnd::AlreadyApproved,
        State::DeclineSend | State::Declined if registration.refusal.is_some() => DeadEnd::Refused,
        State::DeclineSend | State::Declined => DeadEnd::Declined,
        _ => DeadEnd::AlreadyConfirmed,
    }
}

fn parse(config: &Config, typed: &Typed) -> Result<Applicant, Faults> {
    let mut faults = Faults::new();
    let first_name = PersonName::parse(&typed.first_name).map_err(|fault| faults.insert(Field::FirstName, first_name_fault(fault)));
    let last_name = PersonName::parse_optional(&typed.last_name).map_err(|fault| faults.insert(Field::LastName, last_name_fault(fault)));
    let username = usernames::choose(config, &typed.username).map_err(|fault| faults.insert(Field::Username, fault));
    let address = Address::parse(&typed.email).map_err(|fault| faults.insert(Field::Email, address_fault(fault)));
    let note = names::note(&typed.note).ok_or_else(|| faults.insert(Field::Note, text::NOTE_TOO_LONG));
    if config.form.terms_url.is_some() && typed.terms != "1" {
        faults.insert(Field::Terms, text::TERMS_MISSING);
    }
    match (first_name, last_name, username, address, note) {
        (Ok(first_name), Ok(last_name), Ok(username), Ok(address), Ok(note)) if faults.is_empty() => {
            Ok(Applicant { first_name, last_name, username, address, note })
        }
        _ => Err(faults),
    }
}

fn first_name_fault(fault: PersonNameFault) -> Key {
    match fault {
        PersonNameFault::Missing => text::FIRST_NAME_MISSING,
        PersonNameFault::TooLong => text::FIRST_NAME_TOO_LONG,
        PersonNameFault::Characters => text::FIRST_NAME_CHARACTERS,
        PersonNameFault::Invisible => text::INVISIBLE,
    }
}

fn last_name_fault(fault: PersonNameFault) -> Key {
    match fault {
        PersonNameFault::TooLong => text::LAST_NAME_TOO_LONG,
        PersonNameFault::Missing | PersonNameFault::Characters => text::LAST_NAME_CHARACTERS,
        PersonNameFault::Invisible => text::INVISIBLE,
    }
}

/// Shows the form again with 429: the limit `key` in config.toml applies for this many seconds.
fn refused(
    site: &Site,
    language: Language,
    typed: &Typed,
    (field, sentence): (Field, Key),
    key: &str,
    seconds: i64,
) -> Result<Response, Error> {
    log::warn("request_refused", None, &format!("limits.{key} in config.toml"));
    let response = form(site, language, 429, typed, &Faults::from([(field, sentence)]), json!({}))?;
    Ok(response.header("Retry-After", seconds.to_string()))
}

/// 429 for any username that our own tables do not have: this network has used up its checks with the homeserver.
fn names_used_up(site: &Site, language: Language, typed: &Typed, seconds: i64) -> Result<Response, Error> {
    refused(site, language, typed, (Field::Username, text::USERNAMES_USED_UP), "name_checks_per_network_per_day", seconds)
}

/// Seconds after which requests may be accepted again.
fn opens_in(closed: &Closed, now: i64) -> i64 {
    match closed {
        Closed::ByHand(closed) => closed.opens_at.map_or(DAY, |opens_at| (opens_at - now).max(1)),
        Closed::TooManyOpen => HOUR,
        Closed::TooManyToday(seconds) => *seconds,
    }
}

/// What the operator who closed the form has to say, and when it opens again.
fn words_of(closed: &Closed, language: Language) -> Value {
    match closed {
        Closed::ByHand(closed) => json!({ "words": closed.texts.in_language(language), "opens_at": closed.opens_at }),
        Closed::TooManyOpen | Closed::TooManyToday(_) => json!({}),
    }
}

/// Shows the form again with what was typed.
fn again(site: &Site, language: Language, typed: &Typed, faults: &Faults) -> Result<Response, Error> {
    form(site, language, 422, typed, faults, json!({}))
}

/// The form that everybody gets: only its token differs.
fn empty_form(site: &Site, language: Language) -> Result<Response, Error> {
    let secret = site.state.secret()?;
    let form_token = token::form_token(&secret, "register", "", site.now());
    let values = |form_token: &str| values(&site.config, language, &Typed::default(), (&Faults::new(), json!({})), form_token);
    site.page_of_everybody(&secret, language, PageName::Register, values, &form_token)
}

fn form(site: &Site, language: Language, status: u16, typed: &Typed, faults: &Faults, notices: Value) -> Result<Response, Error> {
    // An unused token is used again, so that a visitor who corrects one letter need not wait.
    let form_token = match typed.form_token.is_empty() {
        true => token::form_token(&site.state.secret()?, "register", "", site.now()),
        false => typed.form_token.clone(),
    };
    site.page(language, status, PageName::Register, &values(&site.config, language, typed, (faults, notices), &form_token))
}

fn values(config: &Config, language: Language, typed: &Typed, (faults, notices): (&Faults, Value), form_token: &str) -> Value {
    let shown_again = !faults.is_empty() || !typed.form_token.is_empty();
    let own = json!({
        "values": Shown {
            first_name: &typed.first_name,
            last_name: &typed.last_name,
            username: &typed.username,
            email: &typed.email,
            note: &typed.note,
            terms: typed.terms == "1",
        },
        "errors": faults,
        "notices": notices,
        "shows_hidden_field": !typed.topic_shown.is_empty(),
        "terms_url": config.form.terms_url.as_ref().map(|url| &url.0),
        "username_min_length": config.form.username_min_length.0,
        "username_max_length": config.form.username_max_length.0,
        "form_token": form_token,
    });
    if shown_again { again_context(language, None, "request", own) } else { context(language, None, own) }
}

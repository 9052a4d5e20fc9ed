//! Pages, mails and room messages, rendered from `templates/`.
//!
//! Each rendering reads only the templates it needs, because under CGI every page is a new process. The form is kept in a file for
//! the next one ([`kept`]). A FastCGI program keeps compiled pages ([`Compiled`]), and the text of a page that is the same for
//! everybody ([`common`]), until one of the operator's files changes. A file below `pages.templates` replaces the built-in template of
//! the same name. If the file cannot be used, the error names it, and no partial page is sent.
//!
//! Besides tera's own, templates can use:
//!
//! * `t(key="section.key", name=value)`: a text from `templates/locales`. In `.html` the text and all values are
//!   escaped.
//! * filters for values: `one_line`, `quote`, `break_lines`, `strong`, `code`, `date`, `hours`, `days`. What `strong` and `code`
//!   mark is not translated by browsers, unless it is `strong(translate=true)`.
//! * the values `lang`, `server_name`, `homeserver` (what people enter in an app), `title`, `logo`, `howto_url`, `privacy_url`,
//!   `imprint_url`, `contact` with `contact_url`, `apps` (each with `name`, `url`, `note`), `form_url`, `language_links` (empty
//!   unless the page sets it; `language_form` is the form that they send), `style`, `name_length` and `note_length`.

mod apps;
mod built_in;
mod common;
mod engine;
mod kept;
#[cfg(test)]
mod tests;

use crate::domain::config::{Config, Language};
use crate::domain::error::Error;
use crate::domain::text_key::Key;
use crate::domain::token::Secret;
use crate::outside::cgi::Response;
use crate::outside::text::{one_line, without_gaps};
use crate::outside::watched::{Stamp, Watched};
use built_in::source;
use common::Common;
use data_encoding::BASE64;
use engine::{Engine, context_of};
use kept::Place;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Mail clients and servers cut longer subjects anyway.
const SUBJECT_LENGTH: usize = 150;

/// The content of a mail, without its envelope.
#[derive(Debug, Clone)]
pub struct MailText {
    /// Always one line.
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// The two bodies of a room message.
#[derive(Debug, Clone)]
pub struct RoomText {
    /// Plain text, the event's `body`.
    pub text: String,
    /// The event's `formatted_body`, with only those tags that the Matrix specification lists for `m.room.message`.
    pub html: String,
}

/// A page: `templates/page/NAME.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageName {
    Register,
    Registered,
    Verify,
    Verified,
    Standing,
    Welcome,
    Welcomed,
    Decide,
    Decided,
    ResetPassword,
    NewPassword,
    Message,
    Error,
}

impl PageName {
    fn template(self) -> &'static str {
        match self {
            PageName::Register => "page/register.html",
            PageName::Registered => "page/registered.html",
            PageName::Verify => "page/verify.html",
            PageName::Verified => "page/verified.html",
            PageName::Standing => "page/standing.html",
            PageName::Welcome => "page/welcome.html",
            PageName::Welcomed => "page/welcomed.html",
            PageName::Decide => "page/decide.html",
            PageName::Decided => "page/decided.html",
            PageName::ResetPassword => "page/reset_password.html",
            PageName::NewPassword => "page/new_password.html",
            PageName::Message => "page/message.html",
            PageName::Error => "page/error.html",
        }
    }
}

/// A mail: `templates/mail/NAME.subject`, `.txt` and `.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailName {
    Verify,
    Choose,
    /// The homeserver refused the password that was chosen.
    ChooseAgain,
    ChooseReminder,
    Credentials,
    Declined,
    Refused,
    /// Nobody decided in time.
    Undecided,
    ResetPassword,
    PasswordEnds,
    Question,
}

impl MailName {
    pub fn as_str(self) -> &'static str {
        match self {
            MailName::Verify => "verify",
            MailName::Choose => "choose",
            MailName::ChooseAgain => "choose_again",
            MailName::ChooseReminder => "choose_reminder",
            MailName::Credentials => "credentials",
            MailName::Declined => "declined",
            MailName::Refused => "refused",
            MailName::Undecided => "undecided",
            MailName::ResetPassword => "reset_password",
            MailName::PasswordEnds => "password_ends",
            MailName::Question => "question",
        }
    }
}

/// A message to the room: `templates/room/NAME.txt` and `.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomPost {
    Request,
    Reminder,
    /// One reminder of many requests.
    Reminders,
    /// In the thread under the message of a request.
    Answer,
    /// What the applicant answered, in the thread.
    OfApplicant,
}

impl RoomPost {
    pub fn as_str(self) -> &'static str {
        match self {
            RoomPost::Request => "request",
            RoomPost::Reminder => "reminder",
            RoomPost::Reminders => "reminders",
            RoomPost::Answer => "answer",
            RoomPost::OfApplicant => "of_applicant",
        }
    }
}

#[derive(Serialize)]
struct ErrorValues {
    status: u16,
    text_key: Key,
}

/// A link to the same page in another language.
#[derive(Debug, Clone, Serialize)]
pub struct LanguageLink {
    pub tag: &'static str,
    /// The name of the language in that language.
    pub name: &'static str,
    pub href: String,
    pub current: bool,
}

/// Links to the page in all languages, with `current` marked. `token` is the `t` of the page's own link and is kept.
pub fn language_links(current: Language, token: Option<&str>) -> Vec<LanguageLink> {
    let link = |language: Language| {
        let mut query = form_urlencoded(&[("lang", language.tag())]);
        if let Some(token) = token {
            query = form_urlencoded(&[("t", token), ("lang", language.tag())]);
        }
        let name = match language {
            Language::English => "English",
            Language::German => "Deutsch",
        };
        LanguageLink { tag: language.tag(), name, href: format!("?{query}"), current: language == current }
    };
    Language::ALL.into_iter().map(link).collect()
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

/// The HTML of `templates/page/NAME.html`.
#[cfg(test)]
fn render(config: &Config, language: Language, name: PageName, context: &impl Serialize) -> Result<String, Error> {
    Page::compile(Some(config), language, name)?.render(context)
}

/// Compiles all templates of the operator, or the built-in ones, in all languages. The error names the first that cannot be used.
pub fn compile_all(config: &Config) -> Result<(), Error> {
    let names: Vec<&str> = built_in::BUILT_IN.iter().map(|(name, _)| *name).collect();
    Language::ALL.into_iter().try_for_each(|language| Engine::new(Some(config), language, &names, &mut Watched::default()).map(drop))
}

/// The page as an answer, with headers that keep a browser from doing more than showing it.
pub fn respond(
    (config, kept): (&Config, &Compiled),
    language: Language,
    status: u16,
    name: PageName,
    context: &impl Serialize,
) -> Result<Response, Error> {
    let page = kept.page(config, language, name)?;
    Ok(page.answer(language, status, page.render(context)?))
}

/// The same, with status 200, for a page whose values are the same for everybody but for one, `own`, which consists of letters,
/// digits, `-` and `_`. `context` returns all values; nothing else in them may depend on the request, or on anything but the
/// configuration file. The first page of a process may be the one that another process kept ([`kept`]), sealed with the `secret`.
pub fn respond_to_everybody<C: Serialize>(
    (config, compiled): (&Config, &Compiled),
    secret: &Secret,
    language: Language,
    name: PageName,
    context: impl Fn(&str) -> C,
    own: &str,
) -> Result<Response, Error> {
    let is_first = compiled.note_asked_for(language, name);
    let config_file = compiled.config_file.as_ref().filter(|_| is_first);
    let place = config_file.and_then(|file| Place::of((config, file), secret, language, name));
    if let Some(kept) = place.as_ref().and_then(Place::read) {
        return Ok(answer(name, language, 200, kept.page.with(own), &kept.policy));
    }
    let page = compiled.page(config, language, name)?;
    let render = |value: &str| page.render(&context(value));
    let draft = place.and_then(Place::begin);
    // A page that is asked for once, as under CGI, and cannot be kept is rendered once.
    let common = if is_first && draft.is_none() { None } else { page.common(render)? };
    if let (Some(draft), Some(common)) = (draft, common) {
        draft.keep(common, &page.policy, &page.files);
    }
    Ok(page.answer(language, 200, common.map_or_else(|| render(own), |common| Ok(common.with(own)))?))
}

/// The page for a request that ended with `error`; the gateway adds the headers of its status. This function never
/// fails: if the operator's template is broken, the built-in one is used, and then a single sentence.
pub fn error(site: Option<(&Config, &Compiled)>, language: Language, error: &Error) -> Response {
    let context = ErrorValues { status: error.status, text_key: error.text };
    let answer = |page: &Page| Some(page.answer(language, error.status, page.render(&context).ok()?));
    let compiled = |config: Option<&Config>| Page::compile(config, language, PageName::Error).ok();
    let own = || site.and_then(|(config, kept)| answer(&*kept.page(config, language, PageName::Error).ok()?));
    let built_in = || site.and_then(|(config, _)| answer(&compiled(Some(&without_templates(config)))?));
    let bare = || answer(&compiled(None)?);
    own().or_else(built_in).or_else(bare).unwrap_or_else(|| Response::text(error.status, "This request could not be served.\n"))
}

fn without_templates(config: &Config) -> Config {
    let mut config = config.clone();
    config.pages.templates = None;
    config
}

/// The mail of `templates/mail/NAME.subject`, `.txt` and `.html`.
pub fn mail(config: &Config, language: Language, name: MailName, context: &impl Serialize) -> Result<MailText, Error> {
    let [subject, text, html] = ["subject", "txt", "html"].map(|kind| format!("mail/{}.{kind}", name.as_str()));
    let engine = Engine::new(Some(config), language, &[&subject, &text, &html], &mut Watched::default())?;
    let context = context_of(context)?;
    Ok(MailText {
        subject: one_line(&engine.render(&subject, &context)?).chars().take(SUBJECT_LENGTH).collect(),
        text: without_gaps(&engine.render(&text, &context)?),
        html: engine.render(&html, &context)?,
    })
}

/// The room message of `templates/room/NAME.txt` and `.html`. Send it with an empty `m.mentions`, so that a visitor's
/// text notifies nobody.
pub fn room(config: &Config, language: Language, name: RoomPost, context: &impl Serialize) -> Result<RoomText, Error> {
    let [text, html] = ["txt", "html"].map(|kind| format!("room/{}.{kind}", name.as_str()));
    let engine = Engine::new(Some(config), language, &[&text, &html], &mut Watched::default())?;
    let context = context_of(context)?;
    let html = engine.render(&html, &context)?;
    Ok(RoomText {
        text: without_gaps(&engine.render(&text, &context)?).trim_end().to_owned(),
        // Some clients show line breaks between tags.
        html: html.trim().replace(">\n<", "><"),
    })
}

/// Compiled pages of one configuration.
#[derive(Default)]
pub struct Compiled {
    pages: Mutex<Pages>,
    /// The file of the configuration, before it was read.
    config_file: Option<Stamp>,
}

#[derive(Default)]
struct Pages {
    compiled: HashMap<(Language, PageName), Arc<Page>>,
    /// Pages for everybody that were asked for.
    asked_for: HashSet<(Language, PageName)>,
}

impl Compiled {
    /// `config_file`: the file of the configuration, before it was read.
    pub fn of(config_file: Option<Stamp>) -> Compiled {
        Compiled { pages: Mutex::default(), config_file }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether nobody asked this process for the page before.
    fn note_asked_for(&self, language: Language, name: PageName) -> bool {
        self.pages().asked_for.insert((language, name))
    }

    /// The page, compiled anew after a change of one of the operator's files.
    fn page(&self, config: &Config, language: Language, name: PageName) -> Result<Arc<Page>, Error> {
        let compiled = &mut self.pages().compiled;
        if let Some(page) = compiled.get(&(language, name)).filter(|page| page.files.is_current()) {
            return Ok(page.clone());
        }
        let page = Arc::new(Page::compile(Some(config), language, name)?);
        if page.files.is_settled() {
            compiled.insert((language, name), page.clone());
        }
        Ok(page)
    }
}

/// One compiled page with its style sheet.
struct Page {
    name: PageName,
    engine: Engine,
    /// Its Content-Security-Policy.
    policy: String,
    /// The operator's files that it was made of.
    files: Watched,
    /// Once it was made; `None` inside if it cannot be made of these templates.
    common: OnceLock<Option<Common>>,
}

impl Page {
    fn compile(config: Option<&Config>, language: Language, name: PageName) -> Result<Page, Error> {
        let mut files = Watched::default();
        let mut engine = Engine::new(config, language, &[name.template()], &mut files)?;
        // Browsers convert CRLF to LF before hashing, so the sheet is converted first.
        let style = source(config, "page/style.css", &mut files)?.replace("\r\n", "\n");
        engine.insert("style", &style);
        Ok(Page { name, engine, policy: policy_for(&style), files, common: OnceLock::new() })
    }

    fn render(&self, context: &impl Serialize) -> Result<String, Error> {
        self.engine.render(self.name.template(), &context_of(context)?)
    }

    /// The page with a gap for the one value, made at the first call.
    fn common(&self, render: impl Fn(&str) -> Result<String, Error>) -> Result<Option<&Common>, Error> {
        if let Some(made) = self.common.get() {
            return Ok(made.as_ref());
        }
        let made = Common::of(render)?;
        Ok(self.common.get_or_init(|| made).as_ref())
    }

    fn answer(&self, language: Language, status: u16, html: String) -> Response {
        answer(self.name, language, status, html, &self.policy)
    }
}

fn answer(name: PageName, language: Language, status: u16, html: String, policy: &str) -> Response {
    let response = protected(Response::html(status, html), language, policy);
    // Search engines may list the form, but no other page.
    if name == PageName::Register { response } else { response.header("X-Robots-Tag", "noindex") }
}

/// Only this style sheet, and pictures of our own, may be loaded.
fn policy_for(style: &str) -> String {
    let hash = BASE64.encode(&Sha256::digest(style.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// The headers of every page. Pages have no scripts, so a Permissions-Policy would restrict nothing.
fn protected(response: Response, language: Language, policy: &str) -> Response {
    response
        .header("Content-Security-Policy", policy.to_owned())
        .header("Content-Language", language.tag())
        .header("Vary", "Accept-Language")
        .header("Cache-Control", "no-store, no-transform")
        .header("Referrer-Policy", "no-referrer")
        .header("X-Content-Type-Options", "nosniff")
        .header("X-Frame-Options", "DENY")
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Cross-Origin-Resource-Policy", "same-origin")
}

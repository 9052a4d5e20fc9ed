//! Pages, mails and room messages: `templates/`, filled in.
//!
//! Each rendering reads only the templates it needs, since under CGI every page is a process of its own; a FastCGI program
//! keeps the pages that it compiled ([`Compiled`]). A file below `pages.templates` takes the place of the built-in one of the
//! same name; one that cannot be used is refused with its name, so that nobody gets half a page.
//!
//! What templates have besides tera's own:
//!
//! * `t(key="section.key", name=value)`: a text of `templates/locales`. In `.html` the text and every value are escaped.
//! * filters for values: `one_line`, `quote`, `break_lines`, `strong`, `code`, `date`, `hours`, `days`.
//! * `lang`, `server_name`, `title`, `logo`, `howto_url`, `form_url`, `language_links` (empty unless a page has some), `style`,
//!   `name_length` and `note_length` for all of them.

mod built_in;
mod engine;
#[cfg(test)]
mod tests;

use crate::domain::config::{Config, Language};
use crate::domain::error::Error;
use crate::domain::text_key::Key;
use crate::outside::cgi::Response;
use crate::outside::text::{one_line, without_gaps};
use built_in::source;
use data_encoding::BASE64;
use engine::{Engine, context_of};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Mail clients and servers cut longer subjects anyway.
const SUBJECT_LENGTH: usize = 150;

/// A mail as it is read, without its envelope.
#[derive(Debug, Clone)]
pub struct MailText {
    /// One line, whatever the values were.
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// The two bodies of a room message.
#[derive(Debug, Clone)]
pub struct RoomText {
    /// `body`.
    pub text: String,
    /// `formatted_body`: only tags of the Matrix specification's list for `m.room.message`.
    pub html: String,
}

/// A page: `templates/page/NAME.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageName {
    Register,
    Registered,
    Verify,
    Verified,
    Decide,
    Decided,
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
            PageName::Decide => "page/decide.html",
            PageName::Decided => "page/decided.html",
            PageName::Message => "page/message.html",
            PageName::Error => "page/error.html",
        }
    }
}

/// A mail: `templates/mail/NAME.subject`, `.txt` and `.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailName {
    Verify,
    Credentials,
    Declined,
    Refused,
}

impl MailName {
    pub fn as_str(self) -> &'static str {
        match self {
            MailName::Verify => "verify",
            MailName::Credentials => "credentials",
            MailName::Declined => "declined",
            MailName::Refused => "refused",
        }
    }
}

/// A message to the room: `templates/room/NAME.txt` and `.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomPost {
    Request,
    Reminder,
}

impl RoomPost {
    pub fn as_str(self) -> &'static str {
        match self {
            RoomPost::Request => "request",
            RoomPost::Reminder => "reminder",
        }
    }
}

#[derive(Serialize)]
struct ErrorValues {
    status: u16,
    text_key: Key,
}

/// The way to the same page in another language.
#[derive(Debug, Clone, Serialize)]
pub struct LanguageLink {
    pub tag: &'static str,
    /// The language's name for itself.
    pub name: &'static str,
    pub href: String,
    pub current: bool,
}

/// The page that is shown in `current`, in all languages; `token` is the `t` of its link, which has to stay.
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
pub fn render(config: &Config, language: Language, name: PageName, context: &impl Serialize) -> Result<String, Error> {
    Page::compile(Some(config), language, name)?.render(context)
}

/// The page as an answer, with everything that keeps a browser from doing more than showing it.
pub fn respond(
    (config, kept): (&Config, &Compiled),
    language: Language,
    status: u16,
    name: PageName,
    context: &impl Serialize,
) -> Result<Response, Error> {
    let page = kept.page(config, language, name)?;
    let html = page.render(context)?;
    let response = protected(Response::html(status, html), language, &page.style_hash);
    // The form is the front door and may be found; what lies behind it is nobody's search result.
    Ok(if name == PageName::Register { response } else { response.header("X-Robots-Tag", "noindex") })
}

/// The page for a request that ended with `error`; the gateway adds the headers of its status. It never fails: a broken template of the operator gives way to the
/// built-in one, and that one to a bare sentence.
pub fn error(config: Option<&Config>, language: Language, error: &Error) -> Response {
    let context = ErrorValues { status: error.status, text_key: error.text };
    let built_in = config.cloned().map(|mut config| {
        config.pages.templates = None;
        config
    });
    let attempts = [config, built_in.as_ref(), None];
    let page = attempts.into_iter().find_map(|config| {
        let page = Page::compile(config, language, PageName::Error).ok()?;
        Some((page.render(&context).ok()?, page))
    });
    match page {
        Some((html, page)) => protected(Response::html(error.status, html), language, &page.style_hash).header("X-Robots-Tag", "noindex"),
        None => Response::text(error.status, "This request could not be served.\n"),
    }
}

/// The mail of `templates/mail/NAME.subject`, `.txt` and `.html`.
pub fn mail(config: &Config, language: Language, name: MailName, context: &impl Serialize) -> Result<MailText, Error> {
    let [subject, text, html] = ["subject", "txt", "html"].map(|kind| format!("mail/{}.{kind}", name.as_str()));
    let engine = Engine::new(Some(config), language, &[&subject, &text, &html])?;
    let context = context_of(context)?;
    Ok(MailText {
        subject: one_line(&engine.render(&subject, &context)?).chars().take(SUBJECT_LENGTH).collect(),
        text: without_gaps(&engine.render(&text, &context)?),
        html: engine.render(&html, &context)?,
    })
}

/// The room message of `templates/room/NAME.txt` and `.html`. Send it with an empty `m.mentions`, so that no text of a
/// visitor rings a bell.
pub fn room(config: &Config, language: Language, name: RoomPost, context: &impl Serialize) -> Result<RoomText, Error> {
    let [text, html] = ["txt", "html"].map(|kind| format!("room/{}.{kind}", name.as_str()));
    let engine = Engine::new(Some(config), language, &[&text, &html])?;
    let context = context_of(context)?;
    let html = engine.render(&html, &context)?;
    Ok(RoomText {
        text: without_gaps(&engine.render(&text, &context)?).trim_end().to_owned(),
        // Some clients show line breaks between the tags.
        html: html.trim().replace(">\n<", "><"),
    })
}

/// Pages of one configuration that are ready to be filled in.
#[derive(Default)]
pub struct Compiled(Mutex<Pages>);

type Pages = HashMap<(Language, PageName), Arc<Page>>;

impl Compiled {
    fn page(&self, config: &Config, language: Language, name: PageName) -> Result<Arc<Page>, Error> {
        // The operator's files may change at any time; the built-in ones stay as they are.
        if config.pages.templates.is_some() {
            return Page::compile(Some(config), language, name).map(Arc::new);
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&(language, name)) {
            Some(page) => Ok(page.clone()),
            None => {
                let page = Arc::new(Page::compile(Some(config), language, name)?);
                kept.insert((language, name), page.clone());
                Ok(page)
            }
        }
    }
}

/// One page, compiled, with its style sheet.
struct Page {
    name: PageName,
    engine: Engine,
    /// SHA-256 of the style sheet, in Base64.
    style_hash: String,
}

impl Page {
    fn compile(config: Option<&Config>, language: Language, name: PageName) -> Result<Page, Error> {
        let mut engine = Engine::new(config, language, &[name.template()])?;
        // A browser reads CRLF as LF before it hashes; so the sheet is brought to LF first.
        let style = source(config, "page/style.css")?.replace("\r\n", "\n");
        engine.insert("style", &style);
        Ok(Page { name, engine, style_hash: BASE64.encode(&Sha256::digest(style.as_bytes())) })
    }

    fn render(&self, context: &impl Serialize) -> Result<String, Error> {
        self.engine.render(self.name.template(), &context_of(context)?)
    }
}

/// The headers of every page. There is no script, so there is nothing for a Permissions-Policy to take away.
fn protected(response: Response, language: Language, style_hash: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style_hash}'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    response
        .header("Content-Security-Policy", policy)
        .header("Content-Language", language.tag())
        .header("Vary", "Accept-Language")
        .header("Cache-Control", "no-store")
        .header("Referrer-Policy", "no-referrer")
        .header("X-Content-Type-Options", "nosniff")
        .header("X-Frame-Options", "DENY")
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Cross-Origin-Resource-Policy", "same-origin")
}

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

use crate::domain::config::{Config, Language};
use crate::domain::error::Error;
use crate::outside::cgi::Response;
use crate::outside::text::{self, Texts, lines, one_line, quoted, without_gaps};
use data_encoding::BASE64;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use tera::{Context, Function, Kwargs, State, StringInput, Tera, TeraResult, Value};

/// Characters of a first or a last name.
pub const NAME_LENGTH: usize = 100;

/// Characters of the note to the admins, and of the reason for a refusal.
pub const NOTE_LENGTH: usize = 2000;

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

#[derive(Serialize)]
struct ErrorValues {
    status: u16,
    text_key: String,
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
pub fn render(config: &Config, language: Language, name: &str, context: &impl Serialize) -> Result<String, Error> {
    let name = template(name);
    Page::compile(Some(config), language, &name)?.render(&name, context)
}

/// The page as an answer, with everything that keeps a browser from doing more than showing it.
pub fn respond(
    (config, kept): (&Config, &Compiled),
    language: Language,
    status: u16,
    name: &str,
    context: &impl Serialize,
) -> Result<Response, Error> {
    let page = kept.page(config, language, &template(name))?;
    let html = page.render(&template(name), context)?;
    let response = protected(Response::html(status, html), language, &page.style_hash);
    // The form is the front door and may be found; what lies behind it is nobody's search result.
    Ok(if name == "register" { response } else { response.header("X-Robots-Tag", "noindex") })
}

/// The page for a request that ended with `error`; the gateway adds the headers of its status. It never fails: a broken template of the operator gives way to the
/// built-in one, and that one to a bare sentence.
pub fn error(config: Option<&Config>, language: Language, error: &Error) -> Response {
    let context = ErrorValues { status: error.status, text_key: format!("error.{}", error.text) };
    let built_in = config.cloned().map(|mut config| {
        config.pages.templates = None;
        config
    });
    let attempts = [config, built_in.as_ref(), None];
    let page = attempts.into_iter().find_map(|config| {
        let page = Page::compile(config, language, &template("error")).ok()?;
        Some((page.render(&template("error"), &context).ok()?, page))
    });
    match page {
        Some((html, page)) => protected(Response::html(error.status, html), language, &page.style_hash).header("X-Robots-Tag", "noindex"),
        None => Response::text(error.status, "This request could not be served.\n"),
    }
}

/// The mail of `templates/mail/NAME.subject`, `.txt` and `.html`.
pub fn mail(config: &Config, language: Language, name: &str, context: &impl Serialize) -> Result<MailText, Error> {
    let [subject, text, html] = ["subject", "txt", "html"].map(|kind| format!("mail/{name}.{kind}"));
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
pub fn room(config: &Config, language: Language, name: &str, context: &impl Serialize) -> Result<RoomText, Error> {
    let [text, html] = ["txt", "html"].map(|kind| format!("room/{name}.{kind}"));
    let engine = Engine::new(Some(config), language, &[&text, &html])?;
    let context = context_of(context)?;
    let html = engine.render(&html, &context)?;
    Ok(RoomText {
        text: without_gaps(&engine.render(&text, &context)?).trim_end().to_owned(),
        // Some clients show line breaks between the tags.
        html: html.trim().replace(">\n<", "><"),
    })
}

fn template(page: &str) -> String {
    format!("page/{page}.html")
}

/// Pages of one configuration that are ready to be filled in.
#[derive(Default)]
pub struct Compiled(Mutex<Pages>);

/// By language, and the name of the template.
type Pages = HashMap<(Language, String), Arc<Page>>;

impl Compiled {
    fn page(&self, config: &Config, language: Language, name: &str) -> Result<Arc<Page>, Error> {
        // The operator's files may change at any time; the built-in ones stay as they are.
        if config.pages.templates.is_some() {
            return Page::compile(Some(config), language, name).map(Arc::new);
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&(language, name.to_owned())) {
            Some(page) => Ok(page.clone()),
            None => {
                let page = Arc::new(Page::compile(Some(config), language, name)?);
                kept.insert((language, name.to_owned()), page.clone());
                Ok(page)
            }
        }
    }
}

/// One page, compiled, with its style sheet.
struct Page {
    engine: Engine,
    /// SHA-256 of the style sheet, in Base64.
    style_hash: String,
}

impl Page {
    fn compile(config: Option<&Config>, language: Language, name: &str) -> Result<Page, Error> {
        let mut engine = Engine::new(config, language, &[name])?;
        // A browser reads CRLF as LF before it hashes; so the sheet is brought to LF first.
        let style = source(config, "page/style.css")?.replace("\r\n", "\n");
        engine.tera.global_context().insert("style", &style);
        Ok(Page { engine, style_hash: BASE64.encode(&Sha256::digest(style.as_bytes())) })
    }

    fn render(&self, name: &str, context: &impl Serialize) -> Result<String, Error> {
        self.engine.render(name, &context_of(context)?)
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

fn context_of(context: &impl Serialize) -> Result<Context, Error> {
    Context::from_serialize(context).map_err(|cause| Error::internal(format!("the values for a template: {cause}")))
}

/// The templates of one rendering, with the functions and values that all of them have.
struct Engine {
    tera: Tera,
}

impl Engine {
    fn new(config: Option<&Config>, language: Language, names: &[&str]) -> Result<Engine, Error> {
        let texts = Arc::new(Texts::load(config, language)?);
        let mut tera = Tera::new();
        *tera.global_context() = site_values(config, language, &texts);
        register(&mut tera, &texts, config);
        let templates = with_parents(config, names)?;
        tera.add_raw_templates(templates.iter().map(|(name, source)| (name.as_str(), source.as_ref())))
            .map_err(|cause| broken(config, &cause.to_string()))?;
        Ok(Engine { tera })
    }

    fn render(&self, name: &str, context: &Context) -> Result<String, Error> {
        self.tera.render(name, context).map_err(|cause| Error::internal(format!("templates: {name}: {}", chain(&cause))))
    }
}

/// The named templates and those that they extend or include.
fn with_parents<'a>(config: Option<&Config>, names: &[&str]) -> Result<BTreeMap<String, Cow<'a, str>>, Error> {
    let mut templates: BTreeMap<String, Cow<'a, str>> = BTreeMap::new();
    let mut wanted: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = wanted.pop() {
        if let Entry::Vacant(place) = templates.entry(name) {
            let source = source(config, place.key())?;
            wanted.extend(parents(&source));
            place.insert(source);
        }
    }
    Ok(templates)
}

/// The quoted names behind `{% extends` and `{% include`.
fn parents(source: &str) -> Vec<String> {
    let name = |tag: &str| {
        let tag = tag.trim_start_matches('-').trim_start();
        let rest = tag.strip_prefix("extends").or_else(|| tag.strip_prefix("include"))?.trim_start();
        let quote = rest.chars().next().filter(|quote| "\"'`".contains(*quote))?;
        rest[1..].split_once(quote).map(|(name, _)| name.to_owned())
    };
    source.split("{%").skip(1).filter_map(name).collect()
}

/// The operator's file, else the built-in one.
fn source(config: Option<&Config>, name: &str) -> Result<Cow<'static, str>, Error> {
    if let Some(folder) = config.and_then(|config| config.pages.templates.as_deref()) {
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(Cow::Owned(text)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::internal(format!("pages.templates: cannot read {}: {cause}", path.display()))),
        }
    }
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    built_in.map(|(_, text)| Cow::Borrowed(*text)).ok_or_else(|| Error::internal(format!("templates: there is no {name}")))
}

fn broken(config: Option<&Config>, cause: &str) -> Error {
    let folder = config.and_then(|config| config.pages.templates.as_deref());
    let place = folder.map(|folder| format!(" in {} (pages.templates)", folder.display())).unwrap_or_default();
    Error::internal(format!("a template{place} cannot be used; correct it, or remove it to get the built-in one: {}", cause.trim()))
}

/// tera puts the reason behind the place, as the source of the error.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|cause| cause.to_string().trim().to_owned()).collect::<Vec<_>>().join(": ")
}

/// What every template may use without being given it.
fn site_values(config: Option<&Config>, language: Language, texts: &Texts) -> Context {
    let server_name = config.map_or("", |config| config.server_name.0.as_str());
    let title = match config.map(|config| config.pages.title.clone()) {
        None => texts.say("page.bare_title", &[]),
        Some(title) => title.unwrap_or_else(|| texts.say("page.title", &[("server", server_name)])),
    };
    let pages = config.map(|config| &config.pages);
    let mut context = Context::new();
    context.insert("lang", language.tag());
    context.insert("server_name", server_name);
    context.insert("title", &title);
    context.insert("logo", &pages.and_then(|pages| pages.logo.as_ref()).map(|logo| &logo.0));
    context.insert("howto_url", &pages.and_then(|pages| pages.howto_url.as_ref()).map(|url| &url.0));
    context.insert("form_url", &config.map(|config| config.public_url.join("/")));
    // A page that knows its address gives its own: a link that loses what belongs to the address leads nowhere.
    context.insert("language_links", &[(); 0]);
    context.insert("style", "");
    context.insert("name_length", &NAME_LENGTH);
    context.insert("note_length", &NOTE_LENGTH);
    context
}

fn register(tera: &mut Tera, texts: &Arc<Texts>, config: Option<&Config>) {
    let server = config.map_or("", |config| config.server_name.0.as_str()).to_owned();
    tera.register_function("t", Say { texts: texts.clone(), server });
    tera.register_filter("one_line", |value: StringInput, _: Kwargs, _: &State| one_line(value.as_str()));
    tera.register_filter("quote", |value: StringInput, _: Kwargs, _: &State| quoted(value.as_str()));
    tera.register_filter("break_lines", |value: StringInput, _: Kwargs, state: &State| {
        let lines = lines(value.as_str()).iter().map(|line| state.escape(line)).collect::<TeraResult<Vec<_>>>();
        lines.map(|lines| Value::safe_string(&lines.join("<br>")))
    });
    tera.register_filter("strong", |value: StringInput, _: Kwargs, state: &State| marked("strong", &value, state));
    tera.register_filter("code", |value: StringInput, _: Kwargs, state: &State| marked("code", &value, state));
    let own = texts.clone();
    tera.register_filter("date", move |seconds: i64, _: Kwargs, _: &State| own.date(seconds));
    let own = texts.clone();
    tera.register_filter("hours", move |count: u64, _: Kwargs, _: &State| own.hours(count));
    let own = texts.clone();
    tera.register_filter("days", move |count: u64, _: Kwargs, _: &State| own.days(count));
}

/// The function `t`. `{server}` is known to every text.
struct Say {
    texts: Arc<Texts>,
    server: String,
}

impl Function<TeraResult<Value>> for Say {
    fn call(&self, kwargs: Kwargs, state: &State) -> TeraResult<Value> {
        let key = kwargs.must_get::<&str>("key")?;
        let mut values = vec![("server", state.escape_if_needed(&Value::normal_string(&self.server))?)];
        for (name, value) in kwargs.iter().filter_map(|(name, value)| Some((name.as_str()?, value))) {
            // A value that is not there leaves a gap, not an error page.
            let missing = value.is_none() || value.is_undefined();
            values.push((name, if missing { String::new() } else { state.escape_if_needed(value)? }));
        }
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let text = self.texts.get(key).unwrap_or(key);
        Ok(match state.autoescaping_enabled() {
            true => Value::safe_string(&text::fill(&state.escape(text)?, &values)),
            false => Value::normal_string(&text::fill(text, &values)),
        })
    }
}

/// A value between tags where tags mean something, and bare in plain text. A line it is in either case.
fn marked(tag: &str, value: &StringInput, state: &State) -> TeraResult<Value> {
    let line = one_line(value.as_str());
    match state.autoescaping_enabled() {
        true => Ok(Value::safe_string(&format!("<{tag}>{}</{tag}>", state.escape(&line)?))),
        false => Ok(Value::normal_string(&line)),
    }
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../templates/", $name)))),*] };
}

/// All templates, as they are in the repository.
const BUILT_IN: &[(&str, &str)] = built_in![
    "page/layout.html",
    "page/steps.html",
    "page/style.css",
    "page/register.html",
    "page/registered.html",
    "page/verify.html",
    "page/verified.html",
    "page/decide.html",
    "page/decided.html",
    "page/message.html",
    "page/error.html",
    "mail/layout.html",
    "mail/hello.txt",
    "mail/hello.html",
    "mail/verify.subject",
    "mail/verify.txt",
    "mail/verify.html",
    "mail/credentials.subject",
    "mail/credentials.txt",
    "mail/credentials.html",
    "mail/declined.subject",
    "mail/declined.txt",
    "mail/declined.html",
    "mail/refused.subject",
    "mail/refused.txt",
    "mail/refused.html",
    "room/request.txt",
    "room/request.html",
    "room/reminder.txt",
    "room/reminder.html",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::{Path, PathBuf};

    const EVIL: &str = "<script>alert(\"1\")</script>'{{ server_name }}{% raw %}&amp;{name}";

    fn config(extra: &str) -> Config {
        let sample =
            include_str!("../../config.sample.toml").replace("# howto_url", "howto_url").replace("[pages]", &format!("[pages]\n{extra}"));
        Config::parse(&sample, PathBuf::new()).unwrap()
    }

    /// Every page with as little as it may get.
    fn minimal() -> Vec<(&'static str, Value)> {
        let form = json!({"values": {}, "errors": {}, "notices": {}, "wants_password": false, "terms_url": null,
            "username_min_length": 3, "username_max_length": 64, "password_min_length": 10, "form_token": "f"});
        let sent = json!({"email": "e@example.net", "mxid": "@u:example.org", "expires": 0, "token": "t", "form_token": "f"});
        vec![
            ("register", form),
            ("registered", sent.clone()),
            ("verify", sent.clone()),
            ("verified", sent.clone()),
            ("decide", request("n", "")),
            ("decided", json!({"outcome": "approved", "mxid": "@u:example.org", "email": "e@example.net"})),
            ("message", json!({"kind": "link_unknown"})),
        ]
    }

    /// Every page with everything it may get, and each of it hostile.
    fn maximal(evil: &str) -> Vec<(&'static str, Value)> {
        let fields = ["first_name", "last_name", "username", "email", "note", "password", "password_again", "terms", "form"];
        let values: Value = fields.iter().map(|field| (field.to_string(), json!(evil))).collect::<serde_json::Map<_, _>>().into();
        let form = json!({"values": values, "errors": values, "notices": {"username": evil}, "wants_password": true, "terms_url": evil,
            "username_min_length": 3, "username_max_length": 64, "password_min_length": 10, "form_token": evil});
        let sent = json!({"email": evil, "mxid": evil, "expires": 0, "token": evil, "form_token": evil, "already": true});
        let mut decide = request(evil, evil);
        decide["preset"] = json!("decline");
        decide["reason"] = json!(evil);
        decide["reason_error"] = json!("form.error.reason_too_long");
        decide["same_address"] = json!([{"mxid": evil, "state": "done", "asked_at": 0}]);
        vec![
            ("register", form),
            ("registered", sent.clone()),
            ("verify", sent.clone()),
            ("verified", sent.clone()),
            ("decide", decide),
            ("decided", json!({"outcome": "refused", "mxid": evil, "email": evil, "already": true})),
            ("message", json!({"kind": "link_expired", "mxid": evil, "back": true})),
        ]
    }

    fn request(name: &str, note: &str) -> Value {
        json!({"full_name": name, "username": "u", "mxid": "@u:example.org", "email": "e@example.net", "note": note, "asked_at": 0,
            "language": "de", "token": "t", "form_token": "f", "link": "https://register.example.org/verify_admin?t=1"})
    }

    fn mails(evil: &str) -> Vec<(&'static str, Value)> {
        vec![
            ("verify", json!({"link": "https://example.org/?t=1&x=2", "hours": 48, "expires": 0})),
            ("credentials", json!({"mxid": evil, "username": evil, "name": evil, "password": evil, "password_until": 0})),
            ("credentials", json!({"mxid": evil, "username": evil})),
            ("declined", json!({"mxid": evil, "name": evil, "reason": evil})),
            ("declined", json!({"mxid": evil})),
            ("refused", json!({"mxid": evil, "name": evil})),
        ]
    }

    fn head(response: &Response) -> String {
        String::from_utf8(response.to_bytes(true)).unwrap()
    }

    fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn assert_harmless(html: &str, place: &str) {
        assert!(!html.contains("<script") && !html.contains("alert(\""), "{place}: {html}");
        assert!(!html.contains("&amp;{name}") || html.contains("&amp;amp;{name}"), "{place}: {html}");
        assert!(html.contains("{{ server_name }}"), "{place} filled in a visitor's template: {html}");
    }

    #[test]
    fn every_page_needs_no_more_than_its_documented_values() {
        for language in Language::ALL {
            for (name, context) in minimal() {
                let html = render(&config(""), language, name, &context).unwrap_or_else(|cause| panic!("{name}: {cause}"));
                assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{name}");
            }
        }
    }

    #[test]
    fn every_label_hint_and_error_belongs_to_an_element_of_its_page() {
        for (name, context) in minimal().into_iter().chain(maximal("x")) {
            let html = render(&config(""), Language::English, name, &context).unwrap();
            let values = |attribute: &str| -> Vec<String> {
                let parts = html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
                parts.flat_map(|value| value.split_whitespace().map(str::to_owned)).collect()
            };
            let ids = values(" id=\"");
            assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1), "{name}: {ids:?}");
            for attribute in [" for=\"", " aria-describedby=\"", " aria-labelledby=\"", " href=\"#"] {
                for id in values(attribute) {
                    assert!(ids.contains(&id), "{name}: {attribute}{id}");
                }
            }
        }
    }

    #[test]
    fn enter_in_a_field_sends_the_form_and_does_not_check_the_username() {
        let html = render(&config(""), Language::English, "register", &minimal()[0].1).unwrap();
        let first = html.split_once("<button").unwrap().1.split_once('>').unwrap().0;
        assert!(first.contains("name=\"action\" value=\"send\""), "{first}");
    }

    #[test]
    fn what_was_typed_is_kept_but_for_passwords() {
        let mut context = minimal()[0].1.clone();
        context["wants_password"] = json!(true);
        context["values"] =
            json!({"first_name": "Zoë", "note": "\nline", "username": "z", "email": "z@example.net", "terms": "1", "password": "secret"});
        let html = render(&config(""), Language::English, "register", &context).unwrap();
        for kept in ["value=\"Zoë\"", "value=\"z\"", "value=\"z@example.net\"", ">\n\nline</textarea>"] {
            assert!(html.contains(kept), "{kept}: {html}");
        }
        assert!(!html.contains("secret"));
    }

    #[test]
    fn nothing_a_visitor_types_becomes_html_in_a_page() {
        for (name, context) in maximal(EVIL) {
            let html = render(&config(""), Language::German, name, &context).unwrap_or_else(|cause| panic!("{name}: {cause}"));
            assert_harmless(&html, name);
        }
    }

    #[test]
    fn nothing_a_visitor_types_becomes_html_in_a_mail() {
        for (name, context) in mails(EVIL).into_iter().filter(|(name, _)| *name != "verify") {
            let mail = mail(&config(""), Language::English, name, &context).unwrap_or_else(|cause| panic!("{name}: {cause}"));
            assert_harmless(&mail.html, name);
            assert!(mail.text.contains("<script>"), "{name}: plain text is not HTML: {}", mail.text);
        }
    }

    #[test]
    fn every_text_that_a_template_names_is_there() {
        let texts = Texts::load(None, Language::English).unwrap();
        for (name, source) in BUILT_IN {
            for quoted in source.split('"').skip(1).step_by(1) {
                let sections =
                    ["date.", "page.", "steps.", "register.", "registered.", "verify.", "verified.", "form.error.", "mail.", "room."];
                let key = sections.iter().any(|section| quoted.starts_with(section))
                    && !quoted.ends_with('.')
                    && !quoted.contains(char::is_whitespace);
                assert!(!key || texts.get(quoted).is_some(), "{name} says {quoted}");
            }
        }
    }

    #[test]
    fn no_page_shows_the_key_of_a_text() {
        let sections = [
            "field",
            "register",
            "registered",
            "verify",
            "verified",
            "decide",
            "decided",
            "message",
            "steps",
            "state",
            "language",
            "error",
        ];
        for (name, context) in minimal().into_iter().chain(maximal("plain")) {
            let html = render(&config(""), Language::English, name, &context).unwrap();
            for section in sections {
                assert!(!html.contains(&format!(">{section}.")), "{name} {section}");
            }
        }
    }

    #[test]
    fn a_subject_is_one_line_whatever_the_name_is() {
        let context = json!({"mxid": "@a:b\r\nBcc: everybody@example.org\u{2028}\u{202e}x", "username": "a"});
        let subject = mail(&config(""), Language::English, "credentials", &context).unwrap().subject;
        assert!(!subject.contains(['\r', '\n', '\u{2028}', '\u{202e}']), "{subject:?}");
        let long = json!({"mxid": "x".repeat(1000), "username": "a"});
        assert!(mail(&config(""), Language::English, "credentials", &long).unwrap().subject.len() <= SUBJECT_LENGTH);
    }

    #[test]
    fn a_stranger_cannot_write_to_others_through_the_verification_mail() {
        let context = json!({"mxid": "@u:example.org", "link": "https://example.org/", "hours": 1, "expires": 0,
            "name": "Buy now", "full_name": "Buy now", "first_name": "Buy now", "note": "Buy now"});
        let mail = mail(&config(""), Language::English, "verify", &context).unwrap();
        assert!(!format!("{} {} {}", mail.subject, mail.text, mail.html).contains("Buy now"));
    }

    #[test]
    fn a_visitor_cannot_forge_a_line_of_the_bot_in_the_room() {
        let forged = "A\nLook at it and decide: https://evil.example/\r\n\u{2028}B\u{202e}\n\n\n</blockquote><p>C";
        let message = room(&config(""), Language::English, "request", &request(forged, forged)).unwrap();
        let decide: Vec<&str> = message.text.lines().filter(|line| line.starts_with("Look at it")).collect();
        assert_eq!(decide, ["Look at it and decide: https://register.example.org/verify_admin?t=1"], "{}", message.text);
        assert!(message.text.contains("\n> Look at it and decide: https://evil.example/\n"), "{}", message.text);
        assert!(message.html.contains("<br>Look at it and decide: https://evil.example/<br>"), "{}", message.html);
        assert_eq!(message.html.matches("</blockquote>").count(), 1, "{}", message.html);
        assert_eq!(message.html.matches("<a ").count(), 1, "{}", message.html);
        assert!(!message.text.contains('\u{202e}') && !message.html.contains('\u{202e}'));
    }

    #[test]
    fn a_room_message_has_only_tags_that_matrix_allows() {
        for name in ["request", "reminder"] {
            for note in ["", EVIL] {
                let html = room(&config(""), Language::German, name, &request(EVIL, note)).unwrap().html;
                for tag in html.split('<').skip(1).map(|tag| tag.trim_start_matches('/').split(['>', ' ']).next().unwrap_or("")) {
                    assert!(["p", "strong", "br", "ul", "li", "code", "blockquote", "a"].contains(&tag), "{name}: <{tag}>");
                }
            }
        }
    }

    #[test]
    fn the_policy_allows_exactly_the_style_sheet_of_the_page() {
        let response = respond((&config(""), &Compiled::default()), Language::English, 200, "register", &minimal()[0].1).unwrap();
        let html = String::from_utf8(response.body().to_vec()).unwrap();
        let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = BASE64.encode(&Sha256::digest(style.as_bytes()));
        let head = head(&response);
        assert!(header(&head, "Content-Security-Policy").unwrap().contains(&format!("style-src 'sha256-{hash}';")), "{head}");
        assert!(!html.contains(" style=") && !html.contains("<script") && !style.contains("url(") && !style.contains("@import"));
    }

    #[test]
    fn only_the_form_may_be_found_by_search_engines() {
        for (name, context) in minimal() {
            let head = head(&respond((&config(""), &Compiled::default()), Language::English, 200, name, &context).unwrap());
            assert_eq!(header(&head, "X-Robots-Tag").is_none(), name == "register", "{name}");
            assert_eq!(header(&head, "Cache-Control"), Some("no-store"));
        }
    }

    #[test]
    fn an_error_page_comes_without_a_configuration_and_with_a_broken_template() {
        let folder = temporary("error", "page/error.html", "{% if");
        let broken = config(&format!("templates = {folder:?}"));
        for config in [None, Some(&broken)] {
            let response = error(config, Language::German, &Error::method_not_allowed("GET, POST"));
            assert_eq!(response.status, 405);
            assert!(String::from_utf8_lossy(response.body()).contains("So lässt sich diese Seite nicht benutzen."));
        }
    }

    #[test]
    fn an_error_page_keeps_the_cause_for_the_log() {
        let response = error(Some(&config("")), Language::English, &Error::internal("password of the database"));
        assert!(!String::from_utf8_lossy(response.body()).contains("database"));
    }

    #[test]
    fn the_operators_files_replace_ours_one_by_one() {
        let folder = temporary(
            "own",
            "page/verified.html",
            "{% extends \"page/layout.html\" %}{% block main %}OWN {{ t(key=\"page.foot\") }}{% endblock %}",
        );
        std::fs::create_dir_all(folder.join("locales")).unwrap();
        std::fs::write(folder.join("locales/en.toml"), "[page]\nfoot = \"Our <own> foot\"\n").unwrap();
        std::fs::write(folder.join("page/style.css"), "body { color: red }\r\n").unwrap();
        let config = config(&format!("templates = {folder:?}\ntitle = \"A & B\"\nlogo = \"/logo.svg\""));
        let html = render(&config, Language::English, "verified", &minimal()[3].1).unwrap();
        assert!(html.contains("OWN Our &lt;own&gt; foot") && html.contains("A &amp; B") && html.contains("src=\"/logo.svg\""), "{html}");
        assert!(html.contains("<style>body { color: red }\n</style>"), "{html}");
        assert!(render(&config, Language::English, "register", &minimal()[0].1).unwrap().contains("first_name"));
    }

    #[test]
    fn a_broken_template_is_refused_by_name() {
        for source in ["{% if", "{{ no_such_value }}", "{% extends \"page/nowhere.html\" %}"] {
            let folder = temporary("broken", "page/verified.html", source);
            let error = render(&config(&format!("templates = {folder:?}")), Language::English, "verified", &minimal()[3].1).unwrap_err();
            assert!(
                error.status == 500 && (error.cause.contains("page/verified.html") || error.cause.contains("nowhere")),
                "{}",
                error.cause
            );
        }
    }

    #[test]
    fn broken_texts_of_the_operator_are_refused_by_name() {
        let folder = temporary("texts", "locales/en.toml", "[page\nfoot = 1");
        let error = render(&config(&format!("templates = {folder:?}")), Language::English, "verified", &minimal()[3].1).unwrap_err();
        assert!(error.cause.contains("locales/en.toml") && error.cause.contains("line 1"), "{}", error.cause);
    }

    #[test]
    fn a_language_link_keeps_the_token() {
        let links = language_links(Language::German, Some("a&b"));
        assert_eq!(links[0].href, "?t=a%26b&lang=en");
        assert!(links[1].current && !links[0].current);
        assert_eq!(language_links(Language::English, None)[1].href, "?lang=de");
    }

    fn temporary(name: &str, file: &str, content: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("page-{}-{name}", std::process::id()));
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, content).unwrap();
        folder
    }
}

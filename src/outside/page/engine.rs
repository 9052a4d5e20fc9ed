//! tera with the functions, filters and values that are available in all templates.

use super::apps::apps;
use super::built_in::source;
use crate::domain::config::{Config, Language};
use crate::domain::error::Error;
use crate::domain::names::{NAME_MAX_CHARACTERS, NOTE_MAX_CHARACTERS};
use crate::domain::text_key;
use crate::outside::text::{self, Texts, lines, one_line, quoted};
use crate::outside::watched::Watched;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use tera::{Context, Function, Kwargs, State, StringInput, Tera, TeraResult, Value};

pub(super) fn context_of(context: &impl Serialize) -> Result<Context, Error> {
    Context::from_serialize(context).map_err(|cause| Error::internal(format!("the values for a template: {cause}")))
}

/// The templates of one rendering.
pub(super) struct Engine {
    tera: Tera,
}

impl Engine {
    /// All files that are read are watched from now on.
    pub(super) fn new(config: Option<&Config>, language: Language, names: &[&str], files: &mut Watched) -> Result<Engine, Error> {
        let texts = Arc::new(Texts::watched(config, language, files)?);
        let mut tera = Tera::new();
        *tera.global_context() = site_values(config, language, &texts);
        register(&mut tera, &texts, config, names.iter().all(|name| !name.starts_with("room/")));
        let templates = with_parents(config, names, files)?;
        tera.add_raw_templates(templates.iter().map(|(name, source)| (name.as_str(), source.as_ref())))
            .map_err(|cause| broken(config, &cause.to_string()))?;
        Ok(Engine { tera })
    }

    /// Sets a value for all templates.
    pub(super) fn insert(&mut self, name: &'static str, value: &str) {
        self.tera.global_context().insert(name, value);
    }

    pub(super) fn render(&self, name: &str, context: &Context) -> Result<String, Error> {
        self.tera.render(name, context).map_err(|cause| Error::internal(format!("templates: {name}: {}", chain(&cause))))
    }
}

/// The named templates and those they extend or include.
fn with_parents<'a>(config: Option<&Config>, names: &[&str], files: &mut Watched) -> Result<BTreeMap<String, Cow<'a, str>>, Error> {
    let mut templates: BTreeMap<String, Cow<'a, str>> = BTreeMap::new();
    let mut wanted: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = wanted.pop() {
        if let Entry::Vacant(place) = templates.entry(name) {
            let source = source(config, place.key(), files)?;
            wanted.extend(parents(&source));
            place.insert(source);
        }
    }
    Ok(templates)
}

/// The quoted names after `{% extends` and `{% include`.
fn parents(source: &str) -> Vec<String> {
    let name = |tag: &str| {
        let tag = tag.trim_start_matches('-').trim_start();
        let rest = tag.strip_prefix("extends").or_else(|| tag.strip_prefix("include"))?.trim_start();
        let quote = rest.chars().next().filter(|quote| "\"'`".contains(*quote))?;
        rest[1..].split_once(quote).map(|(name, _)| name.to_owned())
    };
    source.split("{%").skip(1).filter_map(name).collect()
}

fn broken(config: Option<&Config>, cause: &str) -> Error {
    let folder = config.and_then(|config| config.pages.templates.as_deref());
    let place = folder.map(|folder| format!(" in {} (pages.templates)", folder.display())).unwrap_or_default();
    Error::internal(format!("a template{place} cannot be used; correct it, or remove it to get the built-in one: {}", cause.trim()))
}

/// The whole chain of causes: tera's outermost error is the place, and its source the reason.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|cause| cause.to_string().trim().to_owned()).collect::<Vec<_>>().join(": ")
}

/// The values that are available in every template.
fn site_values(config: Option<&Config>, language: Language, texts: &Texts) -> Context {
    let server_name = config.map_or("", |config| config.server_name.0.as_str());
    let title = match config.map(|config| config.pages.title.clone()) {
        None => texts.say(text_key::page::BARE_TITLE, &[]),
        Some(title) => title.unwrap_or_else(|| texts.say(text_key::page::TITLE, &[("server", server_name)])),
    };
    let pages = config.map(|config| &config.pages);
    let mut context = Context::new();
    context.insert("lang", language.tag());
    context.insert("server_name", server_name);
    context.insert("title", &title);
    context.insert("logo", &pages.and_then(|pages| pages.logo.as_ref()).map(|logo| &logo.0));
    context.insert("howto_url", &pages.and_then(|pages| pages.howto_url.as_ref()).map(|url| &url.0));
    context.insert("privacy_url", &pages.and_then(|pages| pages.privacy_url.as_ref()).map(|url| &url.0));
    context.insert("imprint_url", &pages.and_then(|pages| pages.imprint_url.as_ref()).map(|url| &url.0));
    if let Some(config) = config {
        let contact = config.contact();
        context.insert("contact", contact.as_str());
        context.insert("contact_url", &contact.link());
        context.insert("homeserver", &config.homeserver_for_people());
        context.insert("apps", &apps(config, language, texts));
    }
    context.insert("form_url", &config.map(|config| config.public_url.join("/")));
    // Only where passwords are ours.
    let own_passwords = config.filter(|config| config.operation_mode.has_own_passwords());
    context.insert("reset_url", &own_passwords.map(|config| config.public_url.join("/reset_password")));
    // Empty by default. A page that knows its own address sets this, because its links have to keep the token.
    context.insert("language_links", &[(); 0]);
    context.insert("style", "");
    context.insert("name_length", &NAME_MAX_CHARACTERS);
    context.insert("note_length", &NOTE_MAX_CHARACTERS);
    context
}

/// `keeps_names` asks browsers and mail programs not to translate what is marked; the tags of room messages have no attributes.
fn register(tera: &mut Tera, texts: &Arc<Texts>, config: Option<&Config>, keeps_names: bool) {
    let server = config.map_or("", |config| config.server_name.0.as_str()).to_owned();
    tera.register_function("t", Say { texts: texts.clone(), server });
    tera.register_filter("one_line", |value: StringInput, _: Kwargs, _: &State| one_line(value.as_str()));
    tera.register_filter("quote", |value: StringInput, _: Kwargs, _: &State| quoted(value.as_str()));
    tera.register_filter("break_lines", |value: StringInput, _: Kwargs, state: &State| {
        let lines = lines(value.as_str()).iter().map(|line| state.escape(line)).collect::<TeraResult<Vec<_>>>();
        lines.map(|lines| Value::safe_string(&lines.join("<br>")))
    });
    for tag in ["strong", "code"] {
        tera.register_filter(tag, move |value: StringInput, kwargs: Kwargs, state: &State| {
            let is_name = keeps_names && !kwargs.get::<bool>("translate")?.unwrap_or(false);
            marked(tag, if is_name { " translate=\"no\"" } else { "" }, &value, state)
        });
    }
    let own = texts.clone();
    tera.register_filter("date", move |seconds: i64, _: Kwargs, _: &State| own.date(seconds));
    let own = texts.clone();
    tera.register_filter("hours", move |count: u64, _: Kwargs, _: &State| own.hours(count));
    let own = texts.clone();
    tera.register_filter("days", move |count: u64, _: Kwargs, _: &State| own.days(count));
}

/// The function `t`. Every text may use `{server}`.
struct Say {
    texts: Arc<Texts>,
    server: String,
}

impl Function<TeraResult<Value>> for Say {
    fn call(&self, kwargs: Kwargs, state: &State) -> TeraResult<Value> {
        let key = kwargs.must_get::<&str>("key")?;
        let mut values = vec![("server", state.escape_if_needed(&Value::normal_string(&self.server))?)];
        for (name, value) in kwargs.iter().filter_map(|(name, value)| Some((name.as_str()?, value))) {
            // A missing value leaves a gap in the text; the page is still shown.
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

/// The value on one line: between tags in HTML, bare in plain text.
fn marked(tag: &str, attribute: &str, value: &StringInput, state: &State) -> TeraResult<Value> {
    let line = one_line(value.as_str());
    match state.autoescaping_enabled() {
        true => Ok(Value::safe_string(&format!("<{tag}{attribute}>{}</{tag}>", state.escape(&line)?))),
        false => Ok(Value::normal_string(&line)),
    }
}

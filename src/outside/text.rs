//! All texts of the project, in each of its languages: `templates/locales/*.toml`.
//!
//! A text has a name, `section.key`, and may contain `{placeholders}`. The operator's `locales/xx.toml` below
//! `pages.templates` replaces single texts. Nothing is escaped here; `page` escapes where it inserts a text.

use crate::domain::characters;
use crate::domain::config::{Config, Language, TimeZone};
use crate::domain::error::Error;
use crate::domain::text_key::{Key, date};
use crate::outside::watched::Watched;
use std::collections::HashMap;
use std::sync::OnceLock;

const MONTHS: [Key; 12] = [
    date::MONTH_1,
    date::MONTH_2,
    date::MONTH_3,
    date::MONTH_4,
    date::MONTH_5,
    date::MONTH_6,
    date::MONTH_7,
    date::MONTH_8,
    date::MONTH_9,
    date::MONTH_10,
    date::MONTH_11,
    date::MONTH_12,
];

/// Names and texts, in the order of the names.
type BuiltIn = &'static [(&'static str, &'static str)];

/// All texts of one language.
#[derive(Debug, Clone)]
pub struct Texts {
    built_in: BuiltIn,
    /// The operator's, which replace built-in ones.
    own: HashMap<String, String>,
    /// The configured time zone, or else the system's, which is read when a time is to be said.
    time_zone: OnceLock<TimeZone>,
}

impl Texts {
    /// The texts of `language`; the operator's own replace the built-in ones.
    pub fn load(config: Option<&Config>, language: Language) -> Result<Texts, Error> {
        Texts::watched(config, language, &mut Watched::default())
    }

    /// The same; the operator's file is watched from now on.
    pub(crate) fn watched(config: Option<&Config>, language: Language, files: &mut Watched) -> Result<Texts, Error> {
        let mut own = HashMap::new();
        if let Some(folder) = config.and_then(|config| config.pages.templates.as_deref()) {
            let path = folder.join("locales").join(format!("{}.toml", language.tag()));
            let file =
                files.read(&path).map_err(|cause| Error::internal(format!("pages.templates: cannot read {}: {cause}", path.display())))?;
            if let Some(file) = file {
                collect(&mut own, "", parse(&file, &path.display().to_string())?);
            }
        }
        let time_zone = config.map_or(Some(TimeZone::UTC), |config| config.time_zone.clone());
        Ok(Texts { built_in: built_in(language), own, time_zone: time_zone.map(OnceLock::from).unwrap_or_default() })
    }

    /// The text with its placeholders filled in.
    pub fn say(&self, key: Key, values: &[(&str, &str)]) -> String {
        self.say_named(key.name(), values)
    }

    /// The same for a name `section.key` from a template. An unknown name is returned unchanged, where it is visible on
    /// the page and harmless.
    pub fn say_named(&self, key: &str, values: &[(&str, &str)]) -> String {
        fill(self.get(key).unwrap_or(key), values)
    }

    /// The text as written in the file.
    pub fn get(&self, key: &str) -> Option<&str> {
        let built_in = || self.built_in.binary_search_by_key(&key, |(name, _)| name).ok().map(|place| self.built_in[place].1);
        self.own.get(key).map(String::as_str).or_else(built_in)
    }

    /// `30 November 2026, 15:05 CET` for seconds since 1970.
    pub fn date(&self, seconds: i64) -> String {
        let Ok(moment) = jiff::Timestamp::from_second(seconds) else {
            return String::new();
        };
        let zone = self.time_zone.get_or_init(TimeZone::system);
        let time = zone.0.to_datetime(moment);
        let month = self.say(MONTHS[usize::from(time.month().unsigned_abs()) - 1], &[]);
        let clock = format!("{:02}:{:02}", time.hour(), time.minute());
        self.say(
            date::FORMAT,
            &[
                ("day", &time.day().to_string()),
                ("month", &month),
                ("year", &time.year().to_string()),
                ("time", &clock),
                ("zone", &zone.name_at(moment)),
            ],
        )
    }

    /// `48 hours`. In German the result is nominative or accusative: write "gilt {hours}", not "innerhalb von {hours}".
    pub fn hours(&self, count: u64) -> String {
        self.count([date::HOURS_ONE, date::HOURS_OTHER], count)
    }

    /// `7 days`; for German see [`Texts::hours`].
    pub fn days(&self, count: u64) -> String {
        self.count([date::DAYS_ONE, date::DAYS_OTHER], count)
    }

    fn count(&self, [one, other]: [Key; 2], count: u64) -> String {
        self.say(if count == 1 { one } else { other }, &[("count", &count.to_string())])
    }
}

/// Replaces `{name}` with its value in one pass, so a value that looks like a placeholder is not replaced again.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let value = after.split_once('}').and_then(|(name, tail)| Some((values.iter().find(|(known, _)| *known == name)?.1, tail)));
        match value {
            Some((value, tail)) => {
                filled.push_str(value);
                rest = tail;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Lines shown of a visitor's text; more would push what follows out of sight.
const MOST_LINES: usize = 20;

/// The text on one line, without invisible characters and those that change the direction of the text around it.
pub use crate::domain::characters::one_line;

/// The lines of a visitor's text, with any kind of line break. Lines from the twentieth on are joined with slashes, so that
/// nothing is lost.
pub fn lines(text: &str) -> Vec<String> {
    let mut lines = characters::lines(text);
    if lines.len() > MOST_LINES {
        let rest: Vec<String> = lines.split_off(MOST_LINES - 1).into_iter().filter(|line| !line.is_empty()).collect();
        lines.push(rest.join(" / "));
    }
    lines
}

/// Puts `> ` before each line, so that none of them can pass for one of ours.
pub fn quoted(text: &str) -> String {
    match lines(text) {
        lines if lines.is_empty() => ">".to_owned(),
        lines => lines.iter().map(|line| format!("> {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n"),
    }
}

/// Collapses runs of empty lines, which remain when a template leaves out parts.
pub fn without_gaps(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && lines.last().is_none_or(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    format!("{}\n", lines.join("\n").trim_end())
}

/// The language of a page: `?lang=`, or the best match of `Accept-Language`, or the operator's default.
pub fn choose_language(query_lang: Option<&str>, accept_language: Option<&str>, default: Language) -> Language {
    query_lang.and_then(Language::from_tag).or_else(|| accepted(accept_language?, default)).unwrap_or(default)
}

/// The language with the highest quality (RFC 9110 section 12.5.4); the first one named if several have it.
fn accepted(header: &str, default: Language) -> Option<Language> {
    let ranges: Vec<(&str, u16)> = header.split(',').filter_map(range).collect();
    let quality_of = |language: Language| {
        let named = |(_, (tag, _)): &(usize, &(&str, u16))| *tag != "*" && Language::from_tag(tag) == Some(language);
        let best = ranges.iter().enumerate().filter(named).min_by_key(|(place, (_, quality))| (u16::MAX - quality, *place));
        let any = || ranges.iter().enumerate().find(|(_, (tag, _))| *tag == "*");
        best.or_else(any).map_or((0, 0), |(place, (_, quality))| (*quality, place))
    };
    let order = |language: &Language| {
        let (quality, place) = quality_of(*language);
        (u16::MAX - quality, place, *language != default)
    };
    Language::ALL.into_iter().filter(|language| quality_of(*language).0 > 0).min_by_key(order)
}

/// `de-AT;q=0.8` as tag and thousandths; `None` if RFC 9110 does not allow the text.
fn range(text: &str) -> Option<(&str, u16)> {
    let (tag, parameters) = text.split_once(';').unwrap_or((text, ""));
    let quality = match parameters.trim().split_once('=') {
        None if parameters.trim().is_empty() => 1000,
        Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => thousandths(value.trim())?,
        _ => return None,
    };
    Some((tag.trim(), quality))
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Made by the build from `templates/locales`, because under CGI every page would pay for reading all texts.
fn built_in(language: Language) -> BuiltIn {
    match language {
        Language::English => include!(concat!(env!("OUT_DIR"), "/texts_en.rs")),
        Language::German => include!(concat!(env!("OUT_DIR"), "/texts_de.rs")),
    }
}

fn parse(text: &str, origin: &str) -> Result<toml::Table, Error> {
    toml::from_str(text).map_err(|cause| Error::internal(format!("{origin}: {}", cause.to_string().trim_end())))
}

/// Nested sections become `section.section.key`.
fn collect(texts: &mut HashMap<String, String>, section: &str, table: toml::Table) {
    for (key, value) in table {
        let name = if section.is_empty() { key } else { format!("{section}.{key}") };
        match value {
            toml::Value::Table(inner) => collect(texts, &name, inner),
            toml::Value::String(text) => drop(texts.insert(name, text)),
            other => drop(texts.insert(name, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn texts(language: Language) -> Texts {
        Texts::load(None, language).unwrap()
    }

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn both_languages_say_the_same_things_about_the_same_values() {
        let of = |language| -> BTreeMap<String, Vec<String>> {
            let named = |(key, text): &(&str, &'static str)| (key.to_string(), placeholders(text).into_iter().map(str::to_owned).collect());
            built_in(language).iter().map(named).collect()
        };
        let (english, german) = (of(Language::English), of(Language::German));
        for (key, values) in &english {
            assert_eq!(german.get(key), Some(values), "{key} in de.toml");
        }
        for key in german.keys() {
            assert!(english.contains_key(key), "{key} in en.toml");
        }
    }

    #[test]
    fn the_files_are_the_toml_that_they_look_like() {
        for language in Language::ALL {
            let file = match language {
                Language::English => include_str!("../../templates/locales/en.toml"),
                Language::German => include_str!("../../templates/locales/de.toml"),
            };
            let mut as_toml = HashMap::new();
            collect(&mut as_toml, "", parse(file, "").unwrap());
            let texts = built_in(language);
            assert!(texts.is_sorted() && texts.len() == as_toml.len());
            assert!(texts.iter().all(|(name, text)| as_toml[*name] == *text));
        }
    }

    #[test]
    fn a_visitors_text_cannot_break_out_of_its_line_or_quotation() {
        assert_eq!(one_line(" a\r\nb\u{2028}c\u{85}d\te\u{202e}f "), "a b c d ef");
        assert_eq!(quoted("a\r\n\r\nb\u{2029}c\rd\n"), "> a\n>\n> b\n> c\n> d");
        assert_eq!(quoted("\u{1b}[31m"), "> [31m");
        assert_eq!(quoted(" \n"), ">");
        assert_eq!(without_gaps("\n\na\n\n\n\nb \n\n"), "a\n\nb\n");
    }

    #[test]
    fn a_long_list_of_lines_does_not_push_the_link_out_of_sight() {
        let note: Vec<String> = (1..=1000).map(|number| number.to_string()).collect();
        let shown = lines(&note.join("\n"));
        assert_eq!((shown.len(), shown[18].as_str()), (MOST_LINES, "19"));
        assert!(shown[19].starts_with("20 / 21 / ") && shown[19].ends_with(" / 1000"), "nothing is lost: {}", shown[19]);
        assert_eq!(lines(&shown.join("\n")), shown);
    }

    #[test]
    fn no_text_is_empty() {
        for language in Language::ALL {
            for (key, text) in built_in(language) {
                assert!(!text.trim().is_empty(), "{key} {language:?}");
            }
        }
    }

    #[test]
    fn a_value_is_not_filled_in_twice() {
        assert_eq!(fill("{a} and {b}, {c}", &[("a", "{b}"), ("b", "2")]), "{b} and 2, {c}");
        assert_eq!(fill("{", &[("a", "1")]), "{");
        assert_eq!(fill("{{a}", &[("a", "1")]), "{1");
    }

    #[test]
    fn an_unknown_key_is_said_as_it_is() {
        assert_eq!(texts(Language::English).say_named("no.such_text", &[]), "no.such_text");
    }

    #[test]
    fn a_date_reads_as_people_write_it() {
        assert_eq!(texts(Language::English).date(1_796_047_500), "30 November 2026, 14:05 UTC");
        assert_eq!(texts(Language::German).date(1_796_047_500), "30. November 2026, 14:05 Uhr UTC");
        assert_eq!(texts(Language::German).date(0), "1. Januar 1970, 00:00 Uhr UTC");
        assert_eq!(texts(Language::English).date(i64::MAX), "");
    }

    #[test]
    fn times_are_those_of_the_configured_zone_and_name_it() {
        let date = |zone: &str, seconds| {
            let text = format!("time_zone = \"{zone}\"\n{}", include_str!("../../config.sample.toml"));
            let config = Config::parse(&text, Default::default()).unwrap();
            Texts::load(Some(&config), Language::English).unwrap().date(seconds)
        };
        assert_eq!(date("Europe/Berlin", 1_796_047_500), "30 November 2026, 15:05 CET");
        assert_eq!(date("Europe/Berlin", 1_782_907_200), "1 July 2026, 14:00 CEST");
        assert_eq!(date("America/Sao_Paulo", 1_796_047_500), "30 November 2026, 11:05 UTC-03");
        assert_eq!(date("UTC", 1_796_047_500), "30 November 2026, 14:05 UTC");
        let text = format!("time_zone = \"Berlin\"\n{}", include_str!("../../config.sample.toml"));
        let refused = Config::parse(&text, Default::default()).unwrap_err().to_string();
        assert!(refused.contains("time_zone") && refused.contains("Europe/Berlin"), "{refused}");
    }

    #[test]
    fn one_hour_is_not_one_hours() {
        assert_eq!(texts(Language::English).hours(48), "48 hours");
        assert_eq!(texts(Language::English).hours(1), "1 hour");
        assert_eq!(texts(Language::German).days(1), "1 Tag");
        assert_eq!(texts(Language::German).days(7), "7 Tage");
        assert_eq!(texts(Language::German).hours(0), "0 Stunden");
    }

    #[test]
    fn the_language_is_the_one_asked_for() {
        use Language::{English, German};
        let cases = [
            (Some("de"), Some("en"), English, German),
            (Some("fr"), Some("de"), English, German),
            (None, None, German, German),
            (None, Some("de-AT,de;q=0.9,en;q=0.8"), English, German),
            (None, Some("en;q=0.8, de"), English, German),
            (None, Some("fr, en;q=0.5, de;q=0.4"), German, English),
            (None, Some("fr"), German, German),
            (None, Some("*"), German, German),
            (None, Some("de;q=0, *"), German, English),
            (None, Some("de;q=0, en;q=0"), German, German),
            (None, Some("en;q=0.001,de;q=0.002"), English, German),
            (None, Some("de,en"), English, German),
            (None, Some("de;q=high, en;q=0.1"), German, English),
            (None, Some("de;q=2, en;q=0.1"), German, English),
            (None, Some("de;q=0.1, *;q=0.9"), German, English),
            (None, Some(",;,=;q"), German, German),
        ];
        for (query, header, default, chosen) in cases {
            assert_eq!(choose_language(query, header, default), chosen, "{query:?} {header:?} {default:?}");
        }
    }
}

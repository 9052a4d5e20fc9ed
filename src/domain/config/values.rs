//! Values that are checked while the file is parsed, each with its own type.

use super::{DatabaseUrl, Language, TimeZone};
use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An integer from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded<const MIN: u64, const MAX: u64>(pub u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        u64::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Bounded)
            .ok_or_else(|| D::Error::custom(format!("expected a whole number from {MIN} to {MAX}, got {number}")))
    }
}

/// Hours after which something is repeated, in ascending order: `[24, 72]`, one number, or 0 for never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminders(pub Vec<u64>);

/// Nobody needs more.
const MOST_REMINDERS: usize = 20;

impl<'de> Deserialize<'de> for Reminders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(i64),
            Many(Vec<i64>),
        }
        let wrong = || {
            D::Error::custom(format!(
                "expected whole numbers from 1 to 8760, each greater than the one before, at most {MOST_REMINDERS}; or 0"
            ))
        };
        let hours = match OneOrMany::deserialize(deserializer).map_err(|_| wrong())? {
            OneOrMany::One(0) => Vec::new(),
            OneOrMany::One(hours) => vec![hours],
            OneOrMany::Many(hours) => hours,
        };
        let is_good =
            hours.len() <= MOST_REMINDERS && hours.iter().all(|hours| (1..=8760).contains(hours)) && hours.is_sorted_by(|a, b| a < b);
        if !is_good {
            return Err(wrong());
        }
        Ok(Reminders(hours.into_iter().map(i64::unsigned_abs).collect()))
    }
}

/// Strings that are checked while the file is parsed, so that the parser's message contains the line.
macro_rules! parsed_from_text {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}
parsed_from_text!(
    ServerName,
    BaseUrl,
    LinkUrl,
    SameHostPath,
    RoomName,
    MailboxText,
    DatabaseUrl,
    Pattern,
    CallerRange,
    TimeZone,
    AppUrl,
    Contact
);

/// A homeserver's name: `example.org`, `matrix.example.org:8448`, `[::1]:8008`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(pub String);

impl FromStr for ServerName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if text.is_empty() || text.len() > 230 || !text.chars().all(allowed) || text.starts_with(['.', '-', ':']) {
            return Err(format!("expected a homeserver name without https://, for example \"example.org\", got {text:?}"));
        }
        Ok(ServerName(text.to_owned()))
    }
}

impl ServerName {
    /// The name without its port.
    pub fn host(&self) -> &str {
        let end = if self.0.starts_with('[') { self.0.find(']').map(|bracket| bracket + 1) } else { self.0.find(':') };
        &self.0[..end.unwrap_or(self.0.len())]
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An `http://` or `https://` URL to which paths are appended; stored without the final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// A port of this machine.
    pub(super) fn loopback(port: u16) -> BaseUrl {
        BaseUrl(format!("http://127.0.0.1:{port}"))
    }

    /// Whether it leads to this machine without a proxy elsewhere.
    pub fn is_loopback(&self) -> bool {
        let authority = self.0.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let host = if authority.starts_with('[') { authority.split(']').next() } else { authority.split(':').next() };
        is_loopback(host.unwrap_or_default().trim_start_matches('['))
    }

    /// The URL of `path`, which starts with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        web_url(text).filter(|url| !url.contains(['?', '#'])).map(|url| BaseUrl(url.trim_end_matches('/').to_owned())).ok_or_else(|| {
            format!("expected a URL that starts with http:// or https:// and has no query, for example \"https://register.example.org/\", got {text:?}")
        })
    }
}

/// A URL that pages and mails link to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkUrl(pub String);

impl FromStr for LinkUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        web_url(text).map(|url| LinkUrl(url.to_owned())).ok_or_else(|| {
            format!("expected a URL that starts with http:// or https://, for example \"https://example.org/terms\", got {text:?}")
        })
    }
}

fn web_url(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let plain = rest.chars().all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c));
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    (plain && !host.is_empty() && !host.contains('@')).then_some(text)
}

/// What stays as it is in a part of a URL (RFC 3986 section 2.3, "unreserved").
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL of an app, with `{homeserver}` where the app takes the address of a homeserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppUrl(String);

impl AppUrl {
    const PLACE: &str = "{homeserver}";

    /// The link for people of this homeserver.
    pub fn link(&self, homeserver: &str) -> String {
        self.0.replace(AppUrl::PLACE, &utf8_percent_encode(homeserver, UNRESERVED).to_string())
    }
}

impl FromStr for AppUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        web_url(&text.replace(AppUrl::PLACE, "x")).map(|_| AppUrl(text.to_owned())).ok_or_else(|| {
            format!("expected a URL that starts with http:// or https:// and has no other placeholder than {{homeserver}}, for example \"https://app.cinny.in/login/{{homeserver}}\", got {text:?}")
        })
    }
}

/// A sentence of the operator: one for all languages, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum OwnWords {
    ForAll(String),
    ByLanguage(BTreeMap<Language, String>),
}

impl OwnWords {
    /// `None` if there is no sentence in this language.
    pub fn in_language(&self, language: Language) -> Option<&str> {
        match self {
            OwnWords::ForAll(text) => Some(text),
            OwnWords::ByLanguage(texts) => texts.get(&language).map(String::as_str),
        }
    }
}

/// An app that is recommended to new users.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub name: String,
    pub url: AppUrl,
    #[serde(default)]
    pub note: Option<OwnWords>,
}

/// Where people ask for help: a mail address or a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    Address(String),
    Page(String),
}

impl Contact {
    /// The link behind the shown text.
    pub fn link(&self) -> String {
        match self {
            Contact::Page(url) => url.clone(),
            // RFC 6068 section 2: the parts around the @ are encoded, the @ is not.
            Contact::Address(address) => {
                let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
                format!("mailto:{}@{domain}", utf8_percent_encode(local, UNRESERVED))
            }
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Contact::Address(text) | Contact::Page(text) => text,
        }
    }
}

impl FromStr for Contact {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if web_url(text).is_some() {
            return Ok(Contact::Page(text.to_owned()));
        }
        let plain = text.chars().all(|c| c.is_alphanumeric() || "@.!#$%&'*+/=?^_{|}~-".contains(c));
        let is_address = text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        (plain && is_address).then(|| Contact::Address(text.to_owned())).ok_or_else(|| {
            format!("expected a mail address or a URL, for example \"help@example.org\" or \"https://example.org/help\", got {text:?}")
        })
    }
}

/// An absolute path on the host of the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameHostPath(pub String);

impl FromStr for SameHostPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.chars().all(|c| c.is_ascii_graphic() && !"\"<>\\".contains(c));
        if !text.starts_with('/') || text.starts_with("//") || !plain {
            return Err(format!(
                "expected a path on the same host, for example \"/logo.svg\" (pages load nothing from elsewhere), got {text:?}"
            ));
        }
        Ok(SameHostPath(text.to_owned()))
    }
}

/// A room id or alias. Since room version 12 ids have no server part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomName(pub String);

impl RoomName {
    pub(crate) fn is_alias(&self) -> bool {
        self.0.starts_with('#')
    }
}

impl FromStr for RoomName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.len() > 1 && text.len() <= 255 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        let known = text.starts_with('!') || (text.starts_with('#') && text.contains(':'));
        if !plain || !known {
            return Err(format!(
                "expected a room id or alias, for example \"!AbCdEf:example.org\" or \"#registrations:example.org\", got {text:?}"
            ));
        }
        Ok(RoomName(text.to_owned()))
    }
}

/// A mailbox as written in a mail header: `Name <address>` or an address. `mail` parses it further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxText(pub String);

impl MailboxText {
    /// The address without a name.
    pub fn address(&self) -> &str {
        self.0.rsplit_once('<').map_or(self.0.as_str(), |(_, rest)| rest.trim_end().trim_end_matches('>'))
    }
}

impl FromStr for MailboxText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end().trim_end_matches('>'));
        let plausible = address.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if !plausible || text.chars().any(char::is_control) {
            return Err(format!("expected a mail address, for example \"Sign-up <register@example.org>\", got {text:?}"));
        }
        Ok(MailboxText(text.to_owned()))
    }
}

/// Where a caller may come from: an address, a network such as `10.0.0.0/8`, or a unix socket, which nginx calls `unix:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerRange {
    Network(IpNet),
    UnixSocket,
}

impl CallerRange {
    /// Compares addresses rather than their spelling: `::ffff:127.0.0.1` is `127.0.0.1`.
    pub fn contains(self, address: &str) -> bool {
        match self {
            CallerRange::Network(network) => address.parse::<IpAddr>().is_ok_and(|address| network.contains(&address.to_canonical())),
            CallerRange::UnixSocket => address == "unix:",
        }
    }
}

impl FromStr for CallerRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix:" {
            return Ok(CallerRange::UnixSocket);
        }
        let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let network = address.or_else(|_| text.parse::<IpNet>()).ok().filter(|network| network.addr() == network.addr().to_canonical());
        network.map(CallerRange::Network).ok_or_else(|| {
            format!("expected an address, a network or \"unix:\", for example \"127.0.0.1\" or \"172.16.0.0/12\" (no name, no port), got {text:?}")
        })
    }
}

/// A regular expression that must match a whole text.
#[derive(Debug, Clone)]
pub struct Pattern(regex_lite::Regex);

impl Pattern {
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl FromStr for Pattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        regex_lite::Regex::new(&format!("^(?:{text})$"))
            .map(Pattern)
            .map_err(|cause| format!("expected a regular expression, for example \"[a-z][a-z0-9.]*\": {cause}"))
    }
}

/// Whether a host name or address in the configuration refers to this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// How the user directory matches mail addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SearchByAddressText")]
pub enum SearchByAddress {
    /// As a whole: only those who know an address can find its owner.
    Exact,
    /// By beginning: any user can find out the addresses of all others, letter by letter.
    Prefix,
    Off,
}

/// Earlier versions used `true` and `false`.
#[derive(Deserialize)]
#[serde(untagged)]
enum SearchByAddressText {
    Word(String),
    Switch(bool),
}

impl TryFrom<SearchByAddressText> for SearchByAddress {
    type Error = String;

    fn try_from(text: SearchByAddressText) -> Result<SearchByAddress, String> {
        match text {
            SearchByAddressText::Switch(true) => Ok(SearchByAddress::Exact),
            SearchByAddressText::Switch(false) => Ok(SearchByAddress::Off),
            SearchByAddressText::Word(word) => match word.as_str() {
                "exact" => Ok(SearchByAddress::Exact),
                "prefix" => Ok(SearchByAddress::Prefix),
                "off" => Ok(SearchByAddress::Off),
                other => Err(format!("unknown value {other:?}, expected \"exact\", \"prefix\" or \"off\"")),
            },
        }
    }
}

//! `config.toml`: what the operator decides.
//!
//! Every value is parsed into a type of its own, so that a wrong one is refused at the door with its line, what was
//! expected and an example; nothing behind this file checks the configuration again. `config.sample.toml` explains
//! every key and is loaded by the tests.
//!
//! Paths in the file are relative to the folder of the file; what the programs write lies in `state_folder`, which is that
//! folder unless the operator names another.

mod database_url;

pub use database_url::{DatabaseUrl, ServerUrl};

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Names the configuration file, as an environment variable and as a FastCGI parameter.
pub const CONFIG_VARIABLE: &str = "MATRIX_REGISTER_BOT_CONFIG";

/// An environment variable with the password of the database, for who keeps no secrets in files.
const DATABASE_PASSWORD_VARIABLE: &str = "MATRIX_REGISTER_BOT_DATABASE_PASSWORD";

/// The operator's decisions, complete and checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name behind the colon of every Matrix id on this homeserver.
    pub server_name: ServerName,
    /// Where this program reaches the homeserver, `/_synapse/admin` included; usually loopback.
    pub homeserver_url: BaseUrl,
    /// Where visitors reach the pages; links in mails and in the room start with it.
    pub public_url: BaseUrl,
    pub operation_mode: OperationMode,
    #[serde(default)]
    registration_shared_secret: Option<String>,
    #[serde(default)]
    registration_shared_secret_file: Option<PathBuf>,
    /// Where the programs write: `config.json`, the database and the mails of `transport = "file"`, unless those have a
    /// whole path.
    #[serde(default)]
    pub state_folder: PathBuf,
    /// Without the password, where that stands elsewhere: use [`Config::database`].
    #[serde(default = "default_database")]
    database: DatabaseUrl,
    #[serde(default)]
    database_password: Option<String>,
    #[serde(default)]
    database_password_file: Option<PathBuf>,
    /// Ask for a password in the form instead of making an initial one.
    #[serde(default)]
    pub get_password_on_registration: bool,
    /// Language of the room messages, and of pages for visitors whose browser asks for neither English nor German.
    #[serde(default)]
    pub default_language: Language,
    #[serde(default)]
    pub log: LogTarget,
    pub room: Room,
    pub mail: Mail,
    #[serde(default)]
    pub form: Form,
    #[serde(default)]
    pub pages: Pages,
    #[serde(default)]
    pub times: Times,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub internal: Internal,
    #[serde(default)]
    pub password_change: PasswordChange,
}

/// Where an approved account comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationMode {
    /// In Synapse, by shared-secret registration.
    Synapse,
    /// In our own `logins` table, which Synapse asks through a password module.
    Local,
}

/// The languages that `templates/locales` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "en")]
    English,
    #[serde(rename = "de")]
    German,
}

impl Language {
    /// All languages, in the order in which the pages offer them.
    pub const ALL: [Language; 2] = [Language::English, Language::German];

    /// The language tag, as in `?lang=` and in HTML's `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
        }
    }

    /// The language of a tag such as `de`, `de-AT` or `DE_de`; `None` for one that we do not speak.
    pub fn from_tag(tag: &str) -> Option<Language> {
        let primary = tag.split(['-', '_']).next().unwrap_or(tag);
        Language::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogTarget {
    #[default]
    Stderr,
    Syslog,
}

/// The room where requests are decided, and the account that speaks there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// A room id (`!...`, with or without a server part) or an alias (`#name:server`).
    pub id: RoomName,
    #[serde(default = "default_bot_localpart")]
    pub bot_localpart: String,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    access_token_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// `Name <address>` or a bare address.
    pub from: MailboxText,
    #[serde(default)]
    pub reply_to: Option<MailboxText>,
    pub transport: MailTransport,
    #[serde(default)]
    pub smtp: Smtp,
    /// The program that takes a finished mail on standard input.
    #[serde(default = "default_sendmail")]
    pub sendmail: PathBuf,
    /// With `transport = "file"`: where each mail becomes one `.eml` file.
    #[serde(default = "default_mail_folder")]
    pub folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    Smtp,
    Sendmail,
    File,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    pub host: String,
    /// Default: 25 for `none`, 587 for `starttls`, 465 for `tls`.
    pub port: Option<u16>,
    pub security: SmtpSecurity,
    pub user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    /// A PEM file with the certificate authority that signed the server's certificate, if the system does not know it.
    pub ca_file: Option<PathBuf>,
    /// Seconds for the connection and for each answer.
    pub timeout_seconds: Bounded<1, 120>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// Clear text; accepted for loopback only.
    None,
    Starttls,
    Tls,
}

/// What applicants may choose and must accept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Form {
    pub username_min_length: Bounded<1, 255>,
    pub username_max_length: Bounded<1, 255>,
    /// A regular expression that the whole username must match, besides the Matrix rules.
    pub username_pattern: Option<Pattern>,
    /// Names that nobody gets, besides the built-in list (`admin`, `root`, ... and the bot's own).
    pub reserved_usernames: Vec<String>,
    pub password_min_length: Bounded<1, 512>,
    /// A page with the terms; where set, the form asks to accept them.
    pub terms_url: Option<LinkUrl>,
}

/// How the pages look.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pages {
    /// Shown as heading; default: a sentence with the server name.
    pub title: Option<String>,
    /// A path on the same host, e.g. `/logo.svg`: pages load nothing from elsewhere.
    pub logo: Option<SameHostPath>,
    /// A page that explains how to get started; linked from the credentials mail.
    pub howto_url: Option<LinkUrl>,
    /// A folder whose files replace built-in templates and texts of the same name.
    pub templates: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// Hours in which the mail address must be confirmed.
    pub confirm_within_hours: Bounded<1, 8760>,
    /// Days for which an initial password is good (local mode enforces it); 0: for ever.
    pub initial_password_days: Bounded<0, 3650>,
    /// Days after which finished, declined and expired requests are forgotten.
    pub forget_after_days: Bounded<1, 3650>,
    /// Hours after which the room is reminded, once, of an undecided request; 0: never.
    pub remind_after_hours: Bounded<0, 8760>,
    /// Seconds after which a cron run starts nothing new.
    pub cron_budget_seconds: Bounded<10, 3600>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes that the body of a form may have.
    pub body_bytes: Bounded<1024, 16777216>,
    /// Requests that one FastCGI process works on at a time; further ones wait, then get 503.
    pub concurrent_requests: Bounded<1, 1024>,
    /// Requests with one mail address that may wait for confirmation: nobody gets more mails that he did not ask for.
    pub unconfirmed_per_address: Bounded<1, 1000>,
    /// Requests that one network may make in 24 hours; here and below 0 means: no limit.
    pub requests_per_network_per_day: Bounded<0, 86400>,
    /// Requests with one mail address in 24 hours.
    pub requests_per_address_per_day: Bounded<0, 86400>,
    /// Requests in 24 hours; then the form is closed.
    pub requests_per_day: Bounded<0, 1000000>,
    /// Requests that wait for confirmation or decision; then the form is closed.
    pub open_requests: Bounded<0, 1000000>,
    /// Mails that one address gets in 24 hours; further ones wait.
    pub mails_per_address_per_day: Bounded<0, 86400>,
    /// Mails with which addresses are confirmed, in 24 hours; further ones wait.
    pub confirm_mails_per_day: Bounded<0, 86400>,
    /// Seconds that a person needs for the form at the least; what comes faster is asked to send it once more.
    pub form_minimum_seconds: Bounded<0, 600>,
}

/// Who may call the programs below `internal/`, and what they tell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Internal {
    /// Compared with what the web server passes in `REMOTE_ADDR`.
    pub allowed_addresses: Vec<CallerRange>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<CallerRange>,
    /// Where set, callers must send it in the header `X-Register-Bot-Secret`.
    shared_secret: Option<String>,
    shared_secret_file: Option<PathBuf>,
    /// Whether users are found by a part of their mail address, too.
    pub search_by_address: bool,
    /// Bytes that a request may have: an address book comes in one.
    pub body_bytes: Bounded<1024, 67108864>,
}

/// What `internal/intercept_change_password` does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordChange {
    pub foreign_accounts: ForeignAccounts,
    /// Whether an initial password whose time is over can still be changed by who knows it.
    pub expired_initial_password: bool,
    /// Whether a client's wish to end the other sessions is carried out; the bot must be a server administrator.
    pub logout_devices: bool,
}

/// What becomes of password changes for accounts that are not in our table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignAccounts {
    /// They go on to the homeserver.
    Pass,
    Refuse,
}

impl Default for PasswordChange {
    fn default() -> Self {
        PasswordChange { foreign_accounts: ForeignAccounts::Pass, expired_initial_password: true, logout_devices: false }
    }
}

impl Default for Internal {
    fn default() -> Self {
        Internal {
            allowed_addresses: vec![
                CallerRange::Network(IpAddr::from(Ipv4Addr::LOCALHOST).into()),
                CallerRange::Network(IpAddr::from(Ipv6Addr::LOCALHOST).into()),
                CallerRange::UnixSocket,
            ],
            trusted_proxies: Vec::new(),
            shared_secret: None,
            shared_secret_file: None,
            search_by_address: true,
            body_bytes: Bounded(8 * 1024 * 1024),
        }
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Smtp {
            host: "localhost".into(),
            port: None,
            security: SmtpSecurity::None,
            user: None,
            password: None,
            password_file: None,
            ca_file: None,
            timeout_seconds: Bounded(10),
        }
    }
}

impl Default for Form {
    fn default() -> Self {
        Form {
            username_min_length: Bounded(3),
            username_max_length: Bounded(64),
            username_pattern: None,
            reserved_usernames: Vec::new(),
            password_min_length: Bounded(10),
            terms_url: None,
        }
    }
}

#[allow(clippy::derivable_impls)] // the others cannot be derived; one look for all
impl Default for Pages {
    fn default() -> Self {
        Pages { title: None, logo: None, howto_url: None, templates: None }
    }
}

impl Default for Times {
    fn default() -> Self {
        Times {
            confirm_within_hours: Bounded(48),
            initial_password_days: Bounded(7),
            forget_after_days: Bounded(30),
            remind_after_hours: Bounded(24),
            cron_budget_seconds: Bounded(240),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: Bounded(65536),
            concurrent_requests: Bounded(8),
            unconfirmed_per_address: Bounded(3),
            requests_per_network_per_day: Bounded(20),
            requests_per_address_per_day: Bounded(5),
            requests_per_day: Bounded(200),
            open_requests: Bounded(500),
            mails_per_address_per_day: Bounded(12),
            confirm_mails_per_day: Bounded(500),
            form_minimum_seconds: Bounded(3),
        }
    }
}

fn default_database() -> DatabaseUrl {
    DatabaseUrl::Sqlite(PathBuf::from("data/register.sqlite"))
}

fn default_bot_localpart() -> String {
    "register_bot".into()
}

fn default_sendmail() -> PathBuf {
    "/usr/sbin/sendmail".into()
}

fn default_mail_folder() -> PathBuf {
    "mails".into()
}

/// Why the configuration cannot be used: one paragraph for the sysadmin, with file, key and line.
#[derive(Debug, Clone)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<Error> for crate::domain::error::Error {
    fn from(cause: Error) -> crate::domain::error::Error {
        crate::domain::error::Error::internal(cause.to_string())
    }
}

impl Config {
    /// Until when an initial password that is made at `now` is good (both seconds since 1970); `None`: for ever.
    pub fn initial_password_until(&self, now: i64) -> Option<i64> {
        let days = self.times.initial_password_days.0 as i64;
        (days > 0).then_some(now + days * 86_400)
    }

    /// Reads and checks the file; the error names file, key, line, what was expected and an example.
    pub fn load(path: &Path) -> Result<Config, Error> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Error(format!(
                "cannot read the configuration {}: {cause}; copy config.sample.toml there, or name another file in {CONFIG_VARIABLE}",
                path.display()
            ))
        })?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Config::parse(&text, folder).map_err(|Error(cause)| Error(format!("{}: {cause}", path.display())))
    }

    /// The same for a text that was read already; relative paths start in `folder`.
    pub fn parse(text: &str, folder: PathBuf) -> Result<Config, Error> {
        let mut config: Config = toml::from_str(text).map_err(|cause| Error(refusal(text, &cause)))?;
        config.resolve_paths(folder);
        config.check(text)?;
        Ok(config)
    }

    fn resolve_paths(&mut self, folder: PathBuf) {
        self.state_folder = folder.join(&self.state_folder);
        self.database.resolve(&self.state_folder, &folder);
        self.mail.folder = self.state_folder.join(&self.mail.folder);
        for path in [
            &mut self.registration_shared_secret_file,
            &mut self.database_password_file,
            &mut self.room.access_token_file,
            &mut self.mail.smtp.password_file,
            &mut self.mail.smtp.ca_file,
            &mut self.pages.templates,
            &mut self.internal.shared_secret_file,
        ] {
            *path = path.take().map(|path| folder.join(path));
        }
    }

    /// What no single value can tell: keys that need or exclude each other.
    fn check(&self, text: &str) -> Result<(), Error> {
        let refuse = |key: &str, sentence: &str| Err(Error(format!("{}: {sentence}", at(text, key))));
        for (key, both) in [
            ("registration_shared_secret", self.registration_shared_secret.is_some() && self.registration_shared_secret_file.is_some()),
            ("database_password", self.database_password.is_some() && self.database_password_file.is_some()),
            ("access_token", self.room.access_token.is_some() && self.room.access_token_file.is_some()),
            ("shared_secret", self.internal.shared_secret.is_some() && self.internal.shared_secret_file.is_some()),
            ("password", self.mail.smtp.password.is_some() && self.mail.smtp.password_file.is_some()),
        ] {
            if both {
                return refuse(key, &format!("both {key} and {key}_file are set; keep one of them"));
            }
        }
        if self.operation_mode == OperationMode::Synapse
            && self.registration_shared_secret.is_none()
            && self.registration_shared_secret_file.is_none()
        {
            return refuse(
                "operation_mode",
                "\"synapse\" needs the homeserver's secret to make accounts; set registration_shared_secret_file = \"/etc/matrix-synapse/registration_shared_secret\", or registration_shared_secret, to the value in homeserver.yaml",
            );
        }
        let elsewhere = self.database_password.is_some() || self.database_password_file.is_some();
        if elsewhere && self.database.server().is_none_or(|server| server.password.is_some()) {
            return refuse(
                "database",
                "the password of the database stands elsewhere as well; keep it in one place (SQLite has none), for example database = \"postgres://register_bot@localhost/register\" and database_password_file",
            );
        }
        if self.form.username_min_length.0 > self.form.username_max_length.0 {
            return refuse("username_min_length", "is greater than username_max_length; expected for example 3 and 64");
        }
        let smtp = &self.mail.smtp;
        if self.mail.transport == MailTransport::Smtp && smtp.security == SmtpSecurity::None && !is_loopback(&smtp.host) {
            return refuse(
                "host",
                &format!(
                    "mail to {} would travel in clear text; set security = \"starttls\" or \"tls\" in [mail.smtp] (\"none\" is for localhost)",
                    smtp.host
                ),
            );
        }
        if smtp.user.is_some() != (smtp.password.is_some() || smtp.password_file.is_some()) {
            return refuse("user", "[mail.smtp] needs user and password (or password_file) together, or neither");
        }
        Ok(())
    }

    /// The homeserver's `registration_shared_secret`, if one is configured; a trailing newline of the file is ignored,
    /// as Synapse does (contract synapse 3).
    pub fn registration_shared_secret(&self) -> Result<Option<String>, Error> {
        secret("registration_shared_secret", &self.registration_shared_secret, &self.registration_shared_secret_file)
    }

    /// Where the data lies, with the password: from the URL, from `database_password` or its file, or else from the environment.
    pub fn database(&self) -> Result<DatabaseUrl, Error> {
        let password = secret("database_password", &self.database_password, &self.database_password_file)?;
        let written = password.is_some() || self.database.server().is_none_or(|server| server.password.is_some());
        let password = if written { password } else { std::env::var(DATABASE_PASSWORD_VARIABLE).ok() };
        Ok(self.database.clone().with_password(password))
    }

    /// The operator's own access token for the room.
    pub fn access_token(&self) -> Result<Option<String>, Error> {
        secret("access_token", &self.room.access_token, &self.room.access_token_file)
    }

    /// What callers of `internal/*` must send, if the operator wants it.
    pub fn internal_secret(&self) -> Result<Option<String>, Error> {
        secret("shared_secret", &self.internal.shared_secret, &self.internal.shared_secret_file)
    }

    /// User and password for SMTP.
    pub fn smtp_credentials(&self) -> Result<Option<(String, String)>, Error> {
        let smtp = &self.mail.smtp;
        let password = secret("password", &smtp.password, &smtp.password_file)?;
        Ok(smtp.user.clone().zip(password))
    }
}

/// A secret stands in the configuration or alone in a file.
fn secret(key: &str, value: &Option<String>, file: &Option<PathBuf>) -> Result<Option<String>, Error> {
    let Some(file) = file else {
        return Ok(value.clone()).and_then(|value| not_empty(key, value));
    };
    let text = std::fs::read_to_string(file).map_err(|cause| {
        Error(format!("{key}_file: cannot read {}: {cause}; it must be readable for the user that runs the programs", file.display()))
    })?;
    not_empty(&format!("{key}_file"), Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// An empty secret would let everybody in.
fn not_empty(key: &str, secret: Option<String>) -> Result<Option<String>, Error> {
    match secret {
        Some(secret) if secret.is_empty() => Err(Error(format!("{key} is empty; write the secret there, or take the key out"))),
        secret => Ok(secret),
    }
}

/// `line 12, key "host"` for a message about a key that the parser itself was content with.
fn at(text: &str, key: &str) -> String {
    let is_key = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    match text.lines().position(is_key) {
        Some(index) => format!("line {}, key \"{key}\"", index + 1),
        None => format!("key \"{key}\" (not set)"),
    }
}

/// The parser's sentence and its place. Not the line itself, which the parser would show, nor a value of the wrong type:
/// either may be a secret.
fn refusal(text: &str, cause: &toml::de::Error) -> String {
    let sentence = without_value(cause.message());
    let Some(before) = cause.span().and_then(|span| text.get(..span.start)) else { return sentence };
    let index = before.matches('\n').count();
    let key = text.lines().nth(index).and_then(|line| line.split_once('=')).map_or("", |(key, _)| key.trim());
    match !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        true => format!("line {}, key \"{key}\": {sentence}", index + 1),
        false => format!("line {}: {sentence}", index + 1),
    }
}

/// serde says `invalid type: string "...", expected ...`.
fn without_value(message: &str) -> String {
    let parts = ["invalid type", "invalid value"].into_iter().find_map(|kind| {
        let (_, expected) = message.strip_prefix(kind)?.rsplit_once(", expected ")?;
        Some((kind, expected))
    });
    parts.map_or_else(|| message.to_owned(), |(kind, expected)| format!("{kind}, expected {expected}"))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A whole number within bounds.
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

/// Strings that are checked while the file is parsed, so that the parser's message carries the line.
macro_rules! parsed_from_text {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}
parsed_from_text!(ServerName, BaseUrl, LinkUrl, SameHostPath, RoomName, MailboxText, DatabaseUrl, Pattern, CallerRange);

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

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An `http://` or `https://` URL to which paths are appended; kept without the final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
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

/// A room id or alias. Rooms of version 12 have ids without a server part (contract synapse 0, rule 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomName(pub String);

impl RoomName {
    pub fn is_alias(&self) -> bool {
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

/// A mailbox as it stands in a mail header: `Name <address>` or an address. `mail` parses it further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxText(pub String);

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

/// From where somebody calls: an address, a network such as `10.0.0.0/8`, or a unix socket, which nginx calls `unix:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerRange {
    Network(IpNet),
    UnixSocket,
}

impl CallerRange {
    /// Compares addresses, not spellings: `::ffff:127.0.0.1` is `127.0.0.1`.
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

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../config.sample.toml");

    #[test]
    fn the_sample_is_a_working_configuration() {
        let config = Config::parse(SAMPLE, PathBuf::from("/srv/bot")).unwrap();
        assert_eq!(config.database().unwrap(), DatabaseUrl::Sqlite("/srv/bot/data/register.sqlite".into()));
        assert_eq!(config.public_url.join("/verify"), "https://register.example.org/verify");
    }

    #[test]
    fn what_the_programs_write_lies_in_the_state_folder_and_what_they_read_beside_the_file() {
        let text = format!(
            "state_folder = \"/var/lib/bot\"\n{}",
            SAMPLE.replace("# access_token_file = \"/etc/matrix-register-bot/", "access_token_file = \"")
        );
        let config = Config::parse(&text, PathBuf::from("/etc/bot")).unwrap();
        assert_eq!(config.state_folder, Path::new("/var/lib/bot"));
        assert_eq!(config.database, DatabaseUrl::Sqlite("/var/lib/bot/data/register.sqlite".into()));
        assert_eq!(config.mail.folder, Path::new("/var/lib/bot/mails"));
        assert_eq!(config.room.access_token_file.as_deref(), Some(Path::new("/etc/bot/access_token")));
        let text = SAMPLE.replace("# database = \"sqlite:", "database = \"sqlite:/srv/");
        let config = Config::parse(&format!("state_folder = \"state\"\n{text}"), PathBuf::from("/etc/bot")).unwrap();
        assert_eq!(config.state_folder, Path::new("/etc/bot/state"));
        assert_eq!(config.database, DatabaseUrl::Sqlite("/srv/data/register.sqlite".into()));
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line_and_an_example() {
        let text = SAMPLE.replace("public_url = \"https://", "public_url = \"ftp://");
        let sentence = Config::parse(&text, PathBuf::new()).unwrap_err().to_string();
        assert!(sentence.contains("public_url") && sentence.contains("https://register.example.org/"), "{sentence}");
        assert!(sentence.contains("line "), "{sentence}");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let sentence = Config::parse(&format!("servername = \"x\"\n{SAMPLE}"), PathBuf::new()).unwrap_err().to_string();
        assert!(sentence.contains("servername") && sentence.contains("line 1"), "{sentence}");
    }

    #[test]
    fn no_sentence_about_the_configuration_shows_a_secret() {
        for (mistake, told) in [
            ("database = \"postgres://bot:hunter2@db.example.org\"", "key \"database\""),
            ("database_password = [\"hunter2\"]", "key \"database_password\""),
            ("database_passwd = \"hunter2\"", "database_passwd"),
            ("database_password = \"hunter2", "key \"database_password\""),
            ("database_password = hunter2", "line 1"),
            ("database_password \"hunter2\"", "line 1"),
            ("database_password: hunter2", "line 1"),
            ("aHunter2hunter2=", "line 1"),
            ("get_password_on_registration = \"hunter2\"", "line 1, key \"get_password_on_registration\""),
            ("database = \"postgres://bot@localhost/bot?hunter2\"", "%3F"),
        ] {
            let sentence = Config::parse(&format!("{mistake}\n{SAMPLE}"), PathBuf::new()).unwrap_err().to_string();
            assert!(sentence.contains(told) && sentence.contains("line "), "{mistake}: {sentence}");
            assert!(!sentence.to_lowercase().contains("hunter2"), "{mistake}: {sentence}");
        }
        let number = Config::parse(&format!("database_password = 20071\n{SAMPLE}"), PathBuf::new()).unwrap_err().to_string();
        assert!(number.contains("expected a string") && !number.contains("20071"), "{number}");
    }

    #[test]
    fn who_may_call_is_an_address_or_a_network_and_anything_else_is_refused() {
        let range = |text: &str| text.parse::<CallerRange>();
        assert!(range("172.16.0.0/12").unwrap().contains("::ffff:172.20.1.1"));
        assert!(!range("172.16.0.0/12").unwrap().contains("172.32.0.1"));
        assert!(range("2001:db8::/32").unwrap().contains("2001:db8:7::1"));
        assert!(range("::ffff:192.0.2.1").unwrap().contains("192.0.2.1"));
        for never_matches in ["[::1]", "127.0.0.1:80", "proxy.example.org", "10.0.0.0/33", "::ffff:10.0.0.0/104", ""] {
            assert!(range(never_matches).unwrap_err().contains("for example"), "{never_matches}");
        }
    }

    #[test]
    fn mail_is_never_sent_in_clear_text_to_another_machine() {
        let text = SAMPLE.replace("host = \"localhost\"", "host = \"mail.example.org\"");
        let sentence = Config::parse(&text, PathBuf::new()).unwrap_err().to_string();
        assert!(sentence.contains("starttls"), "{sentence}");
    }

    #[test]
    fn synapse_mode_wants_the_shared_secret() {
        let text = SAMPLE.lines().filter(|line| !line.starts_with("registration_shared_secret")).collect::<Vec<_>>().join("\n");
        let sentence = Config::parse(&text, PathBuf::new()).unwrap_err().to_string();
        assert!(sentence.contains("operation_mode") && sentence.contains("line "), "{sentence}");
    }
}

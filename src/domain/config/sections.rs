//! The tables of the file and the defaults of their keys.

use super::values::*;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// How applicants get their first password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// An initial password is mailed after the approval.
    #[default]
    Mail,
    /// After the approval, a one-time link is mailed with which the applicant chooses a password; then the account is made.
    Link,
    /// The applicant chooses a password on the page that confirms the address.
    Confirm,
    /// The account has no password at first: the applicant sets one with the account recovery of
    /// matrix-authentication-service.
    Recovery,
}

/// The languages in `templates/locales`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "en")]
    English,
    #[serde(rename = "de")]
    German,
}

impl Language {
    /// All languages, in the order in which pages offer them.
    pub const ALL: [Language; 2] = [Language::English, Language::German];

    /// The language tag, as in `?lang=` and in HTML's `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
        }
    }

    /// The language of a tag such as `de`, `de-AT` or `DE_de`; `None` if there is no translation.
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

/// The events that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything, but only warnings if standard error is a web server's error log.
    #[default]
    Auto,
    /// Everything.
    Info,
    /// Only what needs attention.
    Warning,
}

/// How accounts are created with a registration token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationToken {
    pub(super) token: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    /// Whether the applicant, who has accepted `form.terms_url`, accepts the homeserver's terms with that.
    pub accept_terms: bool,
}

/// The room where requests are decided, and the account that posts there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// A room id (`!...`, with or without a server part) or an alias (`#name:server`).
    pub id: RoomName,
    #[serde(default = "default_bot_localpart")]
    pub bot_localpart: String,
    #[serde(default)]
    pub(super) access_token: Option<String>,
    #[serde(default)]
    pub(super) access_token_file: Option<PathBuf>,
    /// Whether reactions to the bot's message decide.
    #[serde(default = "yes")]
    pub reactions: bool,
    /// Whether the bot puts both thumbs under its message.
    #[serde(default = "yes")]
    pub ballot: bool,
    /// Whether replies and commands decide and ask.
    #[serde(default = "yes")]
    pub words: bool,
    /// Reasons for declining that a number stands for: `!decline 1`.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The least power level in the room with which somebody's reaction decides; `None`: every member's does.
    #[serde(default)]
    pub decide_from_power: Option<Bounded<0, 100>>,
    /// Whether only the reactions of people on this homeserver decide.
    #[serde(default)]
    pub decide_only_own_server: bool,
    /// Whether the messages of a request are redacted when the request is forgotten.
    #[serde(default = "yes")]
    pub redact_when_forgotten: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// `Name <address>` or a plain address.
    pub from: MailboxText,
    #[serde(default)]
    pub reply_to: Option<MailboxText>,
    pub transport: MailTransport,
    #[serde(default)]
    pub smtp: Smtp,
    /// The program that receives a finished mail on standard input.
    #[serde(default = "default_sendmail")]
    pub sendmail: PathBuf,
    /// With `transport = "file"`: the folder that receives each mail as an `.eml` file.
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
    pub(super) password: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    /// A PEM file with the certificate authority that signed the server's certificate, if the system does not know it.
    pub ca_file: Option<PathBuf>,
    /// Seconds for connecting and for each answer.
    pub timeout_seconds: Bounded<1, 120>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// Clear text; accepted only for loopback.
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
    /// A regular expression that the whole username must match, in addition to the Matrix rules.
    pub username_pattern: Option<Pattern>,
    /// Names that nobody gets, in addition to the built-in list (`admin`, `root`, ... and the bot's own).
    pub reserved_usernames: Vec<String>,
    pub password_min_length: Bounded<1, 512>,
    /// A page with the terms; if set, the form asks applicants to accept them.
    pub terms_url: Option<LinkUrl>,
}

/// How the pages look.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pages {
    /// The heading; default: a sentence with the server name.
    pub title: Option<String>,
    /// A path on the same host, e.g. `/logo.svg`: pages load nothing from elsewhere.
    pub logo: Option<SameHostPath>,
    /// A page that explains how to get started; the credentials mail links to it.
    pub howto_url: Option<LinkUrl>,
    /// Links in the foot of pages and mails.
    pub privacy_url: Option<LinkUrl>,
    pub imprint_url: Option<LinkUrl>,
    /// Where people ask for help; default: the address for replies.
    pub contact: Option<Contact>,
    /// Apps that are recommended to new users; default: a list in `outside/page/apps.rs`.
    pub apps: Option<Vec<App>>,
    /// A folder whose files replace built-in templates and texts of the same name.
    pub templates: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// Hours within which the mail address must be confirmed.
    pub confirm_within_hours: Bounded<1, 8760>,
    /// With `credentials = "link"`: days within which an approved applicant must choose a password.
    pub choose_within_days: Bounded<1, 365>,
    /// Days until an initial password expires (enforced in local mode); 0: never.
    pub initial_password_days: Bounded<0, 3650>,
    /// Days after which finished, declined and expired requests are deleted.
    pub forget_after_days: Bounded<1, 3650>,
    /// Days for which the outcome of a forgotten request is remembered, by a keyed hash of the mail address; 0: not at all.
    pub remember_days: Bounded<0, 3650>,
    /// Hours after which the room is reminded of an undecided request, one reminder for each; 0: never.
    pub remind_after_hours: Reminders,
    /// Days after which an undecided request ends with a mail; 0: never.
    pub undecided_after_days: Bounded<0, 3650>,
    /// Seconds after which a cron run starts nothing new.
    pub cron_budget_seconds: Bounded<10, 3600>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest body of a form, in bytes.
    pub body_bytes: Bounded<1024, 16777216>,
    /// Requests that one FastCGI process handles at a time; further ones wait, then get 503.
    pub concurrent_requests: Bounded<1, 1024>,
    /// Requests with one mail address that may await confirmation, so that nobody is flooded with mails they did not ask for.
    pub unconfirmed_per_address: Bounded<1, 1000>,
    /// Requests from one network in 24 hours; here and below, 0 means no limit.
    pub requests_per_network_per_day: Bounded<0, 86400>,
    /// How often one network may make us ask the homeserver in 24 hours whether a username is free.
    pub name_checks_per_network_per_day: Bounded<0, 86400>,
    /// Requests with one mail address in 24 hours.
    pub requests_per_address_per_day: Bounded<0, 86400>,
    /// Requests in 24 hours; beyond that the form is closed.
    pub requests_per_day: Bounded<0, 1000000>,
    /// Requests that await confirmation or decision; beyond that the form is closed.
    pub open_requests: Bounded<0, 1000000>,
    /// Mails to one address in 24 hours; further ones wait.
    pub mails_per_address_per_day: Bounded<0, 86400>,
    /// Confirmation mails in 24 hours; further ones wait.
    pub confirm_mails_per_day: Bounded<0, 86400>,
    /// The least number of seconds a person needs for the form; faster visitors are asked to send it again.
    pub form_minimum_seconds: Bounded<0, 600>,
}

/// Who may call the programs below `internal/`, and what they reveal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Internal {
    /// Where the homeserver reaches the folder `internal/` of the web server, without that name.
    pub url: BaseUrl,
    /// Compared with `REMOTE_ADDR` as passed by the web server.
    pub allowed_addresses: Vec<CallerRange>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<CallerRange>,
    /// If set, callers must send it in the header `X-Register-Bot-Secret`.
    pub(super) shared_secret: Option<String>,
    pub(super) shared_secret_file: Option<PathBuf>,
    /// Whether a search also matches mail addresses.
    pub search_by_address: SearchByAddress,
    /// The largest body of a request, in bytes: an address book arrives in one.
    pub body_bytes: Bounded<1024, 67108864>,
}

/// Settings of `internal/intercept_change_password`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordChange {
    pub foreign_accounts: ForeignAccounts,
    /// Whether an expired initial password can still be changed with that password.
    pub expired_initial_password: bool,
    /// Whether a client's request to end the other sessions is carried out; the bot must be a server administrator.
    pub logout_devices: bool,
}

/// What happens to password changes for accounts that are not in our table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignAccounts {
    /// They are passed to the homeserver.
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
            url: BaseUrl::loopback(8080),
            allowed_addresses: vec![
                CallerRange::Network(IpAddr::from(Ipv4Addr::LOCALHOST).into()),
                CallerRange::Network(IpAddr::from(Ipv6Addr::LOCALHOST).into()),
                CallerRange::UnixSocket,
            ],
            trusted_proxies: Vec::new(),
            shared_secret: None,
            shared_secret_file: None,
            search_by_address: SearchByAddress::Exact,
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

#[allow(clippy::derivable_impls)] // written out like the others, which cannot be derived
impl Default for Pages {
    fn default() -> Self {
        Pages { title: None, logo: None, howto_url: None, privacy_url: None, imprint_url: None, contact: None, apps: None, templates: None }
    }
}

impl Default for Times {
    fn default() -> Self {
        Times {
            confirm_within_hours: Bounded(48),
            choose_within_days: Bounded(14),
            initial_password_days: Bounded(7),
            forget_after_days: Bounded(30),
            remember_days: Bounded(180),
            remind_after_hours: Reminders(vec![24, 72, 168]),
            undecided_after_days: Bounded(0),
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
            name_checks_per_network_per_day: Bounded(200),
            requests_per_address_per_day: Bounded(5),
            requests_per_day: Bounded(200),
            open_requests: Bounded(500),
            mails_per_address_per_day: Bounded(12),
            confirm_mails_per_day: Bounded(500),
            form_minimum_seconds: Bounded(3),
        }
    }
}

fn yes() -> bool {
    true
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

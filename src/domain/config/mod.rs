//! `config.toml`: the operator's decisions.
//!
//! Each value has its own type and is checked while the file is parsed. A wrong value is refused with its line, what was
//! expected and an example, so no other module checks the configuration again. `config.sample.toml` explains every key and is
//! loaded by the tests.
//!
//! Relative paths start in the folder of the file. The programs write to `state_folder`, which is that folder unless the
//! operator names another.

mod database_url;
mod mas;
mod operation_mode;
mod reading;
mod sections;
#[cfg(test)]
mod tests;
mod time_zone;
mod values;

pub use database_url::DatabaseUrl;
pub(crate) use database_url::ServerUrl;
pub use mas::{Mas, MasClientId};
pub use operation_mode::{Abilities, OperationMode};
pub use sections::*;
pub use time_zone::TimeZone;
pub use values::*;

use crate::domain::seconds::DAY;
use reading::{at, refusal, secret};
use serde::Deserialize;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use values::is_loopback;

/// Names the configuration file, as an environment variable and as a FastCGI parameter.
pub const CONFIG_VARIABLE: &str = "MATRIX_REGISTER_BOT_CONFIG";

/// The environment variable for the database password, for operators who keep secrets out of files.
const DATABASE_PASSWORD_VARIABLE: &str = "MATRIX_REGISTER_BOT_DATABASE_PASSWORD";

/// The operator's decisions, complete and checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The part after the colon in every Matrix id on this homeserver.
    pub server_name: ServerName,
    /// How this program reaches the homeserver, `/_synapse/admin` included; usually over loopback.
    pub homeserver_url: BaseUrl,
    /// How visitors reach the pages; links in mails and room messages start with it.
    pub public_url: BaseUrl,
    /// The address that people enter in their app, if the app does not find it from the server name.
    #[serde(default)]
    client_url: Option<BaseUrl>,
    pub operation_mode: OperationMode,
    #[serde(default)]
    registration_shared_secret: Option<String>,
    #[serde(default)]
    registration_shared_secret_file: Option<PathBuf>,
    /// The folder for `config.json`, the database and the mails of `transport = "file"`, unless those have absolute paths.
    #[serde(default)]
    pub state_folder: PathBuf,
    /// Without a password that is configured elsewhere: use [`Config::database`].
    #[serde(default = "default_database")]
    database: DatabaseUrl,
    #[serde(default)]
    database_password: Option<String>,
    #[serde(default)]
    database_password_file: Option<PathBuf>,
    /// Use [`Config::credentials`]. Always set after [`Config::parse`].
    #[serde(default)]
    credentials: Option<Credentials>,
    /// The older name of `credentials = "confirm"`. Never set after [`Config::parse`].
    #[serde(default)]
    get_password_on_registration: Option<bool>,
    /// The language of room messages, and of pages for visitors whose browser asks for neither English nor German.
    #[serde(default)]
    pub default_language: Language,
    /// The zone of the times in pages, mails and room messages; default: the system's.
    #[serde(default)]
    pub time_zone: Option<TimeZone>,
    #[serde(default)]
    pub log: LogTarget,
    /// How much is logged.
    #[serde(default)]
    pub log_level: LogLevel,
    /// For `operation_mode = "registration_token"`.
    #[serde(default)]
    pub registration_token: RegistrationToken,
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
    /// For `operation_mode = "mas"`.
    #[serde(default)]
    pub mas: Option<Mas>,
}

fn default_database() -> DatabaseUrl {
    DatabaseUrl::Sqlite(PathBuf::from("data/register.sqlite"))
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
    /// When an initial password made at `now` expires (both seconds since 1970); `None`: never.
    pub fn initial_password_until(&self, now: i64) -> Option<i64> {
        let days = self.times.initial_password_days.0 as i64;
        (days > 0).then_some(now + days * DAY)
    }

    /// Reads and checks the file; the error names file, key, line, what was expected and an example.
    pub fn load(path: &Path) -> Result<Config, Error> {
        // All other paths are relative to its folder, which has to have a name.
        let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let text = std::fs::read_to_string(path).map_err(|cause| {
            let remedy = match cause.kind() {
                ErrorKind::PermissionDenied => {
                    format!("let the user that runs the programs read it, for example: chgrp www-data {0} && chmod 640 {0}", path.display())
                }
                _ => format!("copy config.sample.toml there, or name another file in {CONFIG_VARIABLE}"),
            };
            Error(format!("cannot read the configuration {}: {cause}; {remedy}", path.display()))
        })?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Config::parse(&text, folder).map_err(|Error(cause)| Error(format!("{}: {cause}", path.display())))
    }

    /// Parses a text; relative paths start in `folder`.
    pub fn parse(text: &str, folder: PathBuf) -> Result<Config, Error> {
        let mut config: Config = toml::from_str(text).map_err(|cause| Error(refusal(text, &cause)))?;
        config.resolve_paths(folder);
        config.check(text)?;
        config.credentials = Some(config.credentials());
        config.get_password_on_registration = None;
        Ok(config)
    }

    /// How applicants get their first password.
    pub fn credentials(&self) -> Credentials {
        match (self.credentials, self.get_password_on_registration) {
            (Some(credentials), _) => credentials,
            (None, Some(true)) => Credentials::Confirm,
            (None, _) => Credentials::default(),
        }
    }

    /// What people enter as the homeserver in their app: `example.org`, or the host of `client_url`.
    pub fn homeserver_for_people(&self) -> String {
        match &self.client_url {
            Some(url) => url.join("").trim_start_matches("https://").to_owned(),
            None => self.server_name.0.clone(),
        }
    }

    /// Whom people ask for help: `contact`, or where replies to our mails go.
    pub fn contact(&self) -> Contact {
        let mailbox = self.mail.reply_to.as_ref().unwrap_or(&self.mail.from);
        self.pages.contact.clone().unwrap_or_else(|| Contact::Address(mailbox.address().to_owned()))
    }

    fn resolve_paths(&mut self, folder: PathBuf) {
        self.state_folder = folder.join(&self.state_folder);
        self.database.resolve(&self.state_folder, &folder);
        self.mail.folder = self.state_folder.join(&self.mail.folder);
        for path in [
            &mut self.registration_shared_secret_file,
            &mut self.database_password_file,
            &mut self.registration_token.token_file,
            &mut self.room.access_token_file,
            &mut self.mail.smtp.password_file,
            &mut self.mail.smtp.ca_file,
            &mut self.pages.templates,
            &mut self.internal.shared_secret_file,
        ] {
            *path = path.take().map(|path| folder.join(path));
        }
        if let Some(mas) = &mut self.mas {
            mas.resolve(&folder);
        }
    }

    /// Checks what no single value can show: keys that require or exclude each other.
    fn check(&self, text: &str) -> Result<(), Error> {
        let refuse = |key: &str, sentence: &str| Err(Error(format!("{}: {sentence}", at(text, key))));
        for (key, both) in [
            ("registration_shared_secret", self.registration_shared_secret.is_some() && self.registration_shared_secret_file.is_some()),
            ("database_password", self.database_password.is_some() && self.database_password_file.is_some()),
            ("token", self.registration_token.token.is_some() && self.registration_token.token_file.is_some()),
            ("access_token", self.room.access_token.is_some() && self.room.access_token_file.is_some()),
            ("shared_secret", self.internal.shared_secret.is_some() && self.internal.shared_secret_file.is_some()),
            ("password", self.mail.smtp.password.is_some() && self.mail.smtp.password_file.is_some()),
            ("client_secret", self.mas.as_ref().is_some_and(Mas::has_both_secrets)),
        ] {
            if both {
                return refuse(key, &format!("both {key} and {key}_file are set; keep one of them"));
            }
        }
        if let (Some(credentials), Some(asked)) = (self.credentials, self.get_password_on_registration)
            && asked != (credentials == Credentials::Confirm)
        {
            return refuse(
                "get_password_on_registration",
                "contradicts credentials; remove get_password_on_registration, whose \"true\" is credentials = \"confirm\" now, for example credentials = \"link\"",
            );
        }
        if let Some(sentence) = self.lacks(self.operation_mode) {
            return refuse("operation_mode", sentence);
        }
        if self.credentials() == Credentials::Recovery && self.operation_mode != OperationMode::Mas {
            return refuse("credentials", "\"recovery\" is for operation_mode = \"mas\"; expected \"mail\", \"link\" or \"confirm\"");
        }
        if let Some((key, sentence)) = self.mas.as_ref().and_then(Mas::fault) {
            return refuse(key, sentence);
        }
        if self.registration_token.accept_terms && self.form.terms_url.is_none() {
            return refuse(
                "accept_terms",
                "answers the homeserver's question about its terms in the name of applicants, who must have accepted them before; set terms_url in [form] to the page with these terms",
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

    /// What this configuration lacks to create accounts in `mode`.
    fn lacks(&self, mode: OperationMode) -> Option<&'static str> {
        match mode {
            OperationMode::Synapse if self.registration_shared_secret.is_none() && self.registration_shared_secret_file.is_none() => Some(
                "\"synapse\" needs the homeserver's secret to make accounts; set registration_shared_secret_file = \"/etc/matrix-synapse/registration_shared_secret\", or registration_shared_secret, to the value in homeserver.yaml",
            ),
            OperationMode::Mas if self.mas.is_none() => {
                Some("\"mas\" needs the table [mas] with admin_url, client_id, client_secret_file and public_url; see config.sample.toml")
            }
            OperationMode::RegistrationToken if self.registration_token.token.is_none() && self.registration_token.token_file.is_none() => {
                Some(
                    "\"registration_token\" needs the homeserver's registration token to make accounts; set token_file = \"/etc/matrix-register-bot/registration_token\", or token, in [registration_token]",
                )
            }
            OperationMode::Synapse | OperationMode::Local | OperationMode::Mas | OperationMode::RegistrationToken => None,
        }
    }

    /// Whether an account can be created in `mode`: the configured one, or one of the homeserver's whose keys are still there.
    pub fn can_create_in(&self, mode: OperationMode) -> bool {
        mode == self.operation_mode || (!mode.has_own_passwords() && self.lacks(mode).is_none())
    }

    /// The homeserver's `registration_shared_secret`, if one is configured. A trailing newline in the file is ignored, as
    /// Synapse does.
    pub fn registration_shared_secret(&self) -> Result<Option<String>, Error> {
        secret("registration_shared_secret", &self.registration_shared_secret, &self.registration_shared_secret_file)
    }

    /// The homeserver's registration token, if one is configured.
    pub fn registration_token(&self) -> Result<Option<String>, Error> {
        secret("token", &self.registration_token.token, &self.registration_token.token_file)
    }

    /// Where the data is stored, with the password: from the URL, from `database_password` or its file, or from the
    /// environment.
    pub fn database(&self) -> Result<DatabaseUrl, Error> {
        let password = secret("database_password", &self.database_password, &self.database_password_file)?;
        let written = password.is_some() || self.database.server().is_none_or(|server| server.password.is_some());
        let password = if written { password } else { std::env::var(DATABASE_PASSWORD_VARIABLE).ok() };
        Ok(self.database.clone().with_password(password))
    }

    /// Whether the operator gave the bot a token.
    pub fn has_access_token(&self) -> bool {
        self.room.access_token.is_some() || self.room.access_token_file.is_some()
    }

    /// The operator's own access token for the room.
    pub fn access_token(&self) -> Result<Option<String>, Error> {
        secret("access_token", &self.room.access_token, &self.room.access_token_file)
    }

    /// The secret that callers of `internal/*` must send, if the operator has set one.
    pub(crate) fn internal_secret(&self) -> Result<Option<String>, Error> {
        secret("shared_secret", &self.internal.shared_secret, &self.internal.shared_secret_file)
    }

    /// User and password for SMTP.
    pub(crate) fn smtp_credentials(&self) -> Result<Option<(String, String)>, Error> {
        let smtp = &self.mail.smtp;
        let password = secret("password", &smtp.password, &smtp.password_file)?;
        Ok(smtp.user.clone().zip(password))
    }
}

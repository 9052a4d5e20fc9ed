//! What can be told of a configuration for matrix-authentication-service (MAS) without creating anything.

use crate::domain::config::{Config, Credentials};
use crate::outside::mas::server::{self, SiteConfig, Version};
use crate::outside::mas::{self, Mas};
use crate::outside::matrix::sessions::Whoami;
use crate::outside::matrix::{Homeserver, bot, delegation, sessions};
use crate::outside::site::Site;

/// The oldest version that makes an account at once and not in a job.
const OLDEST: &str = "0.20";

/// What a check found; the sentence names the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Fine(String),
    /// Works, and should be looked at.
    Doubtful(String),
    Wrong(String),
}

/// All checks.
pub(crate) fn checks(site: &Site) -> Vec<Check> {
    let mut found = of_admin_api(site);
    let homeserver = Homeserver::new(&site.config);
    found.extend(of_delegation(&homeserver));
    found.extend(of_logins(&homeserver));
    found.extend(of_bot(site, &homeserver));
    found
}

/// Token, version and settings.
fn of_admin_api(site: &Site) -> Vec<Check> {
    let look = |session: &mas::Session| Ok::<_, mas::Error>((server::version(session)?, server::site_config(session)?));
    match Mas::new(&site.config).and_then(|mas| mas.with_token(look)) {
        Ok((version, settings)) => [vec![of_version(version)], of_settings(&site.config, &settings)].concat(),
        Err(cause) => vec![Check::Wrong(cause.to_string())],
    }
}

fn of_version(version: Option<Version>) -> Check {
    match version {
        Some(version) if version >= Version::WITH_DISPLAY_NAMES => {
            Check::Fine(format!("MAS {}.{} lets the client of [mas] in", version.major, version.minor))
        }
        Some(version) => Check::Fine(format!(
            "MAS {}.{} lets the client of [mas] in; before 1.18 the programs set the display name themselves",
            version.major, version.minor
        )),
        None => Check::Doubtful(format!(
            "MAS lets the client of [mas] in, and is older than 1.4: it has to be {OLDEST} at least, and accounts show their username as their name"
        )),
    }
}

fn of_settings(config: &Config, settings: &SiteConfig) -> Vec<Check> {
    let mut found = Vec::new();
    if settings.server_name != config.server_name.0 {
        found.push(Check::Wrong(format!(
            "MAS is that of {}, and server_name in config.toml is {}; see admin_url in [mas]",
            settings.server_name, config.server_name
        )));
    }
    if !settings.password_login_enabled && config.credentials() != Credentials::Recovery {
        found.push(Check::Wrong("MAS sets no passwords: set passwords.enabled: true in its configuration".into()));
    }
    if !settings.account_recovery_allowed && config.credentials() == Credentials::Recovery {
        found.push(Check::Wrong(
            "credentials = \"recovery\" sends people to MAS's account recovery, which is off: set account.password_recovery_enabled: true in MAS's configuration"
                .into(),
        ));
    }
    if settings.password_registration_enabled {
        found.push(Check::Doubtful(
            "people can create accounts on MAS's own page without the room's approval: set account.password_registration_enabled: false in its configuration".into(),
        ));
    }
    if settings.minimum_password_complexity > 3 {
        found.push(Check::Doubtful(
            "passwords.minimum_complexity: 4 in MAS's configuration refuses many of the passwords that people choose here, and they have to choose again".into(),
        ));
    }
    found
}

fn of_delegation(homeserver: &Homeserver) -> Vec<Check> {
    match delegation::authentication_service(homeserver) {
        Ok(Some(_)) => Vec::new(),
        Ok(None) => vec![Check::Wrong(
            "the homeserver leaves accounts to no authentication service: operation_mode = \"mas\" needs matrix_authentication_service in homeserver.yaml".into(),
        )],
        Err(cause) => vec![Check::Wrong(cause.to_string())],
    }
}

fn of_logins(homeserver: &Homeserver) -> Vec<Check> {
    match delegation::takes_passwords(homeserver) {
        Ok(true) => Vec::new(),
        Ok(false) => vec![Check::Wrong(
            "no logins by password at homeserver_url: the web server has to send /_matrix/client/*/login, logout and refresh to MAS, and homeserver_url has to be its address; \
             apps cannot log in, and an account cannot be proved to be ours by its password"
                .into(),
        )],
        Err(cause) => vec![Check::Wrong(cause.to_string())],
    }
}

fn of_bot(site: &Site, homeserver: &Homeserver) -> Vec<Check> {
    if !site.config.has_access_token() {
        return Vec::new();
    }
    match bot::with_token(site, |token| sessions::whoami(homeserver, token)) {
        Ok(Ok(Whoami { device_id: None, .. })) => vec![Check::Wrong(bot::no_device())],
        // What else may be wrong with the token is said where the room is checked.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SiteConfig {
        SiteConfig {
            server_name: "example.org".into(),
            password_login_enabled: true,
            password_registration_enabled: false,
            account_recovery_allowed: true,
            minimum_password_complexity: 3,
        }
    }

    fn found(credentials: &str, settings: &SiteConfig) -> String {
        let sample = include_str!("../../../../config.sample.toml");
        let text = format!("credentials = {credentials:?}\n{}", sample.replace("operation_mode = \"synapse\"", "operation_mode = \"mas\""))
            + "[mas]\nadmin_url = \"http://127.0.0.1:8081\"\nclient_id = \"01ARZ3NDEKTSV4RRFFQ69G5FAV\"\nclient_secret = \"x\"\npublic_url = \"https://auth.example.org\"\n";
        format!("{:?}", of_settings(&Config::parse(&text, "".into()).unwrap(), settings))
    }

    #[test]
    fn settings_of_mas_that_cannot_work_are_named() {
        assert_eq!(found("mail", &settings()), "[]");
        assert_eq!(found("recovery", &SiteConfig { password_login_enabled: false, ..settings() }), "[]");
        for (credentials, settings, key) in [
            ("mail", SiteConfig { server_name: "example.com".into(), ..settings() }, "server_name"),
            ("mail", SiteConfig { password_login_enabled: false, ..settings() }, "passwords.enabled"),
            ("recovery", SiteConfig { account_recovery_allowed: false, ..settings() }, "account.password_recovery_enabled"),
            ("link", SiteConfig { password_registration_enabled: true, ..settings() }, "account.password_registration_enabled"),
            ("link", SiteConfig { minimum_password_complexity: 4, ..settings() }, "passwords.minimum_complexity"),
        ] {
            assert!(found(credentials, &settings).contains(key), "{key}: {}", found(credentials, &settings));
        }
    }
}

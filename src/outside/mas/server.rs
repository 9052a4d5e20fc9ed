//! What MAS says about itself: its version and its settings.

use super::meaning::Meaning;
use super::{Call, Error, Refusal, Session};
use serde::Deserialize;

/// A version of MAS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// From this one on MAS passes a display name on to the homeserver.
    pub const WITH_DISPLAY_NAMES: Version = Version { major: 1, minor: 18 };

    /// `v1.22.0`, also with something behind.
    fn parse(text: &str) -> Option<Version> {
        let mut parts = text.trim_start_matches('v').split(['.', '-', '+']);
        Some(Version { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

#[derive(Deserialize)]
struct VersionAnswer {
    version: String,
}

/// MAS's settings, as far as they matter to us.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SiteConfig {
    pub server_name: String,
    /// `passwords.enabled`.
    pub password_login_enabled: bool,
    /// `account.password_registration_enabled`: people can make themselves an account without the room's yes.
    pub password_registration_enabled: bool,
    /// `account.password_recovery_enabled`.
    pub account_recovery_allowed: bool,
    /// `passwords.minimum_complexity`, from 0 to 4.
    pub minimum_password_complexity: u8,
}

/// The version; `None` before MAS 1.4, which does not say.
pub fn version(session: &Session) -> Result<Option<Version>, Error> {
    match session.ask::<VersionAnswer>(&Call::get("version".into(), "version"))? {
        Ok(answer) => Version::parse(&answer.body.version)
            .map(Some)
            .ok_or_else(|| Error::Unexpected(format!("MAS says it is of version {:?}", super::line(&answer.body.version)))),
        Err(refusal) if refusal.meaning() == Meaning::NoAdminApi => Ok(None),
        Err(refusal) => Err(refusal.unexpected()),
    }
}

/// The settings, from MAS 1.3 on.
pub fn site_config(session: &Session) -> Result<SiteConfig, Error> {
    Ok(session.ask::<SiteConfig>(&Call::get("site-config".into(), "site-config"))?.map_err(Refusal::unexpected)?.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_whatever_follows() {
        for (text, major, minor) in [("v1.22.0", 1, 22), ("1.4.0-rc.1", 1, 4), ("v2.0.0+abc", 2, 0)] {
            assert_eq!(Version::parse(text), Some(Version { major, minor }), "{text}");
        }
        assert_eq!(Version::parse("main"), None);
        assert!(
            Version { major: 2, minor: 0 } > Version::WITH_DISPLAY_NAMES && Version { major: 1, minor: 4 } < Version::WITH_DISPLAY_NAMES
        );
    }
}

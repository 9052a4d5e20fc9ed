//! `[mas]`: matrix-authentication-service.

use super::reading::secret;
use super::{BaseUrl, Error};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::path::{Path, PathBuf};

/// Where matrix-authentication-service is, and as which of its clients the programs act.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mas {
    /// The listener with the resource `adminapi`, without `/api/admin`.
    pub admin_url: BaseUrl,
    /// The token endpoint, if it is elsewhere: use [`Mas::token_url`].
    #[serde(default)]
    token_url: Option<BaseUrl>,
    pub client_id: MasClientId,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    client_secret_file: Option<PathBuf>,
    /// How people reach MAS: `public_base` of its configuration. Mails and pages link to it.
    pub public_url: BaseUrl,
}

/// The id of a client of matrix-authentication-service: a ULID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasClientId(pub String);

impl<'de> Deserialize<'de> for MasClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            true => Ok(MasClientId(text)),
            false => Err(D::Error::custom(format!(
                "expected the client_id of MAS's configuration, 26 letters and digits, for example \"01ARZ3NDEKTSV4RRFFQ69G5FAV\", got {text:?}"
            ))),
        }
    }
}

impl Mas {
    pub(super) fn resolve(&mut self, folder: &Path) {
        self.client_secret_file = self.client_secret_file.take().map(|file| folder.join(file));
    }

    pub(super) fn has_both_secrets(&self) -> bool {
        self.client_secret.is_some() && self.client_secret_file.is_some()
    }

    /// A key, and what is wrong with it that its value alone does not show.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str)> {
        if self.client_secret.is_none() && self.client_secret_file.is_none() {
            return Some((
                "client_secret",
                "[mas] needs client_secret_file, or client_secret: the secret of the client in MAS's configuration",
            ));
        }
        let is_endpoint = self.token_url().ends_with("/token");
        (!is_endpoint)
            .then_some(("token_url", "expected the address of MAS's token endpoint, for example \"http://127.0.0.1:8081/oauth2/token\""))
    }

    /// The endpoint that gives out tokens.
    pub(crate) fn token_url(&self) -> String {
        self.token_url.as_ref().map_or_else(|| self.admin_url.join("/oauth2/token"), |url| url.join(""))
    }

    /// The endpoint that ends tokens, which is beside the other one.
    pub(crate) fn revoke_url(&self) -> String {
        format!("{}revoke", self.token_url().trim_end_matches("token"))
    }

    /// The secret of the client.
    pub(crate) fn client_secret(&self) -> Result<String, Error> {
        Ok(secret("client_secret", &self.client_secret, &self.client_secret_file)?.unwrap_or_default())
    }
}

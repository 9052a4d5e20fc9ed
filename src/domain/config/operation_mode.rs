//! The modes: where approved accounts are created, and what differs with it. Another mode needs a variant here, whose places the
//! compiler then names, and one file in `flow/accounts`.

use serde::Deserialize;

/// Where approved accounts are created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationMode {
    /// In Synapse, by shared-secret registration.
    Synapse,
    /// In our own `logins` table, which Synapse queries through a password module.
    Local,
    /// In matrix-authentication-service, by its admin API.
    Mas,
    /// At the homeserver, by the specification's own registration with a token.
    RegistrationToken,
}

/// What a mode can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// The passwords are in our own table: the homeserver asks `internal/login`, a forgotten password is set anew on our page, and
    /// an initial one can end. Otherwise the homeserver has the passwords and the rules for them.
    pub own_passwords: bool,
    /// The confirmed address can be bound to the account at the homeserver.
    pub binds_addresses: bool,
    /// Creating an account may take minutes, and must not end with the connection of a browser: it happens after the answer.
    pub outlives_visits: bool,
}

impl OperationMode {
    pub const ALL: [OperationMode; 4] =
        [OperationMode::Synapse, OperationMode::Local, OperationMode::Mas, OperationMode::RegistrationToken];

    pub fn abilities(self) -> Abilities {
        match self {
            OperationMode::Synapse => Abilities { own_passwords: false, binds_addresses: true, outlives_visits: false },
            OperationMode::Local => Abilities { own_passwords: true, binds_addresses: false, outlives_visits: false },
            // The account is not complete before its address is bound, so that is part of creating it.
            OperationMode::Mas => Abilities { own_passwords: false, binds_addresses: false, outlives_visits: true },
            OperationMode::RegistrationToken => Abilities { own_passwords: false, binds_addresses: false, outlives_visits: false },
        }
    }

    pub fn has_own_passwords(self) -> bool {
        self.abilities().own_passwords
    }

    /// The value of `operation_mode` in `config.toml`. The database stores it.
    pub fn name(self) -> &'static str {
        match self {
            OperationMode::Synapse => "synapse",
            OperationMode::Local => "local",
            OperationMode::Mas => "mas",
            OperationMode::RegistrationToken => "registration_token",
        }
    }

    pub fn from_name(name: &str) -> Option<OperationMode> {
        OperationMode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_the_name_that_config_toml_gives_it() {
        #[derive(Deserialize)]
        struct File {
            operation_mode: OperationMode,
        }
        for mode in OperationMode::ALL {
            let file: File = toml::from_str(&format!("operation_mode = {:?}", mode.name())).unwrap();
            assert_eq!((file.operation_mode, OperationMode::from_name(mode.name())), (mode, Some(mode)));
        }
        assert_eq!(OperationMode::from_name("php"), None);
    }
}

//! The names of the texts in `templates/locales`, as constants: `text_key::form::error::USERNAME_MISSING`. They are made of
//! `en.toml` when the programs are built, so a name that is not there does not compile.

use serde::Serialize;

/// The name of a text, `section.key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Key(&'static str);

impl Key {
    /// As it stands in the files: `form.error.username_missing`.
    pub fn name(self) -> &'static str {
        self.0
    }
}

include!(concat!(env!("OUT_DIR"), "/text_keys.rs"));

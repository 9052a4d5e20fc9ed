//! The names of the texts in `templates/locales` as constants: `text_key::form::error::USERNAME_MISSING`. The build generates
//! them from `en.toml`, so a wrong name does not compile.

use serde::Serialize;

/// The name of a text, `section.key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Key(&'static str);

impl Key {
    /// The name as in the files: `form.error.username_missing`.
    pub fn name(self) -> &'static str {
        self.0
    }
}

include!(concat!(env!("OUT_DIR"), "/text_keys.rs"));

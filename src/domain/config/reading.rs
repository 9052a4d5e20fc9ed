//! Secrets in files, and messages about unusable keys.

use super::Error;
use std::path::PathBuf;

/// Reads a secret, which is either in the configuration or alone in a file.
pub(super) fn secret(key: &str, value: &Option<String>, file: &Option<PathBuf>) -> Result<Option<String>, Error> {
    let Some(file) = file else {
        return Ok(value.clone()).and_then(|value| not_empty(key, value));
    };
    let text = std::fs::read_to_string(file).map_err(|cause| {
        Error(format!("{key}_file: cannot read {}: {cause}; it must be readable for the user that runs the programs", file.display()))
    })?;
    not_empty(&format!("{key}_file"), Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Refuses an empty secret, which would let everybody in.
fn not_empty(key: &str, secret: Option<String>) -> Result<Option<String>, Error> {
    match secret {
        Some(secret) if secret.is_empty() => Err(Error(format!("{key} is empty; write the secret there, or take the key out"))),
        secret => Ok(secret),
    }
}

/// `line 12, key "host"`, for a message about a key that the parser accepted.
pub(super) fn at(text: &str, key: &str) -> String {
    let is_key = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    match text.lines().position(is_key) {
        Some(index) => format!("line {}, key \"{key}\"", index + 1),
        None => format!("key \"{key}\" (not set)"),
    }
}

/// The parser's message and its place. The line itself, which the parser would show, and values of a wrong type are left out:
/// either may be a secret.
pub(super) fn refusal(text: &str, cause: &toml::de::Error) -> String {
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

//! The number by which people speak of a request: `#1042`. It is the same in the room, in mails, on pages, in the log and in the
//! shell.

use std::fmt;

/// The id of the row of a request, which no database gives to a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub i64);

impl Number {
    /// From what a person types: `#1042` or `1042`.
    pub fn parse(typed: &str) -> Option<Number> {
        let digits = typed.strip_prefix('#').unwrap_or(typed);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten().map(Number)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_shown_and_without_its_sign() {
        assert_eq!(Number(1042).to_string(), "#1042");
        assert_eq!(["#1042", "1042", "#0"].map(Number::parse), [Some(Number(1042)), Some(Number(1042)), Some(Number(0))]);
        for wrong in ["", "#", "##1", "+1", "-1", "1 ", "1a", "#99999999999999999999", "١"] {
            assert_eq!(Number::parse(wrong), None, "{wrong:?}");
        }
    }
}

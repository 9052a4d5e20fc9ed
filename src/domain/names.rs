//! Names, parsed at the door: behind this file a username, a person's name or a note is within its limits and holds
//! nothing that could be mistaken for something else.

use crate::domain::config::{Form, ServerName};
use unicode_normalization::UnicodeNormalization;

/// Characters that a person's first or last name may have.
pub const NAME_MAX_CHARACTERS: usize = 100;
/// Characters that the note to the admins may have.
pub const NOTE_MAX_CHARACTERS: usize = 2000;
/// Bytes that a whole Matrix id may have (Matrix specification, appendix "User identifiers").
const MXID_MAX_BYTES: usize = 255;

/// Names that look like an authority. The operator's own list and the bot's name come on top.
const RESERVED: [&str; 24] = [
    "abuse",
    "admin",
    "administrator",
    "anonymous",
    "everyone",
    "help",
    "homeserver",
    "hostmaster",
    "mailer-daemon",
    "matrix",
    "mod",
    "moderator",
    "no-reply",
    "noreply",
    "notices",
    "operator",
    "postmaster",
    "root",
    "security",
    "server",
    "support",
    "synapse",
    "system",
    "webmaster",
];

/// The part of a Matrix id before the colon, as a new account may have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Localpart(String);

/// Why a username cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalpartFault {
    Missing,
    TooShort,
    TooLong,
    Characters,
    StartsWithUnderscore,
    OnlyDigits,
    Pattern,
    Reserved,
}

impl Localpart {
    /// The username that an applicant typed. Capitals are folded, as Synapse does; a typed `@` in front is left out.
    ///
    /// The rules are Matrix's (a-z 0-9 . _ = - / +), Synapse's (no `_` in front, not only digits, contract synapse 3)
    /// and the operator's.
    pub fn choose(typed: &str, rules: &Form, bot: &str, server_name: &ServerName) -> Result<Localpart, LocalpartFault> {
        let name = typed.trim().trim_start_matches('@').to_ascii_lowercase();
        if name.is_empty() {
            return Err(LocalpartFault::Missing);
        }
        if !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+')) {
            return Err(LocalpartFault::Characters);
        }
        if name.starts_with('_') {
            return Err(LocalpartFault::StartsWithUnderscore);
        }
        if (name.len() as u64) < rules.username_min_length.0 {
            return Err(LocalpartFault::TooShort);
        }
        if name.len() as u64 > rules.username_max_length.0 || name.len() + server_name.0.len() + 2 > MXID_MAX_BYTES {
            return Err(LocalpartFault::TooLong);
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LocalpartFault::OnlyDigits);
        }
        if rules.username_pattern.as_ref().is_some_and(|pattern| !pattern.matches(&name)) {
            return Err(LocalpartFault::Pattern);
        }
        if is_reserved(&name, rules, bot) {
            return Err(LocalpartFault::Reserved);
        }
        Ok(Localpart(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole Matrix id.
    pub fn mxid(&self, server_name: &ServerName) -> String {
        mxid(&self.0, server_name)
    }
}

/// `@localpart:server`.
pub fn mxid(localpart: &str, server_name: &ServerName) -> String {
    format!("@{localpart}:{server_name}")
}

fn is_reserved(name: &str, rules: &Form, bot: &str) -> bool {
    let own = rules.reserved_usernames.iter().map(String::as_str);
    RESERVED.into_iter().chain([bot]).chain(own).any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// A person's first or last name, in any script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName(String);

/// Why a text is not a person's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonNameFault {
    Missing,
    TooLong,
    Characters,
}

impl PersonName {
    /// A name that must be there.
    pub fn parse(typed: &str) -> Result<PersonName, PersonNameFault> {
        match PersonName::parse_optional(typed)? {
            PersonName(name) if name.is_empty() => Err(PersonNameFault::Missing),
            name => Ok(name),
        }
    }

    /// A name that may be empty: many people have one name only.
    pub fn parse_optional(typed: &str) -> Result<PersonName, PersonNameFault> {
        let name = typed.nfc().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
        if name.chars().count() > NAME_MAX_CHARACTERS {
            return Err(PersonNameFault::TooLong);
        }
        let speaks = name.is_empty() || name.chars().any(char::is_alphanumeric);
        if !speaks || name.chars().any(misleads) || name.chars().any(|c| "<>\"@:/\\{}[]|".contains(c)) {
            return Err(PersonNameFault::Characters);
        }
        Ok(PersonName(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// First and last name as one. At most 201 characters; Synapse takes 256 (contract synapse 2.3).
pub fn display_name(first_name: &str, last_name: &str) -> String {
    format!("{first_name} {last_name}").trim().to_owned()
}

/// The note to the admins: lines of text, invisible characters left out.
///
/// `None` if it is longer than [`NOTE_MAX_CHARACTERS`]; a note is never cut in silence.
pub fn note(typed: &str) -> Option<String> {
    let lines = typed.replace("\r\n", "\n").replace('\r', "\n");
    let note: String = lines.chars().filter(|c| matches!(c, '\n' | '\t') || !misleads(*c)).nfc().collect();
    let note = note.trim().to_owned();
    (note.chars().count() <= NOTE_MAX_CHARACTERS).then_some(note)
}

/// Control characters, line separators, characters that reverse the direction of what follows, and the mark of a
/// decoding error. Joiners stay: several scripts need them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{3164}' | '\u{ffa0}' | '\u{115f}' | '\u{1160}'
        )
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use LocalpartFault::*;

    fn choose(typed: &str) -> Result<String, LocalpartFault> {
        let server = ServerName("example.org".into());
        Localpart::choose(typed, &Form::default(), "register_bot", &server).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn a_username_follows_matrix_and_synapse() {
        assert_eq!(choose("max").unwrap(), "max");
        assert_eq!(choose("  @Max.Muster-1=_/+ ").unwrap(), "max.muster-1=_/+");
        for (typed, fault) in [
            ("", Missing),
            ("  @ ", Missing),
            ("ab", TooShort),
            ("mäx", Characters),
            ("max:example.org", Characters),
            ("max muster", Characters),
            ("ｍａｘ", Characters),
            ("_max", StartsWithUnderscore),
            ("12345", OnlyDigits),
            ("Admin", Reserved),
            ("register_bot", Reserved),
        ] {
            assert_eq!(choose(typed), Err(fault), "{typed}");
        }
        assert_eq!(choose(&"a".repeat(65)), Err(TooLong));
    }

    #[test]
    fn the_operator_narrows_the_choice_of_usernames() {
        let server = ServerName("example.org".into());
        let rules = Form {
            username_pattern: Some("[a-z]+".parse().unwrap()),
            reserved_usernames: vec!["Chef".into()],
            username_max_length: crate::domain::config::Bounded(255),
            ..Form::default()
        };
        assert_eq!(Localpart::choose("max1", &rules, "bot", &server), Err(Pattern));
        assert_eq!(Localpart::choose("chef", &rules, "bot", &server), Err(Reserved));
        assert_eq!(Localpart::choose(&"a".repeat(243), &rules, "bot", &server), Err(TooLong), "255 bytes are for the whole id");
        assert!(Localpart::choose(&"a".repeat(242), &rules, "bot", &server).is_ok());
    }

    #[test]
    fn people_keep_their_names_in_any_script() {
        for name in ["Jürgen", "Nguyễn Thị", "O'Neil", "山田 太郎", "José-María", "محمد", "Zoë 2nd", "d’Arc", "ก้อง", "İpek"]
        {
            assert_eq!(PersonName::parse(name).unwrap().as_str(), name.nfc().collect::<String>());
        }
        assert_eq!(PersonName::parse("  Max \t  Emil ").unwrap().as_str(), "Max Emil");
        assert_eq!(PersonName::parse_optional("").unwrap().as_str(), "");
    }

    #[test]
    fn a_name_cannot_pretend_to_be_something_else() {
        for name in [
            "Max\u{202e}nimdA",
            "<b>Max</b>",
            "@room",
            "https://evil.test/",
            "\u{0}x",
            "!!!",
            "a\u{fffd}b",
            "\u{200b}",
            "Ma\u{200b}x",
            "\u{3164}",
            "Ma\u{ad}x",
        ] {
            assert_eq!(PersonName::parse(name), Err(PersonNameFault::Characters), "{name:?}");
        }
        assert_eq!(PersonName::parse(" "), Err(PersonNameFault::Missing));
        assert_eq!(PersonName::parse(&"x".repeat(101)), Err(PersonNameFault::TooLong));
    }

    #[test]
    fn a_note_keeps_its_lines_and_is_never_cut() {
        assert_eq!(note(" Hello\r\nWorld\u{202e}\u{7} ").unwrap(), "Hello\nWorld");
        assert_eq!(note(&"ä".repeat(NOTE_MAX_CHARACTERS)).unwrap().chars().count(), NOTE_MAX_CHARACTERS);
        assert_eq!(note(&"ä".repeat(NOTE_MAX_CHARACTERS + 1)), None);
    }
}

//! Usernames, names of people, and notes. A parsed value is within its limits and contains nothing that could be mistaken for
//! something else.

use crate::domain::characters::{self, CharacterFault};
use crate::domain::config::{Form, ServerName};

/// The largest length of a first or last name, in characters.
pub const NAME_MAX_CHARACTERS: usize = 100;
/// The largest length of the note to the admins, in characters.
pub const NOTE_MAX_CHARACTERS: usize = 2000;
/// Bytes of the longest note that is read, with all blanks and invisible characters.
const NOTE_MAX_BYTES: usize = 32 * 1024;
/// The largest length of a whole Matrix id, in bytes (Matrix specification, appendix "User identifiers").
const MXID_MAX_BYTES: usize = 255;

/// Names that look like an authority. The operator's own list and the bot's name are added.
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

/// The part of a Matrix id before the colon, valid for a new account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Localpart(String);

/// Why a username cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalpartFault {
    Missing,
    TooShort,
    TooLong,
    Characters,
    /// Contains an invisible, misleading character.
    Invisible,
    StartsWithUnderscore,
    OnlyDigits,
    Pattern,
}

impl Localpart {
    /// Parses a username that an applicant typed. Capital letters are folded, as Synapse does; a leading `@` is removed.
    ///
    /// The rules are those of Matrix (a-z 0-9 . _ = - / +), Synapse (no leading `_`, not only digits) and the operator.
    ///
    /// The result may be reserved ([`Localpart::is_reserved`]).
    pub fn choose(typed: &str, rules: &Form, server_name: &ServerName) -> Result<Localpart, LocalpartFault> {
        let typed = characters::plain(typed).map_err(LocalpartFault::from)?;
        let name = typed.trim_start_matches('@').to_ascii_lowercase();
        if name.is_empty() {
            return Err(LocalpartFault::Missing);
        }
        if !has_localpart_alphabet(&name) {
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
        Ok(Localpart(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nobody may have the name: it looks like an authority, is the bot's, or is on the operator's list.
    pub(crate) fn is_reserved(&self, rules: &Form, bot: &str) -> bool {
        let own = rules.reserved_usernames.iter().map(String::as_str);
        RESERVED.into_iter().chain([bot]).chain(own).any(|reserved| reserved.eq_ignore_ascii_case(&self.0))
    }

    /// The whole Matrix id.
    pub fn mxid(&self, server_name: &ServerName) -> String {
        mxid(&self.0, server_name)
    }
}

/// Whether all characters are allowed in the localpart of an account (Matrix specification, appendix "User identifiers").
pub(crate) fn has_localpart_alphabet(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+'))
}

/// `@localpart:server`.
pub fn mxid(localpart: &str, server_name: &ServerName) -> String {
    format!("@{localpart}:{server_name}")
}

impl From<CharacterFault> for LocalpartFault {
    fn from(fault: CharacterFault) -> LocalpartFault {
        match fault {
            CharacterFault::Invisible => LocalpartFault::Invisible,
            CharacterFault::Stacked => LocalpartFault::Characters,
            CharacterFault::TooLong => LocalpartFault::TooLong,
        }
    }
}

/// Characters that occur not in names but in markup, addresses and Matrix ids; and the replacement character.
const NOT_IN_NAMES: [char; 13] = ['<', '>', '"', '@', ':', '/', '\\', '{', '}', '[', ']', '|', '\u{fffd}'];

/// A person's first or last name, in any script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName(String);

/// Why a text is not a person's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonNameFault {
    Missing,
    TooLong,
    Characters,
    /// Contains an invisible, misleading character.
    Invisible,
}

impl From<CharacterFault> for PersonNameFault {
    fn from(fault: CharacterFault) -> PersonNameFault {
        match fault {
            CharacterFault::Invisible => PersonNameFault::Invisible,
            CharacterFault::Stacked => PersonNameFault::Characters,
            CharacterFault::TooLong => PersonNameFault::TooLong,
        }
    }
}

impl PersonName {
    /// Parses a name that must not be empty.
    pub fn parse(typed: &str) -> Result<PersonName, PersonNameFault> {
        match PersonName::parse_optional(typed)? {
            PersonName(name) if name.is_empty() => Err(PersonNameFault::Missing),
            name => Ok(name),
        }
    }

    /// Parses a name that may be empty: many people have only one name.
    pub fn parse_optional(typed: &str) -> Result<PersonName, PersonNameFault> {
        let name = characters::plain(typed)?.split_whitespace().collect::<Vec<_>>().join(" ");
        if name.chars().count() > NAME_MAX_CHARACTERS {
            return Err(PersonNameFault::TooLong);
        }
        let speaks = name.is_empty() || name.chars().any(char::is_alphanumeric);
        if !speaks || name.contains(NOT_IN_NAMES) {
            return Err(PersonNameFault::Characters);
        }
        Ok(PersonName(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// First and last name together; older rows may contain anything. Parsed names give at most 201 characters; Synapse accepts
/// 256.
pub fn display_name(first_name: &str, last_name: &str) -> String {
    characters::one_line(&format!("{first_name} {last_name}"))
}

/// The note to the admins, or the reason for declining: lines of text without invisible characters, with single blanks and
/// single empty lines.
///
/// `None` if it is longer than [`NOTE_MAX_CHARACTERS`], or than 32 KiB as typed; a note is never cut silently.
pub fn note(typed: &str) -> Option<String> {
    if typed.len() > NOTE_MAX_BYTES {
        return None;
    }
    let note = characters::lines(typed).join("\n");
    (note.chars().count() <= NOTE_MAX_CHARACTERS).then_some(note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use LocalpartFault::*;
    use unicode_normalization::UnicodeNormalization;

    fn choose(typed: &str) -> Result<String, LocalpartFault> {
        let server = ServerName("example.org".into());
        Localpart::choose(typed, &Form::default(), &server).map(|name| name.as_str().to_owned())
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
            ("m\u{202e}ax", Invisible),
        ] {
            assert_eq!(choose(typed), Err(fault), "{typed}");
        }
        assert_eq!(choose(&"a".repeat(65)), Err(TooLong));
        for typed in ["max\u{200b}", "\u{200e}@max", "ma\u{ad}x", "\u{2068}Max\u{2069}", "\u{feff} max"] {
            assert_eq!(choose(typed).as_deref(), Ok("max"), "{typed:?}");
        }
    }

    #[test]
    fn names_of_authority_are_reserved() {
        let (rules, server) = (Form { reserved_usernames: vec!["Chef".into()], ..Form::default() }, ServerName("example.org".into()));
        for (typed, reserved) in [("Admin", true), ("register_bot", true), ("chef", true), ("max", false)] {
            assert_eq!(Localpart::choose(typed, &rules, &server).unwrap().is_reserved(&rules, "register_bot"), reserved, "{typed}");
        }
    }

    #[test]
    fn the_operator_narrows_the_choice_of_usernames() {
        let server = ServerName("example.org".into());
        let rules = Form {
            username_pattern: Some("[a-z]+".parse().unwrap()),
            username_max_length: crate::domain::config::Bounded(255),
            ..Form::default()
        };
        assert_eq!(Localpart::choose("max1", &rules, &server), Err(Pattern));
        assert_eq!(Localpart::choose(&"a".repeat(243), &rules, &server), Err(TooLong), "255 bytes are for the whole id");
        assert!(Localpart::choose(&"a".repeat(242), &rules, &server).is_ok());
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
        use PersonNameFault::{Characters, Invisible, Missing, TooLong};
        for (name, fault) in [
            ("Max\u{202e}nimdA", Invisible),
            ("Max \u{2067}A\u{2069} B", Invisible),
            ("\u{0}x", Invisible),
            ("\u{3164}", Invisible),
            ("A\u{2800}B", Invisible),
            ("<b>Max</b>", Characters),
            ("@room", Characters),
            ("https://evil.test/", Characters),
            ("!!!", Characters),
            ("a\u{fffd}b", Characters),
            ("a\u{300}\u{316}\u{301}\u{317}\u{302}\u{318}", Characters),
            ("\u{200b}", Missing),
            (" ", Missing),
        ] {
            assert_eq!(PersonName::parse(name), Err(fault), "{name:?}");
        }
        assert_eq!(PersonName::parse(&"x".repeat(101)), Err(TooLong));
    }

    #[test]
    fn an_invisible_mark_in_a_pasted_name_is_dropped_and_not_refused() {
        for name in ["Ma\u{200b}x", "Ma\u{ad}x", "\u{200f}Max", "Max\u{61c}\u{34f}", "\u{feff}Max", "M\u{206a}ax"] {
            assert_eq!(PersonName::parse(name).unwrap().as_str(), "Max", "{name:?}");
        }
    }

    #[test]
    fn a_note_keeps_its_lines_and_is_never_cut() {
        assert_eq!(note(" Hello\r\nWorld\u{202e}\u{7} ").unwrap(), "Hello\nWorld");
        assert_eq!(note(&"ä".repeat(NOTE_MAX_CHARACTERS)).unwrap().chars().count(), NOTE_MAX_CHARACTERS);
        assert_eq!(note(&"ä".repeat(NOTE_MAX_CHARACTERS + 1)), None);
        assert_eq!(note(&format!("{}a", " ".repeat(NOTE_MAX_BYTES - 1))).as_deref(), Some("a"));
        assert_eq!(note(&format!("{}a", " ".repeat(NOTE_MAX_BYTES))), None);
    }

    #[test]
    fn a_note_of_line_breaks_alone_is_an_empty_one() {
        assert_eq!(note(&"\r\n".repeat(1998)).unwrap(), "");
        assert_eq!(note(&format!("a{}b", "\n \u{200b}".repeat(600))).unwrap(), "a\n\nb");
    }
}

//! The user directory compares folded texts.
//!
//! A search finds users by any beginning of the localpart, of the whole name, and of any later word of the name; and by the
//! whole mail address or, if the operator allows it, its beginning. So each account has a few terms in `directory_terms`, and a
//! search reads one index range for each kind of term, whatever the number of accounts.

use crate::domain::{address, characters};
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of a term that are stored and compared; longer texts are cut.
pub const TERM_MAX_CHARACTERS: usize = 100;

/// The version of the folding of stored terms. Increase it when [`terms`] returns something else for an account; cron then
/// updates existing accounts.
pub(crate) const FOLDING: i64 = 1;

/// How many words of a first or last name start a term. Without a limit a single account with a long name could fill an answer.
/// Later words are found as the continuation of earlier ones.
const WORDS_OF_A_NAME: usize = 5;

/// What a term was made from; better matches come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermKind {
    Localpart = 0,
    NameStart = 1,
    NameWord = 2,
    Address = 3,
}

impl TermKind {
    /// The kinds that `by: "name"` searches.
    pub(crate) const NAMES: [TermKind; 3] = [TermKind::Localpart, TermKind::NameStart, TermKind::NameWord];

    pub fn number(self) -> i64 {
        self as i64
    }

    /// The largest number of terms of this kind per account: to find n accounts, a search must read n times as many rows.
    pub fn most_of_an_account(self) -> usize {
        match self {
            TermKind::Localpart | TermKind::NameStart | TermKind::Address => 1,
            TermKind::NameWord => 2 * WORDS_OF_A_NAME,
        }
    }
}

/// The terms of one account.
pub fn terms(localpart: &str, first_name: &str, last_name: &str, address: &str) -> Vec<(TermKind, String)> {
    let mut terms = vec![(TermKind::Localpart, fold(localpart)), (TermKind::Address, address::folded_beginning(address))];
    let (first, last) = (fold(first_name), fold(last_name));
    let mut kind = TermKind::NameStart;
    for (own, other) in [(&first, &last), (&last, &first)] {
        let words: Vec<&str> = own.split(' ').filter(|word| !word.is_empty()).collect();
        for start in 0..words.len().min(WORDS_OF_A_NAME) {
            terms.push((kind, format!("{} {other}", words[start..].join(" "))));
            kind = TermKind::NameWord;
        }
    }
    for (_, term) in &mut terms {
        *term = term.trim_end().chars().take(TERM_MAX_CHARACTERS).collect();
    }
    terms.retain(|(_, term)| !term.is_empty());
    terms.sort_by(|one, other| (one.0.number(), &one.1).cmp(&(other.0.number(), &other.1)));
    terms.dedup();
    terms
}

/// Whether all foldings so far give the same terms for an account with these texts, so that nothing needs an update.
pub(crate) fn is_as_before(texts: [&str; 4]) -> bool {
    texts
        .iter()
        .all(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'`') && !text.to_ascii_lowercase().contains("xn--"))
}

/// A text without case and accents: `"Jürgen  GROß"` becomes `"jurgen gross"`. Runs of white space become one blank, and all
/// kinds of apostrophes and hyphens one each: `"O’Neil‐Smith"` becomes `"o'neil-smith"`. Invisible characters are removed.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let characters = text.chars().map(one_spelling).nfkd().map(one_spelling);
    let compared = characters.filter(|c| !is_combining_mark(*c) && !characters::is_invisible(*c));
    for c in compared.flat_map(char::to_lowercase) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            c if c.is_control() => folded.push(' '),
            c => folded.push(c),
        }
    }
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The keyboard's apostrophe and hyphen for all similar characters. They are listed, because some apostrophes are letters or
/// accents by category.
fn one_spelling(c: char) -> char {
    match c {
        '`' | '\u{b4}' | '\u{2b9}'..='\u{2bf}' | '\u{2c8}' | '\u{2ca}' | '\u{2cb}' | '\u{374}' | '\u{384}' | '\u{55a}' | '\u{5f3}' => '\'',
        '\u{7f4}' | '\u{7f5}' | '\u{1fbd}' | '\u{1fbf}' | '\u{1ffd}' | '\u{1ffe}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{2032}' | '\u{2035}' | '\u{a78b}' | '\u{a78c}' | '\u{ff07}' | '\u{ff40}' => '\'',
        '\u{2212}' | '\u{2d7}' | '\u{2043}' => '-',
        c if !c.is_ascii() && CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::DashPunctuation => '-',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_and_case_do_not_matter() {
        assert_eq!(fold("  Jürgen\tGROß "), "jurgen gross");
        assert_eq!(fold("Ångström Łukasz Nguyễn"), "angstrom lukasz nguyen");
        assert_eq!(fold("İpek ＡＢＣ ﬁ"), "ipek abc fi");
        assert_eq!(fold("Γιώργος"), fold("ΓΙΩΡΓΟΣ"));
    }

    #[test]
    fn apostrophes_hyphens_and_blanks_have_one_spelling() {
        for apostrophe in "'’‘‛ʼʻʹ`´′՚׳＇".chars() {
            assert_eq!(fold(&format!("O{apostrophe}Neil")), "o'neil", "{apostrophe:?}");
        }
        for hyphen in "-‐‑‒–—―−－﹣־".chars() {
            assert_eq!(fold(&format!("Anna{hyphen}Maria")), "anna-maria", "{hyphen:?}");
        }
        for blank in " \u{a0}\u{2009}\u{202f}\u{3000}\t".chars() {
            assert_eq!(fold(&format!("van{blank}Dyk")), "van dyk", "{blank:?}");
        }
        assert_eq!(fold("Schul\u{ad}ze\u{200b}"), "schulze");
        assert_eq!(fold("\u{645}\u{6cc}\u{200c}\u{62e}"), fold("\u{645}\u{6cc}\u{62e}"));
    }

    #[test]
    fn an_account_is_found_by_every_beginning_that_somebody_may_type() {
        let terms = terms("anna.s", "Anna Maria", "Schröder", "Anna@Example.org");
        for (kind, typed) in [
            (TermKind::Localpart, "anna.s"),
            (TermKind::NameStart, "anna maria schr"),
            (TermKind::NameWord, "maria s"),
            (TermKind::NameWord, "schroder"),
            (TermKind::NameWord, "schroder anna"),
            (TermKind::Address, "anna@exa"),
        ] {
            assert!(terms.iter().any(|(known, term)| *known == kind && term.starts_with(typed)), "{typed} in {terms:?}");
        }
    }

    #[test]
    fn what_is_as_before_was_folded_so_from_the_start() {
        for (texts, same) in [
            (["max", "Max", "O'Neil-Smith", "max@example.org"], true),
            (["max", "Max", "O’Neil", "max@example.org"], false),
            (["max", "Max", "O`Neil", "max@example.org"], false),
            (["max", "Max", "", "max@XN--bcher-kva.example"], false),
        ] {
            assert_eq!(is_as_before(texts), same, "{texts:?}");
        }
    }

    #[test]
    fn a_name_of_many_words_has_few_terms() {
        let many = "a ".repeat(50);
        let terms = terms("max", &many, &many, "max@example.org");
        for kind in [TermKind::NameStart, TermKind::NameWord] {
            assert!(terms.iter().filter(|(known, _)| *known == kind).count() <= kind.most_of_an_account(), "{terms:?}");
        }
    }
}

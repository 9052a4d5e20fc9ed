//! What a search in the user directory compares: folded texts.
//!
//! A user is found by any beginning of the localpart, of the whole name, of any later word of the name, and, where the
//! operator allows it, of the mail address. So each account has a few terms in `directory_terms`, and a search is one
//! range of an index for each kind of term, whatever the number of accounts.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of a term that are kept and compared; longer ones are told apart by their beginnings.
pub const TERM_MAX_CHARACTERS: usize = 100;

/// Words of a first or a last name from which terms start. More would let a single account with a name of many words fill
/// an answer of its own; the words behind are found as the continuation of those before.
const WORDS_OF_A_NAME: usize = 5;

/// What a term was made of; the better match first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermKind {
    Localpart = 0,
    NameStart = 1,
    NameWord = 2,
    Address = 3,
}

impl TermKind {
    /// The kinds by which `by: "name"` searches.
    pub const NAMES: [TermKind; 3] = [TermKind::Localpart, TermKind::NameStart, TermKind::NameWord];

    pub fn number(self) -> i64 {
        self as i64
    }

    /// How many terms of this kind one account has at the most: a search that wants n accounts reads n times as many.
    pub fn most_of_an_account(self) -> usize {
        match self {
            TermKind::Localpart | TermKind::NameStart | TermKind::Address => 1,
            TermKind::NameWord => 2 * WORDS_OF_A_NAME,
        }
    }
}

/// The terms of one account.
pub fn terms(localpart: &str, first_name: &str, last_name: &str, address: &str) -> Vec<(TermKind, String)> {
    let mut terms = vec![(TermKind::Localpart, fold(localpart)), (TermKind::Address, fold(address))];
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

/// A text without case and accents: `"Jürgen  GROß"` becomes `"jurgen gross"`. White space becomes one blank.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
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
    fn a_name_of_many_words_has_few_terms() {
        let many = "a ".repeat(50);
        let terms = terms("max", &many, &many, "max@example.org");
        for kind in [TermKind::NameStart, TermKind::NameWord] {
            assert!(terms.iter().filter(|(known, _)| *known == kind).count() <= kind.most_of_an_account(), "{terms:?}");
        }
    }
}

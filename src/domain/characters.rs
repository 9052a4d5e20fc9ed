//! Handling of invisible characters, decided only here, from Unicode's properties.
//!
//! * *Harmless* ones are always removed: direction marks, zero-width spaces, soft hyphens, byte order marks and similar, which
//!   phones and web pages add to pasted text.
//! * Some are kept where they have a function: joiners in scripts that need them and inside emoji, variation selectors after
//!   characters that have variants.
//! * *Misleading* ones make a text look like another: they change the direction of what follows, hide text (tags), or are
//!   blanks that count as letters. Text that identifies somebody is refused if it contains any ([`plain`]); in text that is
//!   only shown they are removed ([`one_line`], [`lines`]).

use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, ExtendedPictographic, GeneralCategory, JoiningType, UnifiedIdeograph,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Marks allowed above and below one letter. No living orthography uses more; a hundred would cover the lines around.
pub(crate) const MOST_MARKS: usize = 4;

/// Bytes of the longest text that [`plain`] reads: far more than any name or address has, with whatever was pasted around it.
pub(crate) const LONGEST_PLAIN: usize = 4096;

/// How far a joiner looks back for the letter or emoji that it joins. No sequence in use has as many marks and modifiers.
const LOOK_BACK: usize = 16;

/// How often a text is cleaned until nothing changes. Texts that people type need two.
const MOST_ROUNDS: usize = 8;

/// Why a text cannot identify somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharacterFault {
    /// Contains an invisible character that changes how the rest looks.
    Invisible,
    /// More than [`MOST_MARKS`] marks on one letter.
    Stacked,
    /// More than [`LONGEST_PLAIN`] bytes.
    TooLong,
}

/// A text that identifies somebody (a name, a username, a mail address): composed (NFC), without harmless invisible characters,
/// blanks at the ends, and the marks that phones put around a pasted name. Inner blanks are not changed.
///
/// At most [`LONGEST_PLAIN`] bytes; a longer text is refused unread.
pub fn plain(typed: &str) -> Result<Cow<'_, str>, CharacterFault> {
    if typed.len() > LONGEST_PLAIN {
        return Err(CharacterFault::TooLong);
    }
    let text = typed.trim_matches(is_wrapping);
    if text.is_ascii() {
        // Nothing to compose or to drop, so the addresses of an address book take a third of the time.
        let misleads = |byte: u8| byte.is_ascii_control() && !char::from(byte).is_whitespace();
        return if text.bytes().any(misleads) { Err(CharacterFault::Invisible) } else { Ok(text.into()) };
    }
    let mut text = text.to_owned();
    for _ in 0..MOST_ROUNDS {
        let next = match cleaned(&text) {
            (_, Some(fault)) => return Err(fault),
            (next, None) => next.trim_matches(is_wrapping).to_owned(),
        };
        if next == text {
            return Ok(next.into());
        }
        text = next;
    }
    Err(CharacterFault::Invisible)
}

/// A text for people to read, on one line: composed, without invisible and misleading characters. Any run of white space and
/// control characters becomes one blank. The time grows in proportion to the length of the text, whatever it contains.
pub fn one_line(text: &str) -> String {
    let is_blank = |c: char| c.is_control() || c.is_whitespace() || is_blank_symbol(c);
    let mut text: String = text.chars().map(|c| if is_blank(c) { ' ' } else { c }).collect();
    for _ in 0..MOST_ROUNDS {
        let next = if text.is_ascii() { break } else { cleaned(&text).0 };
        if next == text {
            break;
        }
        text = next;
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of a text, with any kind of line break, each as from [`one_line`]. Runs of empty lines are collapsed, and those at
/// the ends removed.
pub fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let mut lines: Vec<String> = Vec::new();
    for line in text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']).map(one_line) {
        if !(line.is_empty() && lines.last().is_none_or(String::is_empty)) {
            lines.push(line);
        }
    }
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// The same JSON, in which each character that a terminal would obey or that cannot be seen is written as its number.
pub fn visible_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        // Between its texts, JSON has no such character but line breaks.
        match (c.is_control() && c != '\n') || is_ignorable(c) || misleads(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}"))),
            false => shown.push(c),
        }
    }
    shown
}

/// Whether a character is invisible by itself and not one of the blank-looking letters. Searches ignore such characters.
pub(crate) fn is_invisible(c: char) -> bool {
    is_ignorable(c) && !is_letter(c)
}

/// Composes a text (NFC), removes harmless and misleading characters, and reports the first fault found.
fn cleaned(text: &str) -> (String, Option<CharacterFault>) {
    let text: Vec<char> = if unicode_normalization::is_nfc(text) { text.chars().collect() } else { text.nfc().collect() };
    let mut kept: Vec<char> = Vec::with_capacity(text.len());
    let (mut fault, mut marks, mut place) = (None, 0, 0);
    let mut following = Following::default();
    while let Some(&c) = text.get(place) {
        let rest = &text[place + 1..];
        place += 1;
        if let Some(length) = flag(c, rest) {
            kept.push(c);
            kept.extend(&rest[..length]);
            place += length;
            marks = 0;
        } else if misleads(c) {
            fault = fault.or(Some(CharacterFault::Invisible));
        } else if !is_ignorable(c) || belongs(c, &kept, following.kept_from(place, &text)) {
            marks = match c {
                c if is_ignorable(c) => marks,
                c if stacks(c) => marks + 1,
                _ => 0,
            };
            match marks > MOST_MARKS {
                true => fault = fault.or(Some(CharacterFault::Stacked)),
                false => kept.push(c),
            }
        }
    }
    match kept.len() == text.len() {
        true => (kept.into_iter().collect(), fault),
        // Without what stood between them, other letters and marks may have become neighbours.
        false => (kept.into_iter().nfc().collect(), fault),
    }
}

/// Finds the next character that is not ignorable. The place is remembered, so that a long run of ignorable characters is
/// read once, not again for each of them.
#[derive(Default)]
struct Following {
    place: usize,
}

impl Following {
    /// `from` must not become smaller.
    fn kept_from(&mut self, from: usize, text: &[char]) -> Option<char> {
        self.place = self.place.max(from);
        while text.get(self.place).is_some_and(|c| is_ignorable(*c)) {
            self.place += 1;
        }
        text.get(self.place).copied()
    }
}

/// Controls, embeddings, overrides and isolates, tags, annotations, and letters and symbols that look like blanks.
fn misleads(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || turns_direction(c)
        || matches!(c, '\u{e0001}' | '\u{e0020}'..='\u{e007f}' | '\u{fff9}'..='\u{fffb}')
        || (is_ignorable(c) && is_letter(c))
        || is_blank_symbol(c)
}

/// For the Hangul fillers, whose category is "letter".
fn is_letter(c: char) -> bool {
    CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::OtherLetter
}

/// The Braille pattern without dots and the null note head: symbols by category, but blank to the eye.
fn is_blank_symbol(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}')
}

/// Bidi_Control without the three marks, which do not affect other text.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that may surround a text: blanks, harmless characters, and the embeddings and isolates that phones add. A pair of
/// those around the whole text changes nothing inside it, but an override would have.
fn is_wrapping(c: char) -> bool {
    let is_override = matches!(c, '\u{202d}' | '\u{202e}');
    let is_part = matches!(c, '\u{200c}' | '\u{200d}') || is_selector(c);
    c.is_whitespace() || (turns_direction(c) && !is_override) || (is_ignorable(c) && !is_part && !misleads(c))
}

/// Characters that are not displayed even by programs that do not know them. Dictation inserts U+FFFC where it understood
/// nothing.
fn is_ignorable(c: char) -> bool {
    !c.is_ascii() && (c == '\u{fffc}' || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c))
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}')
}

/// Marks that take no space of their own.
fn stacks(c: char) -> bool {
    let is_mark = |category| matches!(category, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark);
    !c.is_ascii() && is_mark(CodePointMapData::<GeneralCategory>::new().get(c))
}

/// Whether an ignorable character has a function between the kept characters before it and the next one that is not ignorable.
fn belongs(c: char, before: &[char], next: Option<char>) -> bool {
    let Some(&previous) = before.last() else { return false };
    match c {
        '\u{200c}' | '\u{200d}' => joins(c, before, next),
        '\u{fe0e}' | '\u{fe0f}' => is_emoji(previous) && (!previous.is_ascii() || next == Some('\u{20e3}')),
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => CodePointSetData::new::<UnifiedIdeograph>().contains(previous),
        '\u{180b}'..='\u{180f}' => is_mongolian(previous) && (c != '\u{180e}' || next.is_some_and(is_mongolian)),
        _ => false,
    }
}

fn is_mongolian(c: char) -> bool {
    matches!(c, '\u{1820}'..='\u{18aa}')
}

/// Whether a joiner stands next to a virama (Indic scripts), between letters that would otherwise join, next to one that joins
/// because of it (Arabic and similar), or between two emoji. Close to RFC 5892, appendix A, which does not cover emoji.
fn joins(joiner: char, before: &[char], next: Option<char>) -> bool {
    let Some(&previous) = before.last() else { return false };
    let is_virama = |c: char| CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama;
    if is_ignorable(previous) && !is_selector(previous) {
        return false;
    }
    if is_virama(previous) || (next.is_some_and(is_virama) && previous.is_alphanumeric()) {
        return true;
    }
    let joining = |c: char| CodePointMapData::<JoiningType>::new().get(c);
    let base = before.iter().rev().take(LOOK_BACK).copied().find(|c| joining(*c) != JoiningType::Transparent);
    let to_the_next = base.is_some_and(|c| matches!(joining(c), JoiningType::DualJoining | JoiningType::LeftJoining));
    let to_the_previous = next.is_some_and(|c| matches!(joining(c), JoiningType::DualJoining | JoiningType::RightJoining));
    match joiner {
        '\u{200c}' => to_the_next && to_the_previous,
        _ => to_the_next || to_the_previous || joins_emoji(before, next),
    }
}

fn joins_emoji(before: &[char], next: Option<char>) -> bool {
    let is_pictograph = |c: char| CodePointSetData::new::<ExtendedPictographic>().contains(c);
    let is_modifier = |c: &char| matches!(c, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    let base = before.iter().rev().take(LOOK_BACK).copied().find(|c| !is_modifier(c));
    base.is_some_and(is_pictograph) && next.is_some_and(is_pictograph)
}

fn is_emoji(c: char) -> bool {
    CodePointSetData::new::<Emoji>().contains(c)
}

/// The number of tags after a black flag that turn it into a regional flag (Unicode TR 51, ED-14a).
fn flag(c: char, rest: &[char]) -> Option<usize> {
    if c != '\u{1f3f4}' {
        return None;
    }
    let region = rest.iter().take_while(|c| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}')).count();
    ((3..=6).contains(&region) && rest.get(region) == Some(&'\u{e007f}')).then_some(region + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_is_shown_means_the_same() {
        let text = "Ada\u{9b}31m \u{202e}evil\u{200b} \u{1f468}\u{200d}\u{1f469} \u{e0001}\u{7}\n\"ä\"";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let shown = visible_json(&json);
        assert!(shown.chars().all(|c| c == '\n' || !(c.is_control() || is_ignorable(c))), "{shown:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [text]);
    }

    #[test]
    fn what_phones_and_web_pages_put_into_a_text_is_dropped() {
        for hidden in "\u{ad}\u{34f}\u{61c}\u{17b4}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2060}\u{2064}\u{206a}\u{206f}\u{fe0f}\u{feff}\u{fffc}\u{e0080}\u{e0100}".chars() {
            for typed in [format!("{hidden}Max"), format!("Max{hidden}"), format!("M{hidden}ax"), format!(" {hidden} Max{hidden}{hidden} ")] {
                assert_eq!(plain(&typed).as_deref(), Ok("Max"), "{typed:?}");
                assert_eq!(one_line(&typed), "Max", "{typed:?}");
            }
        }
        assert_eq!(plain("\u{2068}Max Muster\u{2069}").as_deref(), Ok("Max Muster"), "as phones paste a name");
        assert_eq!(plain("\u{202a}\u{200e}max@example.org\u{202c}").as_deref(), Ok("max@example.org"));
    }

    #[test]
    fn what_misleads_is_refused_in_a_name_and_dropped_from_a_text() {
        for hidden in
            "\0\u{7f}\u{9f}\u{115f}\u{1160}\u{202a}\u{202d}\u{202e}\u{2066}\u{2069}\u{3164}\u{ffa0}\u{fff9}\u{e0001}\u{e0041}\u{e007f}"
                .chars()
        {
            let typed = format!("Ma{hidden}x");
            assert_eq!(plain(&typed), Err(CharacterFault::Invisible), "{typed:?}");
            assert_eq!(one_line(&typed).replace(' ', ""), "Max", "{typed:?}");
        }
        assert_eq!(plain("\u{202e}nimdA"), Err(CharacterFault::Invisible), "an override turns the text itself");
        assert_eq!(plain("\u{2800}"), Err(CharacterFault::Invisible));
        assert_eq!(one_line("a\u{2800}b"), "a b");
        assert_eq!(one_line("\u{3164}"), "");
    }

    #[test]
    fn what_a_script_or_an_emoji_is_made_of_stays() {
        let texts = [
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}", // Persian, a joiner between a prefix and its verb
            "\u{915}\u{94d}\u{200d}\u{937}",                             // Hindi, half a letter
            "\u{915}\u{94d}\u{200c}\u{937}",                             // Hindi, a virama that is seen
            "\u{9b0}\u{200d}\u{9cd}\u{9af}",                             // Bengali
            "\u{d2e}\u{d28}\u{d4d}\u{200d}",                             // Malayalam, at the end of a word
            "\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}",                      // Sinhala
            "\u{1820}\u{180b}\u{1828}\u{180e}\u{1820}",                  // Mongolian
            "\u{845b}\u{e0100}\u{57ce}",                                 // a Japanese name with the variant of a character
            "\u{1f469}\u{200d}\u{1f52c} \u{1f9d1}\u{1f3fd}\u{200d}\u{2764}\u{fe0f}\u{200d}\u{1f9d1}\u{1f3fd} 1\u{fe0f}\u{20e3}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", // the flag of England
            "\u{5e9}\u{5c1}\u{5bc}\u{5b8} \u{e01}\u{e49}\u{e2d}\u{e07} O\u{2019}Neil",
        ];
        for text in texts {
            let text: String = text.nfc().collect();
            assert_eq!(plain(&text).as_deref(), Ok(text.as_str()), "{text:?}");
            assert_eq!(one_line(&text), text, "{text:?}");
        }
    }

    #[test]
    fn marks_do_not_pile_up_over_the_lines_around() {
        let zalgo = format!("Z{}", "\u{300}\u{315}\u{34f}".repeat(50));
        assert_eq!(plain(&zalgo), Err(CharacterFault::Stacked));
        assert_eq!(one_line(&zalgo).chars().count(), 1 + MOST_MARKS);
        assert_eq!(one_line(&one_line(&zalgo)), one_line(&zalgo));
        assert_eq!(plain(&format!("a{}", "\u{e47}".repeat(5))), Err(CharacterFault::Stacked), "vowels above, too");
    }

    /// Seconds of processor time, which other programs on the machine do not use up.
    fn seconds_of(work: impl FnOnce()) -> f64 {
        let now = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        let start = now();
        work();
        now() - start
    }

    #[test]
    fn no_text_costs_more_than_its_length() {
        const TIMES: usize = 30_000;
        // Soft hyphens, joiners, joiners after characters that joining looks through, skin tones, flags, marks, and mixtures.
        let runs = [
            "\u{ad}",
            "\u{200d}",
            "\u{70f}\u{200d}",
            "\u{70f}\u{200c}",
            "\u{1f3fb}\u{200d}",
            "\u{1f3fb}\u{fe0f}\u{200d}",
            "\u{1f3f4}\u{e0061}",
            "\u{e0061}",
            "\u{300}\u{316}",
            "\u{1820}\u{180b}\u{200d}",
            "\u{915}\u{94d}\u{200d}",
            "\u{202e}\u{ad}\u{0}",
            "\u{3164}",
            "\n\u{ad}",
        ];
        for run in runs {
            let text = format!("a{}b", run.repeat(TIMES));
            let seconds = seconds_of(|| drop((one_line(&text), lines(&text), plain(&text))));
            assert!(seconds < 3.0, "{run:?}: {seconds} s");
        }
    }

    #[test]
    fn the_short_way_for_ascii_leads_to_the_same_text() {
        for c in '\0'..='\u{7f}' {
            for text in [format!("{c}"), format!("a{c}"), format!("{c}b"), format!("a{c}b"), format!(" {c} a{c}{c}b{c} ")] {
                let long_way = |text: &str| plain(&format!("é{text}é")).map(Cow::into_owned);
                let (short, long) = (plain(&text), long_way(text.trim()));
                assert_eq!(short.clone().map(|text| format!("é{text}é")), long, "{text:?}");
            }
        }
    }

    #[test]
    fn a_text_far_longer_than_any_name_is_refused_unread() {
        let padded = |bytes: usize| format!("{}x", " ".repeat(bytes - 1));
        assert_eq!(plain(&padded(LONGEST_PLAIN)).as_deref(), Ok("x"));
        assert_eq!(plain(&padded(LONGEST_PLAIN + 1)), Err(CharacterFault::TooLong));
    }

    #[test]
    fn empty_lines_and_blanks_do_not_push_anything_out_of_sight() {
        assert_eq!(lines(&format!("a{}b", "\n".repeat(1998))), ["a", "", "b"]);
        assert_eq!(lines("\n\n a\r\n\u{200b}\r \u{2028}\tb  \u{a0}\t c\u{85}\n"), ["a", "", "b c"]);
        assert_eq!(lines(" \n\t"), [""; 0]);
        assert_eq!(one_line(&format!("a{}b", " \t\u{3000}".repeat(500))), "a b");
    }
}

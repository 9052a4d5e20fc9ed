//! A mail address as an applicant types it, checked and parsed.

use crate::domain::characters::{self, CharacterFault};
use crate::domain::pieces::{Piece, Pieces};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// Bytes of the longest address that fits into an SMTP path (RFC 5321, 4.5.3.1.3, without the angle brackets).
const LONGEST: usize = 254;
/// Bytes of the longest local part (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL_PART: usize = 64;

/// An address that can be written unchanged into an SMTP command and a header: ASCII, no quoting, no IP literal.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    typed: String,
    sending: String,
}

/// Why a text is not an address that we send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// Nothing was typed.
    Missing,
    /// Not of the form `name@domain.tld`.
    NotAnAddress,
    /// The part before the `@` must be ASCII: few mail servers deliver anything else (SMTPUTF8).
    NonAsciiLocalPart,
    /// More than 254 bytes, or more than 64 before the `@`.
    TooLong,
    /// The text contains an invisible, misleading character.
    Invisible,
    /// Begins with a dash, which some mail programs would take for an option.
    StartsWithDash,
}

impl Address {
    /// Parses typed text, at most 254 bytes; blanks around it and harmless invisible characters are removed. The domain may
    /// contain letters of any script. It must contain a dot and must not be an IP address or quoted, as no public mailbox is.
    pub fn parse(typed: &str) -> Result<Address, AddressFault> {
        let typed = readable(typed)?;
        let (local, domain) = parts(&typed)?;
        let sending = [local, "@", &domain_in_ascii(domain)?].concat();
        if sending.len() > LONGEST {
            return Err(AddressFault::TooLong);
        }
        Ok(Address { typed: typed.into_owned(), sending })
    }

    /// As the applicant wrote it, without invisible characters: for display and for passing on.
    pub fn as_typed(&self) -> &str {
        &self.typed
    }

    /// For the people who decide: as typed, followed by the form used for sending if that differs. Letters of another script
    /// may look like those of a well-known domain.
    pub(crate) fn for_deciding(&self) -> String {
        match self.typed.eq_ignore_ascii_case(&self.sending) {
            true => self.typed.clone(),
            false => format!("{} ({})", self.typed, self.sending),
        }
    }

    /// For mail servers: the domain in ASCII (`xn--...`), the local part as typed.
    pub fn for_sending(&self) -> &str {
        &self.sending
    }

    /// For comparison: all in lower case, the domain in ASCII. No mail provider in use distinguishes `Max@` from `max@`, and
    /// Synapse compares addresses in the same way.
    pub fn folded(&self) -> String {
        self.sending.to_ascii_lowercase()
    }
}

/// Folds many addresses as [`Address::folded`] does, with little memory and time for each.
#[derive(Default)]
pub struct Folding {
    folded: Pieces,
    /// Domains that came before, and their form in ASCII if they are valid: an address book has few domains.
    domains: HashMap<String, Result<String, AddressFault>>,
}

/// The domains that [`Folding`] remembers.
const MOST_DOMAINS: usize = 256;

impl Folding {
    /// Folds one more address.
    pub fn add(&mut self, typed: &str) -> Result<Piece, AddressFault> {
        let typed = readable(typed)?;
        let (local, domain) = parts(&typed)?;
        if !self.domains.contains_key(domain) {
            if self.domains.len() == MOST_DOMAINS {
                self.domains.clear();
            }
            self.domains.insert(domain.to_owned(), domain_in_ascii(domain));
        }
        let domain = self.domains.get(domain).map_or(Err(AddressFault::NotAnAddress), |known| known.as_deref().map_err(|fault| *fault))?;
        if local.len() + 1 + domain.len() > LONGEST {
            return Err(AddressFault::TooLong);
        }
        Ok(self.folded.add_in_lower_case(&[local, "@", domain]))
    }

    /// An address that was added.
    pub fn get(&self, piece: Piece) -> &str {
        self.folded.get(piece)
    }
}

/// A stored address, for passing on; older rows may contain invisible characters.
pub fn cleaned(stored: &str) -> String {
    match stored.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => stored.to_owned(),
        false => Address::parse(stored).map_or_else(|_| characters::one_line(stored), |address| address.typed),
    }
}

/// The form in which all spellings of an address are equal: [`Address::folded`], or lower case if the text is not a valid
/// address.
pub fn folded(text: &str) -> String {
    let line = || characters::one_line(text);
    let address = Address::parse(text).or_else(|_| Address::parse(&line()));
    address.map_or_else(|_| line().to_lowercase(), |address| address.folded())
}

/// Folds the beginning of an address, or a whole one, for comparison with beginnings of others: in lower case, with each part
/// of the domain in its own script, even if it was written as `xn--...`. (ASCII would not work: the `xn--` form of a beginning
/// is not a beginning of the whole `xn--` form.)
pub fn folded_beginning(text: &str) -> String {
    let text = characters::one_line(text).to_lowercase();
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            let label = |label: &str| Some(idna::domain_to_unicode(label)).filter(|(_, done)| done.is_ok()).map(|(letters, _)| letters);
            let labels = domain.split('.').map(|part| label(part).unwrap_or_else(|| part.to_owned()));
            format!("{local}@{}", labels.collect::<Vec<_>>().join("."))
        }
        None => text,
    }
}

/// A folded address without the part after `+` in its local part, because most mail providers deliver all of these to one
/// mailbox. Only for counting.
pub(crate) fn without_tag(folded: &str) -> String {
    match folded.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split_once('+').map_or(local, |(name, _)| name)),
        None => folded.to_owned(),
    }
}

/// The same without dots as well, which some large mail providers ignore: one person, more likely than not. Only as a hint to
/// people, never for deciding anything.
pub(crate) fn person(folded: &str) -> String {
    let plain = without_tag(folded);
    match plain.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.replace('.', "")),
        None => plain,
    }
}

/// Shows only the domain, so that no address appears in a log by accident.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.sending.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(f, "Address(..@{domain})")
    }
}

/// Typed text without invisible characters and blanks around it, not yet known to be an address.
fn readable(typed: &str) -> Result<Cow<'_, str>, AddressFault> {
    let typed = characters::plain(typed).map_err(|fault| match fault {
        CharacterFault::Invisible => AddressFault::Invisible,
        CharacterFault::Stacked => AddressFault::NotAnAddress,
        CharacterFault::TooLong => AddressFault::TooLong,
    })?;
    match typed.as_bytes() {
        [] => Err(AddressFault::Missing),
        [b'-', ..] => Err(AddressFault::StartsWithDash),
        bytes if bytes.len() > LONGEST => Err(AddressFault::TooLong),
        _ => Ok(typed),
    }
}

/// The valid local part, and the domain as typed.
fn parts(typed: &str) -> Result<(&str, &str), AddressFault> {
    let (local, domain) = typed.rsplit_once('@').ok_or(AddressFault::NotAnAddress)?;
    check_local_part(local)?;
    Ok((local, domain))
}

/// Checks for a dot-atom (RFC 5321, 4.1.2), not a quoted string.
fn check_local_part(local: &str) -> Result<(), AddressFault> {
    if local.chars().any(|c| !c.is_ascii() && !c.is_control() && !c.is_whitespace()) {
        return Err(AddressFault::NonAsciiLocalPart);
    }
    let atext = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    if !local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext)) {
        return Err(AddressFault::NotAnAddress);
    }
    if local.len() > LONGEST_LOCAL_PART {
        return Err(AddressFault::TooLong);
    }
    Ok(())
}

/// The domain according to UTS 46 with the rules for host names, in lower case.
fn domain_in_ascii(domain: &str) -> Result<String, AddressFault> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| AddressFault::NotAnAddress)?;
    let (rest, top) = ascii.rsplit_once('.').ok_or(AddressFault::NotAnAddress)?;
    // 192.0.2.1 would pass as a name, but no top-level domain is a number.
    if rest.is_empty() || top.is_empty() || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressFault::NotAnAddress);
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_dots_hide_nobody() {
        for other in ["max.muster@example.org", "maxmuster+spam@example.org", "m.a.x.muster+1+2@example.org"] {
            assert_eq!(person(other), "maxmuster@example.org");
        }
        assert_ne!(person("maxmuster@mail.example.org"), person("maxmuster@example.org"));
    }

    #[test]
    fn tags_lead_to_one_box() {
        assert_eq!(without_tag("max+a+b@example.org"), "max@example.org");
        assert_eq!(without_tag("max@example.org"), without_tag("max+1@example.org"));
        assert_ne!(without_tag("max@example.org"), without_tag("max@example.com"));
        assert_eq!(without_tag("+@example.org"), "@example.org");
    }

    #[test]
    fn an_address_has_a_form_for_showing_one_for_sending_and_one_for_comparing() {
        let address = Address::parse(" Max.Muster+x@Bücher.Example\n").unwrap();
        assert_eq!(address.as_typed(), "Max.Muster+x@Bücher.Example");
        assert_eq!(address.for_sending(), "Max.Muster+x@xn--bcher-kva.example");
        assert_eq!(address.folded(), "max.muster+x@xn--bcher-kva.example");
        assert_eq!(address.for_deciding(), "Max.Muster+x@Bücher.Example (Max.Muster+x@xn--bcher-kva.example)");
        assert_eq!(Address::parse("Max@Example.ORG").unwrap().for_deciding(), "Max@Example.ORG");
        let cyrillic = Address::parse("boss@\u{441}ompany.org").unwrap();
        assert!(cyrillic.for_deciding().contains("(boss@xn--ompany-"), "{}", cyrillic.for_deciding());
        assert!(!format!("{address:?}").contains("Max"));
    }

    #[test]
    fn what_cannot_be_seen_in_an_address_is_not_kept() {
        for hidden in ["\u{200b}", "\u{200e}", "\u{feff}", "\u{2060}", "\u{ad}", "\u{61c}", "\u{a0}"] {
            for typed in [format!("{hidden}max@example.org"), format!("max@example.org{hidden}"), format!(" {hidden} max@example.org ")] {
                let address = Address::parse(&typed).unwrap_or_else(|fault| panic!("{typed:?}: {fault:?}"));
                assert_eq!([address.as_typed(), address.for_sending()], ["max@example.org"; 2], "{typed:?}");
                assert_eq!(cleaned(&typed), "max@example.org", "{typed:?}");
            }
        }
        for typed in ["m\u{200b}ax@example.org", "max\u{200d}@exam\u{ad}ple.org", "\u{2068}max@example.org\u{2069}"] {
            assert_eq!(Address::parse(typed).unwrap().as_typed(), "max@example.org", "{typed:?}");
        }
        assert_eq!(cleaned("Max Muster\u{202e} <max>"), "Max Muster <max>", "of PHP's, and no address");
    }

    #[test]
    fn every_spelling_of_an_address_is_compared_as_one() {
        for typed in ["Max@Bücher.example", "max@bu\u{308}cher.example", "MAX@XN--BCHER-KVA.example", "max@BÜCHER.Example\u{200b}"] {
            assert_eq!(folded(typed), "max@xn--bcher-kva.example", "{typed}");
            assert_eq!(folded_beginning(typed), "max@bücher.example", "{typed}");
        }
        for hidden in ["\u{ad}".repeat(4096), "\u{202e}".into()] {
            assert_eq!(folded(&format!("ma{hidden}x@Bücher.example")), "max@xn--bcher-kva.example", "of older rows");
        }
        for (typed, beginning) in [("Max@Büc", "max@büc"), ("max@xn--bcher-kva", "max@bücher"), ("Max", "max"), ("max@", "max@")] {
            assert_eq!(folded_beginning(typed), beginning);
        }
    }

    #[test]
    fn an_address_among_many_is_folded_as_if_it_were_alone() {
        let mut folding = Folding::default();
        let domain = |number: usize| match number % 4 {
            0 => format!("Example{number}.org"),
            1 => "Bücher.example".into(),
            2 => "exa_mple.org".into(),
            _ => format!("{}.org", "d".repeat(number % 70)),
        };
        let typed: Vec<String> = (0..8 * MOST_DOMAINS).map(|number| format!(" Max.{number}@{}\u{200b}", domain(number))).collect();
        let pieces: Vec<_> = typed.iter().map(|typed| folding.add(typed)).collect();
        for (typed, piece) in typed.iter().zip(pieces) {
            let alone = Address::parse(typed).map(|address| address.folded());
            assert_eq!(piece.map(|piece| folding.get(piece).to_owned()), alone, "{typed}");
        }
        assert!(folding.domains.len() <= MOST_DOMAINS);
        let long = format!("{}@{}.bücher.example", "x".repeat(60), ["d".repeat(40).as_str(); 4].join("."));
        assert_eq!(folding.add(&long).err(), Address::parse(&long).err(), "too long in ASCII alone");
    }

    #[test]
    fn each_wrong_address_is_told_what_is_wrong() {
        let long_domain = format!("{}.org", "d".repeat(60));
        let cases = [
            ("", AddressFault::Missing),
            (" \t ", AddressFault::Missing),
            ("max", AddressFault::NotAnAddress),
            ("@example.org", AddressFault::NotAnAddress),
            ("max@", AddressFault::NotAnAddress),
            ("max@localhost", AddressFault::NotAnAddress),
            ("max@example.org.", AddressFault::NotAnAddress),
            ("max@.org", AddressFault::NotAnAddress),
            ("max@exa mple.org", AddressFault::NotAnAddress),
            ("ma x@example.org", AddressFault::NotAnAddress),
            ("max@@example.org", AddressFault::NotAnAddress),
            ("a@b@example.org", AddressFault::NotAnAddress),
            ("max..m@example.org", AddressFault::NotAnAddress),
            (".max@example.org", AddressFault::NotAnAddress),
            ("\"max\"@example.org", AddressFault::NotAnAddress),
            ("Max <max@example.org>", AddressFault::NotAnAddress),
            ("max@[192.0.2.1]", AddressFault::NotAnAddress),
            ("max@192.0.2.1", AddressFault::NotAnAddress),
            ("max@exa_mple.org", AddressFault::NotAnAddress),
            ("max@example.org\r\nBcc: eve@example.org", AddressFault::NotAnAddress),
            ("max\0@example.org", AddressFault::Invisible),
            ("gro.elpmaxe@xam\u{202e}", AddressFault::Invisible),
            ("max@exam\u{3164}ple.org", AddressFault::Invisible),
            ("-oQ/tmp@example.org", AddressFault::StartsWithDash),
            ("\u{200b} -max@example.org", AddressFault::StartsWithDash),
            ("max@-example.org", AddressFault::NotAnAddress),
            ("max,eve@example.org", AddressFault::NotAnAddress),
            ("müller@example.org", AddressFault::NonAsciiLocalPart),
        ];
        for (typed, fault) in cases {
            assert_eq!(Address::parse(typed), Err(fault), "{typed:?}");
            assert_eq!(Folding::default().add(typed).err(), Some(fault), "{typed:?}");
        }
        assert_eq!(Address::parse(&format!("ma{}x@example.org", "\u{ad}".repeat(4096))), Err(AddressFault::TooLong), "unread");
        assert_eq!(Address::parse(&format!("{}@example.org", "x".repeat(65))), Err(AddressFault::TooLong));
        assert_eq!(Address::parse(&format!("m@{}", [long_domain.as_str(); 5].join("."))), Err(AddressFault::TooLong));
    }
}

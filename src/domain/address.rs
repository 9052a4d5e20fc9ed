//! A mail address as an applicant types it, parsed at the door.

use crate::domain::characters::{self, CharacterFault};
use std::fmt;

/// Bytes of the longest address that fits into an SMTP path (RFC 5321, 4.5.3.1.3, without the angle brackets).
const LONGEST: usize = 254;
/// Bytes of the longest local part (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL_PART: usize = 64;

/// An address that can be written into an SMTP command and a header as it is: ASCII, no quoting, no IP literal.
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
    /// Left of the `@` only ASCII is taken: few mail servers deliver anything else (SMTPUTF8).
    NonAsciiLocalPart,
    /// More than 254 bytes, or more than 64 left of the `@`.
    TooLong,
    /// It has a character that cannot be seen, and misleads.
    Invisible,
    /// It begins with a dash, and some mail programs would take it for an option.
    StartsWithDash,
}

impl Address {
    /// Takes what was typed, without blanks around it and what is invisible and harmless; at most 254 bytes. The domain may
    /// have letters of any script; it must have a dot, and be neither an IP address nor quoted, as no public mail box is.
    pub fn parse(typed: &str) -> Result<Address, AddressFault> {
        let typed = characters::plain(typed).map_err(|fault| match fault {
            CharacterFault::Invisible => AddressFault::Invisible,
            CharacterFault::Stacked => AddressFault::NotAnAddress,
        })?;
        if typed.is_empty() {
            return Err(AddressFault::Missing);
        }
        if typed.starts_with('-') {
            return Err(AddressFault::StartsWithDash);
        }
        if typed.len() > LONGEST {
            return Err(AddressFault::TooLong);
        }
        let (local, domain) = typed.rsplit_once('@').ok_or(AddressFault::NotAnAddress)?;
        check_local_part(local)?;
        let sending = format!("{local}@{}", domain_in_ascii(domain)?);
        if sending.len() > LONGEST {
            return Err(AddressFault::TooLong);
        }
        Ok(Address { typed, sending })
    }

    /// As the applicant wrote it, without what cannot be seen: for showing, and for handing on.
    pub fn as_typed(&self) -> &str {
        &self.typed
    }

    /// For whoever decides about it: as typed, and as the mails are sent where that reads otherwise. Letters of another script
    /// may look like those of a domain that everybody knows.
    pub fn for_deciding(&self) -> String {
        match self.typed.eq_ignore_ascii_case(&self.sending) {
            true => self.typed.clone(),
            false => format!("{} ({})", self.typed, self.sending),
        }
    }

    /// With the domain in ASCII (`xn--...`), the local part as typed: for mail servers.
    pub fn for_sending(&self) -> &str {
        &self.sending
    }

    /// In lower case as a whole, the domain in ASCII: for comparing. No mail provider in use tells `Max@` from `max@`,
    /// and Synapse compares addresses in the same way (contract synapse 2.2).
    pub fn folded(&self) -> String {
        self.sending.to_ascii_lowercase()
    }
}

/// An address of a row, as it may be handed on: those of former times may hold characters that cannot be seen.
pub fn cleaned(stored: &str) -> String {
    match stored.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => stored.to_owned(),
        false => Address::parse(stored).map_or_else(|_| characters::one_line(stored), |address| address.typed),
    }
}

/// What every spelling of an address has in common, also of one that nothing can be sent to: [`Address::folded`], else lower
/// case.
pub fn folded(text: &str) -> String {
    Address::parse(text).map_or_else(|_| characters::one_line(text).to_lowercase(), |address| address.folded())
}

/// The beginning of an address, or a whole one, for comparing with beginnings of others: in lower case, and each part of the
/// domain in letters, whether it was written so or as `xn--...`. (ASCII would not do: the `xn--` of a beginning is no
/// beginning of the other's.)
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

/// A folded address without what stands behind a `+` in its local part: at most mail providers all of these are one box.
/// For counting only.
pub fn without_tag(folded: &str) -> String {
    match folded.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split_once('+').map_or(local, |(name, _)| name)),
        None => folded.to_owned(),
    }
}

/// Shows the domain only, so that no log line has an address by accident.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.sending.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(f, "Address(..@{domain})")
    }
}

/// A dot-atom (RFC 5321, 4.1.2): no quoted string.
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

/// By UTS 46 with the rules for host names, in lower case.
fn domain_in_ascii(domain: &str) -> Result<String, AddressFault> {
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| AddressFault::NotAnAddress)?;
    let (rest, top) = ascii.rsplit_once('.').ok_or(AddressFault::NotAnAddress)?;
    // 192.0.2.1 would pass as a name; no top-level domain is a number
    if rest.is_empty() || top.is_empty() || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressFault::NotAnAddress);
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (typed, beginning) in [("Max@Büc", "max@büc"), ("max@xn--bcher-kva", "max@bücher"), ("Max", "max"), ("max@", "max@")] {
            assert_eq!(folded_beginning(typed), beginning);
        }
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
        }
        assert_eq!(Address::parse(&format!("{}@example.org", "x".repeat(65))), Err(AddressFault::TooLong));
        assert_eq!(Address::parse(&format!("m@{}", [long_domain.as_str(); 5].join("."))), Err(AddressFault::TooLong));
    }
}

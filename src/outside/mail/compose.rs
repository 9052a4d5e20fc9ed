//! Turns a letter into the bytes of a mail (RFC 5322, MIME).
//!
//! lettre encodes non-ASCII text and refuses line breaks in headers. This module removes what it lets through: other control
//! characters, endless words, ready-made encoded words.

use super::{Error, Letter};
use crate::domain::address::Address;
use crate::domain::characters;
use crate::domain::config::MailboxText;
use data_encoding::HEXLOWER;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MultiPart, SinglePart};
use sha2::{Digest, Sha256};
use std::time::{Duration, UNIX_EPOCH};

/// Bytes of a line in a mail, without the line end (RFC 5322, 2.1.1).
const LONGEST_LINE: usize = 998;
/// Characters of a name in a header; a header line must stay below 998 bytes (RFC 5322, 2.1.1).
const LONGEST_NAME: usize = 100;
const LONGEST_SUBJECT: usize = 200;
/// The last second of the year 9999, because a Date has four digits for the year.
const LAST_SECOND: u64 = 253_402_300_799;

/// A mail that is ready to be sent.
pub(crate) struct Composed {
    pub recipient: lettre::Address,
    /// Without the angle brackets.
    pub message_id: String,
    /// Lines end with CR LF.
    pub bytes: Vec<u8>,
}

/// Composes headers and both bodies. A letter that cannot be written, because its address is invalid, is refused.
pub fn compose(from: &Mailbox, reply_to: Option<&Mailbox>, letter: &Letter, now: i64) -> Result<Composed, Error> {
    let recipient = recipient(letter.to_address)?;
    let message_id = message_id(letter.message_id);
    let date = UNIX_EPOCH + Duration::from_secs(u64::try_from(now).unwrap_or(0).min(LAST_SECOND));
    let mut builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(letter.to_name.map(one_line(LONGEST_NAME)).filter(|name| !name.is_empty()), recipient.clone()))
        .subject(one_line(LONGEST_SUBJECT)(letter.subject))
        .date(date)
        .message_id(Some(format!("<{message_id}>")));
    if let Some(mailbox) = reply_to {
        builder = builder.reply_to(mailbox.clone());
    }
    for (name, value) in [
        ("Content-Language", letter.language.tag()),
        // RFC 3834: asks for no vacation notices. The second header says the same to Exchange, but allows bounces.
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
    ] {
        builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()));
    }
    let message = builder
        .multipart(bodies(letter, &message_id))
        .map_err(|cause| Error::Refused(format!("the mail {message_id} cannot be written: {}", super::quote(&cause.to_string()))))?;
    Ok(Composed { recipient, message_id, bytes: message.formatted() })
}

/// A mailbox from the configuration: `Name <address>` (the name may be quoted) or an address.
pub fn mailbox(key: &str, text: &MailboxText) -> Result<Mailbox, Error> {
    let (name, address) = match text.0.trim().trim_end_matches('>').rsplit_once('<') {
        Some((name, address)) => (unquoted(name.trim()), address.trim()),
        None => (String::new(), text.0.trim()),
    };
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    // A sendmail program could take such an address for an option.
    let local = if local.starts_with('-') { "" } else { local };
    // The rules for applicants do not apply: a sender at "localhost" is fine.
    let domain = idna::domain_to_ascii(domain).unwrap_or_default();
    let address = lettre::Address::new(local, &domain).ok().filter(|address| AsRef::<str>::as_ref(address).is_ascii());
    let address = address.ok_or_else(|| {
        Error::Config(format!("key \"{key}\" in [mail]: expected a mail address, for example \"Sign-up <register@example.org>\""))
    })?;
    Ok(Mailbox::new(Some(one_line(LONGEST_NAME)(&name)).filter(|name| !name.is_empty()), address))
}

/// The content of a name that is one quoted string (RFC 5322, 3.2.4). Any other name stays unchanged, including its quotes.
fn unquoted(name: &str) -> String {
    let inside = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.and_then(without_escapes).unwrap_or_else(|| name.to_owned())
}

/// `None` if a quote ends the string early, or a backslash escapes the closing quote.
fn without_escapes(inside: &str) -> Option<String> {
    let (mut plain, mut characters) = (String::new(), inside.chars());
    while let Some(character) = characters.next() {
        plain.push(match character {
            '"' => return None,
            '\\' => characters.next()?,
            other => other,
        });
    }
    Some(plain)
}

fn recipient(text: &str) -> Result<lettre::Address, Error> {
    let refused = || Error::Refused("the recipient's address is not one that can be written to".into());
    let address = Address::parse(text).map_err(|_| refused())?;
    address.for_sending().parse().map_err(|_| refused())
}

/// Keeps letters, digits and `._@+=-`, and replaces anything else with a dash.
fn message_id(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "._@+=-".contains(c) { c } else { '-' }).take(200).collect()
}

/// Text for a header, cut to `longest` characters. A ready-made encoded word (RFC 2047, `=?utf-8?...`) is broken up, because
/// mail clients would decode it.
fn one_line(longest: usize) -> impl Fn(&str) -> String {
    move |text| characters::one_line(text).replace("=?", "= ?").chars().take(longest).collect()
}

/// lettre turns each LF into CR LF. It would leave a single CR, which some mail servers treat as a line end.
fn body(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "")
}

/// The boundary is a hash of the parts it separates, so it occurs in neither of them and is the same at each repetition.
fn bodies(letter: &Letter, message_id: &str) -> MultiPart {
    let (text, html) = (body(letter.text), body(letter.html));
    let hash = Sha256::digest([message_id, &text, &html].join("\0"));
    MultiPart::alternative()
        .boundary(HEXLOWER.encode(&hash[..20]))
        .singlepart(part(ContentType::TEXT_PLAIN, text))
        .singlepart(part(ContentType::TEXT_HTML, html))
}

/// ASCII is sent unencoded, so that people and programs that read the source find each link complete on its line. Other text is
/// not encoded as base64, which spam filters dislike.
fn part(content_type: ContentType, text: String) -> SinglePart {
    let builder = SinglePart::builder().header(content_type);
    match text.is_ascii() && text.lines().all(|line| line.len() <= LONGEST_LINE) {
        true => {
            let lines = text.replace('\n', "\r\n").into_bytes();
            builder.body(Body::dangerous_pre_encoded(lines, ContentTransferEncoding::SevenBit))
        }
        false => builder.header(ContentTransferEncoding::QuotedPrintable).body(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Language;
    use mailparse::MailHeaderMap;

    const LETTER: Letter = Letter {
        to_address: "max@example.org",
        to_name: None,
        message_id: "verify.9f86d081@example.org",
        language: Language::English,
        subject: "Confirm your address",
        text: "Hello Max\n",
        html: "<p>Hello Max</p>\n",
    };

    fn mail(letter: &Letter) -> String {
        let from = mailbox("from", &MailboxText("Sign-up at example.org <register@example.org>".into())).unwrap();
        let reply_to = mailbox("reply_to", &MailboxText("help@example.org".into())).unwrap();
        String::from_utf8(compose(&from, Some(&reply_to), letter, 1_795_000_000).unwrap().bytes).unwrap()
    }

    fn header(letter: &Letter) -> String {
        mail(letter).split_once("\r\n\r\n").unwrap().0.to_owned()
    }

    #[test]
    fn a_mail_is_these_bytes_each_time() {
        let expected = "From: \"Sign-up at example.org\" <register@example.org>\r\n\
            To: max@example.org\r\n\
            Subject: Confirm your address\r\n\
            Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n\
            Message-ID: <verify.9f86d081@example.org>\r\n\
            Reply-To: help@example.org\r\n\
            Content-Language: en\r\n\
            Auto-Submitted: auto-generated\r\n\
            X-Auto-Response-Suppress: OOF, AutoReply\r\n\
            MIME-Version: 1.0\r\n";
        let mail = mail(&LETTER);
        assert!(mail.starts_with(expected), "{mail}");
        assert_eq!(mail, super::tests::mail(&LETTER));
        assert!(mail.contains("Content-Type: multipart/alternative;\r\n boundary=\""), "{mail}");
        assert!(mail.contains("Hello Max\r\n") && mail.contains("<p>Hello Max</p>\r\n"), "{mail}");
    }

    #[test]
    fn no_text_of_a_visitor_makes_a_header_of_its_own() {
        for evil in
            ["x\r\nBcc: eve@example.net", "x\nBcc: eve@example.net", "x\rBcc: eve@example.net", "x\0Bcc: eve", "x\u{b}Bcc: e\u{1b}[2J"]
        {
            let header = header(&Letter { to_name: Some(evil), subject: evil, message_id: evil, ..LETTER });
            let names: Vec<_> =
                header.split("\r\n").filter(|line| !line.starts_with(' ')).map(|line| line.split(':').next().unwrap()).collect();
            assert_eq!(names.len(), 11, "{header}");
            assert!(!names.contains(&"Bcc"), "{header}");
            assert!(!header.replace("\r\n", "").chars().any(char::is_control), "{header:?}");
        }
    }

    #[test]
    fn names_of_any_script_and_length_fit_into_a_header() {
        let umlauts = header(&Letter { to_name: Some("Jörg \"Ö\" Müller"), subject: "Bestätigen Sie: 😀", ..LETTER });
        assert!(umlauts.is_ascii() && umlauts.contains("=?utf-8?b?"), "{umlauts}");
        for long in ["x".repeat(5000), "ü ".repeat(5000), "\u{202e}😀".repeat(5000)] {
            let header = header(&Letter { to_name: Some(&long), subject: &long, ..LETTER });
            assert!(header.is_ascii());
            assert!(header.lines().all(|line| line.len() < 998), "{header}");
        }
    }

    /// The name beside the address, as a mail client reads it.
    fn shown(from: &str) -> Option<String> {
        let from = mailbox("from", &MailboxText(from.into())).unwrap();
        let bytes = compose(&from, Some(&from), &LETTER, 0).unwrap().bytes;
        let (headers, _) = mailparse::parse_headers(&bytes).unwrap();
        let [from, reply_to] =
            ["From", "Reply-To"].map(|name| mailparse::addrparse_header(headers.get_first_header(name).unwrap()).unwrap());
        assert_eq!(from, reply_to);
        let single = from.extract_single_info().expect("one mailbox");
        assert_eq!(single.addr, "a@example.org");
        single.display_name
    }

    #[test]
    fn the_name_of_a_sender_is_shown_as_the_operator_wrote_it() {
        for name in [
            "Sign-up",
            "X \"Büro\"",
            "X \"office\"",
            "\"A\" and \"B\"",
            "Müller, Max",
            "Smith, John",
            "Sign-up (example.org)",
            "back\\slash",
            "Anmeldung: <b>, \\ \"x\" (y)",
            "Anmeldung; für @alle [hier]",
            "o'neil & co.",
        ] {
            assert_eq!(shown(&format!("{name} <a@example.org>")).as_deref(), Some(name));
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            assert_eq!(shown(&format!("\"{quoted}\" <a@example.org>")).as_deref(), Some(name), "quoted");
        }
        assert_eq!(shown("\"\" <a@example.org>"), None);
        assert_eq!(shown("a@example.org"), None);
    }

    #[test]
    fn a_link_stands_whole_on_its_line_of_an_ascii_mail() {
        let link = format!("https://register.example.org/signup/verify?t={}", "0123456789abcdef".repeat(4));
        let html = format!("<p><a href=\"{link}\">{link}</a></p>\n");
        let ascii = mail(&Letter { text: &format!("Please confirm:\n\n{link}\n"), html: &html, ..LETTER });
        assert!(ascii.contains(&format!("\r\n{link}\r\n")), "{ascii}");
        assert_eq!(ascii.matches("Content-Transfer-Encoding: 7bit\r\n").count(), 2, "{ascii}");
        let mixed = mail(&Letter { text: "Grüße\n", ..LETTER });
        assert!(mixed.contains("quoted-printable") && mixed.contains("7bit") && mixed.is_ascii(), "{mixed}");
        let long = mail(&Letter { text: &"x".repeat(LONGEST_LINE + 1), ..LETTER });
        assert!(long.contains("quoted-printable") && long.lines().all(|line| line.len() <= LONGEST_LINE), "{long}");
    }

    #[test]
    fn a_ready_made_encoded_word_is_not_decoded_by_mail_programs() {
        let header = header(&Letter { to_name: Some("=?utf-8?b?RXZl?="), subject: "=?utf-8?b?RXZl?=", ..LETTER });
        assert!(!header.contains("=?utf-8?b?RXZl?="), "{header}");
    }

    #[test]
    fn the_boundary_follows_the_content_and_occurs_in_no_part() {
        let boundary = |letter: &Letter| mail(letter).split_once("boundary=\"").unwrap().1[..40].to_owned();
        let first = boundary(&LETTER);
        assert_ne!(first, boundary(&Letter { text: "other", ..LETTER }));
        let text = format!("--{first}--\n");
        assert!(!boundary(&Letter { text: &text, ..LETTER }).contains(&first));
    }

    #[test]
    fn line_ends_of_any_kind_become_those_of_mail() {
        let mail = mail(&Letter { text: "a\n.\nb\r\n.\r\nc\r.\rd\0\n", ..LETTER });
        let bytes = mail.as_bytes();
        for (index, byte) in bytes.iter().enumerate() {
            assert!(*byte != b'\n' || bytes[index - 1] == b'\r', "a bare LF in {mail:?}");
            assert!(*byte != b'\r' || bytes[index + 1] == b'\n', "a bare CR in {mail:?}");
        }
    }

    #[test]
    fn an_address_with_a_domain_of_another_script_is_written_in_ascii() {
        assert!(header(&Letter { to_address: "max@bücher.example", ..LETTER }).contains("To: max@xn--bcher-kva.example\r\n"));
    }

    #[test]
    fn a_letter_to_nobody_is_refused_without_telling_the_address() {
        let from = mailbox("from", &MailboxText("register@localhost".into())).unwrap();
        let Err(Error::Refused(sentence)) = compose(&from, None, &Letter { to_address: "max muster@x", ..LETTER }, 0) else {
            panic!("taken")
        };
        assert!(!sentence.contains("muster"), "{sentence}");
    }

    #[test]
    fn a_wrong_sender_is_refused_with_its_key() {
        for text in ["Help <help@exa mple>", "Help <-oQ/tmp@example.org>"] {
            let Err(Error::Config(sentence)) = mailbox("reply_to", &MailboxText(text.into())) else { panic!("taken: {text}") };
            assert!(sentence.contains("reply_to"), "{sentence}");
        }
    }
}

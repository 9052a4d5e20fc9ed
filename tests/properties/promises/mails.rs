//! The promises about mails: lines and headers are ours, whatever the texts contain.

use super::{NOW, SETTINGS, Scratch};
use mailparse::MailHeaderMap;
use matrix_register_bot::domain::config::{Config, Language};
use matrix_register_bot::outside::mail::{Letter, Mailer};

/// The headers of every mail; no text can add another one.
const HEADERS: [&str; 11] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Content-Language",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// The texts of a letter.
pub struct Texts<'a> {
    pub address: &'a str,
    pub name: &'a str,
    pub message_id: &'a str,
    pub subject: &'a str,
    pub text: &'a str,
    pub html: &'a str,
}

/// A letter becomes a mail according to RFC 5322 with its texts, or is refused.
pub fn letter(scratch: &Scratch, texts: &Texts) {
    let config = Config::parse(SETTINGS, scratch.0.clone()).expect("the settings are right");
    let letter = Letter {
        to_address: texts.address,
        to_name: Some(texts.name),
        message_id: texts.message_id,
        language: Language::German,
        subject: texts.subject,
        text: texts.text,
        html: texts.html,
    };
    let Ok(bytes) = Mailer::new(&config).expect("a mailer").compose(&letter, NOW) else { return };
    assert!(bytes.is_ascii(), "a mail is ASCII");
    let mail = std::str::from_utf8(&bytes).expect("ASCII");
    for line in mail.split("\r\n") {
        assert!(line.len() <= 998 || !line.contains(' ') || is_body(mail, line), "a line of {} bytes", line.len());
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
    let parsed = mailparse::parse_mail(&bytes).expect("a mail can be read");
    for header in parsed.get_headers() {
        let name = header.get_key();
        assert!(HEADERS.contains(&&*name), "{name:?}");
    }
    for name in HEADERS {
        assert!(parsed.get_headers().get_all_headers(name).len() <= 1, "{name} is there twice");
    }
    assert!(!parsed.get_headers().get_first_value("Subject").unwrap_or_default().contains(['\r', '\n']));
    assert_eq!(parsed.subparts.len(), 2, "text and HTML");
    for (part, sent) in parsed.subparts.iter().zip([texts.text, texts.html]) {
        let lines = |text: &str| text.replace("\r\n", "\n").replace(['\r'], "\n").replace('\0', "");
        let got = lines(&part.get_body().expect("a body"));
        assert_eq!(got.trim_end_matches('\n'), lines(sent).trim_end_matches('\n'));
    }
}

/// Whether a body contains a line.
fn is_body(mail: &str, line: &str) -> bool {
    mail.split_once("\r\n\r\n").is_some_and(|(_, rest)| rest.contains(line))
}

//! Mails to applicants: over SMTP, through a sendmail program, or into a folder.
//!
//! The same letter and time always give the same bytes, boundary included, and the caller sets the Message-ID. So if a letter
//! is sent again because an answer was lost, mail servers and clients can recognise the duplicate.
//!
//! [`Error`] lists the ways a letter can fail. A refusal is final only if the mail server rejects the mailbox itself (RFC 3463:
//! 5.1.1 and similar, in answer to RCPT TO). The operator can repair everything else (a wrong password, relaying denied, a
//! filter, a full disk), so those errors mean "later" and no accepted request is lost. In between are answers about the address
//! or its domain that may be temporary or permanent ([`Error::PutOff`]); after some days of them the letter is given up.

mod compose;
mod folder;
mod sendmail;
mod smtp;

pub use crate::domain::address::Address;

use crate::domain::characters;
use crate::domain::config::{self, Config, Language, MailTransport};
use lettre::message::Mailbox;
use std::fmt;
use std::path::PathBuf;

/// A mail to one person: plain text, and the same as simple HTML.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    /// An address that [`Address::parse`] accepts.
    pub to_address: &'a str,
    /// Shown beside the address; control characters are dropped, and at most 100 characters are used. Leave it out until the
    /// address is confirmed, or strangers get mails that greet them with any text.
    pub to_name: Option<&'a str>,
    /// Without the angle brackets, for example `verify.9f86d081@example.org`; the same for each repetition.
    pub message_id: &'a str,
    pub language: Language,
    /// Control characters are dropped, and at most 200 characters are used.
    pub subject: &'a str,
    pub text: &'a str,
    pub html: &'a str,
}

/// Why a letter was not sent. The messages are for the log: they name the configuration key, but no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Not sent. It may work later, perhaps after the operator repaired something.
    Later(String),
    /// Not sent, and no other letter would be sent now: the mail server or program cannot be reached, or accepts nothing from us.
    Unreachable(String),
    /// Not sent. The mail server accepted the sender and then did not answer for the recipient in time, as servers do that ask the
    /// slow mail servers of the recipient's domain first. Letters to other domains may be sent.
    SlowDomain { domain: String, sentence: String },
    /// The mail server cannot deliver to this address or its domain now, and perhaps never can: a typo in a domain looks like a name
    /// server that is down (`450 4.1.2 Domain not found`).
    PutOff(String),
    /// The connection broke while the mail was being sent. Try again later, although it may have been sent.
    PerhapsSent(String),
    /// There is no such mailbox. Trying again does not help.
    Refused(String),
    /// `[mail]` in config.toml cannot be used.
    Config(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Error::Later(sentence)
        | Error::Unreachable(sentence)
        | Error::SlowDomain { sentence, .. }
        | Error::PutOff(sentence)
        | Error::PerhapsSent(sentence)
        | Error::Refused(sentence)
        | Error::Config(sentence)) = self;
        f.write_str(sentence)
    }
}

impl std::error::Error for Error {}

impl From<config::Error> for Error {
    fn from(cause: config::Error) -> Error {
        Error::Config(cause.to_string())
    }
}

/// Sends letters as `[mail]` in config.toml says.
pub struct Mailer {
    from: Mailbox,
    reply_to: Option<Mailbox>,
    transport: Transport,
}

enum Transport {
    Smtp(Box<smtp::Relay>),
    Sendmail(PathBuf),
    Folder(PathBuf),
}

/// Leaves the credentials out.
impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").finish_non_exhaustive()
    }
}

impl Mailer {
    /// Reads the password and the certificate files; connects to nothing.
    pub fn new(config: &Config) -> Result<Mailer, Error> {
        let mail = &config.mail;
        Ok(Mailer {
            from: compose::mailbox("from", &mail.from)?,
            reply_to: mail.reply_to.as_ref().map(|text| compose::mailbox("reply_to", text)).transpose()?,
            transport: match mail.transport {
                MailTransport::Smtp => Transport::Smtp(Box::new(smtp::Relay::new(config)?)),
                MailTransport::Sendmail => Transport::Sendmail(mail.sendmail.clone()),
                MailTransport::File => Transport::Folder(mail.folder.clone()),
            },
        })
    }

    /// The bytes of the mail that [`Mailer::send`] hands over.
    pub fn compose(&self, letter: &Letter, now: i64) -> Result<Vec<u8>, Error> {
        Ok(compose::compose(&self.from, self.reply_to.as_ref(), letter, now)?.bytes)
    }

    /// Sends the letter; `now` (seconds since 1970) is its Date. `Ok` means that the next mail server, the program or the disk
    /// has it. Takes at most [`longest_seconds`].
    pub fn send(&self, letter: &Letter, now: i64) -> Result<(), Error> {
        let composed = compose::compose(&self.from, self.reply_to.as_ref(), letter, now)?;
        match &self.transport {
            Transport::Smtp(relay) => relay.send(&self.from.email, &composed.recipient, &composed.bytes),
            Transport::Sendmail(program) => sendmail::send(program, &self.from.email, &composed.recipient, &composed.bytes),
            Transport::Folder(folder) => folder::send(folder, &composed.message_id, &composed.bytes),
        }
    }
}

impl Mailer {
    /// Finds out whether mails would be taken, without sending one: connects, encrypts, logs in and names the sender.
    pub fn probe(&self) -> Result<String, Error> {
        match &self.transport {
            Transport::Smtp(relay) => relay.probe(&self.from.email),
            Transport::Sendmail(program) => sendmail::probe(program),
            Transport::Folder(folder) => folder::probe(folder),
        }
    }
}

/// The longest time that [`Mailer::send`] takes, in seconds. A lease on a letter must last longer.
pub(crate) fn longest_seconds(config: &Config) -> u64 {
    match config.mail.transport {
        MailTransport::Smtp => config.mail.smtp.timeout_seconds.0 * smtp::LONGEST_IN_TIMEOUTS,
        MailTransport::Sendmail => sendmail::LONGEST.as_secs(),
        MailTransport::File => 10,
    }
}

/// Seconds after which sending to a silent mail server has failed. [`longest_seconds`] is for a server that answers each step
/// just in time.
pub(crate) fn silence_seconds(config: &Config) -> u64 {
    match config.mail.transport {
        MailTransport::Smtp => config.mail.smtp.timeout_seconds.0 * smtp::SILENCE_IN_TIMEOUTS,
        MailTransport::Sendmail | MailTransport::File => longest_seconds(config),
    }
}

/// What a server or program said, for a message: one line without mail addresses and without our links (a filter may quote a
/// link that it rejects), at most 300 characters.
fn quote(said: &str) -> String {
    let line = characters::one_line(said);
    let words = line.split(' ').map(|word| match word {
        _ if word.contains("?t=") => "(link)",
        _ if word.contains('@') => "(address)",
        _ => word,
    });
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}

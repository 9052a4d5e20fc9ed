//! `transport = "smtp"`: the conversation with a mail server, one connection a mail.
//!
//! The steps are taken one by one instead of through lettre's `SmtpTransport`, because what a refusal means depends on
//! the step: only the answer to RCPT TO can say that a mail box does not exist.

use super::{Error, quote};
use crate::domain::config::{Config, SmtpSecurity};
use crate::outside::fault;
use lettre::Address;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use std::error::Error as _;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Connecting to two addresses (localhost has two), greeting, EHLO twice, STARTTLS, three steps of AUTH, MAIL, RCPT,
/// DATA, the content, QUIT, and one more for an answer that lettre waits for after a failed EHLO.
pub const LONGEST_IN_TIMEOUTS: u64 = 15;

/// After so many time-outs in all a conversation is given up, as long as the mail itself was not sent: a visitor waits for
/// the page, and web servers have a patience of 60 s.
const PATIENCE_IN_TIMEOUTS: u32 = 3;

/// The mail server of `[mail.smtp]`.
pub struct Relay {
    host: String,
    port: u16,
    security: SmtpSecurity,
    credentials: Option<Credentials>,
    authority: Option<Certificate>,
    timeout: Duration,
    hello: ClientId,
}

/// Where in the conversation it went wrong.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Connect,
    Starttls,
    Auth,
    Sender,
    Recipient,
    Content,
}

impl Relay {
    /// Reads password and certificate files.
    pub fn new(config: &Config) -> Result<Relay, Error> {
        let smtp = &config.mail.smtp;
        let default_port = match smtp.security {
            SmtpSecurity::None => 25,
            SmtpSecurity::Starttls => 587,
            SmtpSecurity::Tls => 465,
        };
        Ok(Relay {
            host: smtp.host.clone(),
            port: smtp.port.unwrap_or(default_port),
            security: smtp.security,
            credentials: config.smtp_credentials()?.map(|(user, password)| Credentials::new(user, password)),
            authority: smtp.ca_file.as_deref().map(read_authority).transpose()?,
            timeout: Duration::from_secs(smtp.timeout_seconds.0),
            hello: hello(&config.public_url.join("")),
        })
    }

    /// Hands one mail over.
    pub fn send(&self, from: &Address, to: &Address, bytes: &[u8]) -> Result<(), Error> {
        let begun = Instant::now();
        let mut connection = self.connect()?;
        let outcome = self.converse(&mut connection, begun, from, to, bytes);
        let answers = match &outcome {
            Ok(()) => true,
            Err((_, cause)) => cause.as_ref().is_some_and(|cause| cause.status().is_some()),
        };
        if answers {
            // a goodbye to a server that answers; what it says to it changes nothing
            let _ = connection.quit();
        }
        outcome.map_err(|(step, cause)| match cause {
            Some(cause) => self.fault(step, &cause),
            None => self.too_slow(step),
        })
    }

    fn connect(&self) -> Result<SmtpConnection, Error> {
        let tls = match self.security {
            SmtpSecurity::None => None,
            SmtpSecurity::Starttls | SmtpSecurity::Tls => Some(self.tls()?),
        };
        let wrapper = tls.as_ref().filter(|_| self.security == SmtpSecurity::Tls);
        let address = (self.host.as_str(), self.port);
        let mut connection = SmtpConnection::connect(address, Some(self.timeout), &self.hello, wrapper, None)
            .map_err(|cause| self.fault(Step::Connect, &cause))?;
        if let (SmtpSecurity::Starttls, Some(tls)) = (self.security, &tls) {
            connection.starttls(tls, &self.hello).map_err(|cause| self.fault(Step::Starttls, &cause))?;
        }
        Ok(connection)
    }

    /// A configured authority counts instead of those that the system knows.
    fn tls(&self) -> Result<TlsParameters, Error> {
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(authority) = &self.authority {
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authority.clone());
        }
        builder.build().map_err(|cause| Error::Config(format!("TLS cannot be set up: {cause}; look at ca_file in [mail.smtp]")))
    }

    /// The step that failed, with what the server said; nothing where it was too slow.
    fn converse(
        &self,
        connection: &mut SmtpConnection,
        begun: Instant,
        from: &Address,
        to: &Address,
        bytes: &[u8],
    ) -> Result<(), (Step, Option<smtp::Error>)> {
        let at = |step| move |cause| (step, Some(cause));
        let in_time = |step| match begun.elapsed() < self.timeout * PATIENCE_IN_TIMEOUTS {
            true => Ok(()),
            false => Err((step, None)),
        };
        if let Some(credentials) = &self.credentials {
            in_time(Step::Auth)?;
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).map_err(at(Step::Auth))?;
        }
        in_time(Step::Sender)?;
        connection.command(Mail::new(Some(from.clone()), Vec::new())).map_err(at(Step::Sender))?;
        in_time(Step::Recipient)?;
        connection.command(Rcpt::new(to.clone(), Vec::new())).map_err(at(Step::Recipient))?;
        in_time(Step::Content)?;
        connection.command(Data).map_err(at(Step::Content))?;
        fault::point("mail begun");
        connection.message(bytes).map_err(at(Step::Content))?;
        fault::point("mail taken");
        Ok(())
    }

    fn too_slow(&self, step: Step) -> Error {
        let seconds = self.timeout.as_secs() * u64::from(PATIENCE_IN_TIMEOUTS);
        Error::Later(format!(
            "the mail server {}:{} was not ready for {} after {seconds} s; look at its load, and at timeout_seconds in [mail.smtp]",
            self.host,
            self.port,
            step.what()
        ))
    }

    /// The sentence for the sysadmin, and whether to try again.
    fn fault(&self, step: Step, cause: &smtp::Error) -> Error {
        let server = format!("the mail server {}:{}", self.host, self.port);
        let said = cause.source().map(ToString::to_string).unwrap_or_default();
        if step == Step::Recipient && cause.is_permanent() && is_about_the_mailbox(&said) {
            return Error::Refused(format!("{server} has no such mail box: {} {}", code(cause), quote(&said)));
        }
        let perhaps_sent = step == Step::Content && cause.status().is_none();
        let kind = if perhaps_sent { Error::PerhapsSent } else { Error::Later };
        kind(match cause.status() {
            Some(_) => format!("{server} refuses {}: {} {}; {}", step.what(), code(cause), quote(&said), step.hint()),
            None if is_timeout(cause) => {
                format!(
                    "{server} did not answer within {} s ({}); look at host, port, security and timeout_seconds in [mail.smtp]",
                    self.timeout.as_secs(),
                    step.what()
                )
            }
            None if said.contains("certificate") => format!(
                "the certificate of {server} is not to be trusted: {}; set ca_file in [mail.smtp] to the authority that signed it, and host to the name it was made for",
                quote(&said)
            ),
            None => format!("cannot talk to {server} ({}): {}; {}", step.what(), quote(&cause.to_string()), step.hint()),
        })
    }
}

impl Step {
    fn what(self) -> &'static str {
        match self {
            Step::Connect => "the connection",
            Step::Starttls => "STARTTLS",
            Step::Auth => "to log us in",
            Step::Sender => "the sender",
            Step::Recipient => "the recipient",
            Step::Content => "the mail",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Step::Connect => "look at host, port and security in [mail.smtp]",
            Step::Starttls => "look at security in [mail.smtp]: \"starttls\" needs a server that offers it",
            Step::Auth => "look at user and password (or password_file) in [mail.smtp]",
            Step::Sender => "look at from in [mail], and whether the server wants user and password in [mail.smtp]",
            Step::Recipient => "if it denies relaying, look at user, password and host in [mail.smtp]",
            Step::Content => "the server's log says more",
        }
    }
}

/// RFC 3463: 5.1.1 bad mail box, 5.1.2 bad domain, 5.1.3 bad syntax, 5.1.6 moved away, 5.1.10 takes no mail (RFC 7505),
/// 5.2.1 disabled. Not 5.1.0, 5.4.x, 5.7.x or a reply without such a code, which relays use for their own rules too, nor
/// 5.1.7 and 5.1.8, which are about the sender.
fn is_about_the_mailbox(said: &str) -> bool {
    let code = said.split_whitespace().next().unwrap_or("");
    matches!(code, "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1")
}

fn code(cause: &smtp::Error) -> String {
    cause.status().map(|code| code.to_string()).unwrap_or_default()
}

/// Linux reports a read that took too long as "would block", which `smtp::Error::is_timeout` does not know.
fn is_timeout(cause: &smtp::Error) -> bool {
    let io = cause.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn read_authority(path: &Path) -> Result<Certificate, Error> {
    let unusable = |cause: &str| Error::Config(format!("ca_file in [mail.smtp]: {} {cause}", path.display()));
    let pem = std::fs::read(path).map_err(|cause| unusable(&format!("cannot be read: {cause}")))?;
    // an empty list of authorities would only show as "unknown issuer" later
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable("has no certificate; expected a PEM file with -----BEGIN CERTIFICATE-----"));
    }
    Certificate::from_pem(&pem).map_err(|cause| unusable(&format!("is not a PEM certificate: {cause}")))
}

/// With which name we greet (RFC 5321, 4.1.1.1): that of the pages, which leads to this machine; else an address.
fn hello(public_url: &str) -> ClientId {
    let host = public_url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or("");
    match host.parse::<Ipv4Addr>() {
        Ok(address) => ClientId::Ipv4(address),
        Err(_) if host.contains('.') && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)) => {
            ClientId::Domain(host.to_owned())
        }
        Err(_) => ClientId::Ipv4(Ipv4Addr::LOCALHOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_about_the_mail_box_are_final() {
        assert!(is_about_the_mailbox("5.1.1 <max@example.org>: Recipient address rejected: User unknown"));
        assert!(is_about_the_mailbox("5.1.10 Recipient address has null MX"));
        for ours in
            ["5.7.1 Relay access denied", "relay not permitted", "5.1.8 Sender address rejected", "5.4.1 Access denied", "User unknown", ""]
        {
            assert!(!is_about_the_mailbox(ours), "{ours}");
        }
    }

    #[test]
    fn we_greet_with_the_name_of_the_pages() {
        assert_eq!(hello("https://register.example.org:8443/x"), ClientId::Domain("register.example.org".into()));
        assert_eq!(hello("http://192.0.2.7"), ClientId::Ipv4(Ipv4Addr::new(192, 0, 2, 7)));
        assert_eq!(hello("http://[::1]:80"), ClientId::Ipv4(Ipv4Addr::LOCALHOST));
        assert_eq!(hello("http://localhost"), ClientId::Ipv4(Ipv4Addr::LOCALHOST));
    }
}

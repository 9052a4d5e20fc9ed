//! `transport = "smtp"`: the conversation with a mail server, one connection per mail.
//!
//! The steps are implemented here because the meaning of a refusal depends on the step: only the answer to RCPT TO can say that
//! a mailbox does not exist. [`wire`] handles lines and replies.

mod wire;

use super::{Error, quote};
use crate::domain::config::{Config, SmtpSecurity};
use crate::outside::{fault, tls};
use data_encoding::BASE64;
use lettre::Address;
use rustls::ClientConfig;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use wire::{Trouble, Wire};

/// Connecting to two addresses (localhost has two), greeting, EHLO twice, STARTTLS, three steps of AUTH, MAIL, RCPT, DATA, the
/// content and its answer, QUIT.
pub(crate) const LONGEST_IN_TIMEOUTS: u64 = 15;

/// A conversation is abandoned after this many time-outs in total, unless the mail itself was sent: a visitor is waiting for
/// the page, and web servers wait 60 s.
const PATIENCE_IN_TIMEOUTS: u32 = 3;

/// A server that falls silent late in the conversation costs this patience and one more time-out.
pub(crate) const SILENCE_IN_TIMEOUTS: u64 = PATIENCE_IN_TIMEOUTS as u64 + 1;

/// The mail server of `[mail.smtp]`.
pub struct Relay {
    host: String,
    port: u16,
    security: SmtpSecurity,
    /// User and password.
    credentials: Option<(String, String)>,
    /// `None` with security "none".
    tls: Option<ClientConfig>,
    timeout: Duration,
    hello: String,
}

/// The step of the conversation that failed.
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
            credentials: config.smtp_credentials()?,
            tls: match smtp.security {
                SmtpSecurity::None => None,
                SmtpSecurity::Starttls | SmtpSecurity::Tls => Some(tls::client(smtp.ca_file.as_deref()).map_err(of_ca_file)?),
            },
            timeout: Duration::from_secs(smtp.timeout_seconds.0),
            hello: hello(&config.public_url.join("")),
        })
    }

    /// Sends one mail.
    pub fn send(&self, from: &Address, to: &Address, bytes: &[u8]) -> Result<(), Error> {
        let begun = Instant::now();
        let mut wire = self.connect().map_err(|(step, cause)| self.fault(step, &cause))?;
        let outcome = self.converse(&mut wire, begun, from, to, bytes);
        if matches!(&outcome, Ok(()) | Err((_, Some(Trouble::Refused(_))))) {
            // Only a server that answers gets a QUIT; its reply changes nothing.
            let _ = wire.command_either("QUIT");
        }
        outcome.map_err(|(step, cause)| match cause {
            Some(cause) if step == Step::Recipient && cause.is_timeout() => self.slow_domain(to),
            Some(cause) => self.fault(step, &cause),
            None => self.too_slow(step),
        })
    }

    /// Goes as far as naming the sender. Returns what was reached.
    pub fn probe(&self, from: &Address) -> Result<String, Error> {
        let mut wire = self.connect().map_err(|(step, cause)| self.fault(step, &cause))?;
        let logged_in = match &self.credentials {
            Some((user, password)) => {
                log_in(&mut wire, user, password).map_err(|cause| self.fault(Step::Auth, &cause))?;
                ", logged in"
            }
            None => "",
        };
        wire.command(&format!("MAIL FROM:<{from}>"), 2).map_err(|cause| self.fault(Step::Sender, &cause))?;
        let _ = wire.command_either("QUIT");
        Ok(format!("{}:{} takes mails of {from}{logged_in}", self.host, self.port))
    }

    /// Connects, encrypted as configured, up to the point where the server accepts mails.
    fn connect(&self) -> Result<Wire, (Step, Trouble)> {
        let at = |step| move |cause| (step, cause);
        let mut wire = Wire::connect(&self.host, self.port, self.timeout).map_err(at(Step::Connect))?;
        if let (SmtpSecurity::Tls, Some(tls)) = (self.security, &self.tls) {
            wire = wire.encrypted(&self.host, tls.clone()).map_err(at(Step::Connect))?;
        }
        wire.welcome().and_then(|()| wire.greet(&self.hello)).map_err(at(Step::Connect))?;
        match (self.security, &self.tls) {
            (SmtpSecurity::Starttls, Some(tls)) => self.start_tls(wire, tls).map_err(at(Step::Starttls)),
            _ => Ok(wire),
        }
    }

    fn start_tls(&self, mut wire: Wire, tls: &ClientConfig) -> Result<Wire, Trouble> {
        if !wire.offers("STARTTLS") {
            return Err(Trouble::Unfit("the server does not offer STARTTLS".into()));
        }
        wire.command("STARTTLS", 2)?;
        let mut wire = wire.encrypted(&self.host, tls.clone())?;
        wire.greet(&self.hello)?;
        Ok(wire)
    }

    /// The error is the failed step and its cause, or no cause if the server was too slow.
    fn converse(&self, wire: &mut Wire, begun: Instant, from: &Address, to: &Address, bytes: &[u8]) -> Result<(), (Step, Option<Trouble>)> {
        let at = |step| move |cause| (step, Some(cause));
        let in_time = |step| match begun.elapsed() < self.timeout * PATIENCE_IN_TIMEOUTS {
            true => Ok(()),
            false => Err((step, None)),
        };
        if let Some((user, password)) = &self.credentials {
            in_time(Step::Auth)?;
            log_in(wire, user, password).map_err(at(Step::Auth))?;
        }
        in_time(Step::Sender)?;
        wire.command(&format!("MAIL FROM:<{from}>"), 2).map_err(at(Step::Sender))?;
        in_time(Step::Recipient)?;
        wire.command(&format!("RCPT TO:<{to}>"), 2).map_err(at(Step::Recipient))?;
        in_time(Step::Content)?;
        wire.command("DATA", 3).map_err(at(Step::Content))?;
        fault::point("mail begun");
        wire.content(bytes).map_err(at(Step::Content))?;
        fault::point("mail taken");
        Ok(())
    }

    fn too_slow(&self, step: Step) -> Error {
        let seconds = self.timeout.as_secs() * u64::from(PATIENCE_IN_TIMEOUTS);
        Error::Unreachable(format!(
            "the mail server {}:{} was not ready for {} after {seconds} s; look at its load, and at timeout_seconds in [mail.smtp]",
            self.host,
            self.port,
            step.what()
        ))
    }

    fn slow_domain(&self, to: &Address) -> Error {
        let sentence = format!(
            "the mail server {}:{} did not answer within {} s ({}); it may be asking slow mail servers of the address's domain; if \
             this happens with many domains, look at its name servers, and at timeout_seconds in [mail.smtp]",
            self.host,
            self.port,
            self.timeout.as_secs(),
            Step::Recipient.what()
        );
        Error::SlowDomain { domain: to.domain().to_owned(), sentence }
    }

    /// The error for the sysadmin, which also decides whether to try again.
    fn fault(&self, step: Step, cause: &Trouble) -> Error {
        let server = format!("the mail server {}:{}", self.host, self.port);
        if let Some(refusal) = cause.refusal() {
            let (code, said) = (refusal.code, refusal.text());
            if step == Step::Recipient && code / 100 == 5 && is_about_the_mailbox(&said) {
                return Error::Refused(format!("{server} has no such mail box: {code} {}", quote(&said)));
            }
            let kind = match step {
                Step::Recipient if is_about_the_way_to_it(&said) => Error::PutOff,
                Step::Recipient | Step::Content if code != SHUTTING_DOWN => Error::Later,
                _ => Error::Unreachable,
            };
            return kind(format!("{server} refuses {}: {code} {}; {}", step.what(), quote(&said), step.hint()));
        }
        let kind = if step == Step::Content { Error::PerhapsSent } else { Error::Unreachable };
        let said = cause.to_string();
        kind(match said {
            _ if cause.is_timeout() => {
                format!(
                    "{server} did not answer within {} s ({}); look at host, port, security and timeout_seconds in [mail.smtp]",
                    self.timeout.as_secs(),
                    step.what()
                )
            }
            said if said.contains("certificate") => format!(
                "the certificate of {server} is not to be trusted: {}; set ca_file in [mail.smtp] to the authority that signed it, and host to the name it was made for",
                quote(&said)
            ),
            said => format!("cannot talk to {server} ({}): {}; {}", step.what(), quote(&said), step.hint()),
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

/// RFC 3463: 5.1.1 bad mailbox, 5.1.2 bad domain, 5.1.3 bad syntax, 5.1.6 moved away, 5.1.10 takes no mail (RFC 7505), 5.2.1
/// disabled. Not 5.1.0, 5.4.x, 5.7.x or a reply without such a code, which relays also use for their own rules, nor 5.1.7 and
/// 5.1.8, which concern the sender.
fn is_about_the_mailbox(said: &str) -> bool {
    let code = said.split_whitespace().next().unwrap_or("");
    matches!(code, "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1")
}

/// RFC 5321, 3.8: the server ends the conversation, whatever it was asked.
const SHUTTING_DOWN: u16 = 421;

/// Whether an answer to RCPT TO concerns this mailbox or the route to its domain and may be temporary: RFC 3463 X.1 addressing,
/// X.2 mailbox, X.4 routing, as in Postfix's `450 4.1.2 Domain not found` and `550 5.4.4`; without such a code, by the words of
/// Exim, OpenSMTPD and others. Not X.3 and X.7, which concern the server and us, nor what relays say to unauthorised clients.
fn is_about_the_way_to_it(said: &str) -> bool {
    const WORDS: [&str; 8] = [
        "domain not found",
        "domain does not exist",
        "host not found",
        "host or domain name not found",
        "unrouteable address",
        "unknown user",
        "user unknown",
        "no such user",
    ];
    let enhanced = said.split_whitespace().next().unwrap_or("");
    match enhanced.split('.').collect::<Vec<_>>()[..] {
        ["4", subject, detail] => matches!(subject, "1" | "2" | "4") && !matches!((subject, detail), ("1", "7" | "8")),
        ["5", "4", detail] => detail != "1",
        ["5", ..] => false,
        _ => {
            let said = said.to_lowercase();
            WORDS.iter().any(|words| said.contains(words))
        }
    }
}

fn of_ca_file(cause: String) -> Error {
    Error::Config(format!("ca_file in [mail.smtp]: {cause}"))
}

/// Logs in with PLAIN (RFC 4616) or LOGIN, whichever the server offers. LOGIN asks for user and password in this order; the
/// words of its questions are ignored.
fn log_in(wire: &mut Wire, user: &str, password: &str) -> Result<(), Trouble> {
    if wire.offers_login_by("PLAIN") {
        let proof = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
        let answer = wire.command_either(&format!("AUTH PLAIN {proof}"))?;
        return match answer.code {
            // The server wants to ask first.
            334 => wire.command(&proof, 2).map(drop),
            _ => answer.wanting(2).map(drop),
        };
    }
    if wire.offers_login_by("LOGIN") {
        wire.command("AUTH LOGIN", 3)?;
        wire.command(&BASE64.encode(user.as_bytes()), 3)?;
        return wire.command(&BASE64.encode(password.as_bytes()), 2).map(drop);
    }
    Err(Trouble::Unfit("the server offers neither AUTH PLAIN nor AUTH LOGIN".into()))
}

/// Our name in the greeting (RFC 5321, 4.1.1.1): that of the pages, which resolves to this machine, or else an address.
fn hello(public_url: &str) -> String {
    let host = public_url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or("");
    match host.parse::<Ipv4Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) if host.contains('.') && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)) => host.to_owned(),
        Err(_) => format!("[{}]", Ipv4Addr::LOCALHOST),
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
    fn a_domain_that_is_not_found_is_told_from_a_server_that_is_in_trouble() {
        for passing in [
            "4.1.2 <max@exmaple.org>: Recipient address rejected: Domain not found",
            "4.4.3 Name server: temporary failure",
            "4.2.2 Mail box is full",
            "5.4.4 Unable to route",
            "Unrouteable address",
            "(address): Host or domain name not found",
        ] {
            assert!(is_about_the_way_to_it(passing) && !is_about_the_mailbox(passing), "{passing}");
        }
        for other in [
            "4.3.0 Temporary lookup failure",
            "4.7.1 Greylisted",
            "5.7.1 Relay access denied",
            "5.4.1 Access denied",
            "4.1.8 Sender domain not found",
            "relay not permitted",
            "",
        ] {
            assert!(!is_about_the_way_to_it(other), "{other}");
        }
    }

    #[test]
    fn we_greet_with_the_name_of_the_pages() {
        assert_eq!(hello("https://register.example.org:8443/x"), "register.example.org");
        assert_eq!(hello("http://192.0.2.7"), "[192.0.2.7]");
        assert_eq!(hello("http://[::1]:80"), "[127.0.0.1]");
        assert_eq!(hello("http://localhost"), "[127.0.0.1]");
    }
}

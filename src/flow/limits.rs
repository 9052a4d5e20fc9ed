//! What strangers may use up (`[limits]` in config.toml): a form must not become a way to write to others, to keep names
//! from them, or to bury the deciders. Counted in the database, so it holds for plain CGI and for several machines.

use crate::domain::address;
use crate::domain::config::Limits;
use crate::domain::token::Secret;
use crate::flow::caller;
use crate::flow::failure::Failure;
use crate::outside::cgi::Request;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Allowance, AllowanceKind, Closed, FilingLimits, Registration, Store};

/// Whom one request is counted for: keyed hashes, so that the database tells nobody who was here.
pub struct Subjects {
    network: String,
    address: String,
}

impl Subjects {
    pub fn of(site: &Site, request: &Request, secret: &Secret, email_folded: &str) -> Subjects {
        Subjects {
            network: secret.token("network", &caller::network(caller::client(site, request).as_deref())),
            address: mailbox(secret, email_folded),
        }
    }
}

/// All that stands against a request from these.
pub fn of_filing<'a>(limits: &Limits, subjects: &'a Subjects) -> FilingLimits<'a> {
    let network =
        Allowance { kind: AllowanceKind::RequestsOfNetwork, subject: &subjects.network, per_day: limits.requests_per_network_per_day.0 };
    let address =
        Allowance { kind: AllowanceKind::RequestsOfAddress, subject: &subjects.address, per_day: limits.requests_per_address_per_day.0 };
    FilingLimits { network: Some(network), address: Some(address), ..of_everybody(limits) }
}

fn of_everybody(limits: &Limits) -> FilingLimits<'static> {
    FilingLimits {
        unconfirmed_per_address: limits.unconfirmed_per_address.0,
        open: limits.open_requests.0,
        per_day: limits.requests_per_day.0,
        ..FilingLimits::default()
    }
}

/// Whether the form is closed, so that nobody fills it in for nothing. A database that cannot be asked closes nothing: it
/// may not have been made yet, and whoever sends the form is told.
pub fn closed(site: &Site) -> Option<Closed> {
    match (site.config.limits.open_requests.0, site.config.limits.requests_per_day.0) {
        (0, 0) => None,
        _ => closed_by(site, &mut *site.store(Access::Read).ok()?).ok()?,
    }
}

/// The same for who has the database open.
pub fn closed_by(site: &Site, store: &mut Store) -> Result<Option<Closed>, store::Error> {
    store.closed(&of_everybody(&site.config.limits), site.now())
}

/// A mail that was counted, for the case that it does not go.
pub struct CountedMail {
    mailbox: String,
    confirming: bool,
}

impl CountedMail {
    fn allowances(&self, limits: &Limits) -> Vec<Allowance<'_>> {
        let to_address =
            Allowance { kind: AllowanceKind::MailsToAddress, subject: &self.mailbox, per_day: limits.mails_per_address_per_day.0 };
        let to_all = Allowance { kind: AllowanceKind::ConfirmMails, subject: "", per_day: limits.confirm_mails_per_day.0 };
        if self.confirming { vec![to_address, to_all] } else { vec![to_address] }
    }

    /// It surely did not go: a mail server that is away, or a mail box that is none, uses up nobody's mails.
    pub fn give_back(self, site: &Site, store: &mut Store) -> Result<(), store::Error> {
        store.give_back_allowances(&self.allowances(&site.config.limits), site.now())
    }
}

/// Counts a mail before it goes. Whatever goes wrong, nobody's mail box is filled by us; and mails that only a stranger asked
/// for (`confirming`) have a limit for all addresses together.
pub fn count_mail(
    site: &Site,
    store: &mut Store,
    secret: &Secret,
    registration: &Registration,
    confirming: bool,
) -> Result<CountedMail, Failure> {
    let mail = CountedMail { mailbox: mailbox(secret, &registration.email_folded), confirming };
    let Some((used_up, seconds)) = store.use_allowances(&mail.allowances(&site.config.limits), site.now())? else { return Ok(mail) };
    let key = if used_up == AllowanceKind::ConfirmMails { "confirm_mails_per_day" } else { "mails_per_address_per_day" };
    let sentence = format!("this mail waits: as many were sent in 24 hours as limits.{key} in config.toml allows");
    Err(Failure { retry_after: Some(seconds), ..Failure::later(sentence) })
}

fn mailbox(secret: &Secret, email_folded: &str) -> String {
    secret.token("mail box", &address::without_tag(email_folded))
}

//! Limits on what strangers can use up (`[limits]` in config.toml). The form must not become a means to send mail to others, to
//! block names, or to flood the room. The counts are in the database, so they hold for plain CGI and for several machines.

use crate::domain::address;
use crate::domain::back_off::Blame;
use crate::domain::config::Limits;
use crate::domain::seconds::utc;
use crate::domain::token::Secret;
use crate::flow::caller;
use crate::flow::failure::Failure;
use crate::outside::cgi::Request;
use crate::outside::page::MailName;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Allowance, AllowanceKind, Closed, FilingLimits, Store};

/// The network that a request comes from, as a keyed hash, so that the database does not reveal who was here.
pub fn network(site: &Site, request: &Request, secret: &Secret) -> String {
    secret.token("network", &caller::network(caller::client(site, request).as_deref()))
}

/// The subjects that a request counts for, as keyed hashes.
pub(crate) struct Subjects {
    pub network: String,
    address: String,
}

impl Subjects {
    /// The subjects of a request from this [`network`] with this mail address.
    pub fn of(network: String, secret: &Secret, email_folded: &str) -> Subjects {
        Subjects { network, address: mailbox(secret, email_folded) }
    }
}

/// Counts a check with the homeserver whether a name is free, before it is made, because homeservers limit the requests from one
/// address. `Some`: this network has used up its checks; seconds until the next one.
pub(crate) fn count_name_check(site: &Site, store: &mut Store, network: &str) -> Result<Option<i64>, store::Error> {
    let per_day = site.config.limits.name_checks_per_network_per_day.0;
    let allowance = Allowance { kind: AllowanceKind::NameChecksOfNetwork, subject: network, per_day };
    Ok(store.use_allowances(&[allowance], site.now())?.map(|(_, seconds)| seconds))
}

/// All limits that apply to a request by these subjects.
pub(crate) fn of_filing<'a>(limits: &Limits, subjects: &'a Subjects) -> FilingLimits<'a> {
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

/// The limits on requests for a new password, by the network and by a keyed hash of what was asked for. The numbers are those of
/// the form, and are counted apart from it.
pub(crate) fn of_resets<'a>(limits: &Limits, network: &'a str, asked_for: &'a str) -> [Allowance<'a>; 2] {
    [
        Allowance { kind: AllowanceKind::ResetsOfNetwork, subject: network, per_day: limits.requests_per_network_per_day.0 },
        Allowance { kind: AllowanceKind::ResetsAskedFor, subject: asked_for, per_day: limits.requests_per_address_per_day.0 },
    ]
}

/// Whether the form is closed, so that nobody fills it in for nothing; what other programs change shows after a second at most
/// ([`crate::outside::lately`]). Sending the form asks again. If the database cannot be reached, the form stays open: the database
/// may not exist yet, and sending the form reports the problem.
pub fn closed(site: &Site) -> Option<Closed> {
    site.closed.known_or(|| closed_by(site, &mut *site.store(Access::Read).ok()?).ok()?)
}

/// This program has filed a request, or found the form closed: the next visitor's form shows it.
pub(crate) fn ask_anew_whether_closed(site: &Site) {
    site.closed.forget();
}

/// The same for callers with an open database.
pub(crate) fn closed_by(site: &Site, store: &mut Store) -> Result<Option<Closed>, store::Error> {
    store.closed(&of_everybody(&site.config.limits), site.now())
}

/// Why the form is closed, for the operator.
pub fn why_closed(closed: &Closed) -> String {
    match closed {
        Closed::ByHand(closed) => {
            let until = closed.opens_at.map_or_else(|| "matrix-register-bot open opens it".into(), |at| format!("until {}", utc(at)));
            format!("the form is closed by {}, since {}, {until}", closed.closed_by, utc(closed.closed_at))
        }
        Closed::TooManyOpen => {
            "the form is closed: as many requests wait for confirmation or decision as limits.open_requests in config.toml allows".into()
        }
        Closed::TooManyToday(_) => {
            "the form is closed: as many requests came in 24 hours as limits.requests_per_day in config.toml allows".into()
        }
    }
}

/// A mail that was counted, in case it is not sent.
pub(crate) struct CountedMail {
    mailbox: String,
    name: MailName,
}

impl CountedMail {
    fn allowances(&self, limits: &Limits) -> Vec<Allowance<'_>> {
        let to_address = |kind| Allowance { kind, subject: &self.mailbox, per_day: limits.mails_per_address_per_day.0 };
        let to_all = |kind| Allowance { kind, subject: "", per_day: limits.confirm_mails_per_day.0 };
        match self.name {
            MailName::Verify => vec![to_address(AllowanceKind::MailsToAddress), to_all(AllowanceKind::ConfirmMails)],
            // Apart from all others: whether one of those waits, which its applicant sees, must not tell who has an account, and
            // strangers who ask for accounts must not hold up the owner of one.
            MailName::ResetPassword => vec![to_address(AllowanceKind::ResetMailsToAddress), to_all(AllowanceKind::ResetMails)],
            _ => vec![to_address(AllowanceKind::MailsToAddress)],
        }
    }

    /// Releases the count of a mail that was certainly not sent, so that an unavailable mail server or a missing mailbox uses
    /// up nobody's limit.
    pub(crate) fn give_back(self, site: &Site, store: &mut Store) -> Result<(), store::Error> {
        store.give_back_allowances(&self.allowances(&site.config.limits), site.now())
    }
}

/// Counts a mail before it is sent, so that no error can make us flood a mailbox. Mails that any stranger can ask for also have a
/// common limit for all addresses.
pub(crate) fn count_mail(
    site: &Site,
    store: &mut Store,
    secret: &Secret,
    email_folded: &str,
    name: MailName,
) -> Result<CountedMail, Failure> {
    let mail = CountedMail { mailbox: mailbox(secret, email_folded), name };
    let Some((used_up, seconds)) = store.use_allowances(&mail.allowances(&site.config.limits), site.now())? else { return Ok(mail) };
    let key = match used_up {
        AllowanceKind::ConfirmMails | AllowanceKind::ResetMails => "confirm_mails_per_day",
        _ => "mails_per_address_per_day",
    };
    let sentence = format!("this mail waits: as many were sent in 24 hours as limits.{key} in config.toml allows");
    Err(Failure { sentence, retry_after: Some(seconds), blame: Blame::Limit })
}

fn mailbox(secret: &Secret, email_folded: &str) -> String {
    secret.token("mail box", &address::without_tag(email_folded))
}

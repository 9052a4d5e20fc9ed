//! Forgotten passwords of local mode: keeps a request, and mails the links.
//!
//! Nobody learns from the pages who has an account. What a visitor waits for, [`ask`], looks at no account at all: it counts
//! against the limits and writes a row. The accounts are looked up, and the mail is sent, after the answer ([`send_all`]), by
//! cron at the latest.

use crate::domain::address::Address;
use crate::domain::characters::{self, CharacterFault};
use crate::domain::config::Language;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::seconds::{DAY, HOUR};
use crate::domain::token::{self, Secret};
use crate::flow::attempt::{Tried, attempt};
use crate::flow::failure::Failure;
use crate::flow::letters::{self, Envelope};
use crate::flow::limits;
use crate::outside::page::MailName;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, LINK_SECONDS, Login, NewReset, OwedRow, Reset, ResetAsked, ResetLink, Store};
use serde_json::{Value, json};

/// How long a request is kept, in seconds: as long as its form could be sent again, and a mail is tried.
pub(crate) const KEPT_SECONDS: i64 = 2 * DAY;
/// Bytes of the longest username or address.
const LONGEST: usize = 254;

/// Why a text names no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedFault {
    Missing,
    TooLong,
    /// Contains an invisible, misleading character.
    Invisible,
}

/// What somebody typed to name an account, as the database keeps it: a folded mail address, or a localpart. A whole Matrix id of
/// this server is read as its localpart. Says nothing about whether there is such an account.
pub(crate) fn named(site: &Site, typed: &str) -> Result<String, NamedFault> {
    let typed = characters::plain(typed).map_err(|fault| match fault {
        CharacterFault::Invisible | CharacterFault::Stacked => NamedFault::Invisible,
        CharacterFault::TooLong => NamedFault::TooLong,
    })?;
    let (id, server) = (typed.trim_start_matches('@').to_lowercase(), format!(":{}", site.config.server_name.0));
    match Address::parse(&typed) {
        _ if id.is_empty() => Err(NamedFault::Missing),
        _ if typed.len() > LONGEST => Err(NamedFault::TooLong),
        Ok(address) => Ok(address.folded()),
        // No localpart has an `@`, by which addresses are recognised.
        Err(_) => Ok(id.strip_suffix(&server).unwrap_or(&id).replace('@', "")),
    }
}

/// Keeps a request for a new password within the limits. The same work whether or not there is such an account.
pub(crate) fn ask(
    site: &Site,
    secret: &Secret,
    network: &str,
    (form_token, named): (&str, String),
    language: Language,
) -> Result<ResetAsked, Error> {
    let subject = secret.token("asked for", &named);
    let new = NewReset { submission: token::hash(form_token), asked_for: named, seed: token::new_seed(), language, asked_at: site.now() };
    let mut store = site.store(Access::Write)?;
    Ok(store.ask_reset(&new, &limits::of_resets(&site.config.limits, network, &subject))?)
}

/// Owes the owner of an account a mail with a link. The operator is not held to the limits for visitors. Returns what
/// [`Store::is_reset_settled`] knows it by.
pub(crate) fn ask_for_owner(site: &Site, store: &mut Store, localpart: &str, language: Language) -> Result<String, store::Error> {
    let submission = token::hash(&token::new_seed());
    let new = NewReset {
        submission: submission.clone(),
        asked_for: localpart.to_owned(),
        seed: token::new_seed(),
        language,
        asked_at: site.now(),
    };
    store.ask_reset(&new, &[])?;
    Ok(submission)
}

/// Sends the mail of a request, if there is such an account.
pub(crate) fn mail(site: &Site, store: &mut Store, row: OwedRow) -> Result<Tried, store::Error> {
    let act = |store: &mut Store| match store.reset(row.id)? {
        Some(reset) => mail_links(site, store, &reset).map(Some),
        None => Ok(None),
    };
    attempt(site, store, row, row.id, act, |store, holder, ()| {
        Ok(if store.settle_reset(row.id, holder)? { Tried::Succeeded } else { Tried::Elsewhere })
    })
}

fn mail_links(site: &Site, store: &mut Store, reset: &Reset) -> Result<(), Failure> {
    if !site.config.operation_mode.has_own_passwords() {
        return Ok(());
    }
    let mut accounts = store.accounts_asked_for(reset, site.now())?;
    accounts.retain(|account| Address::parse(&account.email).is_ok());
    let Some(first) = accounts.first() else { return Ok(()) };
    let secret = site.state.secret()?;
    let tokens: Vec<String> = accounts.iter().map(|account| link_token(&secret, reset, account)).collect();
    let links = accounts.iter().zip(&tokens).map(|(account, link)| ResetLink { token_hash: token::hash(link), login_id: account.id });
    let expires = store.open_reset_links(&links.collect::<Vec<_>>(), site.now())?;
    let context = json!({
        "accounts": accounts.iter().zip(&tokens).map(|(account, link)| about(site, account, link)).collect::<Vec<_>>(),
        "hours": LINK_SECONDS / HOUR,
        "expires": expires,
    });
    let folded = crate::domain::address::folded(&first.email);
    let envelope = Envelope {
        name: MailName::ResetPassword,
        to: &first.email,
        to_folded: &folded,
        language: reset.language,
        seed: &reset.seed,
        registration: None,
    };
    letters::send(site, store, &secret, &envelope, &context)
}

fn about(site: &Site, account: &Login, link_token: &str) -> Value {
    json!({
        "mxid": names::mxid(&account.localpart, &site.config.server_name),
        "link": site.config.public_url.join(&format!("/reset_password?t={link_token}")),
    })
}

/// The token of the link for one account: the same in a repeated mail.
fn link_token(secret: &Secret, reset: &Reset, account: &Login) -> String {
    secret.token("reset link", &format!("{} {}", reset.seed, account.id))
}

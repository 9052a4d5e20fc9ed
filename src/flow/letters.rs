//! Sends one mail of `templates/mail`: renders it, counts it against the limits, and hands it over.

use crate::domain::config::Language;
use crate::domain::token::Secret;
use crate::flow::failure::Failure;
use crate::flow::limits;
use crate::outside::log;
use crate::outside::mail::{self, Letter, Mailer};
use crate::outside::page::{self, MailName};
use crate::outside::site::Site;
use crate::outside::store::Store;
use serde_json::Value;

/// To whom a mail goes, and what it belongs to.
pub(crate) struct Envelope<'a> {
    pub name: MailName,
    /// An address that [`crate::domain::address::Address::parse`] accepts.
    pub to: &'a str,
    pub to_folded: &'a str,
    pub language: Language,
    /// The Message-ID is derived from it: the same seed and mail give the same one.
    pub seed: &'a str,
    /// For the log.
    pub registration: Option<i64>,
}

/// Sends templates/mail/NAME. The Message-ID is always the same.
pub(crate) fn send(site: &Site, store: &mut Store, secret: &Secret, envelope: &Envelope, context: &Value) -> Result<(), Failure> {
    let name = envelope.name;
    let letter = page::mail(&site.config, envelope.language, name, context)?;
    let host = site.config.server_name.0.split(':').next().unwrap_or("localhost");
    let message_id = format!("{}.{}@{host}", name.as_str(), secret.token(&format!("Message-ID of {}", name.as_str()), envelope.seed));
    let letter = Letter {
        to_address: envelope.to,
        // Before the address is confirmed, a stranger could have any text sent to others as a name.
        to_name: None,
        message_id: &message_id,
        language: envelope.language,
        subject: &letter.subject,
        text: &letter.text,
        html: &letter.html,
    };
    let mailer = Mailer::new(&site.config)?;
    let counted = limits::count_mail(site, store, secret, envelope.to_folded, name)?;
    if let Err(cause) = mailer.send(&letter, site.now()) {
        if !matches!(cause, mail::Error::PerhapsSent(_)) {
            // It is better to count a mail too many than to lose the mail server's message.
            let _ = counted.give_back(site, store);
        }
        return Err(cause.into());
    }
    log::info("mail_sent", envelope.registration, &message_id);
    Ok(())
}

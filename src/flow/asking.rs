//! The moderators ask an applicant something: the question is stored, mailed, and shown on the applicant's own page.

use crate::domain::decision::Decider;
use crate::domain::registration::SideAction;
use crate::flow::beside;
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{self, Asked, Store};

/// Asks the applicant of an undecided request, and mails the question at once if possible; otherwise cron does. `question` is
/// clean text (`domain::names::note`) and not empty.
pub fn ask(site: &Site, store: &mut Store, id: i64, question: &str, by: &Decider) -> Result<Asked, store::Error> {
    let asked = store.ask(id, question, by, site.now())?;
    if let Asked::Yes(question) = asked {
        log::info("question_asked", Some(id), &format!("question={question} by={}", by.mxid().unwrap_or(by.way().name())));
        beside::act_or_leave(site, store, id, SideAction::SendQuestion);
    }
    Ok(asked)
}

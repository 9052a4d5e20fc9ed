//! A decision about a request, in whatever way somebody made it: by the page of the link or in the room.

use crate::domain::decision::Decider;
use crate::domain::registration::{Event, State};
use crate::flow::steps;
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::store::{self, Registration, Store, TakenBack};

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Decline,
    /// The applicant gets no mail.
    DeclineSilently,
}

/// Whether the request waits for a decision.
pub fn is_undecided(registration: &Registration) -> bool {
    registration.state.after(Event::Approved).is_some()
}

/// Decides, if nobody else has; the first decision counts, by whatever way it comes. `reason` is for declining. `false`: another
/// decision was faster. What follows is done by [`carry_on`], or later by cron.
pub fn decide(
    site: &Site,
    store: &mut Store,
    registration: &Registration,
    verdict: Verdict,
    reason: Option<&str>,
    by: &Decider,
) -> Result<bool, store::Error> {
    let (id, now) = (registration.id, site.now());
    let (event, is_first) = match verdict {
        Verdict::Approve => {
            let approval = steps::approval(site, registration);
            (approval, store.approve(id, approval, site.config.operation_mode, by, now)?)
        }
        Verdict::Decline => (Event::Declined, store.decline(id, Event::Declined, reason, by, now)?),
        Verdict::DeclineSilently => (Event::DeclinedSilently, store.decline(id, Event::DeclinedSilently, reason, by, now)?),
    };
    if is_first {
        log::info("decided", Some(registration.id), &format!("{event:?} by={}", by.way().name()));
    }
    Ok(is_first)
}

/// Whether the request was declined, and that can be taken back.
pub fn can_be_taken_back(registration: &Registration) -> bool {
    registration.state.after(Event::TakenBack).is_some() && registration.refusal.is_none()
}

/// Takes a no back, while the request is kept: it waits for a decision again.
pub fn take_back(site: &Site, store: &mut Store, registration: &Registration, by: &Decider) -> Result<TakenBack, store::Error> {
    let taken_back = store.take_back(registration.id, by, site.now())?;
    if taken_back == TakenBack::Yes {
        log::info("decision_taken_back", Some(registration.id), &format!("by={}", by.way().name()));
    }
    Ok(taken_back)
}

/// Takes the next steps after a decision: the account, the mail. What fails is left to cron. Returns the state reached.
pub(crate) fn carry_on(site: &Site, store: &mut Store, id: i64) -> Option<State> {
    steps::carry_on_or_leave(site, store, id)
}

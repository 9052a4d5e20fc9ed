//! Side actions: what a request requires beside its state's action, and what does not change the state.
//!
//! Each has a row of its own in `owed_actions`, with its own due time, lease and tries. [`delay`] says when it is due, or that the
//! configuration has no use for it; [`act`] carries it out.

use crate::domain::registration::SideAction;
use crate::domain::seconds::HOUR;
use crate::flow::attempt::{Tried, attempt};
use crate::flow::failure::Failure;
use crate::flow::password_ends;
use crate::flow::steps;
use crate::outside::log;
use crate::outside::page::RoomPost;
use crate::outside::site::Site;
use crate::outside::store::{self, OwedRow, Registration, Store};

/// The outcome of a side action. Either ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Done,
    /// It does not apply to this request.
    NotNeeded,
}

/// Seconds from when a side action begins to be owed until it is due; `None`: the configuration has no use for it.
pub(crate) fn delay(site: &Site, action: SideAction) -> Option<i64> {
    match action {
        SideAction::Remind => Some(site.config.times.remind_after_hours.0 as i64 * HOUR).filter(|delay| *delay > 0),
        SideAction::SendQuestion => Some(0),
        SideAction::RemindOfPassword => password_ends::delay(site),
        SideAction::RemindToChoose | SideAction::BindAddress => None,
    }
}

/// Carries out a side action that `row` requires for a registration.
pub(crate) fn act(site: &Site, store: &mut Store, row: OwedRow, action: SideAction, id: i64) -> Result<Tried, store::Error> {
    let act = |store: &mut Store| {
        let Some(registration) = store.registration(id)?.filter(|now| now.state.owes_beside().contains(&action)) else {
            return Ok(Some(Beside::NotNeeded));
        };
        if steps::waits_for_its_key(site, &registration) {
            return Ok(None);
        }
        carry_out(site, store, row, action, &registration).map(Some)
    };
    attempt(site, store, row, id, act, |store, holder, done| {
        let is_ours = store.settle_beside(row, id, holder, site.now())?;
        match done {
            Beside::Done => log::info("done_beside", Some(id), &format!("{action:?}")),
            Beside::NotNeeded => return Ok(Tried::Elsewhere),
        }
        Ok(if is_ours { Tried::Succeeded } else { Tried::Elsewhere })
    })
}

fn carry_out(site: &Site, store: &mut Store, _row: OwedRow, action: SideAction, registration: &Registration) -> Result<Beside, Failure> {
    match action {
        SideAction::Remind => steps::say(site, registration, RoomPost::Reminder, 0).map(|()| Beside::Done),
        SideAction::RemindOfPassword => Ok(match password_ends::remind(site, store, registration)? {
            true => Beside::Done,
            false => Beside::NotNeeded,
        }),
        SideAction::SendQuestion | SideAction::RemindToChoose | SideAction::BindAddress => Ok(Beside::NotNeeded),
    }
}

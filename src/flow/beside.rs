//! Side actions: what a request requires beside its state's action, and what does not change the state.
//!
//! Each has a row of its own in `owed_actions`, with its own due time, lease and tries. [`delay`] says when it is due, or that the
//! configuration has no use for it; [`act`] carries it out.

use crate::domain::names;
use crate::domain::registration::{SideAction, State};
use crate::domain::seconds::{DAY, HOUR};
use crate::flow::accounts;
use crate::flow::attempt::{Tried, attempt};
use crate::flow::ballot;
use crate::flow::failure::Failure;
use crate::flow::keys;
use crate::flow::password_ends;
use crate::flow::room_message;
use crate::flow::steps;
use crate::outside::log;
use crate::outside::page::MailName;
use crate::outside::site::Site;
use crate::outside::store::{self, OwedRow, Registration, Store};
use serde_json::json;

/// The outcome of a side action. Either ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Done,
    /// It does not apply to this request.
    NotNeeded,
}

/// Seconds from when a side action begins to be owed until it is due, one for each time that it is repeated; none: the
/// configuration has no use for it.
pub(crate) fn delays(site: &Site, action: SideAction) -> Vec<i64> {
    match action {
        SideAction::Remind => site.config.times.remind_after_hours.0.iter().map(|hours| *hours as i64 * HOUR).collect(),
        // Whether an address can be bound depends on the mode in which the request was approved.
        SideAction::SendQuestion | SideAction::ShowInRoom | SideAction::PostAnswer | SideAction::BindAddress => vec![0],
        SideAction::Ballot => ballot::is_wanted(site).then_some(0).into_iter().collect(),
        SideAction::RemindOfPassword => password_ends::delay(site).into_iter().collect(),
        SideAction::RemindToChoose => vec![before_the_reminder(steps::choose_seconds(site))],
    }
}

/// Carries out a side action that `row` requires for a registration.
pub(crate) fn act(site: &Site, store: &mut Store, row: OwedRow, action: SideAction, id: i64) -> Result<Tried, store::Error> {
    if action == SideAction::ShowInRoom {
        return room_message::show(site, store, row, id);
    }
    let act = |store: &mut Store| {
        let Some(registration) = store.registration(id)?.filter(|now| now.state.owes_beside().contains(&action)) else {
            return Ok(Some(Beside::NotNeeded));
        };
        // An answer waits for the message under which it is posted.
        let comes_too_early = action == SideAction::PostAnswer && registration.state == State::AdminSend;
        if comes_too_early || steps::waits_for_its_key(site, &registration) {
            return Ok(None);
        }
        carry_out(site, store, row, action, &registration).map(Some)
    };
    attempt(site, store, row, id, act, |store, holder, done| {
        let is_ours = match (action, done) {
            (SideAction::Remind, Beside::Done) => store.settle_reminder(row, id, holder, &delays(site, action), site.now())?,
            _ => store.settle_beside(row, id, holder, site.now())?,
        };
        match done {
            Beside::Done => log::info("done_beside", Some(id), &format!("{action:?}")),
            Beside::NotNeeded => return Ok(Tried::Elsewhere),
        }
        Ok(if is_ours { Tried::Succeeded } else { Tried::Elsewhere })
    })
}

/// The same for a program that has just recorded the side action: whatever happens now, cron does the rest.
pub(crate) fn act_or_leave(site: &Site, store: &mut Store, id: i64, action: SideAction) {
    let mut act_on_all = || -> Result<(), store::Error> {
        for row in store.owed_beside(id, action)? {
            act(site, store, row, action, id)?;
        }
        Ok(())
    };
    if let Err(cause) = act_on_all() {
        log::warn("left_to_cron", Some(id), &cause.to_string());
    }
}

fn carry_out(site: &Site, store: &mut Store, row: OwedRow, action: SideAction, registration: &Registration) -> Result<Beside, Failure> {
    match action {
        SideAction::Remind => room_message::remind(site, store, row, registration).map(|()| Beside::Done),
        SideAction::SendQuestion => send_question(site, store, row, registration),
        SideAction::RemindOfPassword => Ok(match password_ends::remind(site, store, registration)? {
            true => Beside::Done,
            false => Beside::NotNeeded,
        }),
        SideAction::RemindToChoose => remind_to_choose(site, store, row, registration).map(|()| Beside::Done),
        SideAction::Ballot => Ok(match ballot::update(site, store, registration)? {
            true => Beside::Done,
            false => Beside::NotNeeded,
        }),
        SideAction::PostAnswer => Ok(match room_message::post_answer(site, store, row, registration)? {
            true => Beside::Done,
            false => Beside::NotNeeded,
        }),
        // Has a path of its own: `act`.
        SideAction::ShowInRoom => Ok(Beside::NotNeeded),
        SideAction::BindAddress => match accounts::bind_address(site, store, registration)? {
            true => Ok(Beside::Done),
            false => Ok(Beside::NotNeeded),
        },
    }
}

/// When the reminder to choose a password is due: three days before the end, or after three quarters of a shorter time.
fn before_the_reminder(whole: i64) -> i64 {
    (whole - 3 * DAY).max(whole / 4 * 3)
}

/// The reminder may be late, because cron paused or the mail server was away; the applicant has the rest of the time all the
/// same.
fn remind_to_choose(site: &Site, store: &mut Store, row: OwedRow, registration: &Registration) -> Result<(), Failure> {
    let whole = steps::choose_seconds(site);
    let since = registration.state_since.max(site.now() - before_the_reminder(whole));
    // A request can come here a second time, after a refused password.
    let mark = format!(" {}", row.id);
    steps::send_choose_link(site, store, registration, (MailName::ChooseReminder, &mark), since + whole)?;
    Ok(store.give_time_to_choose(registration.id, since)?)
}

/// Mails a question, unless the applicant has answered it on the page already.
fn send_question(site: &Site, store: &mut Store, row: OwedRow, registration: &Registration) -> Result<Beside, Failure> {
    let Some(question) = store.question_to_mail(row.id)? else { return Ok(Beside::NotNeeded) };
    let context = json!({
        "name": registration.full_name(),
        "mxid": names::mxid(&registration.username, &site.config.server_name),
        "question": question.question,
        "link": steps::verify_link(site, &keys::of(site, registration)?, registration),
    });
    steps::send(site, store, registration, MailName::Question, &format!(" {}", question.id), context)?;
    Ok(Beside::Done)
}

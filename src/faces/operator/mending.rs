//! `resend`, `correct`, `withdraw`, `end`, `retry`: what helps when a request is stuck.

use super::answer::{Answer, Refusal};
use super::deciding::changed;
use super::find;
use crate::domain::address::Address;
use crate::domain::registration::State;
use crate::faces::cron;
use crate::flow::keys;
use crate::flow::queue;
use crate::flow::steps;
use crate::outside::log;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::store::{Access, Again, FilingLimits, Registration, Store};
use serde_json::json;

/// The operator is not held to the limits for strangers.
const NO_LIMITS: FilingLimits =
    FilingLimits { unconfirmed_per_address: u64::MAX, network: None, address: None, open: u64::MAX, per_day: u64::MAX };

pub fn resend(site: &Site, named: &str) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let registration = unconfirmed(site, &mut store, named)?;
    let again = store.mail_again(registration.id, registration.mail_round, &NO_LIMITS, site.now())?;
    sent(site, &mut store, registration.id, again)
}

pub fn correct(site: &Site, named: &str, email: &str) -> Result<Answer, Refusal> {
    let address = Address::parse(email).map_err(|_| Refusal::No(format!("{email:?} is no mail address")))?;
    let mut store = site.store(Access::Write)?;
    let registration = unconfirmed(site, &mut store, named)?;
    let to = keys::of_correction(site, &address)?;
    let again = store.correct_address(registration.id, registration.mail_round, &to, &NO_LIMITS, site.now())?;
    sent(site, &mut store, registration.id, again)
}

fn unconfirmed(site: &Site, store: &mut Store, named: &str) -> Result<Registration, Refusal> {
    let registration = find::request(site, store, named)?;
    keys::check(site, &registration)?;
    match registration.state.is_unconfirmed() {
        true => Ok(registration),
        false => {
            let id = registration.id;
            Err(Refusal::No(format!(
                "the address of request #{id} is confirmed, or the request is over; matrix-register-bot retry {id} tries again what failed"
            )))
        }
    }
}

fn sent(site: &Site, store: &mut Store, before: i64, again: Again) -> Result<Answer, Refusal> {
    match again {
        Again::Owed(id) => {
            log::info("mail_wanted_again", Some(id), &format!("by={}", ownership::shell_user()));
            let reached = steps::carry_on_or_leave(site, store, id);
            let number = if id == before { String::new() } else { format!(", which was #{before}") };
            let sentence = match reached {
                Some(State::EmailVerify) => format!("request #{id}{number}: the mail is sent"),
                _ => format!("request #{id}{number}: the mail follows as soon as the mail server takes it"),
            };
            Ok(changed(id, reached, &sentence))
        }
        Again::Enough => Err(Refusal::No(format!("request #{before} has had as many mails as one request gets"))),
        Again::Over | Again::NotAwaited | Again::AddressBusy | Again::UsedUp(..) => {
            Err(Refusal::No(format!("request #{before} was changed at the same moment: matrix-register-bot show {before}")))
        }
    }
}

pub fn withdraw(site: &Site, named: &str) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let registration = find::request(site, &mut store, named)?;
    let id = registration.id;
    if !store.withdraw(id, site.now())? {
        return Err(Refusal::No(format!("request #{id} cannot be withdrawn any more: there is an account, or it is over")));
    }
    log::info("withdrawn", Some(id), &format!("by={}", ownership::shell_user()));
    drop(store);
    queue::show_in_room(site);
    Ok(changed(id, Some(State::Withdrawn), &format!("request #{id} is withdrawn, and its username is free again")))
}

pub fn end(site: &Site, named: &str, reason: Option<&str>) -> Result<Answer, Refusal> {
    let registration = find::request(site, &mut *site.store(Access::Read)?, named)?;
    let said = cron::end(site, registration.id, reason)?;
    let state = site.store(Access::Read)?.state(registration.id)?;
    Ok(changed(registration.id, state, said.trim_end()))
}

/// Makes due what waits for its next try; cron or this program tries.
pub fn retry(site: &Site, named: Option<&str>) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let Some(named) = named else {
        let due = store.make_due(None, site.now())?;
        let sentence = format!("{due} steps are due now; the next run of cron tries them");
        return Ok(Answer { text: format!("{sentence}\n"), json: json!({ "due": due, "said": sentence }) });
    };
    let id = find::request(site, &mut store, named)?.id;
    let due = store.make_due(Some(id), site.now())?;
    let reached = steps::carry_on_or_leave(site, &mut store, id);
    drop(store);
    queue::show_in_room(site);
    let sentence = match (due, reached) {
        (0, _) => format!("request #{id} owes nothing"),
        (_, Some(state)) if state.is_final() => format!("request #{id} is over: nothing is left to do for it"),
        (_, Some(state)) => format!("request #{id} waits for {}; matrix-register-bot show {id} has the last error", state.awaits()),
        (_, None) => format!("request #{id}: the next run of cron tries again"),
    };
    Ok(changed(id, reached, &sentence))
}

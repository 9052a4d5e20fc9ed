//! Lists waiting requests and lets the operator end them: `cron --waiting` and `cron --end ID [REASON]`. Neither needs the mail
//! server or the homeserver.

use crate::domain::characters;
use crate::domain::decision::Decider;
use crate::domain::error::Error;
use crate::domain::names;
use crate::domain::registration::{Event, State};
use crate::domain::seconds::utc;
use crate::flow::queue;
use crate::flow::steps;
use crate::outside::log;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Listed, Store, Which};

/// The largest number of requests listed.
const MOST_LISTED: i64 = 1000;

/// The states in which requests wait, with their number and the earliest time, one line each.
pub(super) fn counts(store: &mut Store) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for state in State::ALL.into_iter().filter(|state| !state.is_final()) {
        if let Some(oldest) = store.listed(Which::In(&[state]), None, 1)?.first() {
            let (count, since) = (store.count(state)?, oldest.since.map_or("?".into(), utc));
            lines.push(format!("{count} wait for {}, the longest, registration={}, since {since}", state.awaits(), oldest.id));
        }
    }
    Ok(lines)
}

/// All waiting requests, one line each, the longest waiting first.
pub fn waiting(site: &Site) -> Result<String, Error> {
    let mut store = site.store(Access::Read)?;
    let listed = store.listed(Which::Open, None, MOST_LISTED)?;
    let lines = listed.iter().map(|listed| line(site, listed));
    Ok(lines.collect())
}

fn line(site: &Site, listed: &Listed) -> String {
    let Listed { id, state, username, since, error, .. } = listed;
    let awaited = state.map_or("nothing that this program knows (column state)", State::awaits);
    let since = since.map_or("?".into(), utc);
    let mxid = names::mxid(username, &site.config.server_name);
    let error = error.as_deref().map_or(String::new(), |error| format!("; last error: {error}"));
    let line = format!("#{id}: {mxid} waits for {awaited} since {since}{error}");
    characters::one_line(&line) + "\n"
}

/// Ends a request, whatever it waits for. Returns the result for the operator.
pub fn end(site: &Site, id: i64, reason: Option<&str>) -> Result<String, Error> {
    let Some(reason) = reason.map_or(Some(String::new()), names::note) else {
        return Err(Error::bad_request("the reason is too long"));
    };
    let mut store = site.store(Access::Write)?;
    let Some(from) = store.state(id)? else {
        return Err(Error::bad_request(format!("there is no request #{id}; cron --waiting lists them")));
    };
    let Some(to) = from.after(Event::EndedByOperator) else { return Err(Error::bad_request(format!("request #{id} is over already"))) };
    let perhaps_made = matches!(from, State::Register | State::ChooseSend | State::Choosing) && account_was_asked_for(&mut store, id);
    let reason = Some(reason.as_str()).filter(|reason| !reason.is_empty());
    if !store.end(id, from, reason, &Decider::Operator(ownership::shell_user()), site.now())? {
        return Err(Error::unavailable(format!("a program is at request #{id} just now; try again in some minutes")));
    }
    log::info("ended_by_operator", Some(id), &format!("{from:?} -> {to:?}"));
    if to.owes().is_some() {
        steps::carry_on_or_leave(site, &mut store, id);
    }
    queue::show_in_room(site);
    let mail_waits = to == State::DeclineSend && mail_waits_for_its_key(site, &mut store, id);
    Ok(told(id, to, perhaps_made, mail_waits))
}

fn mail_waits_for_its_key(site: &Site, store: &mut Store, id: i64) -> bool {
    let registration: Result<_, store::Error> = store.registration(id);
    matches!(registration, Ok(Some(registration)) if steps::waits_for_its_key(site, &registration))
}

/// If the row cannot be read, the account may exist.
fn account_was_asked_for(store: &mut Store, id: i64) -> bool {
    let registration: Result<_, store::Error> = store.registration(id);
    registration.map_or(true, |registration| registration.is_some_and(|registration| registration.account_tried_at.is_some()))
}

fn told(id: i64, to: State, perhaps_made: bool, mail_waits: bool) -> String {
    let became = match to {
        State::DeclineSend if mail_waits => {
            "ended, but nobody is told yet: it came with another secret_key than config.json has now, and the mail to the applicant waits for that key. Restore config.json, or give the request a new key with cron --rekey, or use --end again to send no mail"
        }
        State::DeclineSend => "ended; a mail tells the applicant that there will be no account",
        State::Expired => "expired; nobody confirmed its address, so nobody is told",
        _ => "ended; no further mail is sent",
    };
    let account = match perhaps_made {
        true => ". The homeserver was asked for the account and may have made it without our hearing of it: look, and deactivate it",
        false => "",
    };
    format!("request #{id} is {became}{account}\n")
}

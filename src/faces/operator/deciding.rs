//! `approve`, `decline`, `ask`, `reopen`: what the room can do, too. They go the same way as decisions in the room, and do not need
//! it: what cannot be sent now is sent by cron.

use super::answer::{Answer, Refusal};
use super::find;
use crate::domain::decision::Decider;
use crate::domain::names;
use crate::domain::registration::State;
use crate::domain::stage::Stage;
use crate::faces::cron;
use crate::flow::deciding::{self, Verdict};
use crate::flow::keys;
use crate::flow::queue;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::store::{Access, Registration, TakenBack};
use serde_json::json;

pub fn decide(site: &Site, named: &str, verdict: Verdict, reason: Option<&str>) -> Result<Answer, Refusal> {
    let reason = match reason.map(names::note) {
        Some(None) => return Err(Refusal::No("the reason is too long".into())),
        Some(Some(reason)) => Some(reason).filter(|reason| !reason.is_empty()),
        None => None,
    };
    let mut store = site.store(Access::Write)?;
    let registration = find::request(site, &mut store, named)?;
    if !deciding::is_undecided(&registration) {
        return Err(not_undecided(&registration));
    }
    keys::check(site, &registration)?;
    let (id, by) = (registration.id, Decider::Operator(ownership::shell_user()));
    if !deciding::decide(site, &mut store, &registration, verdict, reason.as_deref(), &by)? {
        return Err(Refusal::No(format!("somebody else was faster: matrix-register-bot show {id}")));
    }
    let reached = deciding::carry_on(site, &mut store, id);
    drop(store);
    queue::show_in_room(site);
    let mxid = names::mxid(&registration.username, &site.config.server_name);
    let became = match (verdict, reached) {
        (Verdict::Decline, Some(State::Declined)) => "declined; the applicant is told by mail",
        (Verdict::Decline, _) => "declined; the mail to the applicant follows as soon as the mail server takes it",
        (Verdict::DeclineSilently, _) => "declined; the applicant gets no mail",
        (Verdict::Approve, Some(State::Done)) => "approved; the account is there, and the mail about it is sent",
        (Verdict::Approve, Some(State::Choosing)) => "approved; the applicant is asked by mail to choose a password",
        (Verdict::Approve, Some(State::DeclineSend | State::Declined)) => {
            "approved, but the homeserver refuses the account; the applicant is told by mail"
        }
        (Verdict::Approve, _) => "approved; the rest follows as soon as homeserver and mail server allow it",
    };
    Ok(changed(id, reached, &format!("request #{id} of {mxid} is {became}")))
}

fn not_undecided(registration: &Registration) -> Refusal {
    let (id, state) = (registration.id, registration.state);
    Refusal::No(match state {
        _ if state.is_unconfirmed() => {
            format!("request #{id} cannot be decided yet: it waits for {}", state.awaits())
        }
        _ => format!("request #{id} is decided already: matrix-register-bot show {id}"),
    })
}

/// The answer of a subcommand that changed a request.
pub fn changed(id: i64, state: Option<State>, sentence: &str) -> Answer {
    let stage = state.map(|state| Stage::of(state).name());
    Answer { text: format!("{sentence}\n"), json: json!({ "request": id, "state": stage, "said": sentence }) }
}

pub fn ask(site: &Site, named: &str, question: &str) -> Result<Answer, Refusal> {
    let registration = find::request(site, &mut *site.store(Access::Read)?, named)?;
    let said = cron::ask(site, registration.id, question)?;
    Ok(changed(registration.id, Some(registration.state), said.trim_end()))
}

pub fn reopen(site: &Site, named: &str) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    let registration = find::request(site, &mut store, named)?;
    let id = registration.id;
    if !deciding::can_be_taken_back(&registration) {
        return Err(Refusal::No(format!("request #{id} was not declined by a person, so there is nothing to take back")));
    }
    keys::check(site, &registration)?;
    let taken_back = deciding::take_back(site, &mut store, &registration, &Decider::Operator(ownership::shell_user()))?;
    drop(store);
    queue::show_in_room(site);
    match taken_back {
        TakenBack::Yes => Ok(changed(id, Some(State::AdminVerify), &format!("request #{id} waits for a decision again"))),
        TakenBack::NameTaken => {
            Err(Refusal::No(format!("the username of request #{id} belongs to somebody else by now, so the no cannot be taken back")))
        }
        TakenBack::NotDeclined => Err(Refusal::No(format!("somebody else was faster: matrix-register-bot show {id}"))),
    }
}

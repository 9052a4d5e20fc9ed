//! `list`, `show` and `stats`: read only.

use super::answer::{Answer, Refusal};
use super::{closing, find, table};
use crate::domain::characters::one_line;
use crate::domain::names;
use crate::domain::number::Number;
use crate::domain::registration::State;
use crate::domain::seconds::{span, utc};
use crate::domain::stage::Stage;
use crate::outside::site::Site;
use crate::outside::store::{Access, Decided, Listed, OfWeek, OwedNow, Question, Registration, Store, Which};
use serde::Serialize;
use serde_json::json;
use std::fmt::Write;

/// The largest number of requests that are listed.
const MOST_LISTED: i64 = 10_000;

/// A request in a list. Times are seconds since 1970.
#[derive(Debug, Serialize)]
struct Line {
    request: i64,
    /// `None`: a state that this program does not know.
    state: Option<&'static str>,
    waits_for: &'static str,
    mxid: String,
    email: String,
    since: Option<i64>,
    last_error: Option<String>,
}

pub fn list(site: &Site, all: bool, stages: &[Stage], older: Option<i64>) -> Result<Answer, Refusal> {
    let states: Vec<State> = State::ALL.into_iter().filter(|state| stages.contains(&Stage::of(*state))).collect();
    let which = match (stages, all) {
        ([], true) => Which::All,
        ([], false) => Which::Open,
        _ => Which::In(&states),
    };
    let before = older.map(|age| site.now() - age);
    let mut store = site.store(Access::Read)?;
    let (form_closed, _) = closing::told(site, &mut store)?;
    let lines: Vec<Line> = store.listed(which, before, MOST_LISTED)?.into_iter().map(|listed| line(site, listed)).collect();
    let mut rows = table::Rows::new(&["No.", "Username", "Waits for", "Since", "Last error"]);
    for line in &lines {
        let awaited = if line.waits_for == "nothing" { line.state.unwrap_or("?") } else { line.waits_for };
        let since = line.since.map_or("?".into(), utc);
        rows.add(&[&Number(line.request).to_string(), &line.mxid, awaited, &since, line.last_error.as_deref().unwrap_or_default()]);
    }
    let text = match lines.len() as i64 {
        0 => "no request\n".to_owned(),
        MOST_LISTED.. => format!("{rows}only {MOST_LISTED} requests are listed; --state and --older choose among them\n"),
        _ => rows.to_string(),
    };
    Ok(Answer { text: form_closed + &text, json: json!(lines) })
}

fn line(site: &Site, listed: Listed) -> Line {
    Line {
        request: listed.id,
        state: listed.state.map(|state| Stage::of(state).name()),
        waits_for: listed.state.map_or("nothing that this program knows (column state)", State::awaits),
        mxid: names::mxid(&listed.username, &site.config.server_name),
        email: listed.email,
        since: listed.since,
        last_error: listed.error,
    }
}

/// Everything about a request. Times are seconds since 1970.
#[derive(Debug, Serialize)]
pub struct Whole {
    request: i64,
    /// The numbers that it had before its address was corrected.
    former_numbers: Vec<i64>,
    state: &'static str,
    waits_for: &'static str,
    since: i64,
    mxid: String,
    name: String,
    email: String,
    note: String,
    language: &'static str,
    asked_at: i64,
    confirmed_at: Option<i64>,
    decided_at: Option<i64>,
    account_tried_at: Option<i64>,
    reason: Option<String>,
    /// Why the homeserver refused the account or the password.
    refusal: Option<String>,
    /// The last mail of the state before was given up.
    mail_lost: bool,
    history: Vec<Event>,
    questions: Vec<Asked>,
    owed: Vec<Due>,
}

#[derive(Debug, Serialize)]
struct Event {
    at: i64,
    outcome: &'static str,
    way: &'static str,
    by: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Asked {
    question: String,
    asked_at: i64,
    asked_by: Option<String>,
    answer: Option<String>,
    answered_at: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Due {
    what: &'static str,
    due_at: i64,
    tries: i64,
    failing_since: Option<i64>,
    last_error: Option<String>,
}

pub fn show(site: &Site, named: &str) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Read)?;
    let registration = find::request(site, &mut store, named)?;
    let whole = whole(site, &mut store, registration)?;
    Ok(Answer { text: told(&whole), json: json!(whole) })
}

pub fn whole(site: &Site, store: &mut Store, of: Registration) -> Result<Whole, Refusal> {
    let history = store.decisions(of.id)?.into_iter().map(|Decided { outcome, way, by, reason, at }| Event {
        at,
        outcome: outcome.name(),
        way: way.name(),
        by,
        reason,
    });
    let history = history.collect();
    let questions = store.questions(of.id)?.into_iter().map(|Question { question, asked_at, asked_by, answer, answered_at, .. }| Asked {
        question,
        asked_at,
        asked_by,
        answer,
        answered_at,
    });
    let questions = questions.collect();
    let owed = store.owed_now(of.id)?.into_iter().map(|OwedNow { owed, due_at, tries, failing_since, error, .. }| Due {
        what: owed.described(),
        due_at,
        tries,
        failing_since,
        last_error: error,
    });
    let former_numbers = store.former_numbers(of.id)?.into_iter().map(|Number(number)| number).collect();
    Ok(Whole {
        request: of.id,
        former_numbers,
        state: Stage::of(of.state).name(),
        waits_for: of.state.awaits(),
        since: of.state_since,
        mxid: names::mxid(&of.username, &site.config.server_name),
        name: of.full_name(),
        email: of.email,
        note: of.note,
        language: of.language.tag(),
        asked_at: of.requested_at,
        confirmed_at: of.confirmed_at,
        decided_at: of.decided_at,
        account_tried_at: of.account_tried_at,
        reason: of.reason,
        refusal: of.refusal,
        mail_lost: of.mail_lost,
        history,
        questions,
        owed: owed.collect(),
    })
}

/// One line for each fact; what strangers typed cannot begin a new one.
fn told(whole: &Whole) -> String {
    let mut text = String::new();
    let mut say = |what: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{what:<12} {}", one_line(value));
        }
    };
    let time = |at: Option<i64>| at.map(utc).unwrap_or_default();
    let former = whole.former_numbers.iter().map(|number| Number(*number).to_string()).collect::<Vec<_>>().join(", ");
    let former = if former.is_empty() { former } else { format!(", before its address was corrected {former}") };
    say("Request", &format!("{}{former}", Number(whole.request)));
    say("Username", &whole.mxid);
    say("Name", &whole.name);
    say("Email", &whole.email);
    say("Language", whole.language);
    say("Note", &whole.note);
    say("State", &format!("{}, since {}", whole.state, utc(whole.since)));
    say("Waits for", if whole.waits_for == "nothing" { "" } else { whole.waits_for });
    say("Asked", &utc(whole.asked_at));
    say("Confirmed", &time(whole.confirmed_at));
    say("Decided", &time(whole.decided_at));
    say("Account", &whole.account_tried_at.map_or(String::new(), |at| format!("first asked for on {}", utc(at))));
    say("Refused", whole.refusal.as_deref().unwrap_or_default());
    say("Mail lost", if whole.mail_lost { "the last mail was given up" } else { "" });
    for event in &whole.history {
        let by = event.by.as_deref().map_or(String::new(), |by| format!(" by {by}"));
        let reason = event.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        say("History", &format!("{} {}{by} ({}){reason}", utc(event.at), event.outcome.replace('_', " "), event.way));
    }
    for asked in &whole.questions {
        let answer = asked.answer.as_deref().unwrap_or("(no answer yet)");
        say("Question", &format!("{} {}", utc(asked.asked_at), asked.question));
        say("Answer", &format!("{} {answer}", time(asked.answered_at)));
    }
    for due in &whole.owed {
        let failing = due.failing_since.map_or(String::new(), |since| format!(", failing since {}, {} tries", utc(since), due.tries));
        let error = due.last_error.as_deref().map_or(String::new(), |error| format!(", last error: {error}"));
        say("To do", &format!("{}, next try {}{failing}{error}", due.what, utc(due.due_at)));
    }
    text
}

/// Of the requests that are kept.
#[derive(Debug, Default, Serialize)]
struct Counted {
    asked: u64,
    confirmed: u64,
    approved: u64,
    declined: u64,
    expired: u64,
    withdrawn: u64,
    undecided: u64,
    /// From the confirmation of the address to the decision.
    median_seconds_to_a_decision: Option<i64>,
    by_week: Vec<Week>,
    /// How the form is closed, if it is.
    form_closed: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct Week {
    begins_at: i64,
    asked: u64,
    approved: u64,
    declined: u64,
}

pub fn stats(site: &Site, since: Option<i64>) -> Result<Answer, Refusal> {
    let from = since.map_or(0, |age| site.now() - age);
    let mut counted = Counted::default();
    let mut weeks = std::collections::BTreeMap::<i64, Week>::new();
    let mut store = site.store(Access::Read)?;
    for OfWeek { begins_at, state, asked, confirmed } in store.kept_by_week(from)? {
        let week = weeks.entry(begins_at).or_insert(Week { begins_at, asked: 0, approved: 0, declined: 0 });
        week.asked += asked;
        counted.asked += asked;
        counted.confirmed += confirmed;
        match state.map(Stage::of) {
            Some(Stage::Choosing | Stage::Approved | Stage::Done) => {
                week.approved += asked;
                counted.approved += asked;
            }
            Some(Stage::Declined) => {
                week.declined += asked;
                counted.declined += asked;
            }
            Some(Stage::Expired) => counted.expired += asked,
            Some(Stage::Withdrawn) => counted.withdrawn += asked,
            Some(Stage::Undecided) => counted.undecided += asked,
            _ => {}
        }
    }
    counted.median_seconds_to_a_decision = store.median_to_a_decision(from)?;
    counted.by_week = weeks.into_values().collect();
    let mut rows = table::Rows::new(&["Week from", "Asked", "Approved", "Declined"]);
    for week in &counted.by_week {
        rows.add(&[&utc(week.begins_at)[..10], &week.asked.to_string(), &week.approved.to_string(), &week.declined.to_string()]);
    }
    let (form_closed, of_form) = closing::told(site, &mut store)?;
    counted.form_closed = of_form;
    let median = counted.median_seconds_to_a_decision.map_or("none yet".into(), span);
    let text = format!(
        "{form_closed}{} asked, {} confirmed their address, {} approved, {} declined, {} expired, {} withdrawn, {} undecided\nmedian time to a decision: {median}\n{rows}",
        counted.asked, counted.confirmed, counted.approved, counted.declined, counted.expired, counted.withdrawn, counted.undecided
    );
    Ok(Answer { text, json: json!(counted) })
}

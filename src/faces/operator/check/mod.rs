//! `check`: reaches everything that the configuration names, and says in one line each what is wrong and which key to look at.
//! Changes nothing, but accepts an invitation to the room as the first message would.

mod homeserver;
mod machine;
mod site;

use super::answer::Answer;
use crate::outside::site::Site;
use serde::Serialize;
use serde_json::json;

/// What was found about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub subject: &'static str,
    pub verdict: Verdict,
    /// What was found; if it is not all right: what was tried, what came back, and which key to look at.
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// Works, and should be looked at.
    Warning,
    Wrong,
}

fn ok(subject: &'static str, sentence: impl Into<String>) -> Finding {
    Finding { subject, verdict: Verdict::Ok, sentence: sentence.into() }
}

fn warning(subject: &'static str, sentence: impl Into<String>) -> Finding {
    Finding { subject, verdict: Verdict::Warning, sentence: sentence.into() }
}

fn wrong(subject: &'static str, sentence: impl Into<String>) -> Finding {
    Finding { subject, verdict: Verdict::Wrong, sentence: sentence.into() }
}

/// Checks everything; `mail_to` gets a mail. The second value: whether all that is needed is all right.
pub fn check(site: &Site, mail_to: Option<&str>) -> (Answer, bool) {
    let checks: [fn(&Site) -> Vec<Finding>; 10] = [
        machine::files,
        machine::database,
        machine::templates,
        homeserver::homeserver,
        homeserver::accounts,
        homeserver::bot_and_room,
        homeserver::service,
        site::pages,
        site::form_is_open,
        machine::cron,
    ];
    let mut findings: Vec<Finding> = checks.into_iter().flat_map(|check| check(site)).collect();
    findings.extend(machine::mail(site, mail_to));
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Wrong);
    (answer(&findings, is_well), is_well)
}

/// The configuration cannot be used, so nothing else can be checked.
pub fn of_configuration(sentence: &str) -> Answer {
    answer(&[wrong("configuration", sentence)], false)
}

fn answer(findings: &[Finding], is_well: bool) -> Answer {
    let text = findings.iter().map(line).collect();
    Answer { text, json: json!({ "ok": is_well, "findings": findings }) }
}

fn line(finding: &Finding) -> String {
    let word = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "look at",
        Verdict::Wrong => "WRONG",
    };
    let sentence = crate::domain::characters::one_line(&finding.sentence);
    format!("{word:<8} {:<20} {sentence}\n", finding.subject)
}

//! `check`: reaches everything that the configuration names, and says in one line each what is wrong and which key to look at.
//! Changes no request and no account. As any program does, it makes or upgrades the tables and `config.json`, logs the bot in, and accepts
//! an invitation to the room.

mod homeserver;
mod machine;
mod site;

use super::answer::Answer;
use crate::outside::ownership;
use crate::outside::site::Site;
use serde::Serialize;
use serde_json::json;
use std::io;

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

/// Checks everything; `mail_to` gets a mail. `stays_root`: why this process could not go on as the user of the programs. The second
/// value: whether all that is needed is all right.
pub fn check(site: &Site, stays_root: Option<io::Error>, mail_to: Option<&str>) -> (Answer, bool) {
    let mut findings: Vec<Finding> = stays_root.map(|cause| as_root(site, &cause)).into_iter().collect();
    let looks = [
        machine::files,
        machine::database,
        machine::former_key,
        machine::templates,
        homeserver::all,
        site::pages,
        site::form_is_open,
        machine::cron,
    ];
    for look in looks {
        findings.extend(look(site));
    }
    findings.extend(machine::mail(site, mail_to));
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Wrong);
    (answer(&findings, is_well), is_well)
}

fn as_root(site: &Site, cause: &io::Error) -> Finding {
    let owner = ownership::owner(&site.config.state_folder);
    let sentence = format!("looked at as root, who may do more than {owner}, because this process cannot go on as {owner}: {cause}");
    warning("files", sentence)
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

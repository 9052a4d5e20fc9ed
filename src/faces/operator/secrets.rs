//! `secrets rotate`: new secrets in place of those that somebody may know. All of them are in `config.json`; what is in `config.toml` is
//! the operator's to change.

use super::answer::{Answer, Refusal};
use super::command::Secrets;
use crate::domain::config::OperationMode;
use crate::domain::seconds::utc;
use crate::faces::cron;
use crate::flow::rotation::{self, Rotated};
use crate::outside::log;
use crate::outside::matrix;
use crate::outside::matrix::bot::{self, Renewed};
use crate::outside::ownership;
use crate::outside::site::Site;
use serde_json::{Value, json};

const COPY: &str = "Copy config.json to the other machines, if there are any";

pub fn obey(site: &Site, command: &Secrets) -> Result<Answer, Refusal> {
    let Secrets::Rotate { secret_key, bot, service } = *command;
    let (mut text, mut all, mut refused) = (String::new(), json!({}), Vec::new());
    let mut tell = |name: &str, (sentence, value): (String, Value)| {
        log::info("secrets_rotated", None, &format!("{name}, by={}", ownership::shell_user()));
        text += &format!("{sentence}\n");
        all[name] = value;
    };
    let rotations: [(&str, bool, Rotation); 3] =
        [("secret_key", secret_key, rotate_key), ("bot", bot, rotate_bot), ("service", service, rotate_service)];
    for (name, _, rotate) in rotations.into_iter().filter(|(_, is_wanted, _)| *is_wanted) {
        match rotate(site) {
            Ok(done) => tell(name, done),
            Err(refusal) => refused.push(refusal),
        }
    }
    match refused.into_iter().reduce(and) {
        None => Ok(Answer { text, json: all }),
        Some(refusal) => Err(after(&text, refusal)),
    }
}

type Rotation = fn(&Site) -> Result<(String, Value), Refusal>;

/// What does not work at present may be tried again, so it decides the exit status.
fn and(first: Refusal, next: Refusal) -> Refusal {
    let both = format!("{}; {}", first.sentence(), next.sentence());
    match (first, next) {
        (Refusal::No(_), Refusal::No(_)) => Refusal::No(both),
        _ => Refusal::Failed(both),
    }
}

/// A refusal that says what was done before.
fn after(done: &str, refusal: Refusal) -> Refusal {
    let sentence = |sentence: String| if done.is_empty() { sentence } else { format!("{}; but: {sentence}", done.trim_end()) };
    match refusal {
        Refusal::No(said) => Refusal::No(sentence(said)),
        Refusal::Failed(said) => Refusal::Failed(sentence(said)),
    }
}

fn rotate_key(site: &Site) -> Result<(String, Value), Refusal> {
    let Rotated { is_new, since, renewed, left, forgotten, hindrance: _ } = rotation::replace_key(site)?;
    let rest = match left.len() {
        0 => "the former key is kept for an hour, for pages that are open, and cron forgets it then".to_owned(),
        left => format!(
            "{left} go on with the former key, as their account, mail or message may be on its way; cron gives them the new one later, and forgets the former one then"
        ),
    };
    if !is_new {
        return Err(Refusal::No(format!(
            "secret_key: a replacement is under way since {}, so no new key was made; {renewed} more requests have the key of then; {rest}. For another key, run this again when check says nothing of a former key",
            utc(since)
        )));
    }
    let sentence = format!("secret_key: {renewed} requests have the new key; {rest}. {COPY}");
    let json = json!({ "renewed": renewed, "left": left, "outcomes_forgotten": forgotten });
    Ok((sentence, json))
}

fn rotate_bot(site: &Site) -> Result<(String, Value), Refusal> {
    let Renewed { password_stays } = bot::renew_secrets(site).map_err(refusal)?;
    let password = match &password_stays {
        None => "it has a new password".to_owned(),
        Some(why) => format!("its password stays, because the homeserver does not change it ({why})"),
    };
    let sentence = format!("bot: {password}, and a new access token; its other sessions have ended. {COPY}");
    Ok((sentence, json!({ "password_is_new": password_stays.is_none() })))
}

fn rotate_service(site: &Site) -> Result<(String, Value), Refusal> {
    if site.state.service()?.is_none() {
        return Err(Refusal::No("there is no application service; matrix-register-bot appservice makes one".into()));
    }
    site.state.renew_service()?;
    let file = cron::print_service(site)?;
    let until = match site.config.operation_mode == OperationMode::Mas && !site.config.has_access_token() {
        true => "Until then the bot can do nothing, because it has no access_token, and requests wait",
        false => "Until then the bot acts as itself, and cron looks at the room",
    };
    let sentence = format!("# service: the tokens are new; give the homeserver this file and restart it. {until}. {COPY}");
    Ok((format!("{sentence}\n{}", file.trim_end()), json!({ "file": file })))
}

fn refusal(cause: matrix::Error) -> Refusal {
    match cause {
        matrix::Error::Misconfigured(sentence) => Refusal::No(sentence),
        other => Refusal::Failed(format!("{other}; run this again, nothing is lost")),
    }
}

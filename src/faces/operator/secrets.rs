//! `secrets rotate`: new secrets in place of those that somebody may know. All of them are in `config.json`; what is in `config.toml` is
//! the operator's to change.

use super::answer::{Answer, Refusal};
use super::command::Secrets;
use crate::faces::cron;
use crate::flow::rotation::{self, Rotated};
use crate::outside::log;
use crate::outside::matrix;
use crate::outside::matrix::bot::{self, Renewed};
use crate::outside::ownership;
use crate::outside::site::Site;
use serde_json::{Value, json};

pub fn obey(site: &Site, command: &Secrets) -> Result<Answer, Refusal> {
    let Secrets::Rotate { secret_key, bot, service } = *command;
    let (mut text, mut all) = (String::new(), json!({}));
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
            Err(refusal) => return Err(after(&text, refusal)),
        }
    }
    Ok(Answer { text, json: all })
}

type Rotation = fn(&Site) -> Result<(String, Value), Refusal>;

/// A refusal that says what was done before.
fn after(done: &str, refusal: Refusal) -> Refusal {
    let sentence = |sentence: String| if done.is_empty() { sentence } else { format!("{}; but: {sentence}", done.trim_end()) };
    match refusal {
        Refusal::No(said) => Refusal::No(sentence(said)),
        Refusal::Failed(said) => Refusal::Failed(sentence(said)),
    }
}

fn rotate_key(site: &Site) -> Result<(String, Value), Refusal> {
    let Rotated { renewed, left, is_complete, forgotten } = rotation::replace_key(site)?;
    let rest = match (is_complete, left.is_empty()) {
        (true, _) => "the former key is forgotten".to_owned(),
        (false, true) => "the former key is kept for an hour, for pages that are open, and cron forgets it then".to_owned(),
        (false, false) => format!(
            "{} go on with the former key, as their account, mail or message may be on its way; cron gives them the new one later, and forgets the former one then",
            left.len()
        ),
    };
    let sentence =
        format!("secret_key: {renewed} requests have the new key; {rest}. Copy config.json to the other machines, if there are any");
    let json = json!({ "renewed": renewed, "left": left, "is_complete": is_complete, "outcomes_forgotten": forgotten });
    Ok((sentence, json))
}

fn rotate_bot(site: &Site) -> Result<(String, Value), Refusal> {
    let Renewed { password_stays } = bot::renew_secrets(site).map_err(refusal)?;
    let password = match &password_stays {
        None => "it has a new password".to_owned(),
        Some(why) => format!("its password stays, because the homeserver does not change it ({why})"),
    };
    let sentence = format!("bot: {password}, and a new access token; its other sessions have ended");
    Ok((sentence, json!({ "password_is_new": password_stays.is_none() })))
}

fn rotate_service(site: &Site) -> Result<(String, Value), Refusal> {
    if site.state.service()?.is_none() {
        return Err(Refusal::No("there is no application service; matrix-register-bot appservice makes one".into()));
    }
    site.state.renew_service()?;
    let file = cron::print_service(site)?;
    let sentence = "# service: the tokens are new; give the homeserver this file and restart it. Until then the bot acts as itself, and cron looks at the room";
    Ok((format!("{sentence}\n{}", file.trim_end()), json!({ "file": file })))
}

fn refusal(cause: matrix::Error) -> Refusal {
    match cause {
        matrix::Error::Misconfigured(sentence) => Refusal::No(sentence),
        other => Refusal::Failed(format!("{other}; run this again, nothing is lost")),
    }
}

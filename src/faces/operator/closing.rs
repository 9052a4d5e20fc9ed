//! `close` and `open`: the form, closed on purpose. Requests that were filed before go on.

use super::answer::{Answer, Refusal};
use crate::domain::config::{Language, TimeZone};
use crate::domain::names;
use crate::domain::seconds::DAY;
use crate::flow::limits;
use crate::outside::log;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::store::{Access, Closed, ClosedByHand, ClosingTexts, Store};
use serde_json::{Value, json};

/// The latest time at which a form opens again, in seconds from now.
const LONGEST: i64 = 3660 * DAY;

/// Closes the form until a time of the configured zone, or until it is opened.
pub fn close(site: &Site, until: Option<jiff::civil::DateTime>, texts: &[String]) -> Result<Answer, Refusal> {
    let now = site.now();
    let closed = ClosedByHand {
        closed_at: now,
        opens_at: until.map(|until| opening_time(site, until, now)).transpose()?,
        closed_by: ownership::shell_user(),
        texts: parsed(texts)?,
    };
    site.store(Access::Write)?.close_form(&closed)?;
    let until = closed.opens_at.map_or("until it is opened".into(), |at| format!("until={}", crate::domain::seconds::utc(at)));
    log::info("form_closed_by_operator", None, &format!("{until} by={}", closed.closed_by));
    let closed = Closed::ByHand(Box::new(closed));
    let sentence = format!("{}; requests that were filed before go on", limits::why_closed(&closed));
    Ok(Answer { text: sentence.clone() + "\n", json: json!({ "form_closed": as_json(&closed), "said": sentence }) })
}

pub fn open(site: &Site) -> Result<Answer, Refusal> {
    let mut store = site.store(Access::Write)?;
    if !store.open_form(site.now())? {
        return Err(Refusal::No(match limits::closed_by(site, &mut store)? {
            Some(closed) => format!("{}; nobody closed it by hand", limits::why_closed(&closed)),
            None => "the form is open already".into(),
        }));
    }
    log::info("form_opened_by_operator", None, &format!("by={}", ownership::shell_user()));
    let still = limits::closed_by(site, &mut store)?;
    let sentence = still.as_ref().map_or("the form is open".into(), limits::why_closed);
    Ok(Answer { text: sentence.clone() + "\n", json: json!({ "form_closed": still.as_ref().map(as_json), "said": sentence }) })
}

/// For other subcommands: a line if the form is closed, and the same for scripts.
pub fn told(site: &Site, store: &mut Store) -> Result<(String, Value), Refusal> {
    let closed = limits::closed_by(site, store)?;
    let line = closed.as_ref().map_or(String::new(), |closed| limits::why_closed(closed) + "\n");
    Ok((line, json!(closed.as_ref().map(as_json))))
}

fn as_json(closed: &Closed) -> Value {
    match closed {
        Closed::ByHand(closed) => {
            json!({ "by_hand": true, "closed_by": closed.closed_by, "closed_at": closed.closed_at, "opens_at": closed.opens_at })
        }
        Closed::TooManyOpen | Closed::TooManyToday(_) => json!({ "by_hand": false, "why": limits::why_closed(closed) }),
    }
}

fn opening_time(site: &Site, until: jiff::civil::DateTime, now: i64) -> Result<i64, Refusal> {
    let zone = site.config.time_zone.clone().unwrap_or_else(TimeZone::system);
    let moment = zone.0.to_timestamp(until).map_err(|cause| Refusal::No(format!("there is no such time as {until}: {cause}")))?;
    match moment.as_second() {
        at if at <= now => Err(Refusal::No(format!("{until} is over"))),
        at if at > now + LONGEST => Err(Refusal::No(format!("{until} is more than ten years from now"))),
        at => Ok(at),
    }
}

/// Texts from `--text`: `de=...` is for one language, and any other for all that have none of their own.
fn parsed(texts: &[String]) -> Result<ClosingTexts, Refusal> {
    let mut parsed = ClosingTexts::default();
    for typed in texts {
        let (language, text) = of_language(typed);
        match names::note(text) {
            Some(text) if text.is_empty() => return Err(Refusal::No("the text is empty".into())),
            Some(text) => parsed.set(language, text),
            None => return Err(Refusal::No(format!("a text has at most {} characters", names::NOTE_MAX_CHARACTERS))),
        }
    }
    Ok(parsed)
}

fn of_language(typed: &str) -> (Option<Language>, &str) {
    let of_tag = |tag: &str| Language::ALL.into_iter().find(|language| language.tag() == tag);
    match typed.split_once('=').and_then(|(tag, text)| Some((of_tag(tag)?, text))) {
        Some((language, text)) => (Some(language), text),
        None => (None, typed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_for_all_languages_without_one_of_their_own() {
        let texts = parsed(&["Back on 1 = one Monday".into(), "de=Bis Montag = zu".into()]).unwrap();
        assert_eq!(texts.in_language(Language::English), Some("Back on 1 = one Monday"));
        assert_eq!(texts.in_language(Language::German), Some("Bis Montag = zu"));
        assert_eq!(parsed(&["de=zu".into()]).unwrap().in_language(Language::English), None);
        for wrong in ["", " ", "de=", &"x".repeat(names::NOTE_MAX_CHARACTERS + 1)] {
            assert!(parsed(&[wrong.into()]).is_err(), "{wrong:?}");
        }
    }
}

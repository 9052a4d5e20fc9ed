//! `internal/metrics`: how the sign-up fares, for Prometheus and what reads its text format 0.0.4.
//!
//! Nothing names a person. Every figure is cheap however many requests there are (`store/figures.rs`), so a scrape each quarter of a
//! minute costs next to nothing. Times are seconds since 1970: `time() - ...` is an age that goes on growing if nobody answers.

use super::access;
use crate::domain::error::Error;
use crate::domain::stage::Stage;
use crate::flow::beside;
use crate::flow::limits;
use crate::outside::cgi::{Method, Request, Response};
use crate::outside::site::Site;
use crate::outside::store::{Access, Closed, Owed, Store, Waiting};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// The content type of the format (its specification, "Basic info").
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The beginning of every name.
const PREFIX: &str = "matrix_register_bot_";

/// Answers 200 with all metrics; 503 if the database is away, which the monitoring sees as `up == 0`.
pub fn show(site: &Site, request: &Request) -> Result<Response, Error> {
    access::check(site, request)?;
    match request.method() {
        Method::Get => Ok(Response::new(200, CONTENT_TYPE, measured(site)?)),
        _ => Err(Error::method_not_allowed("GET, HEAD")),
    }
}

fn measured(site: &Site) -> Result<String, Error> {
    let mut store = site.store(Access::Read)?;
    let mut text = Exposition::default();
    text.family("build_info", Kind::Gauge, "The version that runs; always 1.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    requests(&mut store, &mut text)?;
    owed(site, &mut store, &mut text)?;
    failing(&mut store, &mut text)?;
    text.family("decisions_total", Kind::Counter, "Decisions about requests, by what was decided and in which way.");
    for (outcome, way, count) in store.decided()? {
        text.sample(&[("outcome", outcome.name()), ("way", way.name())], count);
    }
    text.family("cron_last_run_timestamp_seconds", Kind::Gauge, "When cron ran last; 0 if it never ran.");
    text.sample(&[], store.cron_clock()?.map_or(0, |clock| clock.ran_at));
    form(site, &mut store, &mut text)?;
    Ok(text.0)
}

fn requests(store: &mut Store, text: &mut Exposition) -> Result<(), Error> {
    let mut by_stage: BTreeMap<Stage, Waiting> = Stage::ALL.map(|stage| (stage, Waiting::default())).into();
    let kept = store.kept_by_state()?.into_iter().map(|(state, count)| (state, Waiting { count, since: None }));
    for (state, waiting) in store.open_by_state()?.into_iter().chain(kept) {
        let stage = by_stage.entry(Stage::of(state)).or_default();
        *stage = stage.with(waiting);
    }
    text.family("requests", Kind::Gauge, "Requests in the database, by stage. Those that are over are counted by cron once an hour.");
    for (stage, waiting) in &by_stage {
        text.sample(&[("stage", stage.name())], waiting.count);
    }
    text.family(
        "requests_oldest_timestamp_seconds",
        Kind::Gauge,
        "Since when the longest waiting request is in this stage; missing if none waits.",
    );
    for (stage, since) in by_stage.iter().filter_map(|(stage, waiting)| Some((stage, waiting.since?))) {
        text.sample(&[("stage", stage.name())], since);
    }
    Ok(())
}

fn owed(site: &Site, store: &mut Store, text: &mut Exposition) -> Result<(), Error> {
    let mut owed = store.owed_by_kind(site.now())?;
    // Rows of what the configuration does not want are never acted on.
    owed.retain(|(kind, _)| !matches!(kind, Owed::Beside(action) if beside::delays(site, *action).is_empty()));
    let of = |kind: Owed| owed.iter().find(|(owed, _)| *owed == kind).map(|(_, waiting)| *waiting);
    text.family("owed", Kind::Gauge, "Mails, room messages, accounts and so on that are due, or failed and are tried again, by kind.");
    for kind in Owed::all() {
        text.sample(&[("kind", kind.name())], of(kind).unwrap_or_default().count);
    }
    text.family(
        "owed_oldest_timestamp_seconds",
        Kind::Gauge,
        "Since when the oldest of a kind is due, or fails; missing if nothing of this kind is owed.",
    );
    for (kind, since) in Owed::all().filter_map(|kind| Some((kind, of(kind)?.since?))) {
        text.sample(&[("kind", kind.name())], since);
    }
    Ok(())
}

fn failing(store: &mut Store, text: &mut Exposition) -> Result<(), Error> {
    let failing = store.failing_by_trouble()?;
    text.family("failing", Kind::Gauge, "What failed at its last try and waits for the next one, by what stands in the way.");
    for (trouble, waiting) in &failing {
        text.sample(&[("peer", &trouble.label())], waiting.count);
    }
    text.family("failing_oldest_timestamp_seconds", Kind::Gauge, "Since when the first of them fails; missing if nothing fails.");
    for (trouble, since) in failing.iter().filter_map(|(trouble, waiting)| Some((trouble, waiting.since?))) {
        text.sample(&[("peer", &trouble.label())], since);
    }
    Ok(())
}

fn form(site: &Site, store: &mut Store, text: &mut Exposition) -> Result<(), Error> {
    let reason = limits::closed_by(site, store)?.map(|closed| match closed {
        Closed::ByHand(_) => "by_hand",
        Closed::TooManyOpen => "open_requests",
        Closed::TooManyToday(_) => "requests_per_day",
    });
    text.family("form_closed", Kind::Gauge, "1 while the form takes no requests, by what closed it.");
    for known in ["by_hand", "open_requests", "requests_per_day"] {
        text.sample(&[("reason", known)], i64::from(reason == Some(known)));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// Text in the exposition format: families of samples, each with its help and type before its first sample.
#[derive(Default)]
struct Exposition(String, &'static str);

impl Exposition {
    fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        self.1 = name;
        self.write(format_args!(
            "# HELP {PREFIX}{name} {}\n# TYPE {PREFIX}{name} {kind}\n",
            help.replace('\\', "\\\\").replace('\n', "\\n")
        ));
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: i64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let name = self.1;
        self.write(format_args!("{PREFIX}{name}{labels} {value}\n"));
    }

    fn write(&mut self, line: impl Display) {
        // Cannot fail: a `String` takes everything.
        let _ = write!(self.0, "{line}");
    }
}

/// The value of a label: backslash, quotation mark and line break are escaped (the specification, "Text format details").
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_label_ends_its_line_or_its_quotation() {
        let mut text = Exposition::default();
        text.family("owed", Kind::Gauge, "One \\ line\nand no more.");
        text.sample(&[("kind", "a\"b\\c\nd"), ("peer", "e")], -1);
        assert_eq!(
            text.0,
            "# HELP matrix_register_bot_owed One \\\\ line\\nand no more.\n# TYPE matrix_register_bot_owed gauge\nmatrix_register_bot_owed{kind=\"a\\\"b\\\\c\\nd\",peer=\"e\"} -1\n"
        );
    }
}

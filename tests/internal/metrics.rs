//! What Prometheus is told.

use crate::world::{Engine, on_every_database};
use crate::{World, request};
use matrix_register_bot::domain::config::{Language, OperationMode};
use matrix_register_bot::domain::decision::Decider;
use matrix_register_bot::domain::registration::{Event, SideAction, State};
use matrix_register_bot::faces::api::metrics::show;
use matrix_register_bot::outside::store::{Access, Confirmed, Filed, FilingLimits, Leaves, NewRegistration, Store};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

const NOW: i64 = 1_800_000_000;
const GUIDE: &str = include_str!("../../docs/monitoring.md");

fn scrape(world: &World) -> String {
    let response = show(&world.site, &request(&[("REQUEST_METHOD", "GET"), ("REMOTE_ADDR", "127.0.0.1")], "")).unwrap();
    let head = String::from_utf8(response.clone().into_bytes(true)).unwrap();
    assert!(response.status == 200 && head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    String::from_utf8(response.body().to_vec()).unwrap()
}

/// The samples by name and labels, without the common beginning.
fn samples(text: &str) -> BTreeMap<&str, i64> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').expect("a value"));
    lines.map(|(name, value)| (name.strip_prefix("matrix_register_bot_").expect("our beginning"), value.parse().unwrap())).collect()
}

fn filed(store: &mut Store, name: &str, requested_at: i64) -> i64 {
    let text = |what: &str| format!("{what} of {name}");
    let new = NewRegistration {
        seed: text("seed"),
        submission: text("submission"),
        page_token_hash: text("page"),
        verify_token_hash: text("verify"),
        admin_token_hash: text("admin"),
        username: name.into(),
        first_name: "Ada".into(),
        last_name: String::new(),
        email: format!("{name}@example.net"),
        email_folded: format!("{name}@example.net"),
        note: String::new(),
        language: Language::English,
        filled_hidden_field: false,
        requested_at,
    };
    let limits = FilingLimits { unconfirmed_per_address: 9, ..FilingLimits::default() };
    match store.file(&new, &limits).unwrap() {
        Filed::Accepted(id) => id,
        other => panic!("{other:?}"),
    }
}

fn confirmed(store: &mut Store, name: &str, at: i64) -> i64 {
    let id = filed(store, name, at);
    assert!(matches!(store.confirm(id, None, None, at).unwrap(), Confirmed::Yes));
    id
}

fn all_figures_are_those_of_the_database(engine: Engine) {
    let world = World::on(engine);
    let mut store = world.site.store(Access::Write).unwrap();
    filed(&mut store, "unconfirmed", NOW - 60);
    confirmed(&mut store, "undecided", NOW - 7200);
    confirmed(&mut store, "undecided2", NOW - 3600);
    let approved = confirmed(&mut store, "approved", NOW - 1800);
    assert!(store.approve(approved, Event::Approved, OperationMode::Local, &Decider::Link, NOW - 900).unwrap());
    let declined = confirmed(&mut store, "declined", NOW - 1800);
    let operator = Decider::Operator("anna".into());
    assert!(store.decline(declined, Event::Declined, None, &operator, NOW - 600).unwrap());
    drop(store);
    let text = scrape(&world);
    let found = samples(&text);
    for (name, value) in [
        ("requests{stage=\"unconfirmed\"}", 1),
        ("requests{stage=\"undecided\"}", 2),
        ("requests{stage=\"approved\"}", 1),
        ("requests{stage=\"declined\"}", 1),
        ("requests{stage=\"done\"}", 0),
        ("requests_oldest_timestamp_seconds{stage=\"undecided\"}", NOW - 7200),
        ("owed{kind=\"confirm_mail\"}", 1),
        ("owed{kind=\"room_message\"}", 2),
        ("owed{kind=\"account\"}", 1),
        ("owed{kind=\"decline_mail\"}", 1),
        ("owed{kind=\"reset_mail\"}", 0),
        ("owed_oldest_timestamp_seconds{kind=\"room_message\"}", NOW - 7200),
        ("failing{peer=\"mail_server\"}", 0),
        ("decisions_total{outcome=\"approved\",way=\"link\"}", 1),
        ("decisions_total{outcome=\"declined\",way=\"operator\"}", 1),
        ("decisions_total{outcome=\"approved\",way=\"word\"}", 0),
        ("cron_last_run_timestamp_seconds", 0),
        ("form_closed{reason=\"by_hand\"}", 0),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name}: {text}");
    }
    assert!(!found.contains_key("owed_oldest_timestamp_seconds{kind=\"reset_mail\"}"), "nothing is old where nothing is: {text}");
}

fn what_the_configuration_does_not_want_is_not_owed(engine: Engine) {
    for (configuration, owed) in [("", 1), ("[times]\nremind_after_hours = 0\n", 0)] {
        let world = World::with(engine, configuration);
        let id = confirmed(&mut world.site.store(Access::Write).unwrap(), "undecided", NOW - 7200);
        let remind = SideAction::Remind as i64;
        world.database.sql(&format!("INSERT INTO owed_actions (registration_id, kind, due_at, owed_since) VALUES ({id}, {remind}, 5, 5)"));
        let text = scrape(&world);
        let found = samples(&text);
        assert_eq!(found["owed{kind=\"room_reminder\"}"], owed, "{text}");
        assert_eq!(found.contains_key("owed_oldest_timestamp_seconds{kind=\"room_reminder\"}"), owed == 1);
    }
}

fn a_decision_counts_for_ever_and_what_fails_is_named_by_its_peer(engine: Engine) {
    let world = World::with(engine, "[limits]\nopen_requests = 1\n");
    let mut store = world.site.store(Access::Write).unwrap();
    let declined = confirmed(&mut store, "declined", NOW - 1800);
    assert!(store.decline(declined, Event::DeclinedSilently, None, &Decider::Reaction("@a:b".into()), NOW - 600).unwrap());
    assert_eq!(store.state(declined).unwrap(), Some(State::Declined));
    assert!(store.forget_now(declined, Leaves::default()).unwrap());
    filed(&mut store, "unconfirmed", NOW - 60);
    drop(store);
    world.database.sql(&format!("UPDATE registrations SET trouble = 'mail server', failing_since = {}, attempts = 2", NOW - 50));
    world.database.sql(&format!("INSERT INTO cron_clock (id, ran_at, usual_gap, even_seconds) VALUES (1, {}, 300, 0)", NOW - 10));
    let text = scrape(&world);
    let found = samples(&text);
    for (name, value) in [
        ("decisions_total{outcome=\"declined_silently\",way=\"reaction\"}", 1),
        ("failing{peer=\"mail_server\"}", 1),
        ("failing_oldest_timestamp_seconds{peer=\"mail_server\"}", NOW - 50),
        ("owed_oldest_timestamp_seconds{kind=\"confirm_mail\"}", NOW - 50),
        ("cron_last_run_timestamp_seconds", NOW - 10),
        ("form_closed{reason=\"open_requests\"}", 1),
    ] {
        assert_eq!(found.get(name), Some(&value), "{name}: {text}");
    }
}

fn only_allowed_callers_are_told_and_only_by_get(engine: Engine) {
    let world = World::with(engine, "[internal]\nshared_secret = \"open sesame\"\n");
    let ask = |method, address, secret| {
        let variables = [("REQUEST_METHOD", method), ("REMOTE_ADDR", address), ("HTTP_X_REGISTER_BOT_SECRET", secret)];
        show(&world.site, &request(&variables, "")).map(|answer| answer.status).map_err(|error| (error.status, error.allow))
    };
    world.site.store(Access::Write).unwrap();
    assert_eq!(ask("GET", "127.0.0.1", "open sesame"), Ok(200));
    assert_eq!(ask("POST", "127.0.0.1", "open sesame"), Err((405, Some("GET, HEAD"))));
    assert_eq!(ask("GET", "127.0.0.1", ""), Err((403, None)));
    assert_eq!(ask("GET", "192.0.2.1", "open sesame"), Err((403, None)));
}

fn without_its_database_it_is_away(engine: Engine) {
    let world = World::without_database(engine);
    let asked = show(&world.site, &request(&[("REQUEST_METHOD", "GET"), ("REMOTE_ADDR", "127.0.0.1")], ""));
    assert_eq!(asked.map(|answer| answer.status).map_err(|error| error.status), Err(503));
}

on_every_database! {
    all_figures_are_those_of_the_database,
    what_the_configuration_does_not_want_is_not_owed,
    a_decision_counts_for_ever_and_what_fails_is_named_by_its_peer,
    only_allowed_callers_are_told_and_only_by_get,
    without_its_database_it_is_away,
}

/// Runs promtool, Prometheus's own checker.
fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("promtool");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}\n{input}");
}

#[test]
fn prometheus_itself_reads_the_figures_and_has_nothing_to_say_about_them() {
    let world = World::on(Engine::Sqlite);
    let mut store = world.site.store(Access::Write).unwrap();
    confirmed(&mut store, "undecided", NOW - 7200);
    drop(store);
    promtool(&["check", "metrics"], &scrape(&world));
}

#[test]
fn the_guide_names_every_figure_and_its_job_and_alerts_are_valid() {
    let world = World::on(Engine::Sqlite);
    confirmed(&mut world.site.store(Access::Write).unwrap(), "undecided", NOW - 7200);
    let text = scrape(&world);
    let told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let named: Vec<&str> = GUIDE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();
    assert_eq!(told.iter().filter(|name| !named.contains(name)).collect::<Vec<_>>(), [] as [&&str; 0], "docs/monitoring.md");
    let blocks: Vec<&str> = GUIDE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [job, rules] = blocks[..] else { panic!("{} blocks", blocks.len()) };
    let folder = crate::TempFolder::new("prometheus");
    for (name, block, check) in [("prometheus.yml", job, "config"), ("rules.yml", rules, "rules")] {
        let file = folder.path().join(name);
        std::fs::write(&file, block).unwrap();
        promtool(&["check", check, file.to_str().unwrap()], "");
    }
    for word in rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("matrix_register_bot_")) {
        assert!(named.contains(&word), "{word} in a rule is no figure");
    }
}

use crate::world::{Engine, Host, on_every_database};
use crate::{Story, fresh, now};

fn the_room_is_reminded_once_of_a_request_that_nobody_decides(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.site.run_cron();
    assert_eq!(story.synapse.messages(&story.room).len(), 1, "not yet");
    story.sql("UPDATE owed_actions SET owed_since = owed_since - 25 * 3600");
    for _ in 0..3 {
        story.site.let_cron_succeed();
    }
    let messages = story.synapse.messages(&story.room);
    assert_eq!(messages.len(), 2);
    assert!(messages[1].body.contains("still waiting") && messages[1].body.contains("/verify_admin?t="), "{}", messages[1].body);
    story.decide(&ada, "approve", "");
    assert_eq!(story.state(&ada), 100);
}

fn what_is_over_is_forgotten_after_a_month(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask_and_confirm(&ada);
    story.decide(&ada, "decline", "");
    let rows = || story.number("SELECT count(*) FROM registrations");
    story.sql("UPDATE registrations SET state_since = state_since - 29 * 86400");
    story.site.run_cron();
    assert_eq!(rows(), 1);
    story.sql("UPDATE registrations SET state_since = state_since - 2 * 86400");
    story.site.run_cron();
    assert_eq!(rows(), 0);
}

fn cron_is_silent_where_all_is_well_and_talks_when_asked_to(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let quiet = story.site.run_cron();
    assert!(quiet.status.success() && quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet:?}");
    let talkative = std::process::Command::new(story.site.program("cron")).arg("-v").output().unwrap();
    assert!(String::from_utf8_lossy(&talkative.stdout).contains("0 failed"), "{talkative:?}");
}

#[test]
fn cron_says_that_no_account_can_be_made_before_anybody_needs_one() {
    let story = Story::start_with("synapse", Host::NginxCgi, |site| site.set("registration_shared_secret", "wrong"));
    let first = String::from_utf8(story.site.run_cron().stderr).unwrap();
    assert!(first.contains("shared_secret_wrong: ") && first.contains("registration_shared_secret in config.toml"), "{first}");
    let second = story.site.run_cron();
    assert!(second.status.success() && second.stderr.is_empty(), "said once a day: {second:?}");
}

#[test]
fn programs_explain_themselves_in_a_shell_without_a_configuration() {
    let story = Story::start("synapse", Host::NginxCgi);
    std::fs::remove_file(story.site.config_path()).unwrap();
    let names = ["public", "internal", "cron"].into_iter().flat_map(|folder| story.site.programs_in(folder));
    for name in names.chain(["matrix-register-bot".to_owned()]) {
        for argument in ["--help", "--version"] {
            let run = story.site.run_with(&name, &[argument], &[], b"");
            let said = String::from_utf8(run.stdout.clone()).unwrap();
            assert!(run.status.success() && run.stderr.is_empty() && said.contains("matrix-register-bot"), "{name} {argument}: {run:?}");
        }
    }
    let checked = story.site.run_cron_with(&["--check"]);
    assert!(checked.status.code() == Some(64) && String::from_utf8_lossy(&checked.stderr).contains("matrix-register-bot check"));
    assert_eq!(story.site.run_cron_with(&["--nonsense"]).status.code(), Some(64));
    // By mistake, on a terminal.
    let register = story.site.program("register");
    let typed = std::process::Command::new("script").args(["-qec", register.to_str().unwrap(), "/dev/null"]).output().unwrap();
    assert!(String::from_utf8_lossy(&typed.stdout).contains("a web server starts this program"), "{typed:?}");
    assert_eq!(typed.status.code(), Some(64));
    // A web server that sends no variables gets an answer.
    let run = story.site.run("register", &[], b"");
    assert!(String::from_utf8_lossy(&run.stdout).starts_with("Status: 400"), "{run:?}");
}

/// The crontab may write the output to a file, whose disk may be full.
#[test]
fn a_log_that_takes_no_more_is_no_reason_for_cron_to_fail() {
    let story = Story::start("synapse", Host::NginxCgi);
    let ended = |arguments: &[&str]| {
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(story.site.program("cron"));
        command.args(arguments).stdout(full()).stderr(full()).status().unwrap().code()
    };
    assert_eq!(ended(&["-v"]), Some(0));
    assert_eq!(ended(&["--nonsense"]), Some(64));
}

fn a_request_from_a_time_when_the_clock_was_wrong_ends_like_any_other(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask(&ada);
    story.ask(&bob);
    story.sql(&format!("UPDATE registrations SET state_since = state_since + 300000000 WHERE username = '{ada}'"));
    story.site.run_cron();
    story.sql("UPDATE registrations SET state_since = state_since - 49 * 3600");
    story.site.run_cron();
    assert_eq!([&ada, &bob].map(|name| story.state(name)), [14, 14]);
}

fn a_run_names_what_waits_for_people_and_for_how_long(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let (ada, bob, eve) = (fresh("ada"), fresh("bob"), fresh("eve"));
    story.ask_and_confirm(&ada);
    story.ask_and_confirm(&bob);
    story.ask(&eve);
    story.verify_mail(&eve);
    story.sql(&format!("UPDATE registrations SET state_since = state_since - 200000 WHERE username = '{ada}'"));
    let said = String::from_utf8(story.site.run_cron_with(&["-v"]).stdout).unwrap();
    let first = said.lines().find(|line| line.contains(" still open")).unwrap_or_else(|| panic!("{said}"));
    assert!(
        first.contains(", 2 wait for a decision (the longest for 2 days), 1 waits for a confirmed address (the longest for "),
        "{first}"
    );
}

fn two_crons_do_not_work_twice(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    story.site.run_cron();
    story.sql(&format!("INSERT INTO locks VALUES ('cron', 'another machine', {})", now() + 60));
    let ada = fresh("ada");
    story.ask(&ada);
    story.sql("UPDATE registrations SET state = 0, due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 0, "the other run is at it");
    story.sql("UPDATE locks SET held_until = 0");
    story.site.let_cron_succeed();
    assert_eq!(story.state(&ada), 1, "the holder died");
}

fn what_a_dead_program_held_is_taken_up_when_its_lease_ends(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxCgi);
    let ada = fresh("ada");
    story.ask(&ada);
    story.sql(&format!("UPDATE registrations SET state = 0, due_at = 0, lease = 'dead', lease_until = {}", now() + 600));
    story.site.run_cron();
    assert_eq!(story.state(&ada), 0);
    story.sql("UPDATE registrations SET lease_until = 0");
    story.site.run_cron();
    assert_eq!(story.state(&ada), 1);
}

on_every_database! {
    a_run_names_what_waits_for_people_and_for_how_long,
    the_room_is_reminded_once_of_a_request_that_nobody_decides,
    what_is_over_is_forgotten_after_a_month,
    cron_is_silent_where_all_is_well_and_talks_when_asked_to,
    a_request_from_a_time_when_the_clock_was_wrong_ends_like_any_other,
    two_crons_do_not_work_twice,
    what_a_dead_program_held_is_taken_up_when_its_lease_ends,
}

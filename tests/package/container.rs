//! The image of `make container`: built on a Debian made by debootstrap, and run with a container's usual restrictions.
//!
//! `make container-test` builds the package and runs this as root.

use crate::engine::{DEBIAN, Engine, printed};
use crate::installation::{configure, run};
use crate::registration::Applicant;
use crate::world::{Browser, MailCatcher, Synapse, free_port};
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

/// The user in the container, as the Containerfile sets it.
const USER: u32 = 991;
const NAME: &str = "sign-up";
/// As in packaging/container/compose.yaml, but with the network of the machine, so that the container reaches Synapse. Limits
/// below those of the machine can also be set by a root without CAP_SYS_RESOURCE.
const RESTRICTED: [&str; 7] = [
    "--network=host",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=1024:4096",
    "--ulimit=nproc=4000:4000",
];

#[test]
#[ignore = "long, and for root: make container-test"]
fn the_container_serves_a_registration_without_rights_and_keeps_its_data_when_it_is_restarted() {
    let engine = Engine::new();
    build_image(&engine);
    without_a_configuration_it_says_what_is_missing(&engine);

    let (synapse, mails, port, internal) = (Synapse::shared(), MailCatcher::start(), free_port(), free_port());
    let room = synapse.create_room();
    let (settings, state) = (engine.folder().join("settings"), engine.folder().join("state"));
    for folder in [&settings, &state] {
        fs::create_dir(folder).unwrap();
        chown(folder, Some(USER), Some(USER)).unwrap();
    }
    let sample = run_image(&engine, &["--rm"], &["cat", "/usr/share/matrix-register-bot/config.toml"]).stdout;
    let config = settings.join("config.toml");
    fs::write(&config, sample).unwrap();
    configure(&config, port, &synapse, &room, &mails);
    chown(&config, Some(USER), Some(USER)).unwrap();

    let ports = [format!("--env=HTTP_PORT={port}"), format!("--env=INTERNAL_PORT={internal}")];
    let volumes = [mounted(&settings, "/etc/matrix-register-bot:ro"), mounted(&state, "/var/lib/matrix-register-bot")];
    let name = format!("--name={NAME}");
    let started = run_image(&engine, &["--detach", &name, &ports[0], &ports[1], &volumes[0], &volumes[1]], &[]);
    assert!(started.status.success(), "{}", printed(&started));
    let browser = Browser::new(&format!("http://127.0.0.1:{port}/"));
    wait_until_healthy(&engine);

    Applicant::asks(&browser, &synapse, &room, &mails).gets_an_account();
    nothing_is_wrong(&engine);
    nobody_is_root(&engine);
    the_internal_programs_are_behind_the_other_port(port, internal);

    let waiting = Applicant::asks(&browser, &synapse, &room, &mails);
    stops_cleanly(&engine);
    assert!(engine.output(&["start", NAME]).status.success());
    wait_until_healthy(&engine);
    waiting.gets_an_account();
    assert!(engine.said(&["logs", NAME]).contains("register"), "the programs log to the container's log");
    stops_cleanly(&engine);
}

fn build_image(engine: &Engine) {
    let mut build = engine.command("packaging/container/build");
    let command = format!("buildah build --isolation chroot --network host --format docker --build-arg BASE={DEBIAN}");
    build.arg("target/packages").env("CONTAINER_BUILD", command);
    println!("buildah build ...");
    run(build);
}

fn run_image(engine: &Engine, arguments: &[&str], command: &[&str]) -> Output {
    engine.output(&[&["run"], RESTRICTED.as_slice(), arguments, &["localhost/matrix-register-bot"], command].concat())
}

fn mounted(folder: &Path, inside: &str) -> String {
    format!("--volume={}:{inside}", folder.display())
}

fn without_a_configuration_it_says_what_is_missing(engine: &Engine) {
    let refused = run_image(engine, &["--rm"], &[]);
    let said = printed(&refused);
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("cannot read /etc/matrix-register-bot/config.toml") && said.contains(&USER.to_string()), "{said}");
}

/// Runs the image's health check, as systemd's timer or Docker does every minute.
fn wait_until_healthy(engine: &Engine) {
    let end = Instant::now() + Duration::from_secs(60);
    while !engine.output(&["healthcheck", "run", NAME]).status.success() {
        assert!(Instant::now() < end, "not healthy: {}", engine.said(&["logs", NAME]));
        thread::sleep(Duration::from_millis(200));
    }
}

fn nothing_is_wrong(engine: &Engine) {
    let checked = engine.output(&["exec", NAME, "matrix-register-bot", "check"]);
    let said = printed(&checked);
    println!("{said}");
    assert!(checked.status.success() && said.contains("ok       public_url"), "{said}");
}

fn nobody_is_root(engine: &Engine) {
    let users = engine.output(&["top", NAME, "huser"]).stdout;
    let users: Vec<_> = String::from_utf8_lossy(&users).lines().skip(1).map(|line| line.trim().to_owned()).collect();
    assert!(users.len() > 5 && users.iter().all(|user| *user == USER.to_string()), "{users:?}");
}

fn the_internal_programs_are_behind_the_other_port(port: u16, internal: u16) {
    let status = |port| Browser::new(&format!("http://127.0.0.1:{port}/")).get("/internal/room_events/_matrix/app/v1/ping").status;
    assert_eq!(status(port), 404, "not where visitors are");
    let metrics = Browser::new(&format!("http://127.0.0.1:{internal}/")).get("/internal/metrics");
    assert!(metrics.status == 200 && metrics.body.contains("matrix_register_bot_requests"), "{}", metrics.body);
    let refused = status(internal);
    assert!([401, 403, 404, 405].contains(&refused), "the program itself refuses: {refused}");
}

/// As `podman stop` and every container runtime does it: SIGTERM, and SIGKILL after a while.
fn stops_cleanly(engine: &Engine) {
    let stopped = engine.output(&["stop", "--time=40", NAME]);
    assert!(stopped.status.success(), "{}", printed(&stopped));
    let code = engine.output(&["inspect", NAME, "--format={{.State.ExitCode}}"]).stdout;
    assert_eq!(String::from_utf8_lossy(&code).trim(), "0", "{}", engine.said(&["logs", NAME]));
}

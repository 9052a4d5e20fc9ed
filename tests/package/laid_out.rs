//! `make install` into a folder: a short version of what `make package-test` does with the package.

use crate::installation::{CONFIG, configure, guarded_with, inside, run, setting, start_nginx, start_services};
use crate::registration::Applicant;
use crate::world::{Browser, MailCatcher, Synapse, TempFolder, free_port, nginx_frame, program_places};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// The installation in a folder, with the programs that Cargo built for the tests.
fn installed() -> TempFolder {
    let root = TempFolder::new("root");
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-s", "install", "PREFIX=/usr"]);
    make.arg(format!("DESTDIR={}", root.path().display())).arg(concat!("BUILT=", env!("CARGO_BIN_EXE_matrix-register-bot")));
    run(make);
    root
}

#[test]
fn what_make_install_lays_out_serves_a_whole_registration() {
    let (synapse, mails, root, port) = (Synapse::shared(), MailCatcher::start(), installed(), free_port());
    let (room, log, config) = (synapse.create_room(), root.join("log"), root.join(CONFIG));
    fs::copy(root.join("usr/share/matrix-register-bot/config.toml"), &config).unwrap();
    configure(&config, port, &synapse, &room, &mails);
    // The only step that a sysadmin does not need: here the root is a folder.
    let state = root.join("var/lib/matrix-register-bot");
    fs::create_dir_all(&state).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    let packaged = "state_folder = \"/var/lib/matrix-register-bot\"";
    assert!(text.contains(packaged), "{text}");
    fs::write(&config, text.replace(packaged, &format!("state_folder = {:?}", state.display().to_string()))).unwrap();

    let start = |program: &str| guarded_with(&inside(root.path(), program), &[("MATRIX_REGISTER_BOT_CONFIG", &config)]);
    let _services = start_services(root.path(), &log, &start);
    let pages = fs::read_to_string(root.join("etc/matrix-register-bot/nginx/pages.conf")).unwrap();
    let pages = pages.replace("/run/matrix-register-bot", &root.join("run/matrix-register-bot").display().to_string());
    let server = format!("server {{\nlisten 127.0.0.1:{port};\n{pages}}}\n");
    fs::write(root.join("nginx.conf"), nginx_frame(&server)).unwrap();
    let mut nginx = guarded_with(Path::new("nginx"), &[]);
    nginx.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(root.path());
    let _nginx = start_nginx(nginx, port, &log);

    let browser = Browser::new(&format!("http://127.0.0.1:{port}/"));
    Applicant::asks(&browser, &synapse, &room, &mails).gets_an_account();
    let mut cron = start("/usr/lib/matrix-register-bot/cron/cron");
    cron.arg("-v");
    assert!(run(cron).contains("0 failed"));
    for written in ["config.json", "data/register.sqlite"] {
        assert!(state.join(written).exists(), "{written} is in the state folder");
    }
    let beside_config = fs::read_dir(config.parent().unwrap()).unwrap().count();
    assert_eq!(beside_config, 3, "nothing is written beside config.toml and the web servers' lines");
}

#[test]
fn an_installation_over_another_leaves_what_the_sysadmin_edited() {
    let root = installed();
    let edited = root.join("etc/matrix-register-bot/nginx/pages.conf");
    fs::write(&edited, "# mine\n").unwrap();
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-s", "install", "PREFIX=/usr"]);
    make.arg(format!("DESTDIR={}", root.path().display()));
    make.arg(format!("BUILT={}", root.join("none").display()));
    assert!(!make.output().unwrap().status.success(), "without built programs it says so");
    make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-s", "install", "PREFIX=/usr"]);
    make.arg(format!("DESTDIR={}", root.path().display())).arg(concat!("BUILT=", env!("CARGO_BIN_EXE_matrix-register-bot")));
    run(make);
    assert_eq!(fs::read_to_string(edited).unwrap(), "# mine\n");
}

/// The commands of docs/uninstall.md, below a folder instead of `/`; those for systemd and the user are left out.
#[test]
fn what_make_install_lays_out_is_gone_after_the_commands_of_the_page_on_uninstalling() {
    let root = TempFolder::new("root");
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-s", "install"]);
    make.arg(format!("DESTDIR={}", root.path().display())).arg(concat!("BUILT=", env!("CARGO_BIN_EXE_matrix-register-bot")));
    run(make);
    fs::create_dir_all(root.join("var/lib/matrix-register-bot/data")).unwrap();
    let page = include_str!("../../docs/uninstall.md");
    let section = page.split("### `make install`").nth(1).and_then(|rest| rest.split("\n### ").next()).expect("the section");
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: String = blocks.flat_map(str::lines).filter(|line| line.starts_with("rm ")).map(|line| format!("{line}\n")).collect();
    let mut shell = Command::new("sh");
    shell.args(["-ec", &commands.replace(" /", &format!(" {}/", root.path().display()))]);
    run(shell);
    let mut find = Command::new("find");
    find.arg(root.path()).args(["-mindepth", "1", "(", "!", "-type", "d", "-o", "-name", "*register-bot*", ")"]);
    assert_eq!(run(find), "", "files are left");
}

#[test]
fn the_programs_are_one_file_under_every_name() {
    let root = installed();
    let programs = root.join("usr/lib/matrix-register-bot");
    let file = |place: &str| fs::metadata(programs.join(place)).unwrap_or_else(|cause| panic!("{place}: {cause}"));
    let places = program_places();
    let one = file(places[0]);
    assert_eq!((one.nlink(), one.mode() & 0o7777), (places.len() as u64, 0o755), "no link is left over");
    for place in places {
        assert_eq!(file(place).ino(), one.ino(), "{place}");
    }
}

#[test]
fn every_program_behind_a_web_server_is_started_by_a_unit() {
    let root = installed();
    for place in program_places() {
        let (folder, name) = place.split_once('/').expect("a folder and a name");
        if ["public", "internal"].contains(&folder) {
            let unit = |kind| format!("matrix-register-bot-{folder}@.{kind}");
            let started = setting(root.path(), &unit("service"), name, "ExecStart");
            assert_eq!(inside(root.path(), &started), root.join("usr/lib/matrix-register-bot").join(place));
            let socket = setting(root.path(), &unit("socket"), name, "ListenStream");
            assert_eq!(socket, format!("/run/matrix-register-bot/{name}.socket"), "where the web servers' lines look for it");
        }
    }
}

#[test]
fn the_units_are_right_and_give_the_programs_no_rights_that_nobody_needs() {
    let root = installed();
    // Units that ours refer to.
    for target in ["sysinit", "basic", "shutdown", "sockets"] {
        let file = format!("{target}.target");
        fs::copy(Path::new("/usr/lib/systemd/system").join(&file), root.join("usr/lib/systemd/system").join(&file)).unwrap();
    }
    for unit in ["public@register", "internal@login"] {
        let name = format!("matrix-register-bot-{unit}");
        let analyze = |arguments: &[&str], units: &[String]| {
            let mut command = Command::new("systemd-analyze");
            command.args(arguments).arg(format!("--root={}", root.path().display())).args(units);
            run(command)
        };
        let complaints = analyze(&["verify", "--man=no"], &[format!("{name}.service"), format!("{name}.socket")]);
        assert_eq!(complaints, "", "{unit}");
        // In tenths; a service without confinement has 96, and "OK" begins below 50. Network access, which the programs need,
        // counts 5.
        analyze(&["security", "--offline=yes", "--threshold=20"], &[format!("{name}.service")]);
    }
}

#[test]
fn the_man_pages_have_no_mistakes_and_the_one_on_the_configuration_has_every_line() {
    let root = installed();
    for page in [
        "man1/matrix-register-bot.1",
        "man1/matrix-register-bot-list.1",
        "man8/matrix-register-bot.8",
        "man8/matrix-register-bot-cron.8",
        "man5/matrix-register-bot.toml.5",
    ] {
        let mut man = Command::new("man");
        man.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("MANWIDTH", "300").args(["--warnings", "-l"]);
        let output = man.arg(root.join("usr/share/man").join(page)).output().expect("man is there; run tests/world/install");
        assert_eq!((output.status.success(), String::from_utf8_lossy(&output.stderr).as_ref()), (true, ""), "{page}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!shown.contains('@') || page.contains("toml") || !shown.contains("@LIBRARY@"), "{page}");
        if page.contains("toml") {
            let shown: Vec<&str> = shown.lines().map(str::trim).collect();
            let sample = include_str!("../../config.sample.toml");
            let missing: Vec<&str> = sample.lines().filter(|line| !line.is_empty() && !shown.contains(&line.trim())).collect();
            assert_eq!(missing, [] as [&str; 0]);
        }
    }
}

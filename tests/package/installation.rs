//! An installation below a separate root, with its programs started as the systemd units say.

use crate::world::process::{Process, guarded, log_to};
use crate::world::{MailCatcher, Synapse, programs_of};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::{Table, Value};

pub const CONFIG: &str = "etc/matrix-register-bot/config.toml";

/// Makes the command for a program, whose path is given relative to the root.
pub type Start<'a> = &'a dyn Fn(&str) -> Command;

/// The values that a sysadmin enters in the package's `config.toml`: names, addresses, secrets.
pub fn configure(config: &Path, port: u16, synapse: &Synapse, room: &str, mails: &MailCatcher) {
    let text = fs::read_to_string(config).unwrap_or_else(|cause| panic!("{}: {cause}", config.display()));
    let mut settings: Table = text.parse().unwrap();
    for (key, value) in [
        ("server_name", &synapse.server_name),
        ("homeserver_url", &synapse.base_url),
        ("public_url", &format!("http://127.0.0.1:{port}/")),
        ("registration_shared_secret", &synapse.shared_secret),
    ] {
        settings.insert(key.to_owned(), Value::from(value.as_str()));
    }
    let room_settings = [("id", room), ("bot_localpart", &synapse.bot.localpart), ("access_token", &synapse.bot.token)];
    section(&mut settings, "room").extend(room_settings.map(|(key, value)| (key.to_owned(), Value::from(value))));
    let smtp = section(section(&mut settings, "mail"), "smtp");
    smtp.extend([("host".to_owned(), Value::from("127.0.0.1")), ("port".to_owned(), Value::from(i64::from(mails.port)))]);
    fs::write(config, settings.to_string()).unwrap();
}

fn section<'a>(table: &'a mut Table, name: &str) -> &'a mut Table {
    table.get_mut(name).and_then(Value::as_table_mut).unwrap_or_else(|| panic!("the configuration has a section {name}"))
}

/// A setting of an installed unit, for one of its instances.
pub fn setting(root: &Path, unit: &str, instance: &str, key: &str) -> String {
    let path = root.join("usr/lib/systemd/system").join(unit);
    let text = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{} has no {key}", path.display())).replace("%i", instance)
}

/// Starts the public programs on their sockets, as their units say.
pub fn start_services(root: &Path, log: &Path, start: Start) -> Vec<Process> {
    programs_of("public").into_iter().map(|name| start_service(root, log, name, start)).collect()
}

fn start_service(root: &Path, log: &Path, name: &str, start: Start) -> Process {
    let (socket, service) = ("matrix-register-bot-public@.socket", "matrix-register-bot-public@.service");
    assert_eq!(setting(root, service, name, "StandardInput"), "socket");
    let place = inside(root, &setting(root, socket, name, "ListenStream"));
    fs::create_dir_all(place.parent().expect("a socket is in a folder")).unwrap();
    let listener = UnixListener::bind(&place).unwrap_or_else(|cause| panic!("{}: {cause}", place.display()));
    let mut command = start(&setting(root, service, name, "ExecStart"));
    log_to(&mut command, log);
    command.stdin(OwnedFd::from(listener));
    Process::start(name, command, Some(log))
}

/// The path outside the root of a path in the installation.
pub fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Starts a web server in the foreground and waits until it listens.
pub fn start_nginx(mut command: Command, port: u16, log: &Path) -> Process {
    log_to(&mut command, log);
    let mut nginx = Process::start("nginx", command, Some(log));
    nginx.wait_until(10, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    nginx
}

/// Runs a command that must succeed. Returns its output.
pub fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|cause| panic!("{command:?}: {cause}"));
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{printed}", output.status);
    printed
}

pub fn guarded_with(program: &Path, variables: &[(&str, &Path)]) -> Command {
    let mut command = guarded(program);
    command.envs(variables.iter().copied());
    command
}

//! All programs are one executable, which has a name for each of them: `public/register`, `cron/cron` and so on are hard links to
//! one file. So there is one program to build, and running programs share its pages in memory. Which program runs depends on the
//! name of the file that was started, never on arguments or variables: Apache makes arguments of a visitor's query.

mod cron;
mod directory_search;
mod identity_bulk;
mod identity_single;
mod intercept_change_password;
mod login;
mod metrics;
mod operator;
mod profile;
mod register;
mod reset_password;
mod room_events;
mod verify;
mod verify_admin;
mod welcome;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A main function.
type Program = fn() -> ExitCode;

/// Each program: its folder and name, and its main function. The Makefile and the tests read these lines, and `make test`
/// compares the rest with them: units, the pages of `docs/hosts`, docs/install.md.
const PROGRAMS: &[(&str, Program)] = &[
    ("public/register", register::main),
    ("public/verify", verify::main),
    ("public/verify_admin", verify_admin::main),
    ("public/welcome", welcome::main),
    ("public/reset_password", reset_password::main),
    ("bin/matrix-register-bot", operator::main),
    ("cron/cron", cron::main),
    ("internal/login", login::main),
    ("internal/directory_search", directory_search::main),
    ("internal/identity_single", identity_single::main),
    ("internal/identity_bulk", identity_bulk::main),
    ("internal/profile", profile::main),
    ("internal/intercept_change_password", intercept_change_password::main),
    ("internal/room_events", room_events::main),
    ("internal/metrics", metrics::main),
];

/// The name of the executable that Cargo makes. The operator's command has it, too.
const WHOLE: &str = env!("CARGO_BIN_NAME");

/// sysexits.h: wrong use of the command.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    // The file that runs decides, as the kernel names it. The name by which it was called counts only where the file is named for
    // nothing but the whole: with symbolic links, and while an upgrade replaces the file.
    let called = std::env::args_os().next().map(PathBuf::from);
    let file = std::env::current_exe().ok();
    let of_file = file.as_deref().filter(|file| file.file_name() != Some(OsStr::new(WHOLE))).and_then(named);
    match of_file.or_else(|| named(&called?)).or_else(|| named(&file?)) {
        Some(program) => program(),
        None => explain(),
    }
}

/// The main function of the program that a path ends with.
fn named(path: &Path) -> Option<Program> {
    let name = path.file_name()?;
    PROGRAMS.iter().find(|(place, _)| Path::new(place).file_name() == Some(name)).map(|&(_, program)| program)
}

/// Says how the executable is used, to whoever started it by a name of its own.
fn explain() -> ExitCode {
    let names: Vec<&str> = PROGRAMS.iter().filter_map(|(place, _)| Path::new(place).file_name().and_then(OsStr::to_str)).collect();
    let _ = writeln!(std::io::stderr(), "matrix-register-bot: start this file by the name of one of its programs: {}", names.join(", "));
    ExitCode::from(EX_USAGE)
}

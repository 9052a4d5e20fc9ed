//! `matrix-register-bot`: what the operator does in a shell. Looks at requests, decides about them and helps them on, also while the
//! room, the homeserver or the mail server is down: what cannot be done at once is done by the queue.
//!
//! Everything that changes something goes the way of the pages and of the room (`flow`), so it is no second way into the state
//! machine.

mod answer;
mod check;
mod closing;
mod command;
mod deciding;
mod find;
mod listing;
mod mending;
mod people;
mod secrets;
mod table;
mod user;

use crate::domain::characters::visible_json;
use crate::domain::config::{CONFIG_VARIABLE, Config, DatabaseUrl};
use crate::domain::error::Error;
use crate::faces::cron;
use crate::flow::deciding::Verdict;
use crate::outside::log;
use crate::outside::ownership;
use crate::outside::site::{self, Site};
use crate::outside::store::Access;
use answer::{Answer, Refusal};
use clap::{CommandFactory, Parser};
use command::{Command, CommandLine};
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const NOT_POSSIBLE: u8 = 1;
/// sysexits.h: wrong arguments.
const EX_USAGE: u8 = 64;
/// sysexits.h: try again later.
const EX_TEMPFAIL: u8 = 75;
/// sysexits.h: the configuration is wrong.
const EX_CONFIG: u8 = 78;

/// Runs the subcommand of this process.
pub fn run() -> ExitCode {
    if std::env::var_os("GATEWAY_INTERFACE").is_some() {
        return complain(false, "this is a command for a shell; no web server should start it", EX_USAGE);
    }
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version are printed to standard output, and are no mistake.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match &line.command {
        Command::Completions { shell } => return completions(*shell),
        Command::Manual { folder } => return manual(folder),
        _ => {}
    }
    let path = line.config.or_else(|| std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from)).unwrap_or_else(site::default_config_path);
    if let Some(why) = ownership::closed_to_me(&path) {
        return complain(line.json, &why, EX_CONFIG);
    }
    if let Command::Check { mail } = &line.command {
        return check(&path, line.json, mail.as_deref());
    }
    let site = match Site::open(&path) {
        Ok(site) => site,
        Err(error) => return complain(line.json, &error.cause, EX_CONFIG),
    };
    start_log(&site);
    if let Some(why) = ownership::stranger(&site.config.state_folder) {
        return complain(line.json, &why, EX_CONFIG);
    }
    make_database(&site);
    match obey(&site, line.command) {
        Ok(answer) => print(line.json, &answer, 0),
        Err(refusal @ Refusal::No(_)) => complain(line.json, refusal.sentence(), NOT_POSSIBLE),
        Err(refusal @ Refusal::Failed(_)) => complain(line.json, refusal.sentence(), EX_TEMPFAIL),
    }
}

/// As the user that runs the programs.
fn check(path: &Path, is_json: bool, mail_to: Option<&str>) -> ExitCode {
    let of_configuration = |error: &Error| print(is_json, &check::of_configuration(&error.cause), EX_CONFIG);
    let folder = match Config::load(path) {
        Ok(config) => config.state_folder,
        Err(error) => return of_configuration(&error.into()),
    };
    if let Some(why) = ownership::stranger(&folder) {
        return complain(is_json, &why, EX_CONFIG);
    }
    let stays_root = ownership::become_owner(&folder).err();
    // Read again, because the user of the programs may not be allowed to.
    let site = match Site::open(path) {
        Ok(site) => site,
        Err(error) => return of_configuration(&error),
    };
    start_log(&site);
    let (answer, is_well) = check::check(&site, stays_root, mail_to);
    print(is_json, &answer, if is_well { 0 } else { NOT_POSSIBLE })
}

/// Before the first request and the first run of cron there is no file, and what only reads would fail instead of finding nothing. What
/// stands in the way is said by whoever needs the database.
fn make_database(site: &Site) {
    if let Ok(DatabaseUrl::Sqlite(path)) = site.config.database()
        && !path.exists()
    {
        let _ = site.store(Access::Write);
    }
}

fn start_log(site: &Site) {
    log::start(site.config.log, site.config.log_level);
    log::successes_to_syslog();
}

fn obey(site: &Site, command: Command) -> Result<Answer, Refusal> {
    match command {
        Command::List { all, states, older } => listing::list(site, all, &states, older),
        Command::Show { request } => listing::show(site, &request),
        Command::Approve { request } => deciding::decide(site, &request, Verdict::Approve, None),
        Command::Decline { request, reason, silently } => {
            let verdict = if silently { Verdict::DeclineSilently } else { Verdict::Decline };
            deciding::decide(site, &request, verdict, reason.as_deref())
        }
        Command::Ask { request, question } => deciding::ask(site, &request, &question),
        Command::Reopen { request } => deciding::reopen(site, &request),
        Command::Resend { request } => mending::resend(site, &request),
        Command::Correct { request, email } => mending::correct(site, &request, &email),
        Command::Withdraw { request } => mending::withdraw(site, &request),
        Command::End { request, reason } => mending::end(site, &request, reason.as_deref()),
        Command::Retry { request, .. } => mending::retry(site, request.as_deref()),
        Command::Export { address } => people::export(site, &address),
        Command::Forget { address, account } => people::forget(site, &address, account),
        Command::Secrets { command } => secrets::obey(site, &command),
        Command::User { command } => user::obey(site, command),
        Command::Close { until, texts } => closing::close(site, until, &texts),
        Command::Open => closing::open(site),
        Command::Stats { since } => listing::stats(site, since),
        Command::Appservice => {
            let file = cron::print_service(site)?;
            Ok(Answer { json: json!({ "file": file }), text: file })
        }
        Command::Check { .. } | Command::Completions { .. } | Command::Manual { .. } => {
            Err(Refusal::No("this subcommand was handled before".into()))
        }
    }
}

/// Prints the answer. Returns this status, unless the answer could not be written; whoever reads only its beginning, such as `head`,
/// has got it.
fn print(is_json: bool, answer: &Answer, status: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    // println! would panic if the output cannot be written.
    let written = match is_json {
        true => writeln!(out, "{}", visible_json(&answer.json.to_string())),
        false => write!(out, "{}", answer.text),
    };
    match written.and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            complain(false, &format!("the answer cannot be written: {cause}"), EX_TEMPFAIL)
        }
        _ => ExitCode::from(status),
    }
}

fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut command = CommandLine::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    match std::io::stdout().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(EX_TEMPFAIL),
    }
}

fn manual(folder: &Path) -> ExitCode {
    match clap_mangen::generate_to(CommandLine::command(), folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => complain(false, &format!("cannot write to {}: {cause}", folder.display()), EX_TEMPFAIL),
    }
}

fn complain(is_json: bool, sentence: &str, status: u8) -> ExitCode {
    let _ = match is_json {
        true => writeln!(std::io::stdout(), "{}", visible_json(&json!({ "error": sentence }).to_string())),
        false => writeln!(std::io::stderr(), "matrix-register-bot: {sentence}"),
    };
    ExitCode::from(status)
}

//! The arguments of `cron` and its exit status.

use crate::domain::characters::one_line;
use crate::domain::config::{self, LogTarget};
use crate::domain::error::Error;
use crate::domain::number::Number;
use crate::flow::keys;
use crate::outside::log;
use crate::outside::ownership;
use crate::outside::panics;
use crate::outside::site::{self, Site};
use crate::outside::take_over;
use std::io::Write;
use std::process::ExitCode;

/// sysexits.h: wrong arguments.
const EX_USAGE: u8 = 64;
/// sysexits.h: try again later.
const EX_TEMPFAIL: u8 = 75;
/// sysexits.h: the configuration is wrong.
const EX_CONFIG: u8 = 78;

const USAGE: &str = "\
usage: cron [-v]                     complete, end and delete what is due; -v prints everything that fails or waits
       cron --waiting                list the requests that are not over
       cron --end ID [REASON]        end a request
       cron --ask ID QUESTION        mail a question to an applicant
       cron --print-appservice       print the file of the application service for the homeserver
       cron --rekey                  give a new key to requests whose config.json is lost
       cron --dry-run                say what taking over the PHP program's database would do
       cron --open-backup FILE       print the database of a backup before the take-over
       cron --help | --version

The configuration is what MATRIX_REGISTER_BOT_CONFIG names, config.toml of the installation, or
/etc/matrix-register-bot/config.toml.
To check the installation and to look at requests: matrix-register-bot --help
";

/// What the arguments ask for.
enum Wanted<'a> {
    Run { talkative: bool },
    Waiting,
    End { id: &'a str, reason: Option<&'a str> },
    Ask { id: &'a str, question: &'a str },
    PrintService,
    Rekey,
    DryRun,
    OpenBackup { file: &'a str },
}

fn wanted<'a>(arguments: &[&'a str]) -> Option<Wanted<'a>> {
    Some(match *arguments {
        [] => Wanted::Run { talkative: false },
        ["-v"] => Wanted::Run { talkative: true },
        ["--waiting"] => Wanted::Waiting,
        ["--end", id] => Wanted::End { id, reason: None },
        ["--end", id, reason] => Wanted::End { id, reason: Some(reason) },
        ["--ask", id, question] => Wanted::Ask { id, question },
        ["--print-appservice"] => Wanted::PrintService,
        ["--rekey"] => Wanted::Rekey,
        ["--dry-run"] => Wanted::DryRun,
        ["--open-backup", file] => Wanted::OpenBackup { file },
        _ => return None,
    })
}

/// Does what the arguments of the process ask for.
pub fn command() -> ExitCode {
    log::speak_as("cron");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let wanted = match arguments[..] {
        ["--help" | "-h"] => return print(USAGE),
        ["--version" | "-V"] => return print(concat!("matrix-register-bot ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--check"] => {
            return complain("cron checks nothing; matrix-register-bot check reaches everything that config.toml names", EX_USAGE);
        }
        _ => match wanted(&arguments) {
            Some(wanted) => wanted,
            None => return complain("these arguments are not known; cron --help lists them", EX_USAGE),
        },
    };
    let path = std::env::var_os(config::CONFIG_VARIABLE).map_or_else(site::default_config_path, Into::into);
    let site = match Site::open(&path) {
        Ok(site) => site,
        Err(error) => return complain(&error.cause, EX_CONFIG),
    };
    log::start(site.config.log, site.config.log_level);
    act(&site, wanted)
}

fn act(site: &Site, wanted: Wanted) -> ExitCode {
    match wanted {
        Wanted::Run { talkative: false } => {
            log::warnings_only();
            log::hold_back(&["step_failed", "reactions_unread"]);
            finish(site, false)
        }
        Wanted::Run { talkative: true } => {
            if let Some(owner) = ownership::owner_beside_root(&site.config.state_folder) {
                log::info(
                    "run_as_root",
                    None,
                    &format!("what is made is given to {owner}; better run cron as {owner}: sudo -u {owner} ..."),
                );
            }
            finish(site, true)
        }
        Wanted::Waiting => report(super::waiting(site)),
        Wanted::End { id, reason } => end(site, id, reason),
        Wanted::Ask { id, question } => ask(site, id, question),
        Wanted::PrintService => report(super::print_service(site)),
        Wanted::Rekey => report(keys::renew(site)),
        Wanted::DryRun => report(take_over::describe(&site.before_take_over())),
        Wanted::OpenBackup { file } => report(take_over::backup::print(&site.state, file.as_ref())),
    }
}

fn print(text: &str) -> ExitCode {
    // println! would panic if the output cannot be written.
    let _ = write!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn finish(site: &Site, talkative: bool) -> ExitCode {
    panics::keep_quiet();
    match super::run(site) {
        Ok(summary) => {
            summary.said.iter().for_each(|line| say(site, line));
            if talkative || !summary.said.is_empty() {
                // println! would panic if the output cannot be written, e.g. to a full disk.
                let _ = writeln!(std::io::stdout(), "matrix-register-bot cron: {summary}");
            }
            for line in summary.all.iter().filter(|_| talkative) {
                let _ = writeln!(std::io::stdout(), "matrix-register-bot cron: {}", one_line(line));
            }
            if summary.fails() { ExitCode::from(EX_TEMPFAIL) } else { ExitCode::SUCCESS }
        }
        Err(error) => complain(&error.cause, EX_TEMPFAIL),
    }
}

/// Written to standard error, which cron mails, wherever the log goes.
fn say(site: &Site, line: &str) {
    let _ = writeln!(std::io::stderr(), "matrix-register-bot cron: {}", one_line(line));
    if site.config.log == LogTarget::Syslog {
        log::warn("cron_says", None, line);
    }
}

fn ask(site: &Site, id: &str, question: &str) -> ExitCode {
    match Number::parse(id) {
        Some(Number(id)) => report(super::ask(site, id, question)),
        None => complain("--ask expects the number of a request; --waiting lists them", EX_USAGE),
    }
}

fn end(site: &Site, id: &str, reason: Option<&str>) -> ExitCode {
    match Number::parse(id) {
        Some(Number(id)) => report(super::end(site, id, reason)),
        None => complain("--end expects the number of a request; --waiting lists them", EX_USAGE),
    }
}

fn report(done: Result<String, Error>) -> ExitCode {
    match done {
        Ok(text) => {
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error.cause, EX_TEMPFAIL),
    }
}

fn complain(sentence: &str, status: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "matrix-register-bot cron: {sentence}");
    ExitCode::from(status)
}

//! `cron`: run by crontab every few minutes. Repeats what failed, ends what expired, deletes what is over.
//!
//! * Without arguments it prints nothing if all went well, so that cron mails only what a person should see; `-v` always prints
//!   the summary.
//! * `--rekey` gives a new key to requests whose `config.json` is lost for good.
//! * `--dry-run` prints what taking over the PHP program's database would do, and changes nothing.
//! * `--open-backup FILE` writes the database that was backed up before the take-over to standard output.
//!
//! Exit status: 0 success, 64 wrong arguments, 75 something failed and the next run will try again, 78 wrong configuration.
//!
//! Reads `config.toml`; writes `registrations` and `logins`; talks to the homeserver and SMTP.

use matrix_register_bot::domain::config;
use matrix_register_bot::faces::cron;
use matrix_register_bot::flow::keys;
use matrix_register_bot::outside::log;
use matrix_register_bot::outside::ownership;
use matrix_register_bot::outside::site;
use matrix_register_bot::outside::take_over;
use std::io::Write;
use std::process::ExitCode;

/// sysexits.h: wrong arguments.
const EX_USAGE: u8 = 64;
/// sysexits.h: try again later.
const EX_TEMPFAIL: u8 = 75;
/// sysexits.h: the configuration is wrong.
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let path = std::env::var_os(config::CONFIG_VARIABLE).map_or_else(site::default_config_path, Into::into);
    let site = match site::Site::open(&path) {
        Ok(site) => site,
        Err(error) => return complain(&error.cause, EX_CONFIG),
    };
    log::start("cron", site.config.log);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            log::warnings_only();
            finish(cron::run(&site), false)
        }
        ["-v"] => {
            if let Some(owner) = ownership::owner_beside_root(&site.config.state_folder) {
                log::info(
                    "run_as_root",
                    None,
                    &format!("what is made is given to {owner}; better run cron as {owner}: sudo -u {owner} ..."),
                );
            }
            finish(cron::run(&site), true)
        }
        ["--rekey"] => report(keys::renew(&site)),
        ["--dry-run"] => report(take_over::describe(&site.before_take_over())),
        ["--open-backup", file] => report(take_over::backup::print(&site.state, file.as_ref())),
        _ => complain("expected no argument, -v, --rekey, --dry-run or --open-backup FILE", EX_USAGE),
    }
}

fn finish(done: Result<cron::Summary, matrix_register_bot::domain::error::Error>, talkative: bool) -> ExitCode {
    match done {
        Ok(summary) => {
            if talkative || summary.failed > 0 {
                // println! would panic if the output cannot be written, e.g. to a full disk.
                let _ = writeln!(std::io::stdout(), "matrix-register-bot cron: {summary}");
            }
            if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EX_TEMPFAIL) }
        }
        Err(error) => complain(&error.cause, EX_TEMPFAIL),
    }
}

fn report(done: Result<String, matrix_register_bot::domain::error::Error>) -> ExitCode {
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error.cause, EX_TEMPFAIL),
    }
}

fn complain(sentence: &str, status: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "matrix-register-bot cron: {sentence}");
    ExitCode::from(status)
}

//! `cron`: for the crontab, every few minutes. Repeats what failed, ends what ran out, forgets what is over.
//!
//! Silent where all went well, so that cron mails only what a person should see; `-v` prints the summary always.
//! Exit status: 0 all well, 75 something failed and is tried again by the next run, 78 the configuration is wrong.
//!
//! Reads `config.toml`; writes `registrations` and `logins`; talks to the homeserver and SMTP.

use matrix_register_bot::{config, cron, log, site};
use std::process::ExitCode;

/// sysexits.h: try again later.
const EX_TEMPFAIL: u8 = 75;
/// sysexits.h: the configuration is wrong.
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let talkative = std::env::args().any(|argument| argument == "-v");
    let path = std::env::var_os(config::CONFIG_VARIABLE).map_or_else(site::default_config_path, Into::into);
    let site = match site::Site::open(&path) {
        Ok(site) => site,
        Err(error) => {
            eprintln!("matrix-register-bot cron: {}", error.cause);
            return ExitCode::from(EX_CONFIG);
        }
    };
    log::start("cron", site.config.log);
    if !talkative {
        log::warnings_only();
    }
    match cron::run(&site) {
        Ok(summary) if summary.failed == 0 => {
            if talkative {
                println!("matrix-register-bot cron: {summary}");
            }
            ExitCode::SUCCESS
        }
        Ok(summary) => {
            println!("matrix-register-bot cron: {summary}");
            ExitCode::from(EX_TEMPFAIL)
        }
        Err(error) => {
            println!("matrix-register-bot cron: {}", error.cause);
            ExitCode::from(EX_TEMPFAIL)
        }
    }
}

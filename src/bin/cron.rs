//! `cron`: run by crontab every few minutes. Repeats what failed, ends what expired, deletes what is over.
//!
//! * Without arguments it prints something when something starts to fail, once a day while it fails, and when everything works
//!   again, so that cron mails only what a person should see. `-v` prints everything that fails or waits, and each failed
//!   attempt.
//! * `--waiting` lists the requests that are not over; `--end ID [REASON]` ends one, whatever it waits for.
//! * `--ask ID QUESTION` asks the applicant of an undecided request: by mail, and on the applicant's own page.
//! * `--print-appservice` prints the file with which the homeserver knows the bot as an application service.
//! * `--rekey` gives a new key to requests whose `config.json` is lost for good.
//! * `--dry-run` prints what taking over the PHP program's database would do, and changes nothing.
//! * `--open-backup FILE` writes the database that was backed up before the take-over to standard output.
//! * `--help` and `--version` need no configuration.
//!
//! Exit status: 0 success, 64 wrong arguments, 75 something failed in this run, or keeps failing (other than addresses that take no
//! mail, and mails that wait for a limit), 78 wrong configuration.
//!
//! Reads `config.toml`; writes `registrations` and `logins`; talks to the homeserver and SMTP.

use matrix_register_bot::faces::cron;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    cron::command()
}

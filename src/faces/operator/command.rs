//! The command line. Manual page and completions are made from the same definition.

use crate::domain::seconds::{DAY, HOUR};
use crate::domain::stage::Stage;
use clap::builder::PossibleValue;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Decides about requests for accounts, and helps with them, in a shell.
#[derive(Debug, Parser)]
#[command(name = "matrix-register-bot", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "REQUEST is the number of a request (1042, or '#1042' in quotes), a username, a Matrix ID or an email address.\n\n\
    Exit status: 0 done, 1 not found or not possible, 64 wrong arguments, 75 something that is needed does not work at \
    present, 78 wrong configuration.")]
pub struct CommandLine {
    /// The configuration [default: config.toml of the installation, or /etc/matrix-register-bot/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check everything that the configuration names: what works, what is wrong, and which key to look at
    Check {
        /// Send a mail to this address
        #[arg(long, value_name = "ADDRESS")]
        mail: Option<String>,
    },
    /// List the requests that are not over
    List {
        /// Also those that are over and still kept
        #[arg(long)]
        all: bool,
        /// Only those in this state; may be repeated
        #[arg(long = "state", value_enum)]
        states: Vec<Stage>,
        /// Only those that have been in their state for longer than this, for example 90m, 12h or 2d
        #[arg(long, value_name = "AGE", value_parser = age)]
        older: Option<i64>,
    },
    /// Show everything about a request
    Show { request: String },
    /// Approve a request
    Approve { request: String },
    /// Decline a request
    Decline {
        request: String,
        /// Tell the applicant why
        #[arg(long, conflicts_with = "silently")]
        reason: Option<String>,
        /// Send the applicant no mail
        #[arg(long)]
        silently: bool,
    },
    /// Mail a question to the applicant
    Ask { request: String, question: String },
    /// Take a no back: the request waits for a decision again
    Reopen { request: String },
    /// Send the mail to confirm the address again
    Resend { request: String },
    /// Correct the address of a request that is not confirmed; links of earlier mails end
    Correct {
        request: String,
        #[arg(long)]
        email: String,
    },
    /// Withdraw a request for the applicant, before there is an account
    Withdraw { request: String },
    /// End a request, whatever it waits for
    End {
        request: String,
        /// Tell the applicant why, if there is a mail
        #[arg(long)]
        reason: Option<String>,
    },
    /// Try again now what failed
    Retry {
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        request: Option<String>,
        /// For all requests
        #[arg(long)]
        all: bool,
    },
    /// Print everything that is stored about whoever has this email address, as JSON
    Export { address: String },
    /// Delete everything about whoever has this email address: requests, what is remembered of earlier ones, messages in the room
    Forget {
        address: String,
        /// In local mode also the account, with its password
        #[arg(long)]
        account: bool,
    },
    /// Look at the accounts of local mode, and change them
    User {
        #[command(subcommand)]
        command: User,
    },
    /// Replace secrets of the bot
    Secrets {
        #[command(subcommand)]
        command: Secrets,
    },
    /// Close the form; requests that were filed before go on
    Close {
        /// Open it by itself at this time of the zone in config.toml, for example 2027-01-07 or "2027-01-07 18:00"
        #[arg(long, value_name = "DATE", value_parser = date)]
        until: Option<jiff::civil::DateTime>,
        /// Tell visitors this; "de=..." is for German only; may be repeated
        #[arg(long = "text", value_name = "TEXT")]
        texts: Vec<String>,
    },
    /// Open the form that was closed with close
    Open,
    /// Count requests and decisions
    Stats {
        /// Only what was asked for since then, for example 30d
        #[arg(long, value_name = "AGE", value_parser = age)]
        since: Option<i64>,
    },
    /// Print the file that makes the bot an application service of the homeserver
    Appservice,
    /// Print completions for a shell
    #[command(hide = true)]
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Manual { folder: PathBuf },
}

#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Replace secrets by new ones; what is open goes on, and links that were sent stay valid
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["secret_key", "bot", "service"]))]
    Rotate {
        /// The key from which links and initial passwords are derived
        #[arg(long)]
        secret_key: bool,
        /// The password of the bot's account, and its access token
        #[arg(long)]
        bot: bool,
        /// The tokens of the application service; prints its file for the homeserver
        #[arg(long)]
        service: bool,
    },
}

#[derive(Debug, Subcommand)]
#[command(after_help = "USER is a username, a Matrix ID or an email address.")]
pub enum User {
    /// List accounts
    List {
        /// Only those with this in the username or email address, or with a name that begins so
        search: Option<String>,
        /// Only those that are disabled
        #[arg(long)]
        disabled: bool,
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        page: u32,
        /// Accounts on a page [default: as many as the terminal has lines; without a terminal 10000]
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        per_page: Option<u32>,
    },
    /// Show everything about an account but the hash of its password
    Show { user: String },
    /// Let nobody in with this account any more
    Disable {
        user: String,
        /// Log out its devices; the bot has to be a server administrator
        #[arg(long)]
        devices: bool,
    },
    /// Let the owner of a disabled account in again, with the password as it was
    Enable { user: String },
    /// Mail the owner a link to set a new password
    Reset {
        user: String,
        /// Log out the devices of the account now; the bot has to be a server administrator
        #[arg(long)]
        devices: bool,
    },
    /// Delete the account, and everything else that is stored about its owner
    Forget { user: String },
}

impl ValueEnum for Stage {
    fn value_variants<'a>() -> &'a [Stage] {
        &Stage::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.described()))
    }
}

/// Seconds from `90m`, `12h`, `2d` or `3w`.
fn age(typed: &str) -> Result<i64, String> {
    let wrong = || "expected a number with m, h, d or w behind it, for example 2d".to_owned();
    let unit = typed.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'm' => 60,
        'h' => HOUR,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return Err(wrong()),
    };
    let number: u32 = typed[..typed.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    Ok(i64::from(number) * seconds)
}

fn date(typed: &str) -> Result<jiff::civil::DateTime, String> {
    typed.trim().parse().map_err(|_| "expected a date, or a date and a time, for example 2027-01-07 or \"2027-01-07 18:00\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(["90m", "12h", "2d", "3w", "0d"].map(age), [Ok(5400), Ok(43200), Ok(172_800), Ok(1_814_400), Ok(0)]);
        for wrong in ["", "2", "d", "-1d", "2 d", "1.5d", "2y", "99999999999d", "2é"] {
            assert!(age(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn dates_have_a_time_or_begin_with_the_day() {
        let read = |typed| date(typed).map(|date| date.to_string());
        assert_eq!(read("2027-01-07").as_deref(), Ok("2027-01-07T00:00:00"));
        assert_eq!(read("2027-01-07 18:30").as_deref(), Ok("2027-01-07T18:30:00"));
        for wrong in ["", "tomorrow", "7.1.2027", "2027-13-01", "2027-02-30", "2027-01-07 25:00"] {
            assert!(date(wrong).is_err(), "{wrong:?}");
        }
    }
}

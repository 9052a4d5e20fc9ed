//! What is on this machine: files, database, templates, cron, and the way to the mail server.

use super::{Finding, ok, warning, wrong};
use crate::domain::config::{DatabaseUrl, Language};
use crate::domain::seconds::{DAY, HOUR, utc};
use crate::outside::exposure;
use crate::outside::mail::{Address, Letter, Mailer};
use crate::outside::ownership;
use crate::outside::page;
use crate::outside::site::Site;
use crate::outside::store::Access;

/// cron should have run within this time, in seconds.
const CRON_SECONDS: i64 = HOUR;
/// Less free space than this is worth a warning, in bytes.
const LITTLE_SPACE: u64 = 200 * 1024 * 1024;

/// Whether the programs can use the files, and nobody else.
pub fn files(site: &Site) -> Vec<Finding> {
    let folder = &site.config.state_folder;
    let mut findings = match site.state.complete() {
        Ok(_) => vec![ok("files", format!("{} belongs to {}", folder.display(), ownership::owner(folder)))],
        Err(cause) => vec![wrong("files", format!("{cause} (state_folder)"))],
    };
    findings.extend(exposure::close(&site.config).into_iter().map(|sentence| wrong("files", sentence)));
    if let Ok(space) = rustix::fs::statvfs(folder)
        && space.f_bavail * space.f_frsize < LITTLE_SPACE
    {
        findings.push(warning(
            "files",
            format!("{} MB are free on the disk of {}", space.f_bavail * space.f_frsize / 1_048_576, folder.display()),
        ));
    }
    findings
}

/// Whether the database can be written to, and has the schema of this version.
pub fn database(site: &Site) -> Vec<Finding> {
    let kind = match site.config.database() {
        Ok(DatabaseUrl::Sqlite(path)) => format!("SQLite, {}", path.display()),
        Ok(DatabaseUrl::Mysql(_)) => "MySQL or MariaDB".into(),
        Ok(DatabaseUrl::Postgres(_)) => "PostgreSQL".into(),
        Err(cause) => return vec![wrong("database", cause.to_string())],
    };
    match site.store(Access::Write) {
        Ok(_) => vec![ok("database", kind)],
        Err(error) => vec![wrong("database", format!("{kind}: {} (database)", error.cause))],
    }
}

/// Whether all templates and texts of the operator can be used.
pub fn templates(site: &Site) -> Vec<Finding> {
    vec![match (page::compile_all(&site.config), &site.config.pages.templates) {
        (Ok(()), None) => ok("templates", "the built-in ones"),
        (Ok(()), Some(folder)) => ok("templates", format!("all templates and texts can be used, with those in {}", folder.display())),
        (Err(error), _) => wrong("templates", error.cause),
    }]
}

/// Whether cron runs.
pub fn cron(site: &Site) -> Vec<Finding> {
    let Ok(mut store) = site.store(Access::Read) else { return Vec::new() };
    let crontab = "see cron/crontab.sample, or /etc/cron.d/matrix-register-bot of the package";
    vec![match store.cron_clock() {
        Ok(Some(clock)) if site.now() - clock.ran_at <= CRON_SECONDS => ok("cron", format!("ran last on {}", utc(clock.ran_at))),
        Ok(Some(clock)) => wrong("cron", format!("ran last on {}, and should run every few minutes: {crontab}", utc(clock.ran_at))),
        Ok(None) => wrong("cron", format!("has never run: {crontab}")),
        Err(cause) => wrong("cron", cause.to_string()),
    }]
}

/// Whether mails would be taken; with an address, whether one arrives there.
pub fn mail(site: &Site, to: Option<&str>) -> Vec<Finding> {
    let mailer = match Mailer::new(&site.config) {
        Ok(mailer) => mailer,
        Err(cause) => return vec![wrong("mail", cause.to_string())],
    };
    let mut findings = vec![match mailer.probe() {
        Ok(reached) => ok("mail", reached),
        Err(cause) => wrong("mail", cause.to_string()),
    }];
    if let Some(to) = to {
        findings.push(match send(site, &mailer, to) {
            Ok(()) => ok("mail", "the mail is handed over; look whether it arrives, and not among the spam"),
            Err(sentence) => wrong("mail", sentence),
        });
    }
    findings
}

fn send(site: &Site, mailer: &Mailer, to: &str) -> Result<(), String> {
    let to = Address::parse(to).map_err(|_| format!("{to:?} is no mail address"))?;
    let text = format!("This is a test of the sign-up at {}.\n", site.config.server_name);
    let letter = Letter {
        to_address: to.as_typed(),
        to_name: None,
        message_id: &format!("check.{}@{}", site.now(), site.config.server_name),
        language: Language::English,
        subject: "Test of the sign-up",
        text: &text,
        html: &format!("<p>{}</p>\n", text.trim_end()),
    };
    mailer.send(&letter, site.now()).map_err(|cause| cause.to_string())
}

/// For the clock of another machine: the difference that is worth a word, in seconds.
pub const CLOCKS_DIFFER: i64 = 120;
/// A clock that differs so much breaks links.
pub const CLOCKS_DIFFER_MUCH: i64 = DAY / 2;

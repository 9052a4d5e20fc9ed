//! What is on this machine: files, database, templates, cron, and the way to the mail server.

use super::{Finding, ok, warning, wrong};
use crate::domain::config::{DatabaseUrl, Language, MailTransport};
use crate::domain::seconds::{DAY, HOUR, utc};
use crate::domain::token;
use crate::flow::rotation;
use crate::outside::disk;
use crate::outside::exposure;
use crate::outside::mail::{Address, Letter, Mailer};
use crate::outside::ownership;
use crate::outside::page;
use crate::outside::site::Site;
use crate::outside::store::{self, Access, Store};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// cron should have run within this time, in seconds.
const CRON_SECONDS: i64 = HOUR;
/// Less free space than this is worth a warning, in bytes.
const LITTLE_SPACE: u64 = 200 * 1024 * 1024;
/// With less free space than this, the next requests may be refused, in bytes.
const TOO_LITTLE_SPACE: u64 = 1024 * 1024;

/// Whether the programs can use the files, and nobody else.
pub fn files(site: &Site) -> Vec<Finding> {
    let folder = &site.config.state_folder;
    let mut findings = match site.state.complete() {
        Ok(_) => vec![ok("files", format!("{} belongs to {}", folder.display(), ownership::owner(folder)))],
        Err(cause) => vec![wrong("files", format!("{cause} (state_folder)"))],
    };
    findings.extend(exposure::close(&site.config).into_iter().map(|sentence| wrong("files", sentence)));
    findings.extend(site.config.internal_secret().err().map(|cause| wrong("files", cause.to_string())));
    findings.extend(disks(site));
    findings
}

/// Whether there is room on the disks that are written to; each is named once.
fn disks(site: &Site) -> Vec<Finding> {
    let mut places = vec![(site.config.state_folder.clone(), "state_folder")];
    if let Ok(DatabaseUrl::Sqlite(path)) = site.config.database() {
        places.push((ownership::above(&path).to_owned(), "database"));
    }
    if site.config.mail.transport == MailTransport::File {
        places.push((site.config.mail.folder.clone(), "folder in [mail]"));
    }
    let mut seen = Vec::new();
    let little = |(place, key): &(PathBuf, &str)| {
        let (disk, free) = (fs::metadata(place).ok()?.dev(), disk::free_bytes(place)?);
        if free >= LITTLE_SPACE || seen.contains(&disk) {
            return None;
        }
        seen.push(disk);
        let sentence = format!("{} MB are free on the disk of {} ({key})", free / 1_048_576, place.display());
        Some(if free < TOO_LITTLE_SPACE { wrong("files", sentence) } else { warning("files", sentence) })
    };
    places.iter().filter_map(little).collect()
}

/// Whether the database can be written to, and has the schema of this version. A database of the PHP program stays as it is.
pub fn database(site: &Site) -> Vec<Finding> {
    let url = match site.config.database() {
        Ok(url) => url,
        Err(cause) => return vec![wrong("database", cause.to_string())],
    };
    let kind = match &url {
        DatabaseUrl::Sqlite(path) => format!("SQLite, {}", path.display()),
        DatabaseUrl::Mysql(_) => "MySQL or MariaDB".into(),
        DatabaseUrl::Postgres(_) => "PostgreSQL".into(),
    };
    vec![match write(&url, site.now()) {
        Ok(()) => ok("database", kind),
        Err(store::Error::OfPhp) => warning(
            "database",
            format!(
                "{kind}: it is the PHP program's, and the first program that is used takes it over; cron --dry-run says how (database)"
            ),
        ),
        Err(cause) => wrong("database", format!("{kind}: {cause}")),
    }]
}

/// To read; no database of the PHP program is taken over for that. `None`: what is wrong was said where the database is checked.
pub fn store_as_it_is(site: &Site) -> Option<Store> {
    Store::open(&site.config.database().ok()?, Access::Read).ok()
}

/// Writes a row and takes it out again.
fn write(url: &DatabaseUrl, now: i64) -> Result<(), store::Error> {
    let mut store = Store::open(url, Access::Write)?;
    let holder = token::new_seed();
    store.take_lock("check", &holder, now, now + 1)?;
    store.release_lock("check", &holder)
}

/// Whether a new secret key has replaced the former one everywhere. Says nothing if none is being replaced.
pub fn former_key(site: &Site) -> Vec<Finding> {
    let Some(mut store) = store_as_it_is(site) else { return Vec::new() };
    match rotation::unfinished(site, &mut store) {
        Ok(None) => Vec::new(),
        Ok(Some(left)) => {
            vec![warning(
                "secret_key",
                format!("{left} requests still have the former key; cron goes on and forgets that key once none has it"),
            )]
        }
        Err(error) => vec![wrong("secret_key", error.cause)],
    }
}

/// Whether all templates and texts of the operator can be used.
pub fn templates(site: &Site) -> Vec<Finding> {
    if let Some(folder) = &site.config.pages.templates
        && let Err(cause) = fs::read_dir(folder)
    {
        return vec![wrong("templates", format!("{} cannot be read: {cause} (pages.templates)", folder.display()))];
    }
    vec![match (page::compile_all(&site.config), &site.config.pages.templates) {
        (Ok(()), None) => ok("templates", "the built-in ones"),
        (Ok(()), Some(folder)) => ok("templates", format!("all templates and texts can be used, with those in {}", folder.display())),
        (Err(error), _) if error.cause.contains("pages.templates") => wrong("templates", error.cause),
        (Err(error), _) => wrong("templates", format!("{} (pages.templates)", error.cause)),
    }]
}

/// Whether cron runs.
pub fn cron(site: &Site) -> Vec<Finding> {
    let Some(mut store) = store_as_it_is(site) else { return Vec::new() };
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

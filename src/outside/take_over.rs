//! Takes over the database of the PHP program in place. The first program that finds such a database does it, and continues
//! with its request.
//!
//! 1. The database is locked against other programs that want the same ([`PhpDatabase::lock`]).
//! 2. For SQLite a backup is written. It is sealed with the secret key, as it contains passwords in clear ([`backup`]).
//! 3. The old tables are renamed and ours are created.
//! 4. [`mod@plan`] decides what happens to each row; passwords are sealed or hashed on the way into our tables.
//! 5. The old tables are wiped from the disk.
//!
//! If a program dies before the end of step 4, the next one starts again; if it dies in step 5, cron completes that.

pub mod backup;
pub mod plan;

pub(crate) use plan::PlannedLogin;
pub use plan::{PlannedRegistration, Rules, plan};

use crate::domain::config::{Config, DatabaseUrl};
use crate::domain::error::Error;
use crate::domain::password;
use crate::domain::token::Secret;
use crate::outside::disk;
use crate::outside::exposure;
use crate::outside::fault;
use crate::outside::log;
use crate::outside::state_file::StateFile;
use crate::outside::store::Store;
use crate::outside::store::php::PhpDatabase;
use std::fmt;

/// The context of a take-over.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    pub config: &'a Config,
    pub state: &'a StateFile,
    /// Seconds since 1970.
    pub now: i64,
}

/// What was, or would be, taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests that continue or are kept.
    pub registrations: usize,
    /// Accounts.
    pub logins: usize,
    /// Passwords in clear that were sealed, hashed or wiped.
    pub clear_passwords: usize,
    /// What a person should check, one sentence each.
    pub remarks: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { registrations, logins, clear_passwords, remarks } = self;
        write!(f, "{registrations} requests, {logins} accounts, {clear_passwords} passwords in clear, {} remarks", remarks.len())
    }
}

/// Takes the database over; `None` if another program has just done it.
pub fn run(setting: &Setting, url: &DatabaseUrl) -> Result<Option<Report>, Error> {
    let secret = setting.state.secret()?;
    let mut php = PhpDatabase::open(url)?;
    let done = inside(setting, &secret, url, &mut php);
    match &done {
        Ok(Some(report)) => {
            // A person should know this, even if cron otherwise prints nothing.
            log::warn("php_database_taken_over", None, &report.to_string());
            for remark in &report.remarks {
                log::warn("take_over_remark", None, remark);
            }
            if let Err(cause) = php.wipe() {
                log::warn("php_tables_left", None, &format!("{cause}; cron tries again"));
            }
        }
        _ => php.give_up(),
    }
    done
}

fn inside(setting: &Setting, secret: &Secret, url: &DatabaseUrl, php: &mut PhpDatabase) -> Result<Option<Report>, Error> {
    if !php.lock()? {
        return Ok(None);
    }
    fault::point("take-over locked");
    let open_to_others = exposure::close(setting.config);
    if let (DatabaseUrl::Sqlite(path), Some(bytes)) = (url, php.bytes()?) {
        backup::write(secret, path, &bytes).map_err(|cause| {
            let cause = disk::full(path, &cause).unwrap_or_else(|| cause.to_string());
            Error::unavailable(format!("the PHP program's database is not taken over, as no backup of it can be written: {cause}; see the key database in config.toml"))
        })?;
        fault::point("take-over backup written");
    }
    // Finds unreadable data before anything is changed.
    php.rows()?;
    php.make_room()?;
    let mut plan = plan(&php.rows()?, &rules(setting, secret));
    for planned in &mut plan.registrations {
        planned.keep_password(secret)?;
        php.write_registration(&planned.row)?;
    }
    for planned in &mut plan.logins {
        planned.renew_password(setting, secret)?;
        planned.renew_hash_of_bot(setting)?;
        php.write_login(&planned.row)?;
    }
    php.finish()?;
    let mut report = plan.report();
    report.remarks.extend(open_to_others);
    Ok(Some(report))
}

fn rules<'a>(setting: &'a Setting, secret: &'a Secret) -> Rules<'a> {
    Rules {
        secret,
        mode: setting.config.operation_mode,
        language: setting.config.default_language,
        bot_localpart: &setting.config.room.bot_localpart,
        now: setting.now,
    }
}

impl PlannedRegistration {
    /// Seals a password that was typed in the PHP program's form, as our own form does in synapse mode.
    fn keep_password(&mut self, secret: &Secret) -> Result<(), Error> {
        let Some(typed) = self.typed_password.take() else { return Ok(()) };
        let kept = password::seal(secret, &self.row.seed, &typed);
        self.row.password = Some(kept.map_err(|cause| Error::internal(format!("cannot keep a password of the PHP program's: {cause}")))?);
        Ok(())
    }
}

impl PlannedLogin {
    /// If nobody knows the password of an account, sets the initial one of its registration, which is mailed.
    fn renew_password(&mut self, setting: &Setting, secret: &Secret) -> Result<(), Error> {
        let Some(seed) = &self.initial_password_of else { return Ok(()) };
        let hash = password::hash(&password::initial(secret, seed));
        self.row.password_hash = hash.map_err(|cause| Error::internal(format!("cannot make an initial password: {cause}")))?;
        self.row.initial_password_until = setting.config.initial_password_until(setting.now);
        Ok(())
    }

    /// Hashes the password of the bot's account again: it is in `config.json`, and the bot may never log in with it.
    fn renew_hash_of_bot(&mut self, setting: &Setting) -> Result<(), Error> {
        if self.row.localpart != setting.config.room.bot_localpart || !password::is_php_hash(&self.row.password_hash) {
            return Ok(());
        }
        let state = setting.state.complete()?;
        let known = state.register_password.as_deref().unwrap_or_default();
        if password::verify_php(known, &self.row.password_hash) {
            let hash = password::hash(known);
            self.row.password_hash = hash.map_err(|cause| Error::internal(format!("cannot hash the bot's password: {cause}")))?;
        }
        Ok(())
    }
}

/// Deletes tables of the PHP program that a killed program left on the disk.
pub(crate) fn wipe_rest(config: &Config, store: &mut Store) -> Result<(), Error> {
    if store.has_php_tables()? {
        PhpDatabase::open(&config.database()?)?.wipe()?;
        log::info("php_tables_wiped", None, "");
    }
    Ok(())
}

/// A message about what a take-over would do; changes nothing.
pub fn describe(setting: &Setting) -> Result<String, Error> {
    let Some(report) = preview(setting)? else {
        return Ok("This is not a database of the PHP program's; there is nothing to take over.\n".into());
    };
    let mut text = format!("Would be taken over: {report}.\n");
    report.remarks.iter().for_each(|remark| text += &format!("* {remark}\n"));
    Ok(text + "Nothing was changed.\n")
}

/// The report of a take-over without doing it; `None` if this is not, or no longer, the PHP program's database.
fn preview(setting: &Setting) -> Result<Option<Report>, Error> {
    let mut php = PhpDatabase::open(&setting.config.database()?)?;
    match php.is_to_be_taken_over()? {
        true => Ok(Some(plan(&php.rows()?, &rules(setting, &Secret::new([0; 32]))).report())),
        false => Ok(None),
    }
}

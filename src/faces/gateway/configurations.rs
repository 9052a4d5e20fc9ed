//! Which configuration file serves a request.
//!
//! A configuration names programs that are run (`sendmail`) and files that are read, so it must never be chosen by whoever
//! writes a request. Any user who may open the socket of a FastCGI program writes all its parameters. So the process serves
//! its own configuration, and a parameter `MATRIX_REGISTER_BOT_CONFIG` counts only as far as the environment of the process
//! allows it in `MATRIX_REGISTER_BOT_CONFIGS`: absolute paths of files or folders, with colons between them.
//!
//! * A listed file may be named.
//! * In a listed folder, or below it, a `*.toml` may be named that belongs to root, to the user of the process or to the owner
//!   of the folder, and that not everybody can write to.
//!
//! Under plain CGI the request's variables *are* the environment of the process. There the web server decides, and with
//! fcgiwrap whoever may open its socket: such a user names the program to run as well.

use crate::domain::config::CONFIG_VARIABLE;
use crate::outside::cgi::Request;
use crate::outside::{log, site};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The variable of the process's environment that lists what requests may name.
pub const LIST_VARIABLE: &str = "MATRIX_REGISTER_BOT_CONFIGS";

/// So many different values are logged; whoever sends more cannot fill the log.
const MOST_LOGGED: usize = 16;

/// The process's own configuration, and those that requests may name.
pub struct Configurations {
    own: PathBuf,
    listed: Vec<PathBuf>,
    /// Values that were logged already.
    logged: Mutex<Vec<String>>,
}

impl Configurations {
    /// As an environment says: its own is in `MATRIX_REGISTER_BOT_CONFIG`, else beside the program.
    pub fn of(environment: impl Iterator<Item = (OsString, OsString)>) -> Configurations {
        let (mut own, mut listed) = (None, Vec::new());
        for (name, value) in environment.filter(|(_, value)| !value.is_empty()) {
            match name.to_str() {
                Some(CONFIG_VARIABLE) => own = Some(PathBuf::from(value)),
                Some(LIST_VARIABLE) => listed = std::env::split_paths(&value).filter(|path| path.is_absolute()).collect(),
                _ => {}
            }
        }
        Configurations { own: own.unwrap_or_else(site::default_config_path), listed, logged: Mutex::default() }
    }

    /// The file for this request; `None`: it names one that it may not name, and must not be served.
    ///
    /// Where nothing may be named, a request that tries gets the process's own configuration.
    pub fn of_request(&self, request: &Request) -> Option<PathBuf> {
        let named = request.variable(CONFIG_VARIABLE).filter(|named| !named.is_empty() && Path::new(named) != self.own);
        let Some(named) = named else { return Some(self.own.clone()) };
        if self.listed.is_empty() {
            let own = self.own.display();
            self.log_once(
                "configuration_ignored",
                named,
                &format!("it is ignored; {own} is used (name it in {LIST_VARIABLE} in the environment of this program if that is meant)"),
            );
            return Some(self.own.clone());
        }
        match self.listed(Path::new(named)) {
            Ok(file) => Some(file),
            Err(why) => {
                self.log_once("configuration_not_allowed", named, &format!("it {why}; the request is refused"));
                None
            }
        }
    }

    /// The file behind a name, without links on the way to it, or why it may not be named.
    fn listed(&self, named: &Path) -> Result<PathBuf, String> {
        if !named.is_absolute() {
            return Err("is not an absolute path".into());
        }
        let file = fs::canonicalize(named).map_err(|cause| format!("cannot be found: {cause}"))?;
        for listed in &self.listed {
            let Ok(place) = fs::canonicalize(listed) else { continue };
            if file == place && file.is_file() {
                // As the operator wrote it: relative paths in it start where they do for cron.
                return Ok(listed.clone());
            }
            if file.starts_with(&place) {
                return vouched_for(&place, &file).map(|()| file);
            }
        }
        Err(format!("is neither a file nor in a folder that {LIST_VARIABLE} in the environment of this program lists"))
    }

    fn log_once(&self, event: &str, named: &str, what: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < MOST_LOGGED && !logged.iter().any(|known| known == named) {
            logged.push(named.to_owned());
            let shown: String = named.chars().take(200).collect();
            log::warn(event, None, &format!("a request names the configuration {shown} in {CONFIG_VARIABLE}: {what}"));
        }
    }
}

/// Whether the owner of a listed folder vouches for a file in it: nobody else may have put it there.
fn vouched_for(folder: &Path, file: &Path) -> Result<(), String> {
    if !file.is_file() || file.extension().is_none_or(|ending| ending != "toml") {
        return Err("is not a file *.toml".into());
    }
    let facts = |place: &Path| fs::metadata(place).map_err(|cause| format!("cannot be looked at: {cause}"));
    let trusted = [0, rustix::process::geteuid().as_raw(), facts(folder)?.uid()];
    for place in file.ancestors().take_while(|place| place.starts_with(folder)) {
        let found = facts(place)?;
        if !trusted.contains(&found.uid()) {
            return Err(format!("is not trusted: {} belongs to another user than its folder", place.display()));
        }
        if found.mode() & 0o002 != 0 {
            return Err(format!("is not trusted: everybody may write to {}", place.display()));
        }
    }
    Ok(())
}

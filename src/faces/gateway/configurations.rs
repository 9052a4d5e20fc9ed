//! Which configuration file applies to a request.
//!
//! A configuration names programs to run (`sendmail`) and files to read, so the author of a request must never choose it. Any
//! user who can open the socket of a FastCGI program controls all its parameters. So the process uses its own configuration,
//! and accepts the parameter `MATRIX_REGISTER_BOT_CONFIG` only as far as `MATRIX_REGISTER_BOT_CONFIGS` in its environment
//! allows: a list of absolute paths of files or folders, separated by colons.
//!
//! * A listed file may be named.
//! * In or below a listed folder, a `*.toml` may be named if it belongs to root, the user of the process or the owner of the
//!   folder, and is not world-writable.
//!
//! Under plain CGI the variables of the request *are* the environment of the process. There the web server decides, and with
//! fcgiwrap anybody who can open its socket; such a user also names the program to run.

use crate::domain::config::CONFIG_VARIABLE;
use crate::outside::cgi::Request;
use crate::outside::{log, site};
use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The environment variable that lists what requests may name.
pub(crate) const LIST_VARIABLE: &str = "MATRIX_REGISTER_BOT_CONFIGS";

/// How many different values are logged, so that a flood of them cannot fill the log.
const MOST_LOGGED: usize = 16;

/// The process's own configuration, and those that requests may name.
pub struct Configurations {
    own: PathBuf,
    listed: Vec<PathBuf>,
    /// Values that have been logged.
    logged: Mutex<Vec<String>>,
}

impl Configurations {
    /// Reads an environment: the process's own configuration is in `MATRIX_REGISTER_BOT_CONFIG`, or else beside the program.
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

    /// The file for this request; `None` if the request names a file that it may not name, and must not be served.
    ///
    /// If nothing is listed, such a request gets the process's own configuration.
    pub(crate) fn of_request(&self, request: &Request) -> Option<Cow<'_, Path>> {
        let named = request.variable(CONFIG_VARIABLE).filter(|named| !named.is_empty() && Path::new(named) != self.own);
        let own = || Some(Cow::from(&self.own));
        let Some(named) = named else { return own() };
        if self.listed.is_empty() {
            let used = self.own.display();
            self.log_once(
                "configuration_ignored",
                named,
                &format!("it is ignored; {used} is used (name it in {LIST_VARIABLE} in the environment of this program if that is meant)"),
            );
            return own();
        }
        match self.listed(Path::new(named)) {
            Ok(file) => Some(file.into()),
            Err(why) => {
                self.log_once("configuration_not_allowed", named, &format!("it {why}; the request is refused"));
                None
            }
        }
    }

    /// The file of this name with symbolic links resolved, or why it may not be named.
    fn listed(&self, named: &Path) -> Result<PathBuf, String> {
        if !named.is_absolute() {
            return Err("is not an absolute path".into());
        }
        let file = fs::canonicalize(named).map_err(|cause| format!("cannot be found: {cause}"))?;
        for listed in &self.listed {
            let Ok(place) = fs::canonicalize(listed) else { continue };
            if file == place && file.is_file() {
                // The path as the operator wrote it, so that relative paths in the file start where they do for cron.
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

/// Checks that only trusted users can have put a file into a listed folder.
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

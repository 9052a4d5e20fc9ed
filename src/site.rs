//! Everything outside the program, passed in: configuration, state file, clock, and the ways to database, mail and
//! homeserver.
//!
//! Nothing is opened before it is needed: a CGI program that only shows a form touches neither the database nor the
//! network.

use crate::config::Config;
use crate::error::Error;
use crate::state_file::StateFile;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One homeserver's sign-up, as its `config.toml` describes it.
#[derive(Debug)]
pub struct Site {
    pub config: Config,
    pub state: StateFile,
    clock: fn() -> i64,
}

impl Site {
    /// Reads the configuration.
    pub fn open(config_path: &Path) -> Result<Site, Error> {
        let config = Config::load(config_path)?;
        Ok(Site::new(config, system_clock))
    }

    pub fn new(config: Config, clock: fn() -> i64) -> Site {
        let state = StateFile::beside(&config.folder);
        Site { config, state, clock }
    }

    /// Seconds since 1970, UTC.
    pub fn now(&self) -> i64 {
        (self.clock)()
    }
}

/// Where the configuration lies if nobody says: `config.toml` in the folder above the one of the program, so
/// `public/register` finds it at the top of the installation.
pub fn default_config_path() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().and_then(Path::parent).unwrap_or(Path::new("")).join("config.toml")
}

fn system_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64)
}

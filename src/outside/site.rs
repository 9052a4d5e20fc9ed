//! Everything outside the program, passed in: configuration, state file, clock, and the ways to database, mail and
//! homeserver.
//!
//! Nothing is opened before it is needed: a CGI program that only shows a button's form touches no network.

use crate::domain::config::{Config, DatabaseUrl, Language};
use crate::domain::error::Error;
use crate::outside::cgi::Response;
use crate::outside::page::{self, Compiled, PageName};
use crate::outside::state_file::StateFile;
use crate::outside::store::{self, Access, Store};
use crate::outside::take_over;
use serde::Serialize;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// One homeserver's sign-up, as its `config.toml` describes it.
pub struct Site {
    pub config: Config,
    pub state: StateFile,
    clock: fn() -> i64,
    /// Open databases that nobody uses at the moment: a FastCGI program keeps them from request to request.
    idle: Mutex<Vec<Store>>,
    /// Its pages, as far as they were shown.
    compiled: Compiled,
}

impl Site {
    /// Reads the configuration.
    pub fn open(config_path: &Path) -> Result<Site, Error> {
        let config = Config::load(config_path)?;
        Ok(Site::new(config, system_clock))
    }

    pub fn new(config: Config, clock: fn() -> i64) -> Site {
        let state = StateFile::inside(&config.state_folder);
        Site { config, state, clock, idle: Mutex::default(), compiled: Compiled::default() }
    }

    /// An open database; it goes back to the site when it is dropped. One of the PHP program's is taken over first.
    pub fn store(&self, access: Access) -> Result<OpenStore<'_>, Error> {
        let url = self.config.database()?;
        let store = match self.idle_store(&url, access)? {
            Some(store) => store,
            None => match Store::open(&url, access) {
                Err(store::Error::OfPhp) => {
                    take_over::run(&self.before_take_over(), &url)?;
                    Store::open(&url, access)?
                }
                opened => opened?,
            },
        };
        Ok(OpenStore { store: Some(store), idle: &self.idle })
    }

    /// One that was used before, for the same or, on a server, for another access.
    fn idle_store(&self, url: &DatabaseUrl, access: Access) -> Result<Option<Store>, store::Error> {
        loop {
            let Ok(mut idle) = self.idle.lock() else { return Ok(None) };
            idle.retain(Store::is_reusable);
            let Some(fit) = idle.iter().rposition(|store| store.serves(url, access)) else { return Ok(None) };
            let mut store = idle.swap_remove(fit);
            drop(idle);
            if store.take_up(access)? {
                return Ok(Some(store));
            }
        }
    }

    /// The page of `templates/page/NAME.html` as an answer.
    pub fn page(&self, language: Language, status: u16, name: PageName, context: &impl Serialize) -> Result<Response, Error> {
        page::respond((&self.config, &self.compiled), language, status, name, context)
    }

    /// Until when an initial password that is made now is good (seconds since 1970); `None`: for ever.
    pub fn initial_password_until(&self) -> Option<i64> {
        self.config.initial_password_until(self.now())
    }

    /// What a take-over of the PHP program's database goes by.
    pub fn before_take_over(&self) -> take_over::Setting<'_> {
        take_over::Setting { config: &self.config, state: &self.state, now: self.now() }
    }

    /// Seconds since 1970, UTC.
    pub fn now(&self) -> i64 {
        (self.clock)()
    }
}

/// A database on loan from the site.
pub struct OpenStore<'a> {
    /// `None` only while it is given back.
    store: Option<Store>,
    idle: &'a Mutex<Vec<Store>>,
}

impl Deref for OpenStore<'_> {
    type Target = Store;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &Store {
        self.store.as_ref().expect("there until dropped")
    }
}

impl DerefMut for OpenStore<'_> {
    #[allow(clippy::expect_used)]
    fn deref_mut(&mut self) -> &mut Store {
        self.store.as_mut().expect("there until dropped")
    }
}

impl Drop for OpenStore<'_> {
    /// Gives the database back, unless a panic left it in the middle of something.
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let (Some(store), Ok(mut idle)) = (self.store.take().filter(Store::is_reusable), self.idle.lock())
        {
            idle.push(store);
        }
    }
}

/// Where `make install` and the Debian package put the configuration.
const INSTALLED_CONFIG_PATH: &str = "/etc/matrix-register-bot/config.toml";

/// Where the configuration lies if nobody says: `config.toml` in the folder above the one of the program, so
/// `public/register` finds it at the top of the installation; and in `/etc` where that one has none.
pub fn default_config_path() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.parent().and_then(Path::parent).unwrap_or(Path::new("")).join("config.toml");
    let installed = Path::new(INSTALLED_CONFIG_PATH);
    if !beside.exists() && installed.exists() { installed.to_owned() } else { beside }
}

fn system_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64)
}

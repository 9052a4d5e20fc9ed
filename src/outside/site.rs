//! Everything a program uses from outside: configuration, state file, clock, and access to database, mail and
//! homeserver.
//!
//! Each is opened when it is first needed: a CGI program that only shows a form touches no network.

use crate::domain::config::{Config, DatabaseUrl, Language};
use crate::domain::error::Error;
use crate::domain::token::Secret;
use crate::outside::cgi::Response;
use crate::outside::lately::Lately;
use crate::outside::page::{self, Compiled, PageName};
use crate::outside::state_file::StateFile;
use crate::outside::store::{self, Access, Closed, Store};
use crate::outside::take_over;
use crate::outside::watched::Stamp;
use serde::Serialize;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The sign-up for one homeserver, as its `config.toml` describes it.
pub struct Site {
    pub config: Config,
    pub state: StateFile,
    clock: fn() -> i64,
    /// Open databases that are not in use: a FastCGI program keeps them between requests.
    idle: Mutex<Vec<Store>>,
    /// Compiled pages.
    compiled: Compiled,
    /// Whether the form is closed; see `flow::limits`.
    pub(crate) closed: Lately<Option<Closed>>,
}

impl Site {
    /// Reads the configuration.
    pub fn open(config_path: &Path) -> Result<Site, Error> {
        // Taken before the file is read.
        let compiled = Compiled::of(Stamp::of(config_path));
        Ok(Site { compiled, ..Site::new(Config::load(config_path)?, system_clock) })
    }

    pub fn new(config: Config, clock: fn() -> i64) -> Site {
        let state = StateFile::inside(&config.state_folder);
        Site { config, state, clock, idle: Mutex::default(), compiled: Compiled::default(), closed: Lately::default() }
    }

    /// An open database, which returns to the site when dropped. A database of the PHP program is taken over first.
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

    /// An idle database that was opened for the same access or, on a server, can be switched to it.
    fn idle_store(&self, url: &DatabaseUrl, access: Access) -> Result<Option<Store>, store::Error> {
        loop {
            let Ok(mut idle) = self.idle.lock() else { return Ok(None) };
            let Some(fit) = idle.iter().rposition(|store| store.serves(url, access)) else { return Ok(None) };
            let mut store = idle.swap_remove(fit);
            if !store.is_reusable() {
                // The file was replaced, so the others are out of date, too.
                idle.retain(Store::is_reusable);
                continue;
            }
            drop(idle);
            if store.take_up(access)? {
                return Ok(Some(store));
            }
        }
    }

    /// Closes the databases that are not in use, but for those that may as well end with the process.
    pub fn close_databases(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for store in idle.drain(..) {
            store.close_before_the_end();
        }
    }

    /// The page `templates/page/NAME.html` as an answer.
    pub fn page(&self, language: Language, status: u16, name: PageName, context: &impl Serialize) -> Result<Response, Error> {
        page::respond((&self.config, &self.compiled), language, status, name, context)
    }

    /// The page `templates/page/NAME.html` that is the same for everybody but for the value `own`; [`page::respond_to_everybody`].
    pub fn page_of_everybody<C: Serialize>(
        &self,
        secret: &Secret,
        language: Language,
        name: PageName,
        context: impl Fn(&str) -> C,
        own: &str,
    ) -> Result<Response, Error> {
        page::respond_to_everybody((&self.config, &self.compiled), secret, language, name, context, own)
    }

    /// The page for a request that ended with an error; [`page::error`].
    pub fn error_page(&self, language: Language, error: &Error) -> Response {
        page::error(Some((&self.config, &self.compiled)), language, error)
    }

    /// When an initial password created now expires (seconds since 1970); `None`: never.
    pub fn initial_password_until(&self) -> Option<i64> {
        self.config.initial_password_until(self.now())
    }

    /// What the take-over of a PHP program's database needs to know.
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
    /// `None` only while it is being returned.
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
    /// Returns the database, unless a panic interrupted its use.
    fn drop(&mut self) {
        if !std::thread::panicking()
            && let (Some(store), Ok(mut idle)) = (self.store.take().filter(Store::is_intact), self.idle.lock())
        {
            idle.push(store);
        }
    }
}

/// Where `make install` and the Debian package install the configuration.
const INSTALLED_CONFIG_PATH: &str = "/etc/matrix-register-bot/config.toml";

/// The default path of the configuration: `config.toml` in the parent of the program's folder, so that
/// `public/register` finds it at the top of the installation; if there is none, the file in `/etc`.
pub fn default_config_path() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.parent().and_then(Path::parent).unwrap_or(Path::new("")).join("config.toml");
    let installed = Path::new(INSTALLED_CONFIG_PATH);
    if !beside.exists() && installed.exists() { installed.to_owned() } else { beside }
}

fn system_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64)
}

//! The sites that this process serves. Each is opened once, and again when its configuration file changes.

use super::configurations::Configurations;
use crate::domain::error::Error;
use crate::outside::cgi::Request;
use crate::outside::log;
use crate::outside::site::Site;
use crate::outside::watched::Stamp;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Paths to remember before the process forgets them all: a path derived from the `Host` header must not fill the memory.
const MAX_REMEMBERED: usize = 256;

/// The time of a file changes after its content, by less than this.
const UNTIL_ITS_TIME_CHANGES: Duration = Duration::from_millis(20);

/// Open sites by the path of their configuration.
pub struct Sites {
    configurations: Configurations,
    remembered: Mutex<HashMap<PathBuf, Entry>>,
}

#[derive(Default)]
struct Entry {
    open: Option<(Stamp, Arc<Site>)>,
    /// The site as it was when the file could be used.
    last: Option<Arc<Site>>,
    /// The last error logged about this file, so that a broken configuration is one log line and not one per request.
    complaint: String,
}

impl Sites {
    pub fn new(configurations: Configurations) -> Sites {
        Sites { configurations, remembered: Mutex::default() }
    }

    /// The site for this request, with its configuration file as it is now. Errors are logged here, once, so the returned error
    /// has no cause.
    pub fn of(&self, request: &Request) -> Result<Arc<Site>, Error> {
        let path = self.configurations.of_request(request).ok_or_else(|| Error::internal(""))?;
        self.open(&path)
    }

    /// The last use of the sites in this process. Closes what others would miss; the rest is left to the system, which clears a whole
    /// process away faster than it clears itself.
    pub fn end_with_the_process(self) {
        let remembered = self.remembered.into_inner().unwrap_or_else(PoisonError::into_inner);
        for entry in remembered.into_values() {
            for site in [entry.open.map(|(_, site)| site), entry.last].into_iter().flatten() {
                site.close_databases();
                std::mem::forget(site);
            }
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<Site>, Error> {
        // Taken before the file is read, so that a change in between is noticed at the next request.
        let stamp = Stamp::of(path);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered.get(path).and_then(|entry| entry.open.as_ref());
        if let Some((_, site)) = known.filter(|(seen, _)| Some(seen) == stamp.as_ref()) {
            return Ok(site.clone());
        }
        if remembered.len() >= MAX_REMEMBERED && !remembered.contains_key(path) {
            remembered.clear();
        }
        remembered.entry(path.to_owned()).or_default().open(path, stamp)
    }
}

impl Entry {
    fn open(&mut self, path: &Path, stamp: Option<Stamp>) -> Result<Arc<Site>, Error> {
        self.open = None;
        match Site::open(path) {
            Ok(site) => {
                let site = Arc::new(site);
                log::start(site.config.log, site.config.log_level);
                self.complaint.clear();
                self.last = Some(site.clone());
                self.open = stamp.filter(Stamp::is_settled).map(|stamp| (stamp, site.clone()));
                Ok(site)
            }
            Err(error) => match self.last.clone().filter(|_| self.may_be_incomplete(path)) {
                Some(site) => Ok(site),
                None => Err(self.refuse(error)),
            },
        }
    }

    /// Whether an unusable file may be one that is being written. Until it has settled, the site is what it was before. A file that was
    /// emptied keeps its old time for an instant, so the first error looks twice.
    fn may_be_incomplete(&self, path: &Path) -> bool {
        let is_young = || Stamp::of(path).is_some_and(|stamp| !stamp.is_settled());
        if is_young() || !self.complaint.is_empty() {
            return is_young();
        }
        std::thread::sleep(UNTIL_ITS_TIME_CHANGES);
        is_young()
    }

    /// Logs why the file cannot be used, once.
    fn refuse(&mut self, error: Error) -> Error {
        if self.complaint != error.cause {
            log::warn("configuration_refused", None, &error.cause);
            self.complaint = error.cause;
        }
        Error { cause: String::new(), ..error }
    }
}

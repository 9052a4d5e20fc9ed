//! A page that is the same for everybody but for one value, kept in the state folder from one process to the next: under CGI each
//! visitor's form is a new process, and most of its work would be to compile and render the templates again.
//!
//! The file is as trustworthy as `config.json` beside it. It counts only while everything that it was made of is unchanged: the
//! program, the configuration, the operator's templates. Nobody misses it.

use super::PageName;
use super::common::Common;
use crate::domain::config::{Config, Language};
use crate::outside::ownership;
use crate::outside::watched::{Stamp, Watched};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The running program, whatever its path leads to by now.
const PROGRAM: &str = "/proc/self/exe";

/// Follows no symbolic link, and does not wait for a pipe.
const NO_LINK: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// The first line of the file, in JSON; the page follows.
#[derive(Serialize, Deserialize)]
struct Head {
    program: Stamp,
    config: Stamp,
    /// The operator's templates and texts.
    files: Watched,
    policy: String,
}

/// A kept page and its Content-Security-Policy.
pub(super) struct Kept {
    pub page: Common,
    pub policy: String,
}

/// Where a page is kept, and what it has to be made of.
pub(super) struct Place {
    path: PathBuf,
    program: Stamp,
    config: Stamp,
}

impl Place {
    /// `config_file`: the configuration file as it was before it was read.
    pub(super) fn of(config: &Config, config_file: &Stamp, language: Language, name: PageName) -> Option<Place> {
        let stem = Path::new(name.template()).file_stem()?.to_str()?;
        let path = config.state_folder.join(format!("{stem}.{}.kept", language.tag()));
        Some(Place { path, program: Stamp::of(Path::new(PROGRAM))?, config: config_file.clone() })
    }

    /// The page, if it is there and up to date.
    pub(super) fn read(&self) -> Option<Kept> {
        let mut text = String::new();
        OpenOptions::new().read(true).custom_flags(NO_LINK).open(&self.path).ok()?.read_to_string(&mut text).ok()?;
        let (head, page) = text.split_once('\n')?;
        let head: Head = serde_json::from_str(head).ok()?;
        let is_current = head.program == self.program && head.config == self.config && head.files.is_current();
        is_current.then(|| Kept { page: Common::of_text(page), policy: head.policy })
    }

    /// The new file, before anything is rendered for it. `None`: it cannot be made, or another process is about to make it.
    pub(super) fn begin(self) -> Option<Draft> {
        let aside = self.path.with_extension("kept.new");
        match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside) {
            Ok(file) => Some(Draft { place: self, aside, file }),
            Err(_) => {
                // Perhaps left by a process that was killed.
                if Stamp::of(&aside).is_some_and(|stamp| stamp.is_settled()) {
                    let _ = fs::remove_file(&aside);
                }
                None
            }
        }
    }
}

/// A file that becomes the kept page, or disappears.
pub(super) struct Draft {
    place: Place,
    aside: PathBuf,
    file: File,
}

impl Draft {
    /// Keeps the page, unless a change of what it was made of might remain unnoticed.
    pub(super) fn keep(mut self, page: &Common, policy: &str, files: &Watched) {
        let Place { path, program, config } = &self.place;
        if !(config.is_settled() && files.is_settled()) {
            return;
        }
        let head = Head { program: program.clone(), config: config.clone(), files: files.clone(), policy: policy.to_owned() };
        let Ok(head) = serde_json::to_string(&head) else { return };
        let written = ownership::hand_over(&self.file, ownership::above(path))
            .and_then(|()| write!(self.file, "{head}\n{}", page.text()))
            .and_then(|()| self.file.sync_all())
            .and_then(|()| fs::rename(&self.aside, path));
        // The next process tries again.
        let _ = written;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Fails after the file got its name.
        let _ = fs::remove_file(&self.aside);
    }
}

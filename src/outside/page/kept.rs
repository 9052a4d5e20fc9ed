//! A page that is the same for everybody but for one value, kept in the state folder from one process to the next: under CGI each
//! visitor's form is a new process, and most of its work would be to compile and render the templates again.
//!
//! The file counts only with the seal of the installation's secret, which a damaged or cut file does not have, and while everything
//! that it was made of is unchanged: the program, the configuration, the operator's templates. Nobody misses it.

use super::PageName;
use super::common::Common;
use crate::domain::config::{Config, Language};
use crate::domain::token::Secret;
use crate::outside::ownership;
use crate::outside::watched::{Stamp, Watched};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The running program, whatever its path leads to by now.
const PROGRAM: &str = "/proc/self/exe";

/// Follows no symbolic link, and does not wait for a pipe.
const NO_LINK: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// The second line of the file, in JSON; the seal of all that follows comes before it, and the page after it.
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
pub(super) struct Place<'a> {
    path: PathBuf,
    secret: &'a Secret,
    program: Stamp,
    config: Stamp,
}

impl<'a> Place<'a> {
    /// `config_file`: the configuration file as it was before it was read.
    pub(super) fn of(
        (config, config_file): (&Config, &Stamp),
        secret: &'a Secret,
        language: Language,
        name: PageName,
    ) -> Option<Place<'a>> {
        let stem = Path::new(name.template()).file_stem()?.to_str()?;
        let path = config.state_folder.join(format!("{stem}.{}.kept", language.tag()));
        Some(Place { path, secret, program: Stamp::of(Path::new(PROGRAM))?, config: config_file.clone() })
    }

    /// What only this installation can write, for a file of this name.
    fn seal(&self, sealed: &str) -> String {
        self.secret.token(&format!("kept page {}", self.path.display()), sealed)
    }

    /// The page, if it is there and up to date.
    pub(super) fn read(&self) -> Option<Kept> {
        let mut text = String::new();
        OpenOptions::new().read(true).custom_flags(NO_LINK).open(&self.path).ok()?.read_to_string(&mut text).ok()?;
        let (seal, sealed) = text.split_once('\n')?;
        let (head, page) = sealed.split_once('\n').filter(|_| seal == self.seal(sealed))?;
        let head: Head = serde_json::from_str(head).ok()?;
        let is_current = head.program == self.program && head.config == self.config && head.files.is_current();
        is_current.then(|| Kept { page: Common::of_text(page), policy: head.policy })
    }

    /// The new file, before anything is rendered for it. `None`: it cannot be made, or another process is about to make it.
    pub(super) fn begin(self) -> Option<Draft<'a>> {
        let aside = self.path.with_extension("kept.new");
        match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside) {
            Ok(file) => Some(Draft { place: self, aside: Some(aside), file }),
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
pub(super) struct Draft<'a> {
    place: Place<'a>,
    /// `None` once it has become the kept page.
    aside: Option<PathBuf>,
    file: File,
}

impl Draft<'_> {
    /// Keeps the page, unless a change of what it was made of might remain unnoticed. If that fails, the next process tries again.
    pub(super) fn keep(mut self, page: &Common, policy: &str, files: &Watched) {
        let Place { program, config, .. } = &self.place;
        if !(config.is_settled() && files.is_settled()) {
            return;
        }
        let head = Head { program: program.clone(), config: config.clone(), files: files.clone(), policy: policy.to_owned() };
        let Ok(head) = serde_json::to_string(&head) else { return };
        let sealed = format!("{head}\n{}", page.text());
        let whole = format!("{}\n{sealed}", self.place.seal(&sealed));
        if self.write(&whole).is_ok() {
            self.aside = None;
        }
    }

    fn write(&mut self, whole: &str) -> io::Result<()> {
        let Some(aside) = &self.aside else { return Ok(()) };
        ownership::hand_over(&self.file, ownership::above(&self.place.path))?;
        self.file.write_all(whole.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(aside, &self.place.path)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            let _ = fs::remove_file(aside);
        }
    }
}

//! Files and folders that every user of the machine may read, or write to: closes our own, and reports those of others.
//!
//! The programs create files that only their owner may read. Files of the PHP program, and files restored from a backup, have
//! whatever mode the operator's umask gave them.

use super::log;
use super::ownership::{self, above};
use crate::domain::config::{Config, DatabaseUrl, MailTransport};
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The permissions of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;
/// The permission that lets these users replace our files.
const OTHERS_WRITE: u32 = 0o002;
/// In a folder with this bit nobody can replace another user's files.
const STICKY: u32 = 0o1000;

/// Removes everybody else's permission to read the state file and the database, and to write to their folders; the group keeps
/// its permissions. Returns a message for each file or folder that belongs to another user.
pub fn close(config: &Config) -> Vec<String> {
    let mut files = vec![config.state_folder.join("config.json")];
    let mut folders = vec![config.state_folder.clone()];
    if let Ok(DatabaseUrl::Sqlite(database)) = &config.database() {
        files.extend(["", "-wal", "-shm", "-journal"].map(|suffix| beside(database, suffix)));
        folders.push(above(database).to_owned());
    }
    if config.mail.transport == MailTransport::File {
        folders.push(config.mail.folder.clone());
    }
    folders.dedup();
    let of_files = files.iter().filter_map(|file| closed(file, OTHERS, "read"));
    of_files.chain(folders.iter().filter_map(|folder| closed(folder, OTHERS_WRITE, "write to"))).collect()
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes these permissions; returns a message if only another user can do that.
fn closed(path: &Path, rights: u32, what: &str) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let (mode, owner) = (found.mode() & 0o7777, found.uid());
    if mode & rights == 0 || (found.is_dir() && mode & STICKY != 0) {
        return None;
    }
    if take_away(path, rights).is_some() {
        log::info("closed_to_others", None, &format!("{} had mode {mode:o}", path.display()));
        return None;
    }
    let right = if rights == OTHERS { "o-rwx" } else { "o-w" };
    let owner = ownership::name(owner);
    Some(format!("every user of this machine may {what} {0} (mode {mode:o}); it belongs to {owner}: chmod {right} {0}", path.display()))
}

/// Removes permissions, as the owner or root. Neither symbolic nor hard links are followed, because anybody who may write to the
/// folder could put one there.
fn take_away(path: &Path, rights: u32) -> Option<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let opened: File = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let found = opened.metadata().ok()?;
    let is_alone = found.is_dir() || (found.is_file() && found.nlink() == 1);
    if !is_alone || !(geteuid().is_root() || geteuid().as_raw() == found.uid()) {
        return None;
    }
    rustix::fs::fchmod(&opened, Mode::from_raw_mode(found.mode() & 0o7777 & !rights)).ok()
}

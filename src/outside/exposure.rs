//! What every user of the machine may read, or write to: closed where it is ours, named where it is not.
//!
//! The programs make their files for their owner only. The PHP program's came with whatever mode the operator's umask gave
//! them, and so do files that were put back from a backup.

use super::log;
use super::ownership::{self, above};
use crate::domain::config::{Config, DatabaseUrl, MailTransport};
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The rights of everybody who is neither the owner nor in the group.
const OTHERS: u32 = 0o007;
/// The one among them that lets anybody put another file in the place of ours.
const OTHERS_WRITE: u32 = 0o002;
/// In such a folder nobody can replace another user's files.
const STICKY: u32 = 0o1000;

/// Takes from everybody else the right to read the state file and the database, and to write to their folders; the group keeps
/// its rights. A sentence for each that belongs to somebody else.
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

/// Takes these rights away; a sentence where that is for somebody else to do.
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

/// For the owner, and for root. No link is followed, and no other name of a file elsewhere: whoever may write to the folder could put
/// one there.
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

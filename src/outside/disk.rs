//! Recognises a full disk, so that errors say so and name the folder in which space is needed.

use crate::outside::ownership;
use std::io::{self, ErrorKind};
use std::path::Path;

/// A disk with fewer free bytes than this counts as full: SQLite extends its files by more at a time.
const LITTLE: u64 = 64 * 1024;

/// The message for a `file` that could not be written, if the cause is a full disk or the owner's exhausted quota.
pub fn full(file: &Path, cause: &io::Error) -> Option<String> {
    matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded).then(|| sentence(file))
}

/// The message if the disk of `file` is full now: for errors that do not carry the system's error number.
pub(crate) fn full_now(file: &Path) -> Option<String> {
    (free_bytes(ownership::above(file))? < LITTLE).then(|| sentence(file))
}

/// What is free for us on the disk of a folder; `None`: that is not known.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The message for a `file` whose disk is known to be full.
pub fn sentence(file: &Path) -> String {
    format!("the disk is full: make room in {}; what could not be written is tried again", ownership::above(file).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_by_its_folder_and_other_failures_are_not() {
        let file = Path::new("/srv/bot/data/register.sqlite");
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let sentence = full(file, &errno.into()).expect("the disk is full");
            assert!(sentence.contains("the disk is full") && sentence.contains("/srv/bot/data;"), "{sentence}");
        }
        assert_eq!(full(file, &rustix::io::Errno::ACCESS.into()), None);
        assert_eq!(full_now(Path::new("/nowhere/at/all")), None);
    }
}

//! A disk with no room left, told as that: nothing is wrong with what could not be written.

use crate::outside::ownership;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Bytes below which a disk is taken for full: SQLite extends its files by more at once.
const LITTLE: u64 = 64 * 1024;

/// Why the file could not be written and what to do, if there is no room left on its disk, or none for its owner.
pub fn full(file: &Path, cause: &io::Error) -> Option<String> {
    matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded).then(|| sentence(file))
}

/// The same for a program that does not say what the system told it: whether there is room now.
pub fn full_now(file: &Path) -> Option<String> {
    let disk = rustix::fs::statvfs(ownership::above(file)).ok()?;
    (disk.f_bavail.saturating_mul(disk.f_frsize) < LITTLE).then(|| sentence(file))
}

/// Where the system says so in another way.
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

//! Files whose content a program keeps, and how it notices that one of them has changed.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file younger than this may change again without a new time stamp (they tick every few milliseconds), so it is not kept yet.
const YOUNG_SECONDS: u64 = 2;

/// Changes when a file is edited, replaced, or restored with an old time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file that a path leads to; `None` if there is none.
    pub fn of(path: &Path) -> Option<Stamp> {
        fs::metadata(path).ok().map(|file| Stamp::from(&file))
    }

    /// Whether a later change of the file will show in its stamp.
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64);
        now.abs_diff(self.changed.0) > YOUNG_SECONDS
    }
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Stamp {
        Stamp {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// The files from which something was made, those that were missing included.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Watched(Vec<(PathBuf, Option<Stamp>)>);

impl Watched {
    /// The text of a file, which is watched from now on; `None` if there is no such file.
    pub fn read(&mut self, path: &Path) -> io::Result<Option<String>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                self.0.push((path.to_owned(), None));
                return Ok(None);
            }
            Err(cause) => return Err(cause),
        };
        // Taken from the open file, before it is read: this is the state of what is read, or an older one.
        self.0.push((path.to_owned(), Some(Stamp::from(&file.metadata()?))));
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(Some(text))
    }

    /// Whether all files are as they were when they were read.
    pub fn is_current(&self) -> bool {
        self.0.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }

    /// Whether a later change of any file will be noticed.
    pub fn is_settled(&self) -> bool {
        self.0.iter().all(|(_, stamp)| stamp.as_ref().is_none_or(Stamp::is_settled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{FileTimes, remove_file, rename, write};

    #[test]
    fn a_file_that_is_edited_replaced_removed_or_made_is_noticed() {
        let folder = std::env::temp_dir().join(format!("watched-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, other) = (folder.join("a"), folder.join("b"));
        let watch = |path: &Path| {
            let mut watched = Watched::default();
            let _ = watched.read(path).unwrap();
            assert!(watched.is_current());
            watched
        };
        write(&file, "one").unwrap();
        write(&other, "two").unwrap();
        let long_ago = FileTimes::new().set_modified(UNIX_EPOCH).set_accessed(UNIX_EPOCH);
        for path in [&file, &other] {
            File::options().write(true).open(path).unwrap().set_times(long_ago).unwrap();
        }
        assert!(!watch(&file).is_settled(), "the time that counts cannot be set");
        let before = watch(&file);
        rename(&other, &file).unwrap();
        assert!(!before.is_current(), "another file of the same size and time");
        let before = watch(&file);
        write(&file, "three").unwrap();
        assert!(!before.is_current());
        let before = watch(&file);
        remove_file(&file).unwrap();
        assert!(!before.is_current());
        let before = watch(&file);
        write(&file, "").unwrap();
        assert!(!before.is_current());
        fs::remove_dir_all(folder).unwrap();
    }
}

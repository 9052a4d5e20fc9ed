//! `transport = "file"`: each mail becomes a file `MESSAGE-ID.eml`, for trying things out without a mail server.

use super::Error;
use crate::outside::{disk, ownership};
use rustix::fs::{Access, access};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether mails can be written.
pub fn probe(folder: &Path) -> Result<String, Error> {
    let made = ownership::make_folder(folder, 0o700).and_then(|()| Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?));
    match made {
        Ok(()) => Ok(format!("mails are written into {}, and nobody gets them", folder.display())),
        Err(cause) => Err(Error::Later(format!("cannot write a mail into {}: {cause}; look at folder in [mail]", folder.display()))),
    }
}

/// Writes a temporary file and renames it, so that nobody reads a partial mail; the same mail replaces itself. Only the owner
/// may read the files, because they contain links and passwords. Symbolic links are not followed.
pub fn send(folder: &Path, message_id: &str, bytes: &[u8]) -> Result<(), Error> {
    // A Message-ID contains no slash, but may start with a dot.
    let name = message_id.trim_start_matches('.');
    let aside = folder.join(format!(".{name}.{}-{:?}", std::process::id(), std::thread::current().id()));
    let write = || -> std::io::Result<()> {
        ownership::make_folder(folder, 0o700)?;
        match fs::remove_file(&aside) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside)?;
        ownership::hand_over(&file, folder)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, folder.join(format!("{name}.eml")))
    };
    write().map_err(|cause| {
        let _ = fs::remove_file(&aside);
        if let Some(full) = disk::full(&aside, &cause) {
            return Error::Later(format!("cannot write a mail: {full} (folder in [mail])"));
        }
        let whose = ownership::hindrance(&aside).unwrap_or_else(|| "the user that runs the programs must be able to write there".into());
        Error::Later(format!("cannot write a mail into {}: {cause}; look at folder in [mail]: {whose}", folder.display()))
    })
}

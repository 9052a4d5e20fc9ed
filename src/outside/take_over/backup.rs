//! The backup of the PHP program's SQLite database: unchanged, for a return to it, and sealed, because it contains passwords in
//! clear.

use crate::domain::error::Error;
use crate::domain::token::{Secret, random};
use crate::outside::ownership;
use crate::outside::state_file::StateFile;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Appended to the name of the database.
const SUFFIX: &str = ".php-backup";
/// The first bytes of a backup.
const MAGIC: &[u8; 24] = b"matrix-register-bot bak1";

/// The path of a database's backup.
pub(crate) fn path_of(database: &Path) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(SUFFIX);
    path.into()
}

/// Writes the backup beside the database, readable only for the owner; an earlier backup is replaced as a whole.
pub fn write(secret: &Secret, database: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(&path_of(database), &fs::metadata(database)?, 0o600, &sealed(secret, bytes)?)
}

/// Seals the backup beside the database with the new key, if there is one that the former key opens. Owner and mode stay.
pub(crate) fn seal_anew((secret, former): (&Secret, &Secret), database: &Path) -> io::Result<()> {
    let path = path_of(database);
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut backup = Vec::new();
    file.read_to_end(&mut backup)?;
    let Some(bytes) = open(former, &backup) else { return Ok(()) };
    let like = file.metadata()?;
    replace(&path, &like, like.mode() & 0o777, &sealed(secret, &bytes)?)
}

/// Others see the old file or the new one. Only root gives it to the owner of `like`.
fn replace(path: &Path, like: &Metadata, mode: u32, content: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("php-backup.new");
    match fs::remove_file(&aside) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside)?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(ownership::above(path))?.sync_all()
}

fn sealed(secret: &Secret, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let nonce: [u8; 24] = random();
    let sealed = cipher(secret).encrypt(&XNonce::from(nonce), Payload { msg: bytes, aad: MAGIC });
    let sealed = sealed.map_err(|_| io::Error::other("the backup cannot be sealed"))?;
    Ok([MAGIC.as_slice(), &nonce, &sealed].concat())
}

/// The database in a backup; `None` if it is not a backup, or was sealed with another secret key.
pub fn open(secret: &Secret, backup: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = backup.strip_prefix(MAGIC.as_slice())?.split_at_checked(24)?;
    let nonce: [u8; 24] = nonce.try_into().ok()?;
    cipher(secret).decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: MAGIC }).ok()
}

/// Writes the database in `file` to standard output. Returns no message.
pub fn print(state: &StateFile, file: &Path) -> Result<String, Error> {
    let failed = |what: &str, cause: &dyn std::fmt::Display| Error::internal(format!("{what} {}: {cause}", file.display()));
    let backup = fs::read(file).map_err(|cause| failed("cannot read", &cause))?;
    let secret = state.secret()?;
    let database = open(&secret, &backup)
        .or_else(|| open(&secret.former()?, &backup))
        .ok_or_else(|| failed("cannot open", &"it is no backup, or config.json has another secret_key than when it was written"))?;
    io::stdout().write_all(&database).map_err(|cause| failed("cannot write the database of", &cause))?;
    Ok(String::new())
}

fn cipher(secret: &Secret) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(secret.derive("backup of the PHP program's database", &[])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_opens_with_its_own_key_only_and_is_never_changed_unnoticed() {
        let (secret, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let mut backup = sealed(&secret, b"SQLite format 3 and a password in clear").unwrap();
        assert!(!backup.windows(8).any(|window| window == b"password"));
        assert_eq!(open(&secret, &backup).unwrap(), b"SQLite format 3 and a password in clear");
        assert_eq!((open(&other, &backup), open(&secret, b"short")), (None, None));
        *backup.last_mut().unwrap() ^= 1;
        assert_eq!(open(&secret, &backup), None);
    }

    #[test]
    fn a_backup_is_sealed_with_a_new_key_and_keeps_its_mode() {
        let folder = std::env::temp_dir().join(format!("backup-sealed-anew-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (database, new, former, other) = (folder.join("db"), Secret::new([1; 32]), Secret::new([2; 32]), Secret::new([3; 32]));
        seal_anew((&new, &former), &database).unwrap();
        fs::write(&database, b"x").unwrap();
        write(&former, &database, b"SQLite format 3").unwrap();
        let path = path_of(&database);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        seal_anew((&new, &other), &database).unwrap();
        assert_eq!(open(&former, &fs::read(&path).unwrap()).unwrap(), b"SQLite format 3", "another key leaves it as it is");
        for _ in 0..2 {
            seal_anew((&new, &former), &database).unwrap();
            let backup = fs::read(&path).unwrap();
            assert_eq!((open(&new, &backup).unwrap(), open(&former, &backup)), (b"SQLite format 3".to_vec(), None));
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&database, &path).unwrap();
        assert!(seal_anew((&new, &former), &database).is_err(), "a link is not followed");
        fs::remove_dir_all(folder).unwrap();
    }
}

//! `config.json`: the bot's own writable state, in `state_folder`, by default beside `config.toml`.
//!
//! The PHP program kept its whole configuration there. Its `register_password` and `access_token` are used as they are, and
//! unknown keys are preserved. Our own key is `secret_key`.
//!
//! The file is replaced as a whole (written aside, flushed, renamed) under a lock, so it is never partially written, and
//! programs that start at the same time agree on one secret.
//!
//! Symbolic links in its folder are not followed. The owner of the folder could put one there, and cron run by root would give
//! them the file it points to.

use data_encoding::HEXLOWER;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::token::{Secret, random};
use crate::outside::watched::Stamp;
use crate::outside::{disk, fault, ownership};

/// Flags for opening: an error for a symbolic link, and no waiting for a named pipe.
const NO_LINK: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// The path of `config.json`. Every call looks at the file again, so that all programs see the same state.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
    /// The secret, which every form needs, and the file that it was read from.
    kept: Arc<Mutex<Option<(Stamp, Secret)>>>,
}

/// The content of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// 32 random bytes in hexadecimal: all links, form tokens and initial passwords are derived from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_key: Option<String>,
    /// The key that `secret_key` is replacing, until nothing is left that was made with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former_secret_key: Option<String>,
    /// Since when; seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_key_replaced_at: Option<i64>,
    /// The password of the bot's own account; the name of the key comes from the PHP program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register_password: Option<String>,
    /// The password that the bot is about to get: kept before the homeserver is asked, so that neither can be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_register_password: Option<String>,
    /// The bot's access token from its login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// The tokens of the application service, once it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<Service>,
    /// Keys of other programs.
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// The tokens of the application service that is the bot to the homeserver, in hexadecimal.
#[derive(Clone, Serialize, Deserialize)]
pub struct Service {
    /// With which we call the homeserver.
    pub as_token: String,
    /// With which the homeserver calls us.
    pub hs_token: String,
}

/// Leaves the tokens out.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

/// The state cannot be read or written; the message names the remedy.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<Error> for crate::domain::error::Error {
    fn from(cause: Error) -> crate::domain::error::Error {
        crate::domain::error::Error::internal(cause.to_string())
    }
}

impl StateFile {
    /// `config.json` in a folder.
    pub fn inside(folder: &Path) -> StateFile {
        StateFile { path: folder.join("config.json"), kept: Arc::default() }
    }

    /// The secret from which tokens and passwords are derived; created at the first call.
    pub fn secret(&self) -> Result<Secret, Error> {
        // Taken before the file is read, so that a change in between is noticed at the next call.
        let stamp = fs::symlink_metadata(&self.path).ok().map(|file| Stamp::from(&file));
        if let Some((seen, secret)) = &*self.kept()
            && Some(seen) == stamp.as_ref()
        {
            return Ok(secret.clone());
        }
        let state = match self.read()? {
            state if state.secret_key.is_some() => state,
            _ => self.update(|_| {})?,
        };
        let secret = self.secret_of(&state)?;
        *self.kept() = stamp.filter(Stamp::is_settled).map(|stamp| (stamp, secret.clone()));
        Ok(secret)
    }

    fn kept(&self) -> MutexGuard<'_, Option<(Stamp, Secret)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret, unless it does not exist yet or cannot be read: for code that must work without it.
    pub(crate) fn secret_if_there(&self) -> Option<Secret> {
        self.read().ok().filter(|state| state.secret_key.is_some()).and_then(|state| self.secret_of(&state).ok())
    }

    /// The tokens of the application service; `None` if nobody has asked for them with [`StateFile::make_service`].
    pub fn service(&self) -> Result<Option<Service>, Error> {
        // Nobody is let in with an empty token.
        Ok(self.read()?.service.filter(|service| service.as_token.len() >= 32 && service.hs_token.len() >= 32))
    }

    /// The same; made at the first call.
    pub fn make_service(&self) -> Result<Service, Error> {
        if let Some(service) = self.service()? {
            return Ok(service);
        }
        let state = self.update(|state| state.service = Some(new_service()))?;
        state.service.ok_or_else(|| self.error("has no tokens of the application service although they were just written"))
    }

    /// Puts a new secret key in place of the present one, which is kept as the former one. If one is being replaced already, nothing
    /// changes, and the result is `false`.
    pub fn begin_new_secret(&self) -> Result<bool, Error> {
        let mut has_begun = false;
        self.update(|state| {
            if state.former_secret_key.is_none() {
                state.former_secret_key = state.secret_key.replace(new_key());
                state.secret_key_replaced_at = None;
                has_begun = true;
            }
        })?;
        Ok(has_begun)
    }

    /// Since when the present secret key is replacing a former one (seconds since 1970), and what only that one could find is deleted.
    pub fn secret_replaced_at(&self) -> Result<Option<i64>, Error> {
        Ok(self.read()?.secret_key_replaced_at)
    }

    /// Notes the time of [`StateFile::secret_replaced_at`], unless nothing is being replaced.
    pub fn note_secret_replaced_at(&self, now: i64) -> Result<(), Error> {
        let note = |state: &mut State| state.secret_key_replaced_at = state.former_secret_key.as_ref().map(|_| now);
        self.update(note).map(|_| ())
    }

    /// Forgets the former secret key.
    pub fn forget_former_secret(&self) -> Result<(), Error> {
        let forget = |state: &mut State| (state.former_secret_key, state.secret_key_replaced_at) = (None, None);
        self.update(forget).map(|_| ())
    }

    /// Other tokens for the application service.
    pub fn renew_service(&self) -> Result<(), Error> {
        self.update(|state| state.service = Some(new_service())).map(|_| ())
    }

    /// The present state; a missing secret key or bot password is created.
    pub fn complete(&self) -> Result<State, Error> {
        match self.read()? {
            state if state.secret_key.is_some() && state.register_password.is_some() => Ok(state),
            _ => self.update(|_| {}),
        }
    }

    /// Changes the state under the lock; other programs see the old file or the new one, never a mixture.
    pub fn update(&self, change: impl FnOnce(&mut State)) -> Result<State, Error> {
        let _lock = self.lock()?;
        let mut state = self.read()?;
        state.secret_key.get_or_insert_with(new_key);
        state.register_password.get_or_insert_with(new_key);
        change(&mut state);
        self.replace(&state)?;
        Ok(state)
    }

    fn read(&self) -> Result<State, Error> {
        let mut text = String::new();
        let opened = OpenOptions::new().read(true).custom_flags(NO_LINK).open(&self.path);
        match opened.and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => {}
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(State::default()),
            Err(_) if is_link(&self.path) => {
                return Err(
                    self.error("is a symbolic link, which is not followed; put the file itself there, or name its folder in state_folder")
                );
            }
            Err(cause) => {
                let remedy =
                    ownership::hindrance(&self.path).unwrap_or_else(|| "make it readable for the user that runs the programs".into());
                return Err(self.error(&format!("cannot be read: {cause}; {remedy}")));
            }
        };
        // serde's own message would show a value of a wrong type, and the values are secrets.
        serde_json::from_str(&text).map_err(|cause| {
            self.error(&format!(
                "is not the JSON object it should be (line {}, column {}); restore it from a backup (without it no link that was sent works any more)",
                cause.line(),
                cause.column()
            ))
        })
    }

    fn secret_of(&self, state: &State) -> Result<Secret, Error> {
        let wrong = |name: &str| self.error(&format!("has a {name} that is not 64 hexadecimal digits; restore it from a backup"));
        let secret = key_of(state.secret_key.as_deref().unwrap_or_default()).map(Secret::new).ok_or_else(|| wrong("secret_key"))?;
        match state.former_secret_key.as_deref() {
            None => Ok(secret),
            Some(former) => Ok(secret.replacing(key_of(former).ok_or_else(|| wrong("former_secret_key"))?)),
        }
    }

    fn lock(&self) -> Result<File, Error> {
        let path = self.path.with_extension("json.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(NO_LINK)
            .open(&path)
            .map_err(|cause| self.cannot_write(&cause))?;
        self.give_to_owner(&file).and_then(|()| file.lock()).map_err(|cause| self.cannot_write(&cause))?;
        Ok(file)
    }

    fn replace(&self, state: &State) -> Result<(), Error> {
        let aside = self.path.with_extension("json.new");
        let mode = fs::metadata(&self.path).map_or(0o600, |known| known.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            crate::outside::log::warn(
                "state_file_open_to_others",
                None,
                &format!("{} holds secrets and others may read it (mode {mode:o}); chmod 600 it", self.path.display()),
            );
        }
        let write = || -> std::io::Result<()> {
            match fs::remove_file(&aside) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
            // Owner and group keep their access, others never get any. `create_new` follows no symbolic link that was put
            // there.
            let mut file = OpenOptions::new().create_new(true).write(true).mode(mode & 0o660).open(&aside)?;
            self.give_to_owner(&file)?;
            file.write_all(&serde_json::to_vec_pretty(state)?)?;
            file.sync_all()?;
            fault::point("state file written");
            fs::rename(&aside, &self.path)?;
            fault::point("state file replaced");
            File::open(self.folder())?.sync_all()
        };
        write().map_err(|cause| self.cannot_write(&cause))
    }

    /// A cron run by root must not take the files away from the user of the web server.
    fn give_to_owner(&self, file: &File) -> std::io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        // A hard link would have the same effect as a symbolic one.
        let given = file.metadata()?;
        if !given.is_file() || given.nlink() != 1 {
            return Err(std::io::Error::other("it is not a file of its own"));
        }
        let owner = fs::symlink_metadata(&self.path).or_else(|_| fs::metadata(self.folder()))?;
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
    }

    fn folder(&self) -> &Path {
        ownership::above(&self.path)
    }

    fn cannot_write(&self, cause: &std::io::Error) -> Error {
        let folder = self.folder().display();
        if let Some(full) = disk::full(&self.path, cause) {
            return self.error(&format!("cannot be written: {full}"));
        }
        let remedy = ownership::hindrance(&self.path).unwrap_or_else(|| {
            format!("let the user that runs the programs write to its folder, for example: chown www-data {folder} && chmod 750 {folder}")
        });
        self.error(&format!("cannot be written: {cause}; {remedy}"))
    }

    fn error(&self, what: &str) -> Error {
        Error(format!("the state file {} {what}", self.path.display()))
    }
}

/// 32 random bytes in hexadecimal.
pub(crate) fn new_key() -> String {
    HEXLOWER.encode(&random::<32>())
}

fn new_service() -> Service {
    Service { as_token: new_key(), hs_token: new_key() }
}

fn key_of(hex: &str) -> Option<[u8; 32]> {
    <[u8; 32]>::try_from(HEXLOWER.decode(hex.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("state-file-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_secret_is_made_once_and_only_the_owner_reads_it() {
        let folder = folder("once");
        let file = StateFile::inside(&folder);
        let first = file.secret().unwrap();
        assert_eq!(first.derive("x", &[]), file.secret().unwrap().derive("x", &[]));
        assert_eq!(fs::metadata(folder.join("config.json")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_secret_that_another_program_changed_is_used_at_once() {
        let folder = folder("changed");
        let file = StateFile::inside(&folder);
        let path = folder.join("config.json");
        let token = |file: &StateFile| file.secret().unwrap().token("a", "b");
        let old = token(&file);
        let begun = std::time::Instant::now();
        while file.kept().is_none() {
            assert!(token(&file) == old && begun.elapsed().as_secs() < 10, "a file that has settled is read once");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        StateFile::inside(&folder).update(|state| state.secret_key = Some("ab".repeat(32))).unwrap();
        assert_ne!(token(&file), old);
        fs::write(&path, "{").unwrap();
        assert!(file.secret().is_err());
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(file.secret().is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn programs_that_start_at_once_agree_on_one_secret() {
        let folder = folder("race");
        let file = StateFile::inside(&folder);
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| file.secret().unwrap().derive("x", &[]))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| secret == &secrets[0]));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_the_php_program_kept_there_stays() {
        let folder = folder("php");
        fs::write(folder.join("config.json"), r#"{"homeserver":"example.test","register_password":"e4301b5a56","smtp":false}"#).unwrap();
        fs::set_permissions(folder.join("config.json"), fs::Permissions::from_mode(0o666)).unwrap();
        let state = StateFile::inside(&folder).complete().unwrap();
        assert_eq!(state.register_password.as_deref(), Some("e4301b5a56"));
        let text = fs::read_to_string(folder.join("config.json")).unwrap();
        assert!(text.contains("example.test") && text.contains("secret_key"));
        assert_eq!(fs::metadata(folder.join("config.json")).unwrap().permissions().mode() & 0o007, 0, "others read it no more");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_sentence_about_the_state_file_shows_a_secret() {
        let folder = folder("secrets");
        for content in
            ["\"hunter2\"", r#"{"access_token": ["hunter2"], "register_password": 20071}"#, r#"{"register_password": 20071}"#, "hunter2"]
        {
            fs::write(folder.join("config.json"), content).unwrap();
            fs::set_permissions(folder.join("config.json"), fs::Permissions::from_mode(0o600)).unwrap();
            let sentence = StateFile::inside(&folder).complete().unwrap_err().to_string();
            assert!(sentence.contains("line 1") && !sentence.contains("hunter2") && !sentence.contains("20071"), "{content}: {sentence}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_the_fix() {
        let sentence = StateFile::inside(Path::new("/proc")).secret().unwrap_err().to_string();
        assert!(sentence.contains("/proc") && sentence.contains("chown"), "{sentence}");
    }
}

//! Ownership of files: hands over what root creates, and names the owner of what cannot be written.
//!
//! The programs run as the user of the web server. A cron run as root must not leave files behind that the web server's
//! programs cannot use.

use crate::domain::characters;
use rustix::fs::{Access, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// System folders, which nobody should give away for one file.
const SHARED: [&str; 10] = ["/", "/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/local", "/var/lib", "/var/tmp"];

/// Creates a folder and its missing parents. If root creates them, each gets the owner of its parent.
pub(crate) fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = above(folder);
    make_folder(above, mode)?;
    match DirBuilder::new().mode(mode).create(folder) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    let made = OpenOptions::new().read(true).custom_flags((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits() as i32).open(folder)?;
    hand_over(&made, above)
}

/// Gives a new file in `folder` to the owner of the folder. Does nothing unless the process runs as root.
pub fn hand_over(made: &File, folder: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    fchown(made, Some(owner.uid()), Some(owner.gid()))
}

/// The folder of a file; `.` for a bare name.
pub fn above(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why this process cannot use or create a file, or the files beside it (journals, a lock): their owner, and the remedy.
/// `None`: ownership is not the problem.
pub(crate) fn hindrance(file: &Path) -> Option<String> {
    let me = geteuid().as_raw();
    let in_the_way = in_the_way(file, me)?;
    let (user, owner) = (name(me), name(in_the_way.owner));
    let command = match &in_the_way.places[..] {
        [folder, ..] if SHARED.iter().any(|shared| folder == Path::new(shared)) => {
            format!("give {} a folder of its own that {user} can write to", file.display())
        }
        [folder] if folder.is_dir() => format!("chown -R {} {}", as_owner(&user), folder.display()),
        places => {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            format!("chown {} {}", as_owner(&user), places.join(" "))
        }
    };
    let other_way =
        if owner == "root" { String::new() } else { format!("run the programs, cron too, as {owner} (sudo -u {owner} ...), or ") };
    Some(format!("{} belongs to {owner}, and this program runs as {user}: {other_way}{command}", in_the_way.places.first()?.display()))
}

/// Files of another owner that this process cannot use.
struct InTheWay {
    owner: u32,
    /// The folder comes first.
    places: Vec<PathBuf>,
}

fn in_the_way(file: &Path, me: u32) -> Option<InTheWay> {
    let folder = file.ancestors().skip(1).map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let mut folder = folder;
    let folder = folder.find(|folder| folder.is_dir())?;
    let beside = |suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let files = ["", "-wal", "-shm", ".lock"].map(|suffix| (beside(suffix), Access::READ_OK | Access::WRITE_OK));
    let wanted = std::iter::once((folder.to_owned(), Access::WRITE_OK | Access::EXEC_OK)).chain(files);
    let mut foreign = wanted.filter_map(|(place, access)| {
        let owner = fs::metadata(&place).ok()?.uid();
        (owner != me && rustix::fs::access(&place, access) == Err(Errno::ACCESS)).then_some((owner, place))
    });
    let (owner, first) = foreign.next()?;
    Some(InTheWay { owner, places: std::iter::once(first).chain(foreign.map(|(_, place)| place)).collect() })
}

/// A user name in the form that `chown` accepts.
fn as_owner(user: &str) -> &str {
    user.trim_start_matches('#')
}

/// The owner of the folder, if this program runs as root and root is not the owner.
pub fn owner_beside_root(folder: &Path) -> Option<String> {
    let owner = fs::metadata(folder).ok()?.uid();
    (geteuid().is_root() && owner != 0).then(|| name(owner))
}

/// The name of the owner of a file or folder.
pub fn owner(path: &Path) -> String {
    fs::metadata(path).map_or_else(|cause| cause.to_string(), |found| name(found.uid()))
}

/// Who started this program in a shell: with sudo, whoever called it.
pub fn shell_user() -> String {
    let called_by = std::env::var("SUDO_USER").ok().filter(|user| geteuid().is_root() && !user.is_empty());
    called_by.map_or_else(|| name(rustix::process::getuid().as_raw()), |user| characters::one_line(&user))
}

/// Goes on as the owner of the folder, if this process runs as root, and so meets the obstacles that the programs meet. For the
/// beginning of a process, because threads that run already stay root's.
pub fn become_owner(folder: &Path) -> io::Result<()> {
    let Ok(found) = fs::metadata(folder) else { return Ok(()) };
    if !geteuid().is_root() || found.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(group_of(found.uid()).unwrap_or(found.gid())));
    let further: Vec<Gid> = groups_with(&name(found.uid())).into_iter().map(Gid::from_raw).chain([group]).collect();
    thread::set_thread_groups(&further)?;
    thread::set_thread_res_gid(group, group, group)?;
    Ok(thread::set_thread_res_uid(user, user, user)?)
}

/// The first group of a user, of `/etc/passwd`.
fn group_of(uid: u32) -> Option<u32> {
    let known = fs::read_to_string("/etc/passwd").ok()?;
    known.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()?.parse() == Ok(uid)).then(|| fields.next()?.parse().ok())?
    })
}

/// The further groups of a user, of `/etc/group`.
fn groups_with(user: &str) -> Vec<u32> {
    let known = fs::read_to_string("/etc/group").unwrap_or_default();
    let is_member = |members: &str| members.split(',').any(|member| member == user);
    let of_line = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let id = fields.next()?.parse().ok()?;
        is_member(fields.next()?).then_some(id)
    };
    known.lines().filter_map(of_line).collect()
}

/// Why whoever started this program in a shell cannot read a configuration that others can.
pub fn closed_to_me(config: &Path) -> Option<String> {
    let is_closed = File::open(config).is_err_and(|cause| cause.kind() == ErrorKind::PermissionDenied);
    (is_closed && !geteuid().is_root()).then(|| {
        let user = name(geteuid().as_raw());
        format!(
            "{user} may not read {0}: use sudo; or, if {user} is the user that runs the programs: chgrp {user} {0} && chmod 640 {0}",
            config.display()
        )
    })
}

/// Why this process must not write for a site: it runs neither as root nor as the owner of the folder, so that the programs could not
/// use what it makes.
pub fn stranger(folder: &Path) -> Option<String> {
    let (me, owner) = (geteuid(), fs::metadata(folder).ok()?.uid());
    (!me.is_root() && me.as_raw() != owner).then(|| {
        let (user, owner) = (name(me.as_raw()), name(owner));
        format!("the programs run as {owner}, and could not use what {user} writes: sudo -u {owner} matrix-register-bot ...")
    })
}

/// The name of a user on this machine, or `#1000` as `sudo -u` accepts it if `/etc/passwd` has no name.
pub(super) fn name(uid: u32) -> String {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ownership-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn folders_that_root_makes_belong_to_the_owner_of_the_one_above() {
        let folder = folder("made");
        let owner = if geteuid().is_root() { 4321 } else { geteuid().as_raw() };
        if geteuid().is_root() {
            chown(&folder, Some(4321), Some(4321)).unwrap();
        }
        make_folder(&folder.join("a/b"), 0o750).unwrap();
        make_folder(&folder.join("a/b"), 0o700).unwrap();
        for made in ["a", "a/b"] {
            let made = fs::metadata(folder.join(made)).unwrap();
            assert_eq!((made.uid(), made.permissions().mode() & 0o777), (owner, 0o750));
        }
        assert!(make_folder(&folder.join("a/b/\0"), 0o750).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn users_are_called_by_their_names() {
        assert_eq!(name(0), "root");
        assert_eq!(name(4_000_321), "#4000321");
    }
}

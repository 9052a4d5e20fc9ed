//! A clean Debian below a folder, made by debootstrap.

use crate::installation::run;
use crate::world::TempFolder;
use crate::world::process::guarded;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const RELEASE: &str = "bookworm";
pub const USER: &str = "matrix-register-bot";

/// A fresh Debian, removed when this is dropped.
pub struct Debian {
    pub root: TempFolder,
}

impl Debian {
    pub fn new() -> Debian {
        assert!(rustix::process::geteuid().is_root(), "NOT TESTED: debootstrap needs root; run make package-test as root");
        let root = TempFolder::new("debian");
        let cache = PathBuf::from(std::env::var("HOME").expect("there is a HOME")).join(".cache/matrix-register-bot/debian");
        fs::create_dir_all(&cache).unwrap();
        // Programs of other users must be able to enter.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = guarded("debootstrap");
        command.args(["--variant=minbase", &format!("--cache-dir={}", cache.display()), RELEASE]).arg(root.path());
        println!("debootstrap {RELEASE} ...");
        run(command);
        fs::write(root.join("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n").unwrap();
        fs::set_permissions(root.join("usr/sbin/policy-rc.d"), fs::Permissions::from_mode(0o755)).unwrap();
        Debian { root }
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// A command inside, as root. Only this command sees /proc, so nothing has to be unmounted.
    pub fn command(&self, program: &str) -> Command {
        let mut command = guarded("unshare");
        command.args(["--mount", "--", "sh", "-c", "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\""]);
        command.arg(self.path()).arg(program);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive").env_remove("TMPDIR");
        command
    }

    /// The same as the user of the programs; it ends with its parent.
    pub fn command_of_user(&self, program: &str) -> Command {
        let mut command = self.command("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--reset-env", "--pdeathsig", "TERM", "--", program]);
        command
    }

    pub fn run(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let mut command = self.command(words.next().expect("a program"));
        command.args(words);
        println!("{line} ...");
        run(command)
    }

    /// Mode, user and group of a file inside.
    pub fn owned(&self, path: &str) -> String {
        self.run(&format!("stat -c %a:%U:%G {path}")).trim().to_owned()
    }

    /// All files with our name, except for those that apt and dpkg keep.
    pub fn traces(&self) -> Vec<String> {
        let found = self.run("find /etc /usr /var /run /home /opt /srv -name *matrix-register-bot* -not -path /var/cache/*");
        found.lines().map(str::to_owned).collect()
    }
}

/// The packages of `make package-test`: the first, and its upgrade.
pub fn package(revision: u8) -> PathBuf {
    let folder = if revision == 1 { "target/packages/first" } else { "target/packages/upgrade" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let version = format!("matrix-register-bot_{}-{revision}_", env!("CARGO_PKG_VERSION"));
    let mut found = files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&version)));
    found.next().unwrap_or_else(|| panic!("NOT TESTED: no {version}*.deb in {}; run make package-test", folder.display()))
}

pub fn install(debian: &Debian, revision: u8) -> String {
    let file = debian.root.join(format!("root/{revision}.deb"));
    fs::copy(package(revision), file).unwrap();
    debian.run(&format!("apt-get install -y --no-install-recommends /root/{revision}.deb"))
}

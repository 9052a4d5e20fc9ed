//! A small disk for a folder, which a test can fill.

use super::process::{Process, guarded, log_to};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A tmpfs mounted over a folder; dropping this value unmounts it, with everything in it.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    /// Unmounts the disk when it ends, even if this process is killed.
    _guard: Process,
}

impl SmallDisk {
    /// Mounts a disk of `megabytes` under the content of the folder; its servers must not be running. `None`, with a message,
    /// if mounting is not permitted, e.g. in a container.
    pub fn mount(folder: &Path, megabytes: usize) -> Option<SmallDisk> {
        let aside = folder.with_extension("aside");
        run("cp", &["-a", text(folder), text(&aside)])?;
        let options = format!("size={megabytes}m");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &options, "matrix-register-bot-test", text(folder)]);
        let disk = mounted.map(|()| SmallDisk { folder: folder.to_owned(), _guard: guard(folder) });
        if disk.is_some() {
            let inside = format!("{}/.", aside.display());
            run("cp", &["-a", &inside, text(folder)]).expect("the folder fits on its disk");
        } else {
            eprintln!("NO DISK CAN BE MOUNTED HERE (it takes root and CAP_SYS_ADMIN): {} stays where it is", folder.display());
        }
        fs::remove_dir_all(&aside).unwrap();
        disk
    }

    /// Fills the disk to the last byte.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees the space again.
    pub fn relieve(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

/// A process that has files open there keeps them until it ends.
fn guard(folder: &Path) -> Process {
    let mut command = guarded("sh");
    command.args(["-c", "trap 'umount -l \"$0\"; kill $!; exit' TERM; sleep infinity & wait"]).arg(folder);
    log_to(&mut command, Path::new("/dev/null"));
    Process::start("the guard of a disk", command, None)
}

fn run(program: &str, arguments: &[&str]) -> Option<()> {
    let status = Command::new(program).args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success()).then_some(())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

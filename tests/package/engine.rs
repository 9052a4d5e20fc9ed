//! Podman and buildah, which keep everything in a folder of this test, and a Debian as their first image.

use crate::debian::Debian;
use crate::installation::run;
use crate::world::TempFolder;
use crate::world::process::guarded;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The image of a clean Debian.
pub const DEBIAN: &str = "localhost/debian:here";

/// The image for containers is built from this one. No registry has to be reachable.
pub struct Engine {
    folder: PathBuf,
    /// Removed when this is dropped, after the containers.
    _own: Option<TempFolder>,
}

impl Engine {
    pub fn new() -> Engine {
        let folder = TempFolder::new("containers");
        let place = |name: &str| folder.join(name).display().to_string();
        let storage = format!("[storage]\ndriver = \"vfs\"\nrunroot = {:?}\ngraphroot = {:?}\n", place("run"), place("storage"));
        fs::write(folder.join("storage.conf"), storage).unwrap();
        fs::write(folder.join("registries.conf"), "unqualified-search-registries = []\n").unwrap();
        let engine = Engine { folder: folder.path().to_owned(), _own: Some(folder) };
        engine.import_debian();
        engine
    }

    /// The images that another process has made in this folder.
    pub fn of(folder: &Path) -> Engine {
        Engine { folder: folder.to_owned(), _own: None }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn import_debian(&self) {
        let (debian, archive) = (Debian::new(), self.folder.join("debian.tar"));
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(debian.path()).args(["--exclude=./usr/sbin/policy-rc.d", "-cf"]).arg(&archive).arg(".");
        run(tar);
        run(self.podman(&["import", &archive.display().to_string(), DEBIAN]));
        fs::remove_file(archive).unwrap();
    }

    /// A program that uses the storage of this engine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = guarded(program);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("CONTAINERS_STORAGE_CONF", self.folder.join("storage.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", self.folder.join("registries.conf"));
        command
    }

    pub fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("podman");
        command.args(["--runtime=runc", "--events-backend=none", "--log-level=fatal"]);
        command.arg(format!("--tmpdir={}", self.folder.join("tmp").display())).args(arguments);
        command
    }

    /// What a command of podman says, whether it succeeds or not.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.podman(arguments).output().unwrap_or_else(|cause| panic!("podman: {cause}; run tests/world/install container"))
    }

    /// What a command of podman prints, both streams.
    pub fn said(&self, arguments: &[&str]) -> String {
        printed(&self.output(arguments))
    }
}

/// Both streams of a command.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.output(&["rm", "--all", "--force", "--time=0"]);
        if self._own.is_some() {
            let _ = self.output(&["rmi", "--all", "--force"]);
        }
    }
}

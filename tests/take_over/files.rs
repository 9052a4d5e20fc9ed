//! What remains in the files of a database server, byte by byte.

use crate::fixture::Fixture;
use crate::world::{Engine, OwnServer};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Journals that a server keeps for recovery and overwrites in turn.
const JOURNALS: [&str; 2] = ["pg_wal", "ib_logfile0"];

#[test]
fn no_password_is_left_in_the_files_of_postgresql() {
    no_password_is_left_in_the_files(Engine::Postgres, "postgresql-synapse-getpw");
}

#[test]
fn no_password_is_left_in_the_files_of_mariadb() {
    no_password_is_left_in_the_files(Engine::Mariadb, "mariadb-synapse-getpw");
}

fn no_password_is_left_in_the_files(engine: Engine, folder: &str) {
    let mut server = OwnServer::start(engine);
    let fixture = Fixture::load_into(server.database(), folder, |site| site);
    server.stop();
    let clear = fixture.known.registrations.iter().filter_map(|row| row.clear.as_deref()).collect::<Vec<_>>();
    assert!(!places_of(&clear, server.data_folder()).is_empty(), "the search finds what is there before");
    server.start_again();
    let output = fixture.start_a_program(None);
    assert!(String::from_utf8_lossy(&output.stderr).contains("php_database_taken_over"), "{output:?}");
    server.stop();
    assert_eq!(places_of(&clear, server.data_folder()), Vec::<PathBuf>::new());
}

/// The files that contain one of the texts, found by grep, which is fast.
fn places_of(texts: &[&str], folder: &Path) -> Vec<PathBuf> {
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--text", "--fixed-strings"]).env("LC_ALL", "C");
    grep.args(JOURNALS.iter().flat_map(|journal| [format!("--exclude-dir={journal}"), format!("--exclude={journal}")]));
    let found = grep.args(texts.iter().flat_map(|text| ["-e", *text])).arg("--").arg(folder).output().unwrap();
    assert!(found.stderr.is_empty() && found.status.code().is_some_and(|code| code <= 1), "{found:?}");
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// PHP created its file with the umask of the web server.
#[test]
fn a_database_that_everybody_could_read_is_closed() {
    let fixture = Fixture::load("sqlite-local");
    let (database, state) = (PathBuf::from(fixture.database.name()), fixture.site.path().join("config.json"));
    set_mode(&database, 0o644);
    set_mode(&state, 0o644);
    let first = fixture.start_a_program(None);
    assert!(String::from_utf8_lossy(&first.stderr).contains("php_database_taken_over"), "{first:?}");
    assert_eq!((mode(&database), mode(&state), mode(&fixture.backup())), (0o640, 0o640, 0o600));

    // Restored from a backup, into a folder that everybody may write to.
    set_mode(&database, 0o666);
    set_mode(&state, 0o644);
    set_mode(fixture.site.path(), 0o777);
    assert!(fixture.site.run_cron().status.code().is_some_and(|code| code == 0 || code == 75));
    assert_eq!((mode(&database), mode(&state), mode(fixture.site.path())), (0o660, 0o640, 0o775));
}

/// A file that the program must not change: here it has a second name elsewhere.
#[test]
fn a_file_that_cannot_be_closed_is_named_to_the_sysadmin_once_a_day() {
    let fixture = Fixture::load("sqlite-local");
    fixture.start_a_program(None);
    let state = fixture.site.path().join("config.json");
    fs::hard_link(&state, fixture.site.path().join("elsewhere")).unwrap();
    set_mode(&state, 0o644);
    let said = || {
        let run = fixture.site.run_cron();
        String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned()
    };
    let (first, second) = (said(), said());
    assert!(first.contains("file_open_to_others") && first.contains(&format!("chmod o-rwx {}", state.display())), "{first}");
    assert!(!second.contains("file_open_to_others"), "{second}");
    assert_eq!(mode(&state), 0o644);
}

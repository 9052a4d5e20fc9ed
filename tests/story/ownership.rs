//! Ownership of files: somebody runs cron as root, while the web server's programs run as another user.
//!
//! Only root can test this; otherwise these tests are skipped with a message.

use crate::world::{Host, program_places};
use crate::{Story, fresh};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The user who runs the programs behind this web server.
pub const USER: &str = "www-data";

/// A site behind a web server that does not run as root; `None` if the tests do not run as root.
pub fn site_of_another_user() -> Option<Story> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TESTED: needs root");
        return None;
    }
    Some(Story::start_with("synapse", Host::ApacheCgi, |site| site.unset("database")))
}

/// The number that a query returns from the site's own file.
fn number(story: &Story, select: &str) -> i64 {
    rusqlite::Connection::open(story.site.database_path()).unwrap().query_row(select, [], |row| row.get(0)).unwrap()
}

fn user_id() -> u32 {
    let output = Command::new("id").args(["-u", USER]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// All files below the folder, except for the programs and those that existed before.
fn made(folder: &Path) -> Vec<PathBuf> {
    let known: BTreeSet<&str> = program_places().into_iter().filter_map(|place| place.split('/').next()).chain(["config.toml"]).collect();
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| known.iter().all(|known| !path.ends_with(known)))
        .flat_map(|path| if path.is_dir() { [made(&path), vec![path]].concat() } else { vec![path] })
        .collect()
}

#[test]
fn what_cron_makes_as_root_belongs_to_the_user_of_the_folder() {
    let Some(mut story) = site_of_another_user() else { return };
    std::fs::remove_dir_all(story.site.path().join("data")).unwrap();
    let first = Command::new(story.site.program("cron")).arg("-v").output().unwrap();
    assert!(first.status.success(), "{first:?}");
    let said = String::from_utf8_lossy(&first.stderr).into_owned() + &String::from_utf8_lossy(&first.stdout);
    assert!(said.contains(&format!("sudo -u {USER}")), "{said}");

    let (ada, bob) = (fresh("ada"), fresh("bob"));
    story.ask(&ada);
    story.site.set("mail.transport", "file");
    story.site.set("mail.folder", "mails/of/today");
    number(&story, "UPDATE registrations SET state = 0, due_at = 0 RETURNING id");
    story.site.let_cron_succeed();
    assert_eq!(number(&story, "SELECT state FROM registrations"), 1);
    story.ask(&bob);

    let made = made(story.site.path());
    for name in ["config.json", "config.json.lock", "data/register.sqlite", "mails/of/today"] {
        assert!(made.iter().any(|path| path.ends_with(name)), "{name} is not in {made:?}");
    }
    assert!(made.iter().filter(|path| path.extension().is_some_and(|ending| ending == "eml")).count() == 2, "{made:?}");
    for path in made {
        assert_eq!(std::fs::metadata(&path).unwrap().uid(), user_id(), "{}", path.display());
    }
}

/// Files that an older cron, or a `cp` by root from a backup, left behind.
#[test]
fn files_of_root_are_named_with_their_owner_and_a_command_that_helps() {
    let Some(story) = site_of_another_user() else { return };
    story.ask(&fresh("ada"));
    let data = story.site.path().join("data");
    let database = data.join("register.sqlite");
    let form = story.filled_form(&fresh("bob"));
    let modes = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    for (whose, folder_mode, file_mode) in [
        ("-R root data", 0o750, 0o600),
        ("-R root data", 0o755, 0o600),
        ("root data/register.sqlite", 0o750, 0o600),
        ("-R root data", 0o755, 0o644),
    ] {
        let words = whose.split_whitespace();
        assert!(Command::new("chown").args(words).current_dir(story.site.path()).status().unwrap().success());
        modes(&data, folder_mode);
        modes(&database, file_mode);
        let read_before = story.web.log().len();
        let page = story.browser.submit(&form);
        assert_eq!(page.status, 500, "{whose} {file_mode:o}: {}", page.text());
        let log = story.web.log()[read_before..].to_owned();
        let sentence = log.lines().find(|line| line.contains("belongs to root")).unwrap_or_else(|| panic!("{whose} {file_mode:o}: {log}"));
        assert!(sentence.contains(&format!("runs as {USER}: chown")), "{sentence}");
        let command = &sentence[sentence.rfind("chown ").unwrap()..];
        // It is followed by the configuration key and what Apache adds.
        let command = command.split([';', ',']).next().unwrap();
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        story.ask(&fresh("ada"));
    }
}

/// SQLite makes the files beside the database with the first connection, and root's gives them away in a second step.
#[test]
fn no_visitor_is_turned_away_in_the_instant_in_which_root_opens_the_database() {
    let Some(story) = site_of_another_user() else { return };
    story.ask(&fresh("ada"));
    let data = story.site.path().join("data");
    for ending in ["-wal", "-shm"] {
        let (beside, form) = (data.join(format!("register.sqlite{ending}")), story.filled_form(&fresh("bob")));
        let _ = std::fs::remove_file(&beside);
        let file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(&beside).unwrap();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| story.browser.submit(&form).status);
            std::thread::sleep(Duration::from_millis(100));
            std::os::unix::fs::fchown(&file, Some(user_id()), None).unwrap();
            assert_eq!(asked.join().unwrap(), 200, "{ending}: {}", story.web.log());
        });
    }
}

//! Files: what others can read, and symbolic links that somebody planted.

use crate::world::{SiteFolder, TempFolder, built_programs};
use matrix_register_bot::domain::config::{Config, Language};
use matrix_register_bot::outside::mail::{Letter, Mailer};
use matrix_register_bot::outside::state_file::StateFile;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of another user that a link points to.
fn victim(folder: &TempFolder) -> PathBuf {
    let path = folder.join("victim");
    fs::write(&path, r#"{"password":"of somebody else"}"#).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4321), Some(4321)).unwrap();
    }
    path
}

/// Content, owner, group and mode.
fn all_of(path: &Path) -> (String, u32, u32, u32) {
    let file = fs::metadata(path).unwrap();
    (fs::read_to_string(path).unwrap(), file.uid(), file.gid(), file.mode() & 0o7777)
}

#[test]
fn a_link_in_place_of_the_lock_is_refused_and_what_it_leads_to_stays_as_it_is() {
    let (folder, elsewhere) = (TempFolder::new("state"), TempFolder::new("elsewhere"));
    let victim = victim(&elsewhere);
    let before = all_of(&victim);
    symlink(&victim, folder.join("config.json.lock")).unwrap();
    let refused = StateFile::inside(folder.path()).secret().map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("config.json"), "{refused}");
    assert_eq!(all_of(&victim), before);
    // A link to a missing file must not create that file.
    let nowhere = elsewhere.join("nowhere");
    fs::remove_file(folder.join("config.json.lock")).unwrap();
    symlink(&nowhere, folder.join("config.json.lock")).unwrap();
    assert!(StateFile::inside(folder.path()).secret().is_err());
    assert!(!nowhere.exists());
}

#[test]
fn a_link_in_place_of_the_state_file_is_refused_and_nothing_of_it_is_copied() {
    let (folder, elsewhere) = (TempFolder::new("state"), TempFolder::new("elsewhere"));
    let victim = victim(&elsewhere);
    let before = all_of(&victim);
    symlink(&victim, folder.join("config.json")).unwrap();
    let refused = StateFile::inside(folder.path()).secret().map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("link") && !refused.contains("somebody else"), "{refused}");
    assert_eq!(all_of(&victim), before);
    assert!(fs::symlink_metadata(folder.join("config.json")).unwrap().is_symlink(), "nothing took its place");
}

#[test]
fn a_link_beside_the_state_file_is_not_written_through() {
    let (folder, elsewhere) = (TempFolder::new("state"), TempFolder::new("elsewhere"));
    let victim = victim(&elsewhere);
    let before = all_of(&victim);
    symlink(&victim, folder.join("config.json.new")).unwrap();
    StateFile::inside(folder.path()).secret().unwrap();
    assert_eq!(all_of(&victim), before);
    assert!(fs::symlink_metadata(folder.join("config.json")).unwrap().is_file());
}

fn mailer(folder: &Path) -> Mailer {
    let settings = "server_name = \"example.org\"\nhomeserver_url = \"http://127.0.0.1:9\"\npublic_url = \"https://register.example.org/\"\n\
                    operation_mode = \"local\"\n[room]\nid = \"!room\"\n[mail]\nfrom = \"a@example.org\"\ntransport = \"file\"\n";
    Mailer::new(&Config::parse(settings, folder.to_owned()).unwrap()).unwrap()
}

#[test]
fn links_in_the_mail_folder_are_not_written_through() {
    let (folder, elsewhere) = (TempFolder::new("mails"), TempFolder::new("elsewhere"));
    let victim = victim(&elsewhere);
    let before = all_of(&victim);
    let mails = folder.join("mails");
    fs::create_dir(&mails).unwrap();
    // The number of a test's thread is not known in advance, so all possible names are blocked.
    let aside = |thread: usize| format!(".hello@example.org.{}-ThreadId({thread})", std::process::id());
    for name in (0..200).map(aside).chain(["hello@example.org.eml".to_owned()]) {
        symlink(&victim, mails.join(name)).unwrap();
    }
    let letter = Letter {
        to_address: "ada@example.org",
        to_name: None,
        message_id: "hello@example.org",
        language: Language::English,
        subject: "Hello",
        text: "Hello",
        html: "<p>Hello</p>",
    };
    mailer(folder.path()).send(&letter, 1).unwrap();
    assert_eq!(all_of(&victim), before);
    let written = fs::symlink_metadata(mails.join("hello@example.org.eml")).unwrap();
    assert!(written.is_file() && written.mode() & 0o777 == 0o600, "the mail took the place of the link");
}

/// Whatever the umask of the user who starts the programs.
#[test]
fn nobody_else_reads_what_the_programs_write() {
    let site = SiteFolder::new(&built_programs!()).set("mail.transport", "file").create();
    fs::remove_dir(site.path().join("data")).unwrap();
    let ours = matrix_register_bot::outside::site::Site::open(&site.config_path()).unwrap();
    let run = |name: &str, variables: &[(&str, &str)], body: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask 0; printf %s \"$1\" | \"$0\""])
            .arg(site.program(name))
            .arg(body)
            .env_clear()
            .envs(variables.iter().copied());
        command.env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).output().unwrap()
    };
    run("register", &[("REQUEST_METHOD", "GET")], "");
    let form_token = matrix_register_bot::domain::token::form_token(&ours.state.secret().unwrap(), "register", "", ours.now());
    let body = format!("form_token={form_token}&first_name=Ada&username=ada&email=ada%40example.org&action=send");
    let length = body.len().to_string();
    let form = [("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", "application/x-www-form-urlencoded"), ("CONTENT_LENGTH", length.as_str())];
    let answer = run("register", &form, &body);
    assert!(answer.stdout.starts_with(b"Status: 200 "), "{}", String::from_utf8_lossy(&answer.stdout));
    run("cron", &[], "");
    let mut seen = Vec::new();
    for place in ["config.json", "config.json.lock", "data", "data/register.sqlite", "mails"] {
        seen.push((
            place.to_owned(),
            fs::metadata(site.path().join(place)).unwrap_or_else(|cause| panic!("{place}: {cause}")).mode() & 0o777,
        ));
    }
    for folder in ["data", "mails"] {
        for file in fs::read_dir(site.path().join(folder)).unwrap().flatten() {
            seen.push((file.path().display().to_string(), file.metadata().unwrap().mode() & 0o777));
        }
    }
    for (place, mode) in &seen {
        assert_eq!(mode & 0o027, 0, "{place} has mode {mode:o}: others may look into it, or the group may write");
    }
    assert!(seen.len() >= 7, "{seen:?}");
}

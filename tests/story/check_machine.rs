//! `matrix-register-bot check`: files, databases, disks, templates and cron.

use crate::Story;
use crate::check::{check, finds, has, healthy, points_at};
use crate::ownership::{USER, site_of_another_user};
use crate::world::{Engine, Host, SmallDisk};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path, owner: &str) {
    assert!(Command::new("chown").arg("-R").arg(owner).arg(path).status().unwrap().success());
}

#[test]
fn files_that_the_programs_cannot_use_are_found_as_their_user_also_when_root_looks() {
    let Some(mut story) = site_of_another_user() else { return };
    let as_user = format!("sudo -u {USER}");
    assert!(Command::new("runuser").args(["-u", USER, "--"]).arg(story.site.program("cron")).status().unwrap().success(), "{as_user}");
    let (status, findings) = check(&story);
    assert_eq!(status, Some(0), "{findings:#?}");
    let (state, data) = (story.site.path().join("config.json"), story.site.path().join("data"));
    for (path, subject, words) in [(&state, "files", ["config.json", "chown"]), (&data, "database", ["register.sqlite", "chown"])] {
        give(path, "root");
        allow(path, if path.is_dir() { 0o700 } else { 0o600 });
        finds(&story, subject, &words);
        give(path, USER);
    }
    let own = story.site.path().join("own");
    fs::create_dir_all(own.join("page")).unwrap();
    fs::write(own.join("page/register.html"), "a form").unwrap();
    allow(&own.join("page/register.html"), 0o600);
    story.site.set("pages.templates", own.to_str().unwrap());
    finds(&story, "templates", &["pages.templates", "register.html"]);
    story.site.unset("pages.templates");
    let secret = story.site.path().join("secret");
    fs::write(&secret, &story.synapse.shared_secret).unwrap();
    allow(&secret, 0o600);
    story.site.unset("registration_shared_secret");
    story.site.set("registration_shared_secret_file", secret.to_str().unwrap());
    finds(&story, "accounts", &["registration_shared_secret_file", "readable for the user that runs the programs"]);
    allow(&secret, 0o644);
    story.site.set("internal.shared_secret_file", "/nonexistent/secret");
    finds(&story, "files", &["shared_secret_file", "/nonexistent/secret"]);
    story.site.unset("internal.shared_secret_file");
    // Somebody else's files that everybody may read.
    give(&state, "daemon");
    allow(&state, 0o666);
    finds(&story, "files", &["every user of this machine may read", "chmod o-rwx"]);
    give(&state, USER);
    give(&story.site.config_path(), "root");
    allow(&story.site.config_path(), 0o600);
    let (status, findings) = check(&story);
    assert_eq!(status, Some(78));
    has(&findings, "wrong", "configuration", &["config.toml", "chgrp"]);
}

#[test]
fn templates_and_texts_that_cannot_be_used_are_found() {
    let mut story = healthy();
    let own = story.site.path().join("own");
    for (file, content, words) in [
        ("page/register.html", "{% if %}", ["register.html", "pages.templates"]),
        ("mail/verify.txt", "{{ nothing_of_this_name | no_such_filter }}", ["verify.txt", "pages.templates"]),
        ("locales/de.toml", "form = [", ["de.toml", "pages.templates"]),
    ] {
        let path = own.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        story.site.set("pages.templates", own.to_str().unwrap());
        finds(&story, "templates", &words);
        fs::remove_file(path).unwrap();
    }
    story.site.set("pages.templates", "/nonexistent/templates");
    finds(&story, "templates", &["/nonexistent/templates", "pages.templates"]);
}

#[test]
fn a_cron_that_does_not_run_and_a_state_file_that_is_broken_are_found() {
    let story = healthy();
    story.sql("UPDATE cron_clock SET ran_at = ran_at - 7200");
    finds(&story, "cron", &["ran last", "crontab"]);
    story.sql("DELETE FROM cron_clock");
    finds(&story, "cron", &["never run", "crontab"]);
    story.site.let_cron_succeed();
    let state = story.site.path().join("config.json");
    let kept = fs::read(&state).unwrap();
    fs::write(&state, "{").unwrap();
    finds(&story, "files", &["config.json"]);
    finds(&story, "public_url", &["500", "log"]);
    fs::write(&state, kept).unwrap();
    allow(&state, 0o600);
    assert_eq!(check(&story).0, Some(0));
}

#[test]
fn a_full_disk_is_found_and_one_that_is_nearly_full() {
    let mut story = Story::start("synapse", Host::NginxCgi);
    story.site.let_cron_succeed();
    let Some(disk) = SmallDisk::mount(Path::new(&story.database.name()).parent().unwrap(), 20) else { return };
    points_at(&story, "files", &["MB are free", "(database)"]);
    disk.fill();
    finds(&story, "files", &["0 MB are free", "(database)"]);
    finds(&story, "database", &["the disk is full"]);
    drop(disk);
    story.site.unset("database");
}

#[test]
fn a_file_that_is_no_database_is_found() {
    let story = healthy();
    let database = story.site.database_path();
    let content = fs::read(&database).unwrap();
    fs::write(&database, "no database").unwrap();
    finds(&story, "database", &["database in config.toml"]);
    fs::write(&database, content).unwrap();
}

#[test]
fn the_database_of_the_php_program_is_named_and_stays_as_it_is() {
    let mut story = healthy();
    let php = story.site.path().join("php.sqlite");
    let fixture = rusqlite::Connection::open(&php).unwrap();
    fixture.execute_batch(PHP).unwrap();
    story.site.set("database", format!("sqlite:{}", php.display()));
    points_at(&story, "database", &["PHP program", "--dry-run"]);
    assert_eq!(fixture.query_row("SELECT count(*) FROM registrations", [], |row| row.get(0)), Ok(0), "still there");
}

const PHP: &str = "CREATE TABLE registrations (id INTEGER PRIMARY KEY, verify_token TEXT); CREATE TABLE logins (id INTEGER PRIMARY KEY);";

fn of_server(engine: Engine) {
    let mut story = Story::on(engine, "synapse", Host::NginxFastCgi);
    story.site.let_cron_succeed();
    let url = story.database.url();
    let newest = story.number("SELECT version FROM schema_version");
    story.sql("UPDATE schema_version SET version = version + 1");
    finds(&story, "database", &["newer version", "database in config.toml"]);
    story.sql(&format!("UPDATE schema_version SET version = {newest}"));
    let (begin, rest) = url.rsplit_once('@').unwrap();
    let (_, place) = rest.split_once('/').unwrap();
    story.site.set("database", format!("{begin}@127.0.0.1:9/{place}"));
    finds(&story, "database", &["127.0.0.1:9", "database in config.toml"]);
    let user = begin.split(':').nth(1).unwrap();
    story.site.set("database", format!("{}:{user}:wrong@{rest}", begin.split(':').next().unwrap()));
    finds(&story, "database", &["database in config.toml"]);
    story.site.set("database", format!("{begin}@{}", rest.replace(place, "nowhere?tls=off")));
    finds(&story, "database", &["nowhere", "database in config.toml"]);
    story.site.set("database", url);
    let (status, findings) = check(&story);
    assert_eq!(status, Some(0), "{findings:#?}");
}

#[test]
fn a_postgresql_database_that_cannot_be_used_is_found() {
    of_server(Engine::Postgres);
}

#[test]
fn a_mariadb_database_that_cannot_be_used_is_found() {
    of_server(Engine::Mariadb);
}

//! A full disk: the messages, and that everything continues once there is space again.

use crate::world::on_every_database;
use crate::world::{Database, Engine, Host, OwnServer, SiteFolder, SmallDisk, TempFolder, built_programs};
use crate::{Story, fresh};
use matrix_register_bot::domain::config::{Config, Language};
use matrix_register_bot::outside::mail::{Letter, Mailer};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Space for what the servers write before the test begins.
fn megabytes(engine: Engine) -> usize {
    match engine {
        Engine::Sqlite => 4,
        Engine::Postgres => 96,
        Engine::Mariadb => 192,
    }
}

/// Forms sent until one no longer fits, because servers reserve some space.
const MOST_FORMS: usize = 300;

fn a_full_disk_is_called_full_and_all_goes_on_when_there_is_room(engine: Engine) {
    let mut disk = None;
    let server = (engine != Engine::Sqlite).then(|| OwnServer::start_on(engine, |data| disk = SmallDisk::mount(data, megabytes(engine))));
    let database = server.as_ref().map_or_else(|| Database::new(engine), OwnServer::database);
    if engine == Engine::Sqlite {
        disk = SmallDisk::mount(Path::new(&database.name()).parent().unwrap(), megabytes(engine));
    }
    let Some(disk) = disk else { return };
    let folder = (engine == Engine::Sqlite).then(|| PathBuf::from(database.name()).parent().unwrap().display().to_string());
    let story = Story::in_database(database, "local", Host::NginxFastCgi, |site| site);
    story.ask(&fresh("ada"));
    disk.fill();
    let refused = (0..MOST_FORMS).find_map(|_| {
        let form = story.filled_form(&fresh("bob"));
        (story.browser.submit(&form).status != 200).then_some(form)
    });
    let form = refused.expect("the disk is full at some time");
    let log = story.web.log();
    let sentence = log.lines().find(|line| line.contains("request_failed")).unwrap_or_else(|| panic!("{log}"));
    assert!(sentence.contains("is full: make room ") && sentence.contains(&folder.unwrap_or_default()), "{sentence}");
    disk.relieve();
    let end = Instant::now() + Duration::from_secs(60);
    while story.browser.submit(&form).status != 200 {
        assert!(Instant::now() < end, "{}", story.web.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    // Before the folder is removed.
    drop(disk);
}

#[test]
fn a_full_disk_is_named_by_its_folder_for_config_json_the_database_and_mails() {
    let state = TempFolder::new("state");
    let Some(disk) = SmallDisk::mount(state.path(), 1) else { return };
    let folder = state.path().display().to_string();
    let site = SiteFolder::new(&built_programs!()).set("state_folder", folder.as_str()).set("mail.transport", "file").create();
    disk.fill();
    let says_so = |what: &str, said: &str| {
        assert!(said.contains("the disk is full: make room in ") && said.contains(&folder) && said.contains(what), "{what}: {said}");
        assert!(!said.contains("chown") && !said.contains("panic"), "{said}");
    };
    let form = [("GATEWAY_INTERFACE", "CGI/1.1"), ("REQUEST_METHOD", "GET"), ("SERVER_PROTOCOL", "HTTP/1.1"), ("REMOTE_ADDR", "127.0.0.1")];
    says_so("config.json", &String::from_utf8_lossy(&site.run("register", &form, b"").stderr));
    let cron = site.run_cron();
    assert_eq!(cron.status.code(), Some(75), "{cron:?}");
    says_so("register.sqlite", &String::from_utf8_lossy(&cron.stderr));
    let mailer = Mailer::new(&Config::load(&site.config_path()).unwrap()).unwrap();
    let letter = Letter {
        to_address: "ada@example.org",
        to_name: None,
        message_id: "verify.1@example.org",
        language: Language::English,
        subject: "Hello",
        text: "Hello\n",
        html: "<p>Hello</p>\n",
    };
    says_so("mails", &mailer.send(&letter, 1_795_000_000).unwrap_err().to_string());
    disk.relieve();
    site.let_cron_succeed();
    mailer.send(&letter, 1_795_000_000).unwrap();
}

on_every_database! {
    a_full_disk_is_called_full_and_all_goes_on_when_there_is_room,
}

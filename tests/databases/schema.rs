use crate::look_up;
use crate::world::{Database, Engine, SiteFolder, built_programs, on_every_database};

fn a_database_of_a_newer_version_is_left_alone_and_the_log_says_why(engine: Engine) {
    let database = Database::new(engine);
    let site = SiteFolder::new(&built_programs!()).database(&database).create();
    site.let_cron_succeed();
    database.sql("UPDATE schema_version SET version = 99");
    let (status, log) = look_up(&site);
    assert_eq!(status, 500, "{log}");
    let cron = site.run_cron();
    assert_eq!(cron.status.code(), Some(75), "{cron:?}");
    for said in [log, format!("{cron:?}")] {
        assert!(said.contains("schema version 99") && said.contains("newer version"), "{said}");
    }
    assert_eq!(database.rows("SELECT version FROM schema_version"), [["99"]]);
}

on_every_database! { a_database_of_a_newer_version_is_left_alone_and_the_log_says_why }

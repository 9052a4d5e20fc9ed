//! What is left in the files of a database server, byte by byte.

use crate::fixture::Fixture;
use crate::world::{Engine, OwnServer};
use std::fs;
use std::path::{Path, PathBuf};

/// Journals in which a server keeps what it wrote of late, for its own recovery; they are overwritten in turn.
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

/// The files that hold one of the texts.
fn places_of(texts: &[&str], folder: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if JOURNALS.iter().any(|journal| path.ends_with(journal)) {
            continue;
        }
        if path.is_dir() {
            places.extend(places_of(texts, &path));
        } else if let Ok(bytes) = fs::read(&path)
            && texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
        {
            places.push(path);
        }
    }
    places
}

//! The database servers around the tests are real ones, and each test has a database of its own on them.

use super::world::{Database, Engine};
use std::fs;

fn people(engine: Engine) -> Database {
    let database = Database::new(engine);
    let dump = super::TempFolder::new("dump");
    let text = "CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(40), note VARCHAR(40));\n\
         INSERT INTO people VALUES (1, 'Jörg', NULL);\nINSERT INTO people VALUES (2, 'two\nlines', 'it''s a	tab');\n";
    fs::write(dump.join("people.sql"), text).unwrap();
    if engine == Engine::Mariadb {
        database.sql(&format!("ALTER DATABASE {} CHARACTER SET utf8mb4", database.name()));
    }
    database.load_dump(&dump.join("people.sql"));
    database
}

#[test]
fn each_test_has_an_empty_database_in_every_engine() {
    for engine in Engine::ALL {
        let (one, other) = (people(engine), people(engine));
        one.sql("DELETE FROM people WHERE id = 2");
        let all = "SELECT id, name, note FROM people ORDER BY id";
        assert_eq!(one.rows(all), [["1", "Jörg", "NULL"]], "{engine:?}");
        assert_eq!(other.rows(all), [["1", "Jörg", "NULL"], ["2", "two\nlines", "it's a\ttab"]], "{engine:?}");
        assert_eq!(one.rows("SELECT 1 FROM people WHERE id = 3").len(), 0);
        let dump = String::from_utf8_lossy(&other.dump()).into_owned();
        assert!(dump.contains("Jörg") && dump.contains("a\ttab") | dump.contains("a\\ttab"), "{engine:?}: {dump}");
        assert_ne!(one.url(), other.url());
    }
}

#[test]
fn a_database_is_gone_with_its_value() {
    for (engine, list) in [
        (Engine::Postgres, "SELECT datname FROM pg_database WHERE datname LIKE 'test%'"),
        (Engine::Mariadb, "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'test%'"),
    ] {
        let (stays, goes) = (Database::new(engine), Database::new(engine));
        let name = vec![goes.name()];
        assert!(stays.rows(list).contains(&name));
        drop(goes);
        assert!(!stays.rows(list).contains(&name));
    }
}

#[test]
fn addresses_of_a_database_name_all_that_a_client_needs() {
    let (postgres, mariadb) = (Database::new(Engine::Postgres), Database::new(Engine::Mariadb));
    for (database, scheme) in [(postgres, "postgres"), (mariadb, "mysql")] {
        let url = url::Url::parse(&database.url()).unwrap();
        assert_eq!((url.scheme(), url.host_str(), url.path()), (scheme, Some("127.0.0.1"), format!("/{}", database.name()).as_str()));
        assert!(url.port().is_some() && url.query() == Some("tls=off"));
        // What is in the password must not end it.
        assert!(url.password().is_some_and(|password| password.ends_with("%2F%40%3A%25%27")));
        let pairs = |url: String| url::Url::parse(&url).unwrap().query_pairs().into_owned().collect::<Vec<_>>();
        let [(_, socket)] = pairs(database.url_by_socket()).try_into().unwrap();
        assert!(fs::metadata(socket).is_ok());
        let [(_, tls), (_, authority)] = pairs(database.url_with_tls()).try_into().unwrap();
        assert!(tls == "verify" && fs::read_to_string(authority).unwrap().contains("BEGIN CERTIFICATE"));
    }
}

#[test]
fn the_servers_are_set_up_as_no_programmer_would_choose() {
    let mariadb = Database::new(Engine::Mariadb);
    let settings = "SELECT @@sql_mode, @@collation_server, @@time_zone, @@autocommit";
    assert_eq!(mariadb.rows(settings), [["", "latin1_swedish_ci", "+05:30", "1"]]);
    let postgres = Database::new(Engine::Postgres);
    assert_eq!(postgres.rows("SHOW timezone"), [["Asia/Kolkata"]]);
    let sorted = postgres.rows("SELECT x FROM (VALUES ('a'), ('B'), ('_c')) AS t (x) ORDER BY x");
    assert_eq!(sorted.concat(), ["_c", "a", "B"], "by bytes it would be B, _c, a");
}

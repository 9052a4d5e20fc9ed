//! The database servers of the tests are real, and each test has its own database.

use super::world::{Database, Engine, Galera, OwnServer};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

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
        // Special characters in the password must not end it.
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

#[test]
fn servers_around_a_command_end_with_it_and_pass_its_status_on() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/start-databases");
    let command = "echo $MATRIX_TEST_MARIADB_PORT $MATRIX_TEST_POSTGRES_PORT ${MATRIX_TEST_DATABASE_CA%/*}; exit 7";
    let output = Command::new(script).args(["run", "--", "sh", "-c", command]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let [mariadb, postgres, folder] = text.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
    for port in [mariadb, postgres] {
        assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "{port}");
    }
    assert!(folder.starts_with('/') && !Path::new(folder).exists());
}

/// Fails if `what` takes longer; tests of outages must not wait long.
fn within(seconds: u64, what: impl FnOnce()) {
    let start = Instant::now();
    what();
    assert!(start.elapsed() < Duration::from_secs(seconds), "{:?}", start.elapsed());
}

#[test]
fn a_server_of_ones_own_keeps_its_data_over_stops_and_crashes() {
    for engine in [Engine::Postgres, Engine::Mariadb] {
        let mut own = OwnServer::start(engine);
        let database = own.database();
        let url = database.url();
        database.sql("CREATE TABLE people (name VARCHAR(40)); INSERT INTO people VALUES ('Ada')");
        own.stop();
        assert!(!own.server.answers());
        own.start_again();
        database.sql("INSERT INTO people VALUES ('Grace')");
        own.kill();
        assert!(!own.server.answers());
        own.start_again();
        assert_eq!(database.rows("SELECT name FROM people ORDER BY name"), [["Ada"], ["Grace"]], "{engine:?}");
        assert_eq!(database.url(), url);
        assert!(fs::read_dir(own.data_folder()).unwrap().count() > 5);
        let folder = own.folder().to_owned();
        within(5, || drop(own));
        assert!(!folder.exists());
    }
}

#[test]
fn a_server_that_is_halted_goes_on_where_it_was() {
    for engine in [Engine::Postgres, Engine::Mariadb] {
        let mut own = OwnServer::start(engine);
        let database = own.database();
        own.pause();
        let address = ("127.0.0.1", own.server.port);
        assert!(TcpStream::connect(address).is_ok(), "the kernel accepts for it");
        within(10, || assert!(!own.server.answers()));
        own.resume();
        assert_eq!(database.rows("SELECT 1"), [["1"]], "{engine:?}");
        own.pause();
        within(5, || drop(own));
    }
}

#[test]
fn a_cluster_survives_the_death_of_a_node_and_takes_it_back() {
    let mut galera = Galera::start(3);
    galera.create_database("club");
    galera.rows(0, "CREATE TABLE club.people (id INTEGER PRIMARY KEY, name VARCHAR(40))");
    galera.rows(0, "INSERT INTO club.people VALUES (1, 'Ada')");
    let all = "SELECT name FROM club.people ORDER BY id";
    assert!((0..3).all(|number| galera.rows(number, all) == [["Ada"]]));
    galera.kill(0);
    galera.wait_for_size(2);
    galera.rows(1, "INSERT INTO club.people VALUES (2, 'Grace')");
    assert_eq!(galera.rows(2, all), [["Ada"], ["Grace"]]);
    galera.restart(0);
    assert_eq!(galera.rows(0, all), [["Ada"], ["Grace"]]);
    assert!(galera.node(0).url("club").ends_with("/club?tls=off"));
    assert_eq!(galera.node(0).status("wsrep_cluster_size").as_deref(), Some("3"));
}

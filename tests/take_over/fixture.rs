//! An installation of the PHP program, copied into a site.

use crate::world::{Database, Engine, SiteBuilder, SiteFolder, built_programs};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/php");

/// The description of an installation in the manifest.
#[derive(Debug, Clone, Deserialize)]
pub struct Known {
    pub engine: String,
    pub mode: String,
    pub registrations: Vec<KnownRegistration>,
    pub logins: Vec<KnownLogin>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct KnownRegistration {
    pub username: String,
    pub state: i64,
    pub email: String,
    pub user: KnownLink,
    pub admin: KnownLink,
    /// The password in the column, in clear.
    pub clear: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct KnownLink {
    pub token: String,
    /// Must work after the take-over.
    pub works: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct KnownLogin {
    pub localpart: String,
    pub email: String,
    pub clear_password: String,
}

/// A site with the PHP program's database.
pub struct Fixture {
    pub known: Known,
    pub database: Database,
    pub site: SiteFolder,
}

impl Fixture {
    pub fn all_folders() -> Vec<String> {
        manifest().into_keys().collect()
    }

    pub fn load(folder: &str) -> Fixture {
        Fixture::load_with(folder, |site| site)
    }

    /// With some of the hashes that PHP made.
    pub fn load_with_phps_hashes(folder: &str, how_many: usize) -> Fixture {
        let fixture = Fixture::load_into(Database::new(Fixture::engine_of(folder)), folder, |site| site);
        fixture.make_hashes_cheap(how_many);
        fixture
    }

    /// `settings` changes the configuration.
    pub fn load_with(folder: &str, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Fixture {
        let fixture = Fixture::load_into(Database::new(Fixture::engine_of(folder)), folder, settings);
        fixture.make_hashes_cheap(0);
        fixture
    }

    /// As PHP left it.
    pub fn load_into(database: Database, folder: &str, settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Fixture {
        let known = known(folder);
        let files = Path::new(FOLDER).join(folder);
        match database.engine() {
            Engine::Sqlite => drop(fs::copy(files.join("db_file.sqlite"), database.name()).unwrap()),
            _ => database.load_dump(&files.join("dump.sql")),
        }
        let site = SiteFolder::new(&built_programs!()).mode(&known.mode).set("database", database.url());
        let site = settings(site.set("registration_shared_secret", "none")).create();
        fs::copy(files.join("config.json"), site.path().join("config.json")).unwrap();
        Fixture { known, database, site }
    }

    pub fn engine_of(folder: &str) -> Engine {
        match known(folder).engine.as_str() {
            "sqlite" => Engine::Sqlite,
            "mariadb" => Engine::Mariadb,
            _ => Engine::Postgres,
        }
    }

    /// The take-over and each login check a hash, and PHP's take a quarter of a second each. All accounts but the first `kept` get
    /// hashes of the same kind with the least cost.
    fn make_hashes_cheap(&self, kept: usize) {
        let is_bot = |login: &&KnownLogin| login.localpart == "register_bot";
        let (bot, others): (Vec<_>, Vec<_>) = self.known.logins.iter().partition(is_bot);
        let cheap = |login: &&KnownLogin| {
            let hash = bcrypt::hash_with_result(&login.clear_password, 4).unwrap().format_for_version(bcrypt::Version::TwoY);
            format!("UPDATE logins SET password_hash = '{hash}' WHERE localpart = '{}'", login.localpart)
        };
        let statements: Vec<_> = bot.iter().chain(others.iter().skip(kept)).map(cheap).collect();
        self.database.sql(&statements.join("; "));
    }

    /// Runs the program that Synapse calls: it takes the database over, and changes nothing else. `die_at` names a point.
    pub fn start_a_program(&self, die_at: Option<&str>) -> Output {
        let die_at = die_at.map(|point| ("MATRIX_REGISTER_BOT_DIE_AT", point));
        self.post("login", &[], die_at, br#"{"user":{"id":"@nobody:example.test","password":"x"}}"#)
    }

    pub fn post(&self, program: &str, more: &[(&str, &str)], variable: Option<(&str, &str)>, body: &[u8]) -> Output {
        let length = body.len().to_string();
        let mut variables = vec![("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("CONTENT_LENGTH", length.as_str())];
        variables.extend_from_slice(more);
        variables.extend(variable);
        self.site.run(program, &variables, body)
    }

    /// The page behind a link.
    pub fn open_link(&self, program: &str, token: &str) -> String {
        let query = format!("t={token}");
        let output = self.site.run(program, &[("REQUEST_METHOD", "GET"), ("QUERY_STRING", &query), ("HTTP_ACCEPT_LANGUAGE", "en")], b"");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a login with this password succeeds.
    pub fn logs_in(&self, localpart: &str, password: &str) -> bool {
        let body = serde_json::json!({"user": {"id": format!("@{localpart}:example.test"), "password": password}}).to_string();
        let output = self.post("login", &[], None, body.as_bytes());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("\"success\":"), "{output:?}");
        text.contains("\"success\":true")
    }

    /// Username and state of every registration, in this order.
    pub fn states(&self) -> Vec<(String, i64)> {
        let rows = self.database.rows("SELECT username, state FROM registrations");
        let mut states: Vec<(String, i64)> = rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
        states.sort();
        states
    }

    /// The states that must result from the take-over.
    pub fn expected_states(&self) -> Vec<(String, i64)> {
        let is_account =
            |row: &KnownRegistration| self.known.logins.iter().any(|login| login.localpart == row.username && login.email == row.email);
        let expected = |row: &KnownRegistration| match row.state {
            7 if self.known.mode == "local" && is_account(row) => 100,
            state => state,
        };
        let mut states: Vec<(String, i64)> = self.known.registrations.iter().map(|row| (row.username.clone(), expected(row))).collect();
        states.sort();
        states
    }

    /// Fails if the database, or a file beside it, contains a password in clear.
    pub fn assert_no_clear_password(&self) {
        let bytes = self.database.dump();
        for clear in self.known.registrations.iter().filter_map(|row| row.clear.as_deref()) {
            assert!(!bytes.windows(clear.len()).any(|window| window == clear.as_bytes()), "{clear:?} is left");
        }
    }

    pub fn backup(&self) -> PathBuf {
        format!("{}.php-backup", self.database.name()).into()
    }
}

fn known(folder: &str) -> Known {
    manifest().remove(folder).unwrap_or_else(|| panic!("no fixture {folder}"))
}

fn manifest() -> BTreeMap<String, Known> {
    serde_json::from_str(&fs::read_to_string(Path::new(FOLDER).join("manifest.json")).unwrap()).unwrap()
}

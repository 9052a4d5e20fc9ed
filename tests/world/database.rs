//! A database for each test, in SQLite, PostgreSQL or MariaDB, and access to it by command line clients.

use super::connection::{Kept, run_once};
use super::folder::TempFolder;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
    Mariadb,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::Mariadb];

    /// The name that `start-databases` uses.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
            Engine::Mariadb => "mariadb",
        }
    }
}

/// Defines a test for each database from functions that take an [`Engine`]: `mariadb::a_promise` for `fn a_promise(engine:
/// Engine)`.
#[allow(unused_macros)] // no test binary uses all of it
macro_rules! on_every_database {
    ($($promise:ident),* $(,)?) => {
        on_every_database!(sqlite Sqlite: $($promise)*);
        on_every_database!(postgres Postgres: $($promise)*);
        on_every_database!(mariadb Mariadb: $($promise)*);
    };
    ($module:ident $engine:ident: $($promise:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $promise() {
                    super::$promise(super::Engine::$engine);
                }
            )*
        }
    };
}
#[allow(unused_imports)]
pub(crate) use on_every_database;

/// The connection data of a running server.
#[derive(Clone, Debug)]
pub struct Server {
    pub engine: Engine,
    pub port: u16,
    /// A folder for PostgreSQL, a file for MariaDB.
    pub socket: PathBuf,
    pub user: String,
    pub password: String,
    /// The certificate authority.
    pub ca: PathBuf,
}

impl Server {
    /// The server that `tests/world/start-databases run -- cargo test` started for all tests.
    pub fn shared(engine: Engine) -> Server {
        let get = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: run by `make test`, or tests/world/start-databases run -- cargo test"))
        };
        let part = |part: &str| get(&format!("MATRIX_TEST_{}_{part}", engine.name().to_uppercase()));
        Server {
            engine,
            port: part("PORT").parse().expect("a port is a number"),
            socket: part("SOCKET").into(),
            user: part("USER"),
            password: part("PASSWORD"),
            ca: get("MATRIX_TEST_DATABASE_CA").into(),
        }
    }

    /// Whether somebody accepts connections at its port, which is asked faster than a client is started.
    pub fn listens(&self) -> bool {
        std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    /// Whether the server answers within five seconds.
    pub fn answers(&self) -> bool {
        self.client(self.first_database()).arg(self.option_for_sql()).arg("SELECT 1").output().is_ok_and(|output| output.status.success())
    }

    /// A database that always exists.
    fn first_database(&self) -> &'static str {
        if self.engine == Engine::Postgres { "postgres" } else { "mysql" }
    }

    fn option_for_sql(&self) -> &'static str {
        if self.engine == Engine::Postgres { "--command" } else { "--execute" }
    }

    /// The command line client connected to a database of the server, without the user's own settings.
    pub(super) fn client(&self, database: &str) -> Command {
        match self.engine {
            Engine::Postgres => {
                let mut command = self.command("psql");
                command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", database]);
                command
            }
            _ => {
                let mut command = self.command("mariadb");
                command.args(["--default-character-set=utf8mb4", "--connect-timeout=5", "--batch", "--skip-column-names", database]);
                command
            }
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        if self.engine == Engine::Postgres {
            command.arg("--host").arg(&self.socket).args(["--port", &self.port.to_string(), "--username", &self.user]);
            command.envs([("PGPASSWORD", self.password.as_str()), ("PGCLIENTENCODING", "UTF8"), ("PGCONNECT_TIMEOUT", "5")]);
        } else {
            // TLS would take the client six times as long.
            command.args(["--no-defaults", "--skip-ssl"]).arg("--socket").arg(&self.socket).args(["--user", &self.user]);
            command.env("MYSQL_PWD", &self.password);
        }
        command
    }

    /// Runs a statement outside the tests' own databases.
    pub(super) fn execute(&self, sql: &str) {
        run_once(self, self.first_database(), sql).unwrap_or_else(|failure| panic!("{sql}: {}", failure.cause));
    }
}

/// An empty database for one test; dropping this value drops the database.
#[derive(Debug)]
pub struct Database {
    place: Place,
}

#[derive(Debug)]
enum Place {
    File(TempFolder),
    /// `shared`: the server outlives the database, so dropping this value drops the database.
    Server {
        server: Server,
        name: String,
        shared: bool,
        kept: Kept,
    },
}

impl Database {
    /// A database on the shared server, or a new file.
    pub fn new(engine: Engine) -> Database {
        match engine {
            Engine::Sqlite => Database { place: Place::File(TempFolder::new("sqlite")) },
            _ => Database::on(Server::shared(engine), true),
        }
    }

    /// A database on a server that this test started, and that ends with the test.
    pub(super) fn on_own(server: Server) -> Database {
        Database::on(server, false)
    }

    fn on(server: Server, shared: bool) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        server.execute(&format!("CREATE DATABASE {name}"));
        Database { place: Place::Server { server, name, shared, kept: Kept::default() } }
    }

    /// The same database on a replica of the server.
    pub fn on_copy(&self, copy: &Server) -> Database {
        Database { place: Place::Server { server: copy.clone(), name: self.name(), shared: false, kept: Kept::default() } }
    }

    /// The value of the key `database`.
    pub fn url(&self) -> String {
        match &self.place {
            Place::File(folder) => format!("sqlite:{}", file(folder).display()),
            Place::Server { server, name, .. } => format!("{}@127.0.0.1:{}/{name}?tls=off", credentials(server), server.port),
        }
    }

    /// The URL through the server's unix socket; the same for a file.
    pub fn url_by_socket(&self) -> String {
        match &self.place {
            Place::File(_) => self.url(),
            Place::Server { server, name, .. } => format!("{}@localhost/{name}?socket={}", credentials(server), server.socket.display()),
        }
    }

    /// The URL for an encrypted connection with a checked certificate; the same for a file.
    pub fn url_with_tls(&self) -> String {
        match &self.place {
            Place::File(_) => self.url(),
            Place::Server { server, name, .. } => {
                format!("{}@localhost:{}/{name}?tls=verify&ca_file={}", credentials(server), server.port, server.ca.display())
            }
        }
    }

    pub fn engine(&self) -> Engine {
        match &self.place {
            Place::File(_) => Engine::Sqlite,
            Place::Server { server, .. } => server.engine,
        }
    }

    /// The name on the server, or the path of the file.
    pub fn name(&self) -> String {
        match &self.place {
            Place::File(folder) => file(folder).display().to_string(),
            Place::Server { name, .. } => name.clone(),
        }
    }

    /// Runs statements.
    pub fn sql(&self, sql: &str) {
        match &self.place {
            Place::File(folder) => open(folder).execute_batch(sql).unwrap_or_else(|cause| panic!("{sql}: {cause}")),
            Place::Server { server, name, shared: true, kept } => drop(kept.run(server, name, sql)),
            Place::Server { server, name, .. } => {
                run(server.client(name).arg(server.option_for_sql()).arg(sql), sql);
            }
        }
    }

    /// The server's id of this value's own connection, if there is one.
    pub fn own_connection(&self) -> Option<String> {
        match &self.place {
            Place::File(_) => None,
            Place::Server { kept, .. } => kept.id(),
        }
    }

    /// The rows of a query as the command line client prints them; NULL is "NULL".
    pub fn rows(&self, select: &str) -> Vec<Vec<String>> {
        match &self.place {
            Place::File(folder) => sqlite_rows(&open(folder), select),
            Place::Server { server, name, shared: true, kept } => kept.run(server, name, select),
            Place::Server { server, name, .. } if server.engine == Engine::Postgres => {
                // Separators that occur in no text.
                let shape = ["--tuples-only", "--no-align", "--field-separator=\u{1f}", "--record-separator=\u{1e}", "--pset=null=NULL"];
                let answer = run(server.client(name).args(shape).arg("--command").arg(select), select);
                // No line means no row; an empty line is a row with an empty text.
                let rows = answer.strip_suffix('\n').into_iter().flat_map(|rows| rows.split('\u{1e}'));
                rows.map(|row| row.split('\u{1f}').map(str::to_owned).collect()).collect()
            }
            Place::Server { server, name, .. } => mariadb_rows(server, name, select),
        }
    }

    /// Loads a file of SQL statements, such as a dump.
    pub fn load_dump(&self, path: &Path) {
        match &self.place {
            Place::File(_) => self.sql(&fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))),
            Place::Server { server, name, .. } => {
                let dump = File::open(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
                run(server.client(name).stdin(dump), &format!("loading {}", path.display()));
            }
        }
    }

    /// The whole content: the output of `pg_dump` or `mariadb-dump`, or the bytes of SQLite's files.
    pub fn dump(&self) -> Vec<u8> {
        match &self.place {
            Place::File(folder) => {
                let files = fs::read_dir(folder.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
                files.collect::<Vec<_>>().concat()
            }
            Place::Server { server, name, .. } => {
                let program = if server.engine == Engine::Postgres { "pg_dump" } else { "mariadb-dump" };
                let mut command = server.command(program);
                if server.engine == Engine::Mariadb {
                    command.args(["--default-character-set=utf8mb4", "--single-transaction"]);
                }
                succeed(command.arg(name), program).stdout
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Place::Server { server, name, shared: true, .. } = &self.place else {
            return;
        };
        // The test may have left connections open, and may be panicking already, so nothing here may panic.
        let force = if server.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
        let sql = format!("DROP DATABASE IF EXISTS {name}{force}");
        let _ = run_once(server, server.first_database(), &sql);
    }
}

fn file(folder: &TempFolder) -> PathBuf {
    folder.join("register.sqlite")
}

fn open(folder: &TempFolder) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(file(folder)).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

/// `postgres://user:password`, with any password.
pub(super) fn credentials(server: &Server) -> String {
    let scheme = if server.engine == Engine::Postgres { "postgres" } else { "mysql" };
    format!("{scheme}://{}:{}", server.user, utf8_percent_encode(&server.password, NON_ALPHANUMERIC))
}

pub(super) fn mariadb_rows(server: &Server, database: &str, select: &str) -> Vec<Vec<String>> {
    let answer = run(server.client(database).arg("--execute").arg(select), select);
    // `lines` would also remove a carriage return at the end of a value.
    answer.split_terminator('\n').map(|row| row.split('\t').map(unescape).collect()).collect()
}

/// Undoes the client's escaping, such as `\n` for a line break.
fn unescape(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value.chars();
    while let Some(letter) = rest.next() {
        text.push(match letter {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('0') => '\0',
                other => other.unwrap_or('\\'),
            },
            letter => letter,
        });
    }
    text
}

fn sqlite_rows(connection: &rusqlite::Connection, select: &str) -> Vec<Vec<String>> {
    use rusqlite::types::ValueRef;
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let mut statement = connection.prepare(select).unwrap_or_else(|cause| panic!("{select}: {cause}"));
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get_ref(column).map(text)).collect());
    rows.and_then(Iterator::collect).unwrap_or_else(|cause| panic!("{select}: {cause}"))
}

/// The output of a command; panics with the client's own message if it fails.
fn run(command: &mut Command, what: &str) -> String {
    String::from_utf8_lossy(&succeed(command, what).stdout).into_owned()
}

fn succeed(command: &mut Command, what: &str) -> Output {
    let program = command.get_program().display().to_string();
    let output = command.output().unwrap_or_else(|cause| panic!("cannot start {program}: {cause}; run tests/world/install test"));
    assert!(output.status.success(), "{program}: {what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

//! MariaDB and MySQL.
//!
//! * The server may be configured in any way, so each connection sets what this program needs: utf8mb4, strict mode (nothing is
//!   truncated silently), UTC, `READ COMMITTED`.
//! * Texts compare byte by byte (`utf8mb4_bin` in the schema, or a stricter collation), whatever the server's own rules are.
//! * `CREATE TABLE` and similar statements cannot be rolled back, so each statement of the schema can be repeated, and the
//!   version is raised after each step.
//! * In a Galera cluster a conflict may appear only at the `COMMIT`, as a deadlock, and is repeated like one. A node outside
//!   the cluster refuses every statement, and the next host is tried. What was committed on one node is visible on all.

use super::error::full;
use super::guarded::guarded;
use super::patience::Worker;
use super::{Access, BOUND, CONNECT_BOUND, Driver, Error, Row, TRIES, Value, WAIT, pause, schema, untrusted};
use crate::domain::config::ServerUrl;
use mysql::consts::CapabilityFlags;
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, Opts, OptsBuilder, Params, SslOpts};
use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// Prepared statements that a connection keeps.
const PREPARED: usize = 64;
/// The name of a lock. Locks belong to the whole server, so the name includes the database; at most 64 characters.
const SCHEMA_LOCK: &str = "CONCAT('matrix-register-bot ', LEFT(DATABASE(), 40))";
/// Lock waits are in whole seconds, so this is the shortest.
const HASTY_SECONDS: u64 = 1;
/// Where Debian and other systems keep the trusted certificate authorities.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) struct Mysql {
    connection: Conn,
    is_broken: bool,
    /// Whether the server failed to answer in time.
    is_silent: bool,
}

impl Mysql {
    pub(super) fn open(server: &ServerUrl, access: Access) -> Result<Mysql, Error> {
        Mysql::on_first_host(server, |mysql| mysql.set_up(access))
    }

    /// Connects to a database of the PHP program, without changing anything.
    pub(super) fn of_php(server: &ServerUrl) -> Result<Mysql, Error> {
        Mysql::on_first_host(server, |mysql| {
            mysql.settle_in()?;
            mysql.turn_to(Access::Write)
        })
    }

    fn on_first_host(server: &ServerUrl, set_up: impl Fn(&mut Mysql) -> Result<(), Error>) -> Result<Mysql, Error> {
        let mut refused = None;
        for host in hosts(server) {
            let opened = connect(server, host).and_then(|connection| {
                let mut mysql = Mysql { connection, is_broken: false, is_silent: false };
                set_up(&mut mysql).map(|()| mysql)
            });
            match opened {
                Ok(mysql) => return Ok(mysql),
                Err(Error::OfPhp) => return Err(Error::OfPhp),
                // No statement was sent yet, so nothing can have been done; the next host may work.
                Err(Error::Lost(cause) | Error::Contended(cause)) => refused = Some(Error::Unavailable(cause)),
                Err(cause) => refused = Some(cause),
            }
        }
        let refused = refused.unwrap_or_else(|| Error::Unfit("no host is named".into()));
        Err(refused.map(|cause| format!("cannot use {server}: {cause}")))
    }

    fn set_up(&mut self, access: Access) -> Result<(), Error> {
        self.settle_in()?;
        self.turn_to(access)?;
        // Every CGI request runs this query, so it avoids the catalogue, which takes longer. If the table is missing or has
        // another number, the upgrade examines the schema.
        match self.said(schema::VERSION_IF_OURS) {
            Ok(Some(version)) if version == schema::KNOWN.to_string() => return Ok(()),
            Ok(_) | Err(Error::Unfit(_)) => {}
            Err(cause) => return Err(cause),
        }
        self.turn_to(Access::Write)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.upgrade() {
                // Another node of the cluster is upgrading as well.
                Err(Error::Contended(_)) if tries < TRIES && !self.is_broken => pause(tries),
                upgraded => break upgraded?,
            }
        }
        self.turn_to(access)
    }

    /// The last column of the first row, in one round trip: a prepared statement takes three.
    fn said(&mut self, sql: &str) -> Result<Option<String>, Error> {
        let row = self.ask(|connection| connection.query_first::<mysql::Row, _>(sql))?;
        Ok(row.and_then(|row| row.get_opt::<String, _>(row.len().saturating_sub(1))).and_then(Result::ok))
    }

    /// Applies the settings of a new connection. On a cluster node these include reading what other nodes have committed: a
    /// form may be filed on one node and its link opened on another at once.
    fn settle_in(&mut self) -> Result<(), Error> {
        self.run(SETTINGS)?;
        match self.said("SHOW VARIABLES LIKE 'wsrep_on'")?.as_deref() {
            Some("ON") => self.run(READ_WHAT_OTHERS_WROTE),
            _ => Ok(()),
        }
    }

    /// The number of completed schema steps; `None` if the table does not exist yet.
    fn schema_version(&mut self) -> Result<Option<i64>, Error> {
        match self.has("schema_version", "version")? {
            true => self.number("SELECT version FROM schema_version"),
            false => Ok(None),
        }
    }

    /// Brings the schema up to date under a lock; programs that start at the same time wait for the first. The lock covers one
    /// server only. If two nodes of a cluster upgrade at once, each statement is harmless the second time.
    fn upgrade(&mut self) -> Result<(), Error> {
        self.lock_schema()?;
        let upgraded = self.upgrade_inside();
        let released = self.unlock_schema();
        upgraded.and(released)
    }

    /// Waits for other programs on this server that change the schema.
    pub(super) fn lock_schema(&mut self) -> Result<(), Error> {
        match self.number(&format!("SELECT GET_LOCK({SCHEMA_LOCK}, {})", WAIT.as_secs()))? {
            Some(1) => Ok(()),
            _ => Err(Error::Unavailable("another program is changing the schema of the database".into())),
        }
    }

    pub(super) fn unlock_schema(&mut self) -> Result<(), Error> {
        self.number(&format!("SELECT RELEASE_LOCK({SCHEMA_LOCK})")).map(|_| ())
    }

    fn upgrade_inside(&mut self) -> Result<(), Error> {
        let version = self.schema_version()?;
        match schema::check_for_others(self, version) {
            // Another node of the cluster has started the schema just now.
            Err(Error::Unfit(_)) if self.schema_version()?.is_some() => {}
            checked => checked?,
        }
        let done = version.unwrap_or(0);
        if done == 0 {
            self.start_schema()?;
        }
        for (step, version) in schema::steps_after(done)?.iter().zip(done + 1..) {
            self.take_step(step)?;
            self.execute("UPDATE schema_version SET version = ? WHERE version < ?", &[version.into(), version.into()])?;
        }
        Ok(())
    }

    pub(super) fn start_schema(&mut self) -> Result<(), Error> {
        self.run("CREATE TABLE IF NOT EXISTS schema_version (one INTEGER NOT NULL PRIMARY KEY, version BIGINT NOT NULL) ENGINE = InnoDB")?;
        self.run("INSERT IGNORE INTO schema_version VALUES (1, 0)")
    }

    pub(super) fn take_step(&mut self, step: &schema::Step) -> Result<(), Error> {
        let statements = step.mysql.replace("utf8mb4_bin", &self.exact_collation()?);
        let statements = statements.split(";\n").filter(|statement| !statement.trim().is_empty());
        // A conflict means that the column exists: a program died here, or another node of the cluster was faster.
        statements.map(|statement| self.run(statement)).find(|taken| !matches!(taken, Ok(()) | Err(Error::Conflict))).unwrap_or(Ok(()))
    }

    /// The collation that distinguishes all texts: `utf8mb4_bin` ignores trailing spaces and takes "max" and "max " for equal.
    /// MariaDB and MySQL 8 each have a stricter one.
    fn exact_collation(&mut self) -> Result<String, Error> {
        let strict =
            "SELECT collation_name FROM information_schema.collations WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')";
        self.query_once(strict, &[])?.into_iter().next().map_or(Ok("utf8mb4_bin".into()), |row| row.text())
    }

    fn number(&mut self, sql: &str) -> Result<Option<i64>, Error> {
        self.query_once(sql, &[])?.into_iter().next().map_or(Ok(None), |row| row.optional_integer())
    }

    /// Runs `work` on the connection, unless the server failed to answer on it before.
    fn ask<T>(&mut self, work: impl FnOnce(&mut Conn) -> Result<T, mysql::Error>) -> Result<T, Error> {
        if self.is_silent {
            return Err(silent(BOUND));
        }
        work(&mut self.connection).map_err(|cause| {
            let error = Error::from(&cause);
            self.is_broken |= matches!(error, Error::Lost(_) | Error::Unavailable(_)) || is_outside_of_cluster(&cause);
            self.is_silent |= is_timeout(&cause);
            error
        })
    }
}

impl Driver for Mysql {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        self.ask(|connection| connection.exec_drop(sql, parameters(values)).map(|()| connection.affected_rows()))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.ask(|connection| connection.exec(sql, parameters(values)))?.into_iter().map(row).collect()
    }

    /// Prepares, runs and closes the statement.
    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let rows = self.ask(|connection| {
            let statement = connection.prep(sql)?;
            let rows = connection.exec(&statement, parameters(values));
            connection.close(statement).and(rows)
        });
        rows?.into_iter().map(row).collect()
    }

    fn has(&mut self, table: &str, column: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? AND column_name = ?";
        Ok(!self.query_once(sql, &[table.into(), column.into()])?.is_empty())
    }

    fn run(&mut self, statement: &str) -> Result<(), Error> {
        self.ask(|connection| connection.query_drop(statement))
    }

    fn turns(&self) -> bool {
        true
    }

    fn turn_to(&mut self, access: Access) -> Result<(), Error> {
        session(access).iter().try_for_each(|statement| self.run(statement))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.ask(Conn::ping)
    }

    fn is_current(&self) -> bool {
        !self.is_broken
    }

    /// Nothing to do: the server purges by itself.
    fn tidy(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.run("START TRANSACTION")
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.run("COMMIT")
    }

    fn rollback(&mut self) {
        // This fails only if the connection is lost, and the transaction with it.
        let _ = self.run("ROLLBACK");
    }
}

/// The hosts to try; `None` stands for the socket.
fn hosts(server: &ServerUrl) -> Vec<Option<&(String, u16)>> {
    match server.socket {
        Some(_) => vec![None],
        None => server.hosts.iter().map(Some).collect(),
    }
}

fn connect(server: &ServerUrl, host: Option<&(String, u16)>) -> Result<Conn, Error> {
    let options = OptsBuilder::new()
        .user(Some(&server.user))
        .pass(server.password.as_deref())
        .db_name(Some(&server.name))
        .socket(server.socket.as_ref().map(|socket| socket.to_string_lossy()))
        .ip_or_hostname(host.map(|(host, _)| host.as_str()))
        .tcp_port(host.map_or(3306, |(_, port)| *port))
        .prefer_socket(false)
        .tcp_connect_timeout(Some(CONNECT_BOUND))
        .read_timeout(Some(BOUND))
        .write_timeout(Some(BOUND))
        .stmt_cache_size(PREPARED)
        // The server counts the rows that a statement matched, even if their values did not change.
        .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS)
        .ssl_opts(server.tls.then(|| SslOpts::default().with_root_cert_path(ca_file(server))));
    connect_in_time(options)
}

/// Connects in a thread, because the crate limits the time of each answer but not of the whole handshake. A thread that takes
/// too long is abandoned, so that the next host can be tried.
fn connect_in_time(options: OptsBuilder) -> Result<Conn, Error> {
    let (answer, answered) = mpsc::sync_channel(1);
    let connect = move || Conn::new(Opts::from(options)).map_err(|cause| Error::from(&cause));
    let worker = Worker::start(move || drop(answer.send(guarded(connect))))?;
    let longest = CONNECT_BOUND + Duration::from_secs(1);
    answered.recv_timeout(longest).unwrap_or_else(|_| {
        worker.leave();
        Err(silent(longest))
    })
}

/// Certificate authorities that are trusted besides the crate's built-in ones.
fn ca_file(server: &ServerUrl) -> Option<PathBuf> {
    server.ca_file.clone().or_else(|| Some(PathBuf::from(SYSTEM_CA_FILE)).filter(|path| Path::exists(path)))
}

/// Settings of every connection.
const SETTINGS: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
                        time_zone = '+00:00', autocommit = 1";

/// For `SELECT` (1), `UPDATE` and `DELETE` (2): makes leases that were taken on another node visible.
const READ_WHAT_OTHERS_WROTE: &str = "SET SESSION wsrep_sync_wait = 3";

/// How long a connection for `access` waits for locks and, for a reader, read-only mode.
fn session(access: Access) -> [String; 2] {
    let (wait, mode) = match access {
        Access::Read => (WAIT.as_secs(), "ONLY"),
        Access::Write => (WAIT.as_secs(), "WRITE"),
        Access::Hasty => (HASTY_SECONDS, "WRITE"),
    };
    [
        format!("SET innodb_lock_wait_timeout = {wait}, lock_wait_timeout = {wait}"),
        format!("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ {mode}"),
    ]
}

fn parameters(values: &[Value]) -> Params {
    if values.is_empty() {
        return Params::Empty;
    }
    let value = |value: &Value| match value {
        Value::Null => mysql::Value::NULL,
        Value::Integer(number) => mysql::Value::Int(*number),
        Value::Text(text) => mysql::Value::Bytes(text.clone().into_bytes()),
    };
    Params::Positional(values.iter().map(value).collect())
}

fn row(row: mysql::Row) -> Result<Row, Error> {
    row.unwrap().into_iter().map(value).collect::<Result<_, _>>().map(Row::new)
}

fn value(value: mysql::Value) -> Result<Value, Error> {
    let unfit = || Error::Unfit("the database holds something that is neither a number nor UTF-8 text".into());
    match value {
        mysql::Value::NULL => Ok(Value::Null),
        mysql::Value::Int(number) => Ok(Value::Integer(number)),
        mysql::Value::UInt(number) => i64::try_from(number).map(Value::Integer).map_err(|_| unfit()),
        mysql::Value::Bytes(bytes) => String::from_utf8(bytes).map(Value::Text).map_err(|_| unfit()),
        _ => Err(unfit()),
    }
}

impl From<&mysql::Error> for Error {
    fn from(cause: &mysql::Error) -> Error {
        match cause {
            mysql::Error::MySqlError(said) => said_by_server(said),
            // The time limit is used up, and a repetition would only wait longer.
            cause if is_timeout(cause) => silent(BOUND),
            mysql::Error::DriverError(DriverError::UnknownAuthPlugin(plugin)) => Error::Unfit(format!(
                "the database user is to prove itself by {plugin:?}, which these programs cannot; give it a password: ALTER USER ... IDENTIFIED BY ..."
            )),
            mysql::Error::TlsError(cause) => untrusted(&cause.to_string()),
            mysql::Error::DriverError(DriverError::TlsNotSupported) => untrusted("the server is not set up for TLS"),
            cause => match cause.to_string() {
                // The certificate is checked with the first packet, and a refusal appears as a read error.
                said if said.contains("invalid peer certificate") => untrusted(&said),
                said => Error::Lost(format!("the database server: {said}")),
            },
        }
    }
}

/// "WSREP has not yet prepared node for application use": the node refuses every statement.
const OUTSIDE_OF_CLUSTER: u16 = 1047;

fn is_outside_of_cluster(cause: &mysql::Error) -> bool {
    matches!(cause, mysql::Error::MySqlError(said) if said.code == OUTSIDE_OF_CLUSTER)
}

fn is_timeout(cause: &mysql::Error) -> bool {
    let io_error = match cause {
        mysql::Error::IoError(cause) => Some(cause),
        mysql::Error::CodecError(cause) => cause.source().and_then(|cause| cause.downcast_ref()),
        _ => None,
    };
    io_error.is_some_and(|cause: &io::Error| matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
}

fn silent(bound: Duration) -> Error {
    Error::Unavailable(format!("the database server did not answer within {} s", bound.as_secs()))
}

/// A full table (1114) or disk (1021), or another error whose text contains the system's error number for a full disk.
fn is_full(said: &mysql::error::MySqlError) -> bool {
    let of_system = matches!(said.code, 3 | 1004 | 1005 | 1026 | 1030);
    matches!(said.code, 1021 | 1114) || of_system && ["error 28", "rrcode: 28", "rrno: 28"].iter().any(|full| said.message.contains(full))
}

/// Interprets the error numbers of MariaDB and MySQL.
fn said_by_server(said: &mysql::error::MySqlError) -> Error {
    let sentence = format!("the database server: {} ({})", said.message, said.code);
    match said.code {
        _ if is_full(said) => full(&sentence),
        // Duplicate column, name of a key, or key.
        1060..=1062 => Error::Conflict,
        // A deadlock, or in a cluster a failed certification; a record changed since it was read; a node outside its cluster.
        1213 | 1020 | OUTSIDE_OF_CLUSTER => Error::Contended(sentence),
        // The server is stopping, or somebody ended the connection.
        1053 | 1927 | 1152 | 1159 | 1161 => Error::Lost(sentence),
        // Access denied; no such database, table or column; an unsuitable value; a constraint; an engine without transactions.
        1044 | 1045 | 1049 | 1054 | 1064 | 1142 | 1143 | 1146 | 1264 | 1364 | 1366 | 1406 | 1048 | 1451 | 1452 => Error::Unfit(sentence),
        // 1205 lock wait timeout, 1040 too many connections, 1290 read-only, ...
        _ => Error::Unavailable(sentence),
    }
}

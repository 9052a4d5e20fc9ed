//! MariaDB and MySQL.
//!
//! * The server may be set up in any way; a connection is told what this program needs: utf8mb4, strict writing (nothing is cut in
//!   silence), UTC, `READ COMMITTED`.
//! * Texts compare byte by byte (`utf8mb4_bin` in the schema, or a stricter one), whatever the server's own rules are.
//! * `CREATE TABLE` and its like cannot be undone here, so each statement of the schema can be repeated, and the version is
//!   counted up behind each step.
//! * In a Galera cluster a conflict may show at the `COMMIT` only, as a deadlock; it is repeated like one. A node that is not
//!   part of the cluster refuses everything, and the next host is asked. What was committed on one node is seen on all.

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

/// Statements that a connection keeps prepared.
const PREPARED: usize = 64;
/// The name of a lock of the whole server, so it has the database's name in it; at most 64 characters.
const SCHEMA_LOCK: &str = "CONCAT('matrix-register-bot ', LEFT(DATABASE(), 40))";
/// Whole seconds: the shortest time for which this server waits.
const HASTY_SECONDS: u64 = 1;
/// Where Debian and others keep the certificate authorities that the system knows.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) struct Mysql {
    connection: Conn,
    is_broken: bool,
    /// The server did not answer in time.
    is_silent: bool,
}

impl Mysql {
    pub(super) fn open(server: &ServerUrl, access: Access) -> Result<Mysql, Error> {
        Mysql::on_first_host(server, |mysql| mysql.set_up(access))
    }

    /// The same for a database of the PHP program's: nothing is made, nothing is changed yet.
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
                // Nothing was sent yet that could have been done; perhaps the next host is fine.
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
        // Every CGI request asks: without a look into the catalogue, which takes longer. Where there is no such table, or not the
        // right number in it, the upgrade looks closer.
        match self.said("SELECT version FROM schema_version") {
            Ok(Some(version)) if version == schema::KNOWN.to_string() => return Ok(()),
            Ok(_) | Err(Error::Unfit(_)) => {}
            Err(cause) => return Err(cause),
        }
        self.turn_to(Access::Write)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.upgrade() {
                // Another node of the cluster is at it, too.
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

    /// Tells the connection what it is told once; among it, on a node of a cluster, to read what any node has committed: a form
    /// may be filed on one, and its link opened on another at once.
    fn settle_in(&mut self) -> Result<(), Error> {
        self.run(SETTINGS)?;
        match self.said("SHOW VARIABLES LIKE 'wsrep_on'")?.as_deref() {
            Some("ON") => self.run(READ_WHAT_OTHERS_WROTE),
            _ => Ok(()),
        }
    }

    /// The number of schema steps that were done; `None` where the table is not there yet.
    fn schema_version(&mut self) -> Result<Option<i64>, Error> {
        match self.has("schema_version", "version")? {
            true => self.number("SELECT version FROM schema_version"),
            false => Ok(None),
        }
    }

    /// Brings the schema up to date under a lock; programs that start at once wait for the first. The lock is one server's own:
    /// where two nodes of a cluster are at it, each statement does no harm the second time.
    fn upgrade(&mut self) -> Result<(), Error> {
        self.lock_schema()?;
        let upgraded = self.upgrade_inside();
        let released = self.unlock_schema();
        upgraded.and(released)
    }

    /// Waits for other programs on this server that make or change the schema.
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
        let done = match self.schema_version()? {
            Some(version @ 1..) => version,
            // Not begun, or left by a program that died on the way, or another node of the cluster is at it just now.
            begun => {
                match schema::check_for_others(self) {
                    Err(Error::Unfit(_)) if begun.is_some() || self.schema_version()?.is_some() => {}
                    checked => checked?,
                }
                self.start_schema()?;
                0
            }
        };
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
        statements.split(";\n").filter(|statement| !statement.trim().is_empty()).try_for_each(|statement| self.run(statement))
    }

    /// The collation in which different texts are different: `utf8mb4_bin` takes "max" and "max " for one. MariaDB and MySQL 8
    /// have a stricter one, under a name of their own.
    fn exact_collation(&mut self) -> Result<String, Error> {
        let strict =
            "SELECT collation_name FROM information_schema.collations WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')";
        self.query_once(strict, &[])?.into_iter().next().map_or(Ok("utf8mb4_bin".into()), |mut row| row.text())
    }

    fn number(&mut self, sql: &str) -> Result<Option<i64>, Error> {
        self.query_once(sql, &[])?.into_iter().next().map_or(Ok(None), |mut row| row.optional_integer())
    }

    /// Lets the connection do something, unless the server fell silent on it before.
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

    /// Prepared, used, and given up.
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

    /// The server's own purge does.
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
        // Fails only where the connection is gone, and the transaction with it.
        let _ = self.run("ROLLBACK");
    }
}

/// `None` for the socket.
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
        // "Changed" rows are those that a statement found, even where it wrote what stood there already.
        .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS)
        .ssl_opts(server.tls.then(|| SslOpts::default().with_root_cert_path(ca_file(server))));
    connect_in_time(options)
}

/// The crate bounds the time of each answer, not of the whole welcome: a thread waits for it, and is left behind if it takes too
/// long. Where there are several hosts, the next one is to have its turn.
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

/// The certificate authorities that are trusted besides those that the crate has built in.
fn ca_file(server: &ServerUrl) -> Option<PathBuf> {
    server.ca_file.clone().or_else(|| Some(PathBuf::from(SYSTEM_CA_FILE)).filter(|path| Path::exists(path)))
}

/// What a connection is told once, whatever it is for.
const SETTINGS: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',
                        time_zone = '+00:00', autocommit = 1";

/// For `SELECT` (1), `UPDATE` and `DELETE` (2): a lease that was taken on another node is there.
const READ_WHAT_OTHERS_WROTE: &str = "SET SESSION wsrep_sync_wait = 3";

/// How long a connection for `access` waits for others, and for a reader, that it is one.
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
            // The time for an answer is up: the server may be there, and repeating would only wait longer.
            cause if is_timeout(cause) => silent(BOUND),
            mysql::Error::DriverError(DriverError::UnknownAuthPlugin(plugin)) => Error::Unfit(format!(
                "the database user is to prove itself by {plugin:?}, which these programs cannot; give it a password: ALTER USER ... IDENTIFIED BY ..."
            )),
            mysql::Error::TlsError(cause) => untrusted(&cause.to_string()),
            mysql::Error::DriverError(DriverError::TlsNotSupported) => untrusted("the server is not set up for TLS"),
            cause => match cause.to_string() {
                // The certificate is looked at with the first packet, and the refusal comes as one that cannot be read.
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

/// By the numbers of MariaDB and MySQL.
fn said_by_server(said: &mysql::error::MySqlError) -> Error {
    let sentence = format!("the database server: {} ({})", said.message, said.code);
    match said.code {
        // A key twice.
        1062 => Error::Conflict,
        // Deadlock, and in a cluster a failed certification; record changed since last read; a node that is not in its cluster.
        1213 | 1020 | OUTSIDE_OF_CLUSTER => Error::Contended(sentence),
        // The server stops, or somebody ended the connection.
        1053 | 1927 | 1152 | 1159 | 1161 => Error::Lost(sentence),
        // Access, no such database or table or column, a value that does not fit, a constraint, an engine without transactions.
        1044 | 1045 | 1049 | 1054 | 1064 | 1142 | 1143 | 1146 | 1264 | 1364 | 1366 | 1406 | 1048 | 1451 | 1452 => Error::Unfit(sentence),
        // 1205 waited for others, 1040 too many connections, 1290 read only, ...
        _ => Error::Unavailable(sentence),
    }
}

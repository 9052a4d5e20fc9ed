//! PostgreSQL.
//!
//! * Values are sent with their types in one round trip, without a prepared statement: a CGI program runs each statement once,
//!   and a pooler such as PgBouncer may use another connection for each transaction.
//! * Texts compare byte by byte (`COLLATE "C"` in the schema), whatever the database's own rules are.
//! * The crate waits forever for a server that accepts connections but does not answer. So each connection has its own thread,
//!   which is abandoned if it takes longer than [`BOUND`].

use super::error::full;
use super::guarded::guarded;
use super::patience::Worker;
use super::row::list_of;
use super::{Access, BOUND, CONNECT_BOUND, Driver, Error, HASTY_WAIT, Row, Value, WAIT, schema, untrusted};
use crate::domain::config::ServerUrl;
use crate::outside::tls;
use postgres::config::{Config, SslMode, TargetSessionAttrs};
use postgres::error::SqlState;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, NoTls};
use std::error::Error as StdError;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;

/// An arbitrary number, the same in all programs. A program that changes the schema holds this lock until its transaction ends.
const SCHEMA_LOCK: i64 = 0x6d72_625f_7363_6865;

const VERSION: &str = "SELECT version FROM schema_version";

type Work = Box<dyn FnOnce(&mut Client) + Send>;

pub(super) struct Postgres {
    work: Sender<Work>,
    worker: Worker,
    is_broken: bool,
    /// Whether the server failed to answer in time.
    is_silent: bool,
    server: ServerUrl,
}

impl Postgres {
    pub(super) fn open(server: &ServerUrl, access: Access) -> Result<Postgres, Error> {
        let mut postgres = connect(server)?;
        postgres.set_up(access).map_err(|cause| postgres.named(cause))?;
        Ok(postgres)
    }

    /// Connects to a database of the PHP program, without changing anything.
    pub(super) fn of_php(server: &ServerUrl) -> Result<Postgres, Error> {
        let mut postgres = connect(server)?;
        postgres.run(&session(Access::Write))?;
        Ok(postgres)
    }

    /// Waits for other programs that change the schema; the lock is held until the end of the transaction.
    pub(super) fn lock_schema(&mut self) -> Result<(), Error> {
        self.query("SELECT 1 FROM (SELECT pg_advisory_xact_lock(?)) AS locked", &[SCHEMA_LOCK.into()]).map(|_| ())
    }

    fn set_up(&mut self, access: Access) -> Result<(), Error> {
        self.run(&session(access))?;
        // Every CGI request runs this query, so it avoids the catalogue, which takes longer. If the table is missing or has
        // another number, the upgrade examines the schema.
        match self.number(schema::VERSION_IF_OURS) {
            Ok(schema::KNOWN) => return Ok(()),
            Ok(_) | Err(Error::Unfit(_)) => {}
            Err(cause) => return Err(cause),
        }
        self.run(&session(Access::Write))?;
        self.upgrade()?;
        self.run(&session(access))
    }

    /// The number of completed schema steps; `None` if the table does not exist yet.
    fn schema_version(&mut self) -> Result<Option<i64>, Error> {
        match self.has("schema_version", "version")? {
            false => Ok(None),
            true => self.number(VERSION).map(Some),
        }
    }

    /// Brings the schema up to date in one transaction. Programs that start at the same time wait for the first.
    fn upgrade(&mut self) -> Result<(), Error> {
        self.begin()?;
        let result = self.upgrade_inside().and_then(|()| self.commit());
        if result.is_err() {
            self.rollback();
        }
        result
    }

    fn upgrade_inside(&mut self) -> Result<(), Error> {
        self.lock_schema()?;
        let version = self.schema_version()?;
        schema::check_for_others(self, version)?;
        if version.is_none() {
            self.run(schema::START)?;
        }
        let done = version.unwrap_or(0);
        for step in schema::steps_after(done)? {
            self.run(step.postgres)?;
        }
        self.execute("UPDATE schema_version SET version = ?", &[schema::KNOWN.into()])?;
        Ok(())
    }

    fn number(&mut self, sql: &str) -> Result<i64, Error> {
        let row = self.query(sql, &[])?.into_iter().next();
        row.ok_or_else(|| Error::Unfit("the database gave no answer to a question of one row".into()))?.integer()
    }

    /// Runs `work` in the connection's thread and waits for the result.
    fn ask<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let silent = || Error::Unavailable(format!("the PostgreSQL server did not answer within {} s", BOUND.as_secs()));
        if self.is_silent {
            return Err(silent());
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let work: Work = Box::new(move |client| drop(answer.send(guarded(|| work(client).map_err(|cause| Error::from(&cause))))));
        let gone = || Error::Lost("the connection to the PostgreSQL server is gone".into());
        self.work.send(work).map_err(|_| gone())?;
        match answered.recv_timeout(BOUND) {
            Ok(outcome) => outcome.inspect_err(|error| self.is_broken |= matches!(error, Error::Lost(_))),
            Err(failed) => {
                self.is_broken = true;
                self.is_silent = failed == RecvTimeoutError::Timeout;
                if self.is_silent {
                    self.worker.leave();
                }
                Err(if self.is_silent { silent() } else { gone() })
            }
        }
    }

    fn named(&self, cause: Error) -> Error {
        let server = &self.server;
        cause.map(|cause| format!("{cause} ({server})"))
    }
}

impl Driver for Postgres {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        let (sql, values) = (numbered(sql), values.to_vec());
        self.ask(move |client| client.execute_typed(&sql, &typed(&values)))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let (sql, values) = (numbered(sql), values.to_vec());
        self.ask(move |client| client.query_typed(&sql, &typed(&values))?.iter().map(row).collect())
    }

    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.query(sql, values)
    }

    /// One value for all texts, because each value of a statement costs time here and on the server.
    fn rows_with(&self, table: &str, column: &str, texts: &[&str]) -> (String, Vec<Value>) {
        (format!("{table} WHERE {column} = ANY (ARRAY (SELECT json_array_elements_text(?::json)))"), vec![list_of(texts)])
    }

    fn has(&mut self, table: &str, column: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ? AND column_name = ?";
        Ok(!self.query_once(sql, &[table.into(), column.into()])?.is_empty())
    }

    fn run(&mut self, statements: &str) -> Result<(), Error> {
        let statements = statements.to_owned();
        self.ask(move |client| client.batch_execute(&statements))
    }

    fn turns(&self) -> bool {
        true
    }

    fn turn_to(&mut self, access: Access) -> Result<(), Error> {
        self.run(&session(access))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.ask(|client| client.check_connection())
    }

    fn is_current(&self) -> bool {
        !self.is_broken
    }

    /// Nothing to do: the server vacuums by itself.
    fn tidy(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.run("BEGIN")
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.run("COMMIT")
    }

    fn rollback(&mut self) {
        // This fails only if the connection is lost, and the transaction with it.
        let _ = self.run("ROLLBACK");
    }
}

fn connect(server: &ServerUrl) -> Result<Postgres, Error> {
    let config = configuration(server);
    let tls = if server.tls {
        Some(MakeRustlsConnect::new(tls::client(server.ca_file.as_deref()).map_err(|cause| untrusted(&cause))?))
    } else {
        None
    };
    let hosts = server.hosts.len().max(1) as u32;
    let (work, orders) = mpsc::channel::<Work>();
    let (answer, answered) = mpsc::sync_channel(1);
    let worker = Worker::start(move || {
        let connect = || match tls {
            Some(tls) => config.connect(tls),
            None => config.connect(NoTls),
        };
        match guarded(|| connect().map_err(|cause| Error::from(&cause))) {
            Ok(mut client) => {
                let _ = answer.send(Ok(()));
                orders.into_iter().for_each(|work| work(&mut client));
            }
            Err(cause) => drop(answer.send(Err(cause))),
        }
    });
    let worker = worker.map_err(|cause| cause.map(|cause| format!("cannot connect to {server}: {cause}")))?;
    let connected = answered.recv_timeout(CONNECT_BOUND * hosts + Duration::from_secs(1));
    let refused = match connected {
        Ok(Ok(())) => return Ok(Postgres { work, worker, is_broken: false, is_silent: false, server: server.clone() }),
        Ok(Err(cause)) => cause,
        Err(_) => {
            worker.leave();
            Error::Unavailable("the PostgreSQL server does not answer".into())
        }
    };
    Err(match refused {
        // No statement was sent yet, so nothing can have been done.
        Error::Lost(cause) => Error::Unavailable(format!("cannot connect to {server}: {cause}")),
        refused => refused.map(|cause| format!("cannot connect to {server}: {cause}")),
    })
}

fn configuration(server: &ServerUrl) -> Config {
    let mut config = Config::new();
    config.user(&server.user).dbname(&server.name).application_name("matrix-register-bot");
    config.connect_timeout(CONNECT_BOUND).tcp_user_timeout(BOUND).keepalives_idle(BOUND);
    config.ssl_mode(if server.tls { SslMode::Require } else { SslMode::Disable });
    if let Some(password) = &server.password {
        config.password(password);
    }
    match &server.socket {
        Some(folder) => {
            config.host_path(folder);
            config.port(server.hosts.first().map_or(5432, |(_, port)| *port));
        }
        None => {
            for (host, port) in &server.hosts {
                config.host(host).port(*port);
            }
        }
    }
    if server.hosts.len() > 1 {
        // Among a primary and its standbys, use the one that accepts writes.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config
}

/// Settings of a connection: how long to wait and, for a reader, read-only mode.
fn session(access: Access) -> String {
    let (wait, mode) = match access {
        Access::Read => (WAIT, "ONLY"),
        Access::Write => (WAIT, "WRITE"),
        Access::Hasty => (HASTY_WAIT, "WRITE"),
    };
    let statement = WAIT + Duration::from_secs(2);
    format!(
        "SET lock_timeout = {}; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {};
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ {mode}",
        wait.as_millis(),
        statement.as_millis(),
        BOUND.as_millis(),
    )
}

/// Replaces each `?` with `$1, $2, ...`. None of our statements has a question mark in a literal.
fn numbered(sql: &str) -> String {
    let mut numbered = String::with_capacity(sql.len() + 16);
    let mut parts = sql.split('?');
    numbered.push_str(parts.next().unwrap_or_default());
    for (index, part) in parts.enumerate() {
        numbered.push('$');
        numbered.push_str(&(index + 1).to_string());
        numbered.push_str(part);
    }
    numbered
}

/// The server infers the type of a NULL.
fn typed(values: &[Value]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    let kind = |value: &Value| match value {
        Value::Null => Type::UNKNOWN,
        Value::Integer(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
    };
    values.iter().map(|value| (value as &(dyn ToSql + Sync), kind(value))).collect()
}

fn row(row: &postgres::Row) -> Result<Row, postgres::Error> {
    (0..row.len()).map(|index| row.try_get(index)).collect::<Result<_, _>>().map(Row::new)
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) => number.to_sql(kind, out),
            // PostgreSQL cannot store a zero byte. With the replacement character the text matches nothing.
            Value::Text(text) if text.contains('\0') => text.replace('\0', "\u{fffd}").to_sql(kind, out),
            Value::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Value, Box<dyn StdError + Sync + Send>> {
        match *kind {
            Type::INT2 => i16::from_sql(kind, raw).map(|number| Value::Integer(number.into())),
            Type::INT4 => i32::from_sql(kind, raw).map(|number| Value::Integer(number.into())),
            Type::INT8 => i64::from_sql(kind, raw).map(Value::Integer),
            _ => <&str>::from_sql(kind, raw).map(Value::from),
        }
    }

    fn from_sql_null(_kind: &Type) -> Result<Value, Box<dyn StdError + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT2 | Type::INT4 | Type::INT8) || <&str as FromSql>::accepts(kind)
    }
}

impl From<&postgres::Error> for Error {
    fn from(cause: &postgres::Error) -> Error {
        let Some(said) = cause.as_db_error() else {
            let why = cause.source().map_or_else(|| cause.to_string(), |source| format!("{cause}: {source}"));
            return match ["invalid peer certificate", "server does not support TLS"].iter().any(|fault| why.contains(fault)) {
                true => untrusted(&why),
                false => Error::Lost(format!("the PostgreSQL server: {why}")),
            };
        };
        let sentence = format!("the PostgreSQL server: {} ({})", said.message(), said.code().code());
        if said.code() == &SqlState::DISK_FULL {
            return full(&sentence);
        }
        match said.code() {
            &SqlState::UNIQUE_VIOLATION => Error::Conflict,
            &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE => Error::Contended(sentence),
            // The server is stopping, or an administrator ended the connection; the open transaction was rolled back.
            &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::CANNOT_CONNECT_NOW
            | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Error::Lost(sentence),
            &SqlState::INVALID_PASSWORD
            | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            | &SqlState::INVALID_CATALOG_NAME
            | &SqlState::INSUFFICIENT_PRIVILEGE => Error::Unfit(sentence),
            // Classes 22 (data), 23 (constraints) and 42 (statements): our own mistakes, or a schema that somebody changed.
            code if ["22", "23", "42"].iter().any(|class| code.code().starts_with(class)) => Error::Unfit(sentence),
            _ => Error::Unavailable(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_their_order() {
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
        assert_eq!(numbered("a = ? AND b IN (?, ?)"), "a = $1 AND b IN ($2, $3)");
    }
}

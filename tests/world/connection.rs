//! Statements on the database servers that all tests share, without starting a command line client for each of them.

use super::database::{Engine, Server};
use mysql::prelude::Queryable;
use postgres::SimpleQueryMessage;
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

/// The rows of a query, as texts; NULL is "NULL".
type Rows = Vec<Vec<String>>;

/// A connection to one database, made when it is first needed and kept: a new one costs PostgreSQL more than most queries.
#[derive(Default)]
pub struct Kept(Mutex<Option<Connection>>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    /// Runs statements; panics with the server's message.
    pub fn run(&self, server: &Server, database: &str, sql: &str) -> Rows {
        let answer = |result: Result<Rows, Failure>| result.unwrap_or_else(|failure| panic!("{sql}: {}", failure.cause));
        let mut kept = match self.0.try_lock() {
            Ok(kept) if !sql.contains("BEGIN") => kept,
            Err(TryLockError::Poisoned(kept)) => kept.into_inner(),
            // In a transaction of its own, or while another thread waits for the end of its statement.
            _ => return answer(run_once(server, database, sql)),
        };
        match kept.as_mut().map(|connection| connection.run(sql)) {
            Some(Err(failure)) if failure.is_lost => {}
            Some(result) => return answer(result),
            None => {}
        }
        let connection = Connection::open(server, database).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
        answer(kept.insert(connection).run(sql))
    }

    /// The server's id of the connection, if there is one.
    pub fn id(&self) -> Option<String> {
        let mut kept = self.0.try_lock().ok()?;
        match kept.as_mut()? {
            Connection::Postgres(client) => rows_of(client.simple_query("SELECT pg_backend_pid()").ok()?).concat().pop(),
            Connection::Mariadb(connection) => Some(connection.connection_id().to_string()),
        }
    }
}

/// Runs statements on a connection of their own.
pub fn run_once(server: &Server, database: &str, sql: &str) -> Result<Rows, Failure> {
    Connection::open(server, database).map_err(|cause| Failure { cause, is_lost: true })?.run(sql)
}

/// Why a statement failed.
#[derive(Debug)]
pub struct Failure {
    pub cause: String,
    /// The connection has ended.
    is_lost: bool,
}

enum Connection {
    Postgres(Box<postgres::Client>),
    Mariadb(mysql::Conn),
}

impl Connection {
    /// Through the server's unix socket.
    fn open(server: &Server, database: &str) -> Result<Connection, String> {
        if server.engine == Engine::Postgres {
            let mut config = postgres::Config::new();
            config.host_path(&server.socket).port(server.port).user(&server.user).password(&server.password).dbname(database);
            let client = config.connect_timeout(Duration::from_secs(5)).connect(postgres::NoTls);
            return client.map(|client| Connection::Postgres(Box::new(client))).map_err(|cause| format!("{cause:?}"));
        }
        let options = mysql::OptsBuilder::new().socket(server.socket.to_str()).user(Some(&server.user)).pass(Some(&server.password));
        let options = options.db_name(Some(database)).init(vec!["SET NAMES utf8mb4"]);
        mysql::Conn::new(options).map(Connection::Mariadb).map_err(|cause| cause.to_string())
    }

    fn run(&mut self, sql: &str) -> Result<Rows, Failure> {
        match self {
            Connection::Postgres(client) => match client.simple_query(sql) {
                Ok(messages) => Ok(rows_of(messages)),
                Err(cause) => Err(Failure { is_lost: client.is_closed(), cause: format!("{cause:?}") }),
            },
            Connection::Mariadb(connection) => mariadb_rows(connection, sql).map_err(|cause| Failure {
                is_lost: matches!(cause, mysql::Error::IoError(_) | mysql::Error::CodecError(_)),
                cause: cause.to_string(),
            }),
        }
    }
}

fn rows_of(messages: Vec<SimpleQueryMessage>) -> Rows {
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).unwrap_or("NULL").to_owned()).collect()),
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

/// The rows of all statements.
fn mariadb_rows(connection: &mut mysql::Conn, sql: &str) -> Result<Rows, mysql::Error> {
    let (mut rows, mut result) = (Rows::new(), connection.query_iter(sql)?);
    while let Some(set) = result.iter() {
        for row in set {
            rows.push(row?.unwrap().into_iter().map(text).collect());
        }
    }
    Ok(rows)
}

fn text(value: mysql::Value) -> String {
    match value {
        mysql::Value::NULL => "NULL".to_owned(),
        mysql::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.as_sql(true),
    }
}

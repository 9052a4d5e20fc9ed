//! The key `database`: the kind of database, its place and its credentials.
//!
//! * `sqlite:PATH`
//! * `postgres://USER:PASSWORD@HOST:PORT/NAME`
//! * `mysql://USER:PASSWORD@HOST:PORT/NAME`, also for MariaDB
//!
//! Several hosts, `HOST1:PORT,HOST2:PORT`, are tried in this order. A `?` may introduce `socket=PATH` (the hosts are then
//! ignored), `tls=verify` or `tls=off`, and `ca_file=PATH`. Special characters in user, password or name are encoded as in any
//! URL, e.g. `%40` for `@`.

use super::values::is_loopback;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the data is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(ServerUrl),
    /// MariaDB or MySQL.
    Mysql(ServerUrl),
}

/// A database on a server, with its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Names or addresses with ports, tried in this order; ignored if there is a socket.
    pub hosts: Vec<(String, u16)>,
    /// A unix socket: the file (MariaDB, MySQL) or its folder (PostgreSQL).
    pub socket: Option<PathBuf>,
    pub user: String,
    pub password: Option<String>,
    /// The name of the database.
    pub name: String,
    /// Whether to encrypt the connection and check the server's certificate.
    pub tls: bool,
    /// A PEM file with the certificate authority of the server, if the system does not know it.
    pub ca_file: Option<PathBuf>,
}

/// Leaves the password out.
impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

/// For the log: user and place, without the password.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => write!(f, "database {:?} of user {:?} at {}", self.name, self.user, socket.display()),
            None => {
                let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
                write!(f, "database {:?} of user {:?} at {}", self.name, self.user, hosts.join(", "))
            }
        }
    }
}

impl DatabaseUrl {
    /// Resolves relative paths: files that are written start in the state folder, files that are only read in that of
    /// `config.toml`.
    pub(super) fn resolve(&mut self, state_folder: &Path, folder: &Path) {
        match self {
            DatabaseUrl::Sqlite(path) => *path = state_folder.join(&*path),
            DatabaseUrl::Postgres(server) | DatabaseUrl::Mysql(server) => {
                server.ca_file = server.ca_file.take().map(|path| folder.join(path));
            }
        }
    }

    /// The server, if there is one.
    pub fn server(&self) -> Option<&ServerUrl> {
        match self {
            DatabaseUrl::Sqlite(_) => None,
            DatabaseUrl::Postgres(server) | DatabaseUrl::Mysql(server) => Some(server),
        }
    }

    /// The same URL with a password from another source.
    pub(super) fn with_password(mut self, password: Option<String>) -> DatabaseUrl {
        if let (DatabaseUrl::Postgres(server) | DatabaseUrl::Mysql(server), Some(_)) = (&mut self, &password) {
            server.password = password;
        }
        self
    }
}

const EXPECTED: &str = "expected \"sqlite:data/register.sqlite\", \"postgres://user@localhost/name\" or \"mysql://user@localhost/name\"";

impl FromStr for DatabaseUrl {
    type Err = String;
    /// Messages never contain the text itself, because it may include a password.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(DatabaseUrl::Sqlite(PathBuf::from(path)));
        }
        let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
        match scheme {
            "postgres" | "postgresql" => ServerUrl::parse(rest, 5432).map(DatabaseUrl::Postgres),
            "mysql" | "mariadb" => ServerUrl::parse(rest, 3306).map(DatabaseUrl::Mysql),
            _ => Err(EXPECTED.into()),
        }
    }
}

impl ServerUrl {
    /// Parses the part after `scheme://`.
    fn parse(rest: &str, default_port: u16) -> Result<ServerUrl, String> {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = place.split_once('/').ok_or_else(|| format!("the name of the database is missing; {EXPECTED}"))?;
        let (login, hosts) = authority.rsplit_once('@').ok_or_else(|| format!("the user is missing; {EXPECTED}"))?;
        let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        let mut server = ServerUrl {
            hosts: hosts.split(',').map(|host| parse_host(host, default_port)).collect::<Result<_, _>>()?,
            socket: None,
            user: decoded(user)?,
            password: password.map(decoded).transpose()?,
            name: decoded(name)?,
            tls: false,
            ca_file: None,
        };
        if server.user.is_empty() || server.name.is_empty() || server.name.contains('/') {
            return Err(EXPECTED.into());
        }
        let mut tls = None;
        for (key, value) in query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match (key, decoded(value)?.as_str()) {
                ("socket", path) if path.starts_with('/') => server.socket = Some(path.into()),
                ("ca_file", path) if !path.is_empty() => server.ca_file = Some(path.into()),
                ("tls", "verify") => tls = Some(true),
                ("tls", "off") => tls = Some(false),
                _ => {
                    return Err(
                        "behind the ? expected socket=/path, tls=verify, tls=off or ca_file=/path; a ? in the password is written %3F"
                            .into(),
                    );
                }
            }
        }
        let stays_here = server.socket.is_some() || server.hosts.iter().all(|(host, _)| is_loopback(host));
        server.tls = tls.unwrap_or(!stays_here) && server.socket.is_none();
        Ok(server)
    }
}

/// `host`, `host:port`, `[::1]:port`.
fn parse_host(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, port.parse().map_err(|_| format!("{port} is no port; a port is at most 65535"))?),
        _ => (text, default_port),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plausible = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
    if plausible { Ok((host.to_owned(), port)) } else { Err(format!("the host of the database is missing; {EXPECTED}")) }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "the database URL is not UTF-8 when its %-codes are read")?;
    match decoded.contains('\0') {
        true => Err("the database URL has a zero byte".into()),
        false => Ok(decoded.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerUrl {
        match text.parse().unwrap() {
            DatabaseUrl::Postgres(server) | DatabaseUrl::Mysql(server) => server,
            DatabaseUrl::Sqlite(_) => panic!("{text}"),
        }
    }

    #[test]
    fn a_url_says_where_and_whose() {
        let here = server("postgres://bot:p%40ss%2Fw%3Frd@localhost/register");
        assert_eq!((here.user.as_str(), here.password.as_deref(), here.name.as_str()), ("bot", Some("p@ss/w?rd"), "register"));
        assert_eq!((here.hosts, here.tls), (vec![("localhost".to_owned(), 5432)], false));
        let cluster = server("mysql://bot@db1,db2:3307,[::1]:3308/register?ca_file=ca.pem");
        assert_eq!(cluster.hosts, [("db1".to_owned(), 3306), ("db2".to_owned(), 3307), ("::1".to_owned(), 3308)]);
        assert_eq!((cluster.tls, cluster.ca_file), (true, Some("ca.pem".into())), "what leaves the machine is encrypted");
        let socket = server("mariadb://bot@localhost/register?socket=/run/mysqld/mysqld.sock");
        assert_eq!((socket.socket, socket.tls), (Some("/run/mysqld/mysqld.sock".into()), false));
        assert!(!server("postgres://bot@192.0.2.1/register?tls=off").tls, "where the operator wants it so");
    }

    #[test]
    fn a_wrong_url_is_told_what_is_wrong_and_its_password_is_not_shown() {
        for text in [
            "",
            "sqlite:",
            "oracle://bot:hunter2@localhost/x",
            "postgres://bot:hunter2@localhost",
            "postgres://localhost/hunter2",
            "postgres://bot:hunter2@/x",
            "postgres://bot:hunter2@localhost/",
            "mysql://bot:hunter2@localhost:99999/x",
            "mysql://bot:hunter2@localhost/x?sslmode=require",
            "mysql://bot:hunter2@localhost/x?tls=maybe",
            "mysql://bot:hunter2@localhost/x?socket=relative",
            "mysql://bot:hunter2%00@localhost/x",
        ] {
            let sentence = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(sentence.len() > 20 && !sentence.contains("hunter2"), "{text}: {sentence}");
        }
        let shown = format!("{:?}", server("postgres://bot:hunter2@localhost/x"));
        assert!(shown.contains("bot") && !shown.contains("hunter2"), "{shown}");
    }
}

//! The one database behind all nodes.

use crate::world::{Database, Engine, Galera, OwnServer, Pair};

/// Where the tables are.
pub enum Tables {
    /// Three servers; each web node uses its own first, and knows the others.
    Galera(Galera),
    /// One server for all.
    Postgres { database: Database, server: Box<OwnServer> },
    /// Two servers, of which the second takes over; the nodes know both.
    Standby { database: Database, pair: Box<Pair> },
}

const NAME: &str = "register";

impl Tables {
    pub fn start(engine: Engine) -> Tables {
        match engine {
            Engine::Mariadb => {
                let galera = Galera::start(3);
                galera.create_database(NAME);
                Tables::Galera(galera)
            }
            _ => {
                let server = Box::new(OwnServer::start(engine));
                Tables::Postgres { database: server.database(), server }
            }
        }
    }

    pub fn with_standby() -> Tables {
        let pair = Box::new(Pair::start());
        Tables::Standby { database: pair.primary.database(), pair }
    }

    /// The value of the key `database` for each of three web nodes.
    pub fn urls(&self) -> Vec<String> {
        match self {
            Tables::Galera(galera) => (0..3).map(|first| galera.url_from(first, NAME)).collect(),
            Tables::Postgres { database, .. } => vec![database.url(); 3],
            Tables::Standby { database, pair } => vec![pair.url(database); 3],
        }
    }

    /// The rows of a query; also runs other statements.
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Tables::Galera(galera) => galera.rows(0, &format!("USE {NAME}; {sql}")),
            Tables::Postgres { database, .. } | Tables::Standby { database, .. } => database.rows(sql),
        }
    }

    /// The number that a query returns.
    pub fn number(&self, sql: &str) -> usize {
        self.rows(sql).concat().first().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{sql} gives no number"))
    }

    /// Checks that a query returns the same on all servers.
    pub fn assert_same_everywhere(&self, sql: &str) {
        if let Tables::Galera(galera) = self {
            let all: Vec<_> = (0..3).map(|node| galera.rows(node, &format!("USE {NAME}; {sql}"))).collect();
            assert!(all.iter().all(|rows| *rows == all[0]), "{sql}: {all:#?}");
        }
    }

    /// Sends SIGKILL to the server, or to one server of the cluster.
    pub fn kill(&mut self, turn: usize) {
        match self {
            Tables::Galera(galera) => galera.kill(turn % 3),
            Tables::Postgres { server, .. } => server.kill(),
            Tables::Standby { pair, .. } => pair.primary.kill(),
        }
    }

    /// Starts the server again, or promotes the other one; returns when it has caught up.
    pub fn revive(&mut self, turn: usize) {
        match self {
            Tables::Galera(galera) => galera.restart(turn % 3),
            Tables::Postgres { server, .. } => server.start_again(),
            Tables::Standby { database, pair } => {
                pair.promote();
                *database = database.on_copy(&pair.standby.server);
            }
        }
    }
}

//! A second PostgreSQL that replicates the first and can replace it.

use super::database::{Database, Engine};
use super::database_server::OwnServer;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A primary and a standby. The standby has everything on disk that the primary has committed.
#[derive(Debug)]
pub struct Pair {
    pub primary: OwnServer,
    pub standby: OwnServer,
}

impl Pair {
    /// Starts both servers.
    pub fn start() -> Pair {
        let mut primary = OwnServer::start(Engine::Postgres);
        let mut standby = OwnServer::prepare(Engine::Postgres, &["--joins", "--ca", &primary.folder().display().to_string()]);
        fs::set_permissions(standby.data_folder(), fs::Permissions::from_mode(0o700)).unwrap();
        standby.server.password = primary.server.password.clone();
        let (port, data) = (primary.server.port.to_string(), standby.data_folder().display().to_string());
        let source = ["--host", "127.0.0.1", "--port", &port, "--username", &primary.server.user, "--pgdata", &data];
        standby.run_beside("pg_basebackup", &[&source[..], &["--write-recovery-conf", "--checkpoint=fast"]].concat());
        // Its configuration is a copy of the primary's, except for the paths.
        let home = standby.server.socket.clone();
        let place = |name: &str, path: &Path| ["-c".to_owned(), format!("{name}={}", path.display())];
        let places = [
            place("unix_socket_directories", &home),
            place("ssl_cert_file", &home.join("server.pem")),
            place("ssl_key_file", &home.join("server.key")),
        ];
        standby.launch(&places.concat());
        let server = standby.server.clone();
        standby.wait_until(60, || server.answers());
        // From now on a commit waits for the standby.
        primary.stop();
        primary.launch(&["-c".to_owned(), "synchronous_standby_names=*".to_owned()]);
        let server = primary.server.clone();
        primary.wait_until(60, || server.answers());
        Pair { primary, standby }
    }

    /// The value of the key `database` that names both servers.
    pub fn url(&self, database: &Database) -> String {
        let (first, second) = (self.primary.server.port, self.standby.server.port);
        database.url().replace(&format!("127.0.0.1:{first}/"), &format!("127.0.0.1:{first},127.0.0.1:{second}/"))
    }

    /// Promotes the standby; call this only when the primary is certainly dead.
    pub fn promote(&mut self) {
        let data = self.standby.data_folder().display().to_string();
        self.standby.run_beside("pg_ctl", &["promote", "--wait", "--pgdata", &data]);
    }
}

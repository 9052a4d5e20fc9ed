//! A Galera cluster of MariaDB servers on loopback: each accepts writes and has all data.

use super::database::{Engine, Server, credentials, mariadb_rows};
use super::database_server::OwnServer;
use super::folder::free_port;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The nodes; dropping this value stops them.
#[derive(Debug)]
pub struct Galera {
    nodes: Vec<Node>,
}

/// A server of the cluster.
#[derive(Debug)]
pub struct Node {
    own: OwnServer,
    options: Vec<String>,
}

impl Node {
    /// The value of the key `database` for a database on this node.
    pub fn url(&self, name: &str) -> String {
        format!("{}@127.0.0.1:{}/{name}?tls=off", credentials(&self.own.server), self.own.server.port)
    }

    /// The connection data of this node.
    pub fn server(&self) -> &Server {
        &self.own.server
    }

    /// The value of a status variable of the cluster; `None` if the node does not answer.
    pub fn status(&self, name: &str) -> Option<String> {
        let sql = format!("SHOW GLOBAL STATUS LIKE '{name}'");
        let output = self.own.server.client("").arg("--execute").arg(sql).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.trim_end().split_once('\t').map(|(_, value)| value.to_owned())
    }

    fn is_synced(&self) -> bool {
        self.status("wsrep_local_state_comment").as_deref() == Some("Synced")
    }
}

impl Galera {
    /// Starts `count` nodes and returns when all have joined the cluster and have the same data.
    pub fn start(count: usize) -> Galera {
        let members: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let first = OwnServer::prepare(Engine::Mariadb, &[]);
        let authority = first.folder().display().to_string();
        // The others copy all data from the first, including user and password.
        let others = (1..count).map(|_| {
            let mut other = OwnServer::prepare(Engine::Mariadb, &["--joins", "--ca", &authority]);
            other.server.password = first.server.password.clone();
            other
        });
        let others: Vec<_> = others.collect();
        let nodes = std::iter::once(first).chain(others).enumerate();
        let nodes = nodes.map(|(number, own)| Node { options: options(number, &members), own }).collect();
        let mut galera = Galera { nodes };
        galera.launch(0, &["--wsrep-new-cluster".to_owned()]);
        for number in 1..count {
            galera.launch(number, &[]);
            galera.wait_for_size(number + 1);
        }
        galera
    }

    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// The value of the key `database` for a machine whose own node is `first`: that node, followed by the others.
    pub fn url_from(&self, first: usize, name: &str) -> String {
        let hosts = (0..self.nodes.len()).map(|next| &self.nodes[(first + next) % self.nodes.len()].own.server);
        let hosts: Vec<_> = hosts.map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("{}@{}/{name}?tls=off", credentials(&self.nodes[first].own.server), hosts.join(","))
    }

    /// Makes an empty database on all nodes.
    pub fn create_database(&self, name: &str) {
        self.nodes[0].own.server.execute(&format!("CREATE DATABASE {name}"));
        for node in &self.nodes {
            let sql = format!("SHOW DATABASES LIKE '{name}'");
            wait(10, || !mariadb_rows(&node.own.server, "mysql", &sql).is_empty(), || format!("{name} on every node"));
        }
    }

    /// The rows of a query on one node, which first catches up with everything committed before; also runs other statements.
    pub fn rows(&self, number: usize, sql: &str) -> Vec<Vec<String>> {
        mariadb_rows(&self.nodes[number].own.server, "mysql", &format!("SET SESSION wsrep_sync_wait = 15; {sql}"))
    }

    /// Kills a node and returns at once. The others still count it as a member for three or four seconds.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].own.kill();
    }

    /// Starts a killed node; returns when it has caught up.
    pub fn restart(&mut self, number: usize) {
        let size = self.nodes.iter().filter(|node| node.is_synced()).count() + 1;
        self.launch(number, &[]);
        self.wait_for_size(size);
    }

    /// Waits until the cluster has `size` nodes and all of them are ready.
    pub fn wait_for_size(&self, size: usize) {
        let size_seen = |node: &&Node| node.is_synced() && node.status("wsrep_cluster_size").as_deref() == Some(&size.to_string());
        wait(60, || self.nodes.iter().filter(size_seen).count() == size, || self.logs());
    }

    /// Pauses a node, as if its machine hung.
    pub fn pause(&mut self, number: usize) {
        self.nodes[number].own.pause();
    }

    /// Resumes a paused node.
    pub fn resume(&mut self, number: usize) {
        self.nodes[number].own.resume();
    }

    fn launch(&mut self, number: usize, more: &[String]) {
        let node = &mut self.nodes[number];
        node.own.launch(&[&node.options, more].concat());
        let server = node.own.server.clone();
        // Answers only once its data is complete.
        node.own.wait_until(60, || server.answers());
    }

    fn logs(&self) -> String {
        let text = |node: &Node| fs::read_to_string(node.own.log()).unwrap_or_default();
        let end = |text: String| text.lines().rev().take(25).map(|line| format!("{line}\n")).collect::<Vec<_>>().into_iter().rev();
        self.nodes.iter().map(|node| format!("\n{}:\n{}", node.own.log().display(), end(text(node)).collect::<String>())).collect()
    }
}

/// The options that make a server a node. It detects a dead node sooner than the default of five seconds.
fn options(number: usize, members: &[u16]) -> Vec<String> {
    let own = members[number];
    let all: Vec<_> = members.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let provider = format!(
        "gmcast.listen_addr=tcp://127.0.0.1:{own};ist.recv_addr=127.0.0.1:{};gcache.size=16M;evs.keepalive_period=PT0.5S;\
         evs.inactive_check_period=PT0.25S;evs.suspect_timeout=PT3S;evs.inactive_timeout=PT6S;evs.install_timeout=PT6S",
        free_port()
    );
    [
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={}", provider_library()),
        format!("--wsrep-provider-options={provider}"),
        "--wsrep-cluster-name=test".to_owned(),
        format!("--wsrep-cluster-address=gcomm://{}", all.join(",")),
        format!("--wsrep-node-name=node{number}"),
        format!("--wsrep-node-address=127.0.0.1:{own}"),
        "--wsrep-sst-method=rsync".to_owned(),
        format!("--wsrep-sst-receive-address=127.0.0.1:{}", free_port()),
    ]
    .into()
}

fn provider_library() -> &'static str {
    let places = ["/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib/libgalera_smm.so"];
    places.into_iter().find(|place| fs::exists(place).unwrap_or(false)).expect("Galera is missing; run tests/world/install test")
}

fn wait(seconds: u64, mut done: impl FnMut() -> bool, what: impl Fn() -> String) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !done() {
        assert!(Instant::now() < end, "not within {seconds} s: {}", what());
        thread::sleep(Duration::from_millis(100));
    }
}

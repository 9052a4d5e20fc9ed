//! Several web servers with the programs of one site, their crons, and programs that die.

use crate::world::process::running_below;
use crate::world::{Browser, Form, Host, MailCatcher, Page, SiteFolder, Synapse, WebServer, built_programs};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use url::Url;

/// How often somebody who sees an error page tries again, every third of a second.
const PATIENCE: usize = 180;

/// One machine with a web server, the programs, and a cron.
pub struct Node {
    pub site: SiteFolder,
    web: WebServer,
    /// The output of its crons.
    said: Mutex<String>,
}

/// All nodes, with one mail server, one homeserver, and one room.
pub struct Nodes {
    pub nodes: Vec<Node>,
    pub mails: MailCatcher,
    pub synapse: Synapse,
    pub room: String,
    /// Answers with a status of 500 or more: the failures that visitors saw.
    pub errors_seen: AtomicUsize,
    pub programs_killed: AtomicUsize,
    pub crons_run: AtomicUsize,
}

impl Nodes {
    /// Starts a node for each value of the key `database`.
    pub fn start(databases: &[String], mode: &str) -> Nodes {
        let (synapse, mails) = (Synapse::shared(), MailCatcher::start());
        let room = synapse.create_room();
        let programs = built_programs!();
        let mut public_url = None;
        let nodes = databases.iter().zip([Host::NginxFastCgi, Host::NginxFastCgi, Host::NginxCgi]).map(|(database, host)| {
            let site = SiteFolder::new(&programs).synapse(&synapse).room(&room).mail(&mails).mode(mode).set("database", database.as_str());
            // The URL of the load balancer. Here the visitors choose the node, and the first node's URL stands for it.
            let mut site = site.create();
            let url = public_url.get_or_insert_with(|| site.public_url()).clone();
            site.set("public_url", url);
            fs::write(site.path().join("config.json"), format!("{{\"secret_key\": \"{}\"}}", "5e".repeat(32))).unwrap();
            Node { web: WebServer::start(&site, host), site, said: Mutex::default() }
        });
        let nodes = nodes.collect();
        let (errors_seen, programs_killed, crons_run) = Default::default();
        Nodes { nodes, mails, synapse, room, errors_seen, programs_killed, crons_run }
    }

    /// The same page on another node, as through a load balancer; numbers wrap around.
    fn at(&self, node: usize, address: &str) -> String {
        let mut url = Url::parse(address).unwrap_or_else(|_| panic!("{address} is no address"));
        url.set_port(Some(self.nodes[node % self.nodes.len()].site.port)).unwrap();
        url.into()
    }

    /// A page from this node or, after an error, from the next ones.
    pub fn get(&self, node: usize, address: &str) -> Page {
        self.until_answered(node, |node| Browser::new("http://127.0.0.1/").get(&self.at(node, address)))
    }

    /// The registration form.
    pub fn sign_up_form(&self, node: usize) -> Form {
        self.get(node, "http://127.0.0.1/register").form()
    }

    /// Sends a form to this node; after an error it is sent again.
    pub fn submit(&self, node: usize, form: &Form) -> Page {
        self.until_answered(node, |node| {
            let form = Form { action: self.at(node, &form.action), ..form.clone() };
            Browser::new("http://127.0.0.1/").submit(&form)
        })
    }

    fn until_answered(&self, node: usize, ask: impl Fn(usize) -> Page) -> Page {
        for tries in 0..PATIENCE {
            let page = ask(node + tries);
            if page.status < 500 {
                return page;
            }
            self.errors_seen.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(333));
        }
        panic!("nothing but errors: {}", self.log());
    }

    /// Runs cron on one node repeatedly while `goes_on`.
    pub fn run_crons(&self, node: usize, goes_on: &AtomicBool) {
        while goes_on.load(Ordering::Relaxed) {
            self.run_cron(node);
            thread::sleep(Duration::from_millis(500));
        }
    }

    pub fn run_cron(&self, node: usize) {
        let node = &self.nodes[node];
        let output = Command::new(node.site.program("cron")).arg("-v").env_clear().current_dir("/").output().expect("cron can be run");
        self.crons_run.fetch_add(1, Ordering::Relaxed);
        let text = [output.stdout, output.stderr].concat();
        node.said.lock().unwrap().push_str(&String::from_utf8_lossy(&text));
    }

    /// Kills a running program of a node, if there is one: a worker of a FastCGI program, a CGI program, or a cron.
    pub fn kill_a_program(&self, node: usize, which: usize) {
        let folder = self.nodes[node % self.nodes.len()].site.path();
        let processes: Vec<_> = running_below(folder);
        let is_supervisor = |pid: u32| processes.iter().any(|(_, parent, _)| *parent == pid);
        let is_supervised = |parent: u32| processes.iter().any(|(pid, ..)| *pid == parent);
        let plain = node % self.nodes.len() == 2;
        let at_work = |(pid, parent, program): &&(u32, u32, PathBuf)| {
            !is_supervisor(*pid) && (plain || is_supervised(*parent) || program.ends_with("cron/cron"))
        };
        let at_work: Vec<_> = processes.iter().filter(at_work).collect();
        let Some((pid, ..)) = at_work.get(which % at_work.len().max(1)) else { return };
        if Pid::from_raw(*pid as i32).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()) {
            self.programs_killed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The output of web servers, programs and crons of all nodes.
    pub fn log(&self) -> String {
        self.nodes.iter().map(|node| node.web.log() + &node.said.lock().unwrap()).collect()
    }

    /// How often the log contains a word.
    pub fn said(&self, word: &str) -> usize {
        self.log().matches(word).count()
    }
}

impl Drop for Nodes {
    /// All at once, because each program waits for its last connections.
    fn drop(&mut self) {
        for pid in self.nodes.iter().flat_map(|node| node.web.pids()) {
            let _ = Pid::from_raw(pid as i32).map(|pid| kill_process(pid, Signal::TERM));
        }
    }
}

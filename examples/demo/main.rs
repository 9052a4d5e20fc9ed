//! `make demo`: a whole homeserver with moderated sign-up on this machine, to try out.
//!
//! * `demo [--mode local] FILE` starts everything, prints the addresses, and runs until Ctrl-C.
//! * `demo --check FILE` goes through a whole registration in both operation modes, and exits with 0.
//!
//! The file is one of those that `make` placed, such as `public/register`: all programs are one executable. Everything listens on loopback
//! only, is kept in temporary folders and is removed at the end.

mod story;
#[path = "../../tests/world/mod.rs"]
mod world;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use world::{Host, MailCatcher, OwnSynapse, Programs, SiteFolder, WebServer};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = take(&mut arguments, "--check").is_some();
    let mode = take(&mut arguments, "--mode").map_or("synapse".to_owned(), |at| arguments.remove(at));
    let [executable] = arguments.as_slice() else {
        eprintln!("usage: demo [--check] [--mode synapse|local] FILE");
        return ExitCode::FAILURE;
    };
    let programs = Programs::of(Path::new(executable));
    let surroundings = Surroundings::start();
    match check {
        true => ["synapse", "local"].into_iter().for_each(|mode| story::go_through(&Demo::start(&surroundings, &programs, mode))),
        false => Demo::start(&surroundings, &programs, &mode).show(),
    }
    ExitCode::SUCCESS
}

/// Removes a word from the arguments and returns its position.
fn take(arguments: &mut Vec<String>, word: &str) -> Option<usize> {
    let at = arguments.iter().position(|argument| argument == word)?;
    arguments.remove(at);
    Some(at)
}

/// The servers that the site uses.
struct Surroundings {
    mails: MailCatcher,
    homeserver: OwnSynapse,
}

impl Surroundings {
    fn start() -> Surroundings {
        println!("starting Synapse and a mail server ...");
        Surroundings { mails: MailCatcher::start(), homeserver: OwnSynapse::start(&["--complete"]) }
    }
}

/// A site with its web server; the fields are dropped, and their servers stopped, in this order.
struct Demo<'a> {
    web: WebServer,
    site: SiteFolder,
    mode: String,
    room: String,
    surroundings: &'a Surroundings,
}

impl Demo<'_> {
    fn start<'a>(surroundings: &'a Surroundings, programs: &Programs, mode: &str) -> Demo<'a> {
        let synapse = &surroundings.homeserver.synapse;
        let room = synapse.create_room();
        let site = SiteFolder::new(programs).synapse(synapse).room(&room).mail(&surroundings.mails).mode(mode).unset("limits").create();
        Demo { web: WebServer::start(&site, Host::NginxCgi), site, mode: mode.to_owned(), room, surroundings }
    }

    /// Prints the addresses, and then all events until Ctrl-C.
    fn show(&self) {
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&ended)).expect("signals can be caught");
        }
        self.print_summary();
        let mut known = (0, 0);
        let mut last_cron = Instant::now();
        while !ended.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(500));
            known = self.print_news(known);
            if last_cron.elapsed() > Duration::from_secs(20) {
                self.run_cron();
                last_cron = Instant::now();
            }
        }
        println!("\nstopping ...");
    }

    fn print_summary(&self) {
        let synapse = &self.surroundings.homeserver.synapse;
        println!("\nSign-up for {} is ready, in {} mode. Ctrl-C ends it and removes everything.\n", synapse.server_name, self.mode);
        for (what, value) in [
            ("the form", self.web.url()),
            ("mails", format!("{}/ (any address will do; none leaves this machine)", self.surroundings.mails.folder().display())),
            ("homeserver", format!("{} (for a Matrix client)", synapse.base_url)),
            ("accounts", format!("alice, password {}, who decides in the room", synapse.alice.password)),
            ("", format!("bob, password {}, who does not", synapse.bob.password)),
            ("room", self.room.clone()),
            ("config", self.site.config_path().display().to_string()),
            ("database", self.site.database_path().display().to_string()),
            ("errors", self.web.log_path().display().to_string()),
        ] {
            println!("    {what:<12}{value}");
        }
        println!("\nFill in the form. Mails and what the bot says in the room are shown here too.");
    }

    /// Prints mails and room messages that arrived since the last call.
    fn print_news(&self, (mails, messages): (usize, usize)) -> (usize, usize) {
        let all_mails = self.surroundings.mails.all();
        for mail in all_mails.iter().skip(mails) {
            println!("\n--- mail to {}: {}\n{}", mail.header("To"), mail.subject(), mail.text.trim());
        }
        let all_messages = self.surroundings.homeserver.synapse.messages(&self.room);
        for message in all_messages.iter().skip(messages) {
            println!("\n--- in the room, from {}:\n{}", message.sender, message.body);
        }
        (all_mails.len(), all_messages.len())
    }

    /// Runs cron, as the crontab does every few minutes.
    fn run_cron(&self) {
        let output = self.site.run_cron();
        let said = [output.stdout, output.stderr].concat();
        if !said.is_empty() {
            println!("\n--- cron: {}", String::from_utf8_lossy(&said).trim());
        }
        let _ = fs::write(self.site.path().join("cron.log"), said);
    }
}

//! The world of the tests and of the demo: temporary sites, and real servers around them.
//!
//! Each value starts its server when it is made and stops it, by process id, when it is dropped. No server outlives a killed
//! test. If something is missing, the test fails and says what. `tests/world/install` installs everything; `tests/run` starts
//! the homeserver and the database servers that the tests share. For `cargo test`, `tests/world/start-synapse run -- cargo test`
//! and `tests/world/start-databases run -- cargo test` do.
//!
//! A test of a whole registration needs five lines:
//!
//! ```ignore
//! let (synapse, mails) = (Synapse::shared(), MailCatcher::start());
//! let site = SiteFolder::new(&built_programs!()).synapse(&synapse).room(&synapse.create_room()).mail(&mails).create();
//! let web = WebServer::start(&site, Host::NginxCgi);
//! let page = Browser::new(&web.url()).get("/");
//! let link = mails.wait_for("ada@example.org", 1)[0].link();
//! ```
#![allow(dead_code, unused_imports, unused_macros)] // no test binary uses all of it

mod browser;
mod chromium;
mod conduit;
mod connection;
pub mod database;
mod database_server;
mod disk;
mod folder;
mod galera;
mod hashes;
pub mod http;
pub mod impostor;
mod mail;
mod mas;
mod names;
pub mod process;
mod programs;
mod site;
mod standby;
mod synapse;
mod text_browser;
mod web;

pub use browser::{Browser, Form, Page};
pub use chromium::{Chromium, Focus, Key};
pub use conduit::{Conduit, TokenHomeserver, TokenSynapse};
pub(crate) use database::on_every_database;
pub use database::{Database, Engine};
pub use database_server::OwnServer;
pub use disk::SmallDisk;
pub use folder::{TempFolder, free_port, installed};
pub use galera::Galera;
pub use hashes::cheap_hash;
pub use mail::{Mail, MailCatcher};
pub use mas::Mas;
pub use names::{fresh, mark};
pub use programs::{program_places, programs_of};
pub use site::{Programs, SiteBuilder, SiteFolder};
pub use standby::Pair;
pub use synapse::{Account, Message, OwnSynapse, Synapse, pause};
pub use text_browser::{Kind, TextBrowser};
pub use web::{Host, WebServer, nginx_frame, self_signed};

/// The programs as Cargo built them for this integration test.
macro_rules! built_programs {
    () => {
        $crate::world::Programs::built(std::path::Path::new(env!("CARGO_BIN_EXE_matrix-register-bot")))
    };
}
pub(crate) use built_programs;

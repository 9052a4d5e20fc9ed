//! Database servers: ways to connect, connections, outages, concurrent access to the same rows, all kinds of characters. The
//! servers are real; those that are stopped or paused belong to one test.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

/// Like `on_every_database`, for promises about a server.
macro_rules! on_every_server {
    ($($promise:ident),* $(,)?) => {
        crate::world::on_every_database!(postgres Postgres: $($promise)*);
        crate::world::on_every_database!(mariadb Mariadb: $($promise)*);
    };
}

mod connections;
mod contention;
mod full_disk;
mod letters;
mod outages;
mod schema;
mod ways_in;

use std::os::unix::fs::MetadataExt;
use the_story::{Story, address_of, decision_form, fresh, now};
use world::{Database, Engine, Page, SiteFolder};

/// The answer of a page that looks up a link in the database, as plain CGI: status and log.
fn look_up(site: &SiteFolder) -> (u16, String) {
    let variables = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REQUEST_METHOD", "GET"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("QUERY_STRING", "t=0123456789abcdef0123456789abcdef"),
    ];
    let output = site.run("verify", &variables, b"");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = answer.strip_prefix("Status: ").and_then(|rest| rest.get(..3)).and_then(|status| status.parse().ok());
    (status.unwrap_or(200), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until the configuration is more than two seconds old: from then on a FastCGI program keeps its site, and with it
/// connections.
fn settled(story: Story) -> Story {
    while now() - std::fs::metadata(story.site.config_path()).unwrap().ctime() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    story
}

/// Requests a link that does not exist, which the database has to look up.
fn ask_for_a_link(story: &Story) -> Page {
    story.browser.get("/verify?t=0123456789abcdef0123456789abcdef")
}

/// The server's ids of the programs' connections to a database, queried through another one.
fn connections_to(database: &Database, through: &Database) -> Vec<String> {
    let name = database.name();
    let select = match database.engine() {
        Engine::Postgres => format!("SELECT pid FROM pg_stat_activity WHERE datname = '{name}' ORDER BY pid"),
        _ => format!("SELECT id FROM information_schema.processlist WHERE db = '{name}' ORDER BY id"),
    };
    let own = database.own_connection();
    through.rows(&select).concat().into_iter().filter(|id| Some(id) != own.as_ref()).collect()
}

//! nginx, in front of fcgiwrap or of one FastCGI process for each program.

use super::{Page, SiteFolder, Snippets, WebServer, guarded, hardening_page, has_internal, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn start_cgi(server: &mut WebServer, site: &SiteFolder) {
    let (socket, internal) = (server.folder.join("fcgiwrap.socket"), server.folder.join("internal.socket"));
    let mut helpers = vec![fcgiwrap("fcgiwrap", &socket)];
    if has_internal(site) {
        helpers.push(fcgiwrap("fcgiwrap of internal/", &internal));
    }
    server.start_helpers(helpers);
    let page = Page::read(
        "nginx-fcgiwrap",
        &[
            ("/srv/matrix-register-bot", text(site.path())),
            ("/run/fcgiwrap.socket", text(&socket)),
            ("/run/fcgiwrap-internal.socket", text(&internal)),
            ("127.0.0.1:8080", &format!("127.0.0.1:{}", site.internal_port)),
        ],
    );
    start(server, site, &page, "");
}

/// fcgiwrap leaves its workers behind when it ends, so the shell ends the whole group.
fn fcgiwrap(name: &str, socket: &Path) -> (String, Command, PathBuf) {
    let mut command = guarded("sh");
    command.args(["-c", "trap 'trap - TERM; kill 0' TERM; fcgiwrap -f -c 4 -s \"unix:$0\" & wait"]).arg(socket);
    (name.to_owned(), command, socket.to_owned())
}

/// The lines are the same whatever starts the programs.
pub fn start_fastcgi(server: &mut WebServer, site: &SiteFolder, start_programs: fn(&mut WebServer, &SiteFolder)) {
    start_programs(server, site);
    let listen = format!("127.0.0.1:{}", site.internal_port);
    let page = Page::read("nginx-systemd", &[("/run/matrix-register-bot", text(server.folder.path())), ("127.0.0.1:8080", &listen)]);
    start(server, site, &page, page.lines("Connections to the programs"));
}

fn start(server: &mut WebServer, site: &SiteFolder, page: &Page, connections: &str) {
    let folder = server.folder.path();
    fs::copy("/etc/nginx/fastcgi_params", folder.join("fastcgi_params"))
        .unwrap_or_else(|cause| panic!("/etc/nginx/fastcgi_params: {cause}; run tests/world/install"));
    Snippets::of(page, site).with_beside(connections).write(server);
    let config = if server.hardening.is_empty() { frame(&servers(site, "")) } else { hardened(server, site) };
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let mut command = guarded("nginx");
    command.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(folder);
    server.start_server("nginx", command, site.port);
}

/// The configuration around the lines of a page, with the homeserver as in Synapse's manual.
fn servers(site: &SiteFolder, more: &str) -> String {
    format!(
        "    server {{\n        listen 127.0.0.1:{};\n\
         \x20       location ~ ^(/_matrix|/_synapse/client) {{\n            proxy_pass {};\n\
         \x20           proxy_set_header X-Forwarded-For $remote_addr;\n        }}\n        include world.conf;\n{more}    }}\n\
         \x20   include beside.conf;\n",
        site.port,
        site.homeserver_url()
    )
}

/// The whole configuration, with the lines of `docs/hosts/hardening.md`.
fn hardened(server: &WebServer, site: &SiteFolder) -> String {
    let page = hardening_page(server);
    let beside = server.folder.join("beside.conf");
    let internal = fs::read_to_string(&beside).unwrap().replacen("server {\n", &format!("server {{\n{}", page.lines("nginx: server")), 1);
    fs::write(beside, internal).unwrap();
    let lines: String = server.hardening.iter().map(|part| page.lines(&format!("nginx: {part}"))).collect();
    let config = frame(&format!("{}{}", page.lines("nginx: http"), servers(site, &lines)));
    let events = "events {}";
    assert!(config.contains(events));
    config.replace(events, page.lines("nginx: connections"))
}

/// The rest of the configuration; all paths are relative to its folder.
pub fn frame(http: &str) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .into_iter()
        .map(|kind| format!("    {kind}_temp_path temp_{kind};\n"))
        .collect();
    format!(
        "{user}\ndaemon off;\nworker_processes 2;\npid nginx.pid;\nerror_log error.log notice;\nevents {{}}\nhttp {{\n\
         \x20   access_log access.log;\n{temporary}{http}}}\n"
    )
}

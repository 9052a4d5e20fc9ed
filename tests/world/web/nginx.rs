//! nginx, in front of fcgiwrap or of one FastCGI process for each program.

use super::{SiteFolder, WebServer, guarded, has_internal, sample};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The samples with this site's values: inside of the server for the world, and beside it.
struct Samples {
    world: String,
    beside: String,
}

pub fn start_cgi(server: &mut WebServer, site: &SiteFolder) {
    let (socket, internal) = (server.folder.join("fcgiwrap.socket"), server.folder.join("internal.socket"));
    let mut helpers = vec![fcgiwrap("fcgiwrap", &socket)];
    if has_internal(site) {
        helpers.push(fcgiwrap("fcgiwrap of internal/", &internal));
    }
    server.start_helpers(helpers);
    let (folder, socket) = (("/srv/matrix-register-bot", text(site.path())), ("/run/fcgiwrap.socket", text(&socket)));
    let mut samples = Samples { world: sample("public/nginx-cgi.conf", &[folder, socket]), beside: String::new() };
    if has_internal(site) {
        samples.world += &sample("internal/nginx-homeserver-cgi.conf", &[folder, socket]);
        let listen = format!("127.0.0.1:{}", site.internal_port);
        let own = [folder, socket, ("/run/fcgiwrap-internal.socket", text(&internal)), ("127.0.0.1:8080", &listen)];
        samples.beside = sample("internal/nginx-cgi.conf", &own);
    }
    start(server, site, &samples);
}

/// fcgiwrap ends without its workers; the shell ends the whole group.
fn fcgiwrap(name: &str, socket: &Path) -> (String, Command, PathBuf) {
    let mut command = guarded("sh");
    command.args(["-c", "trap 'trap - TERM; kill 0' TERM; fcgiwrap -f -c 4 -s \"unix:$0\" & wait"]).arg(socket);
    (name.to_owned(), command, socket.to_owned())
}

pub fn start_fastcgi(server: &mut WebServer, site: &SiteFolder) {
    let names = [site.programs_in("public"), site.programs_in("internal")].concat();
    let helper = |name: String| {
        let socket = server.folder.join(format!("{name}.socket"));
        let mut command = guarded("spawn-fcgi");
        command.args(["-n", "-s"]).arg(&socket).arg("--").arg(site.program(&name));
        (name, command, socket)
    };
    let helpers = names.into_iter().map(helper).collect();
    server.start_helpers(helpers);
    let sockets = ("/run/matrix-register-bot", text(server.folder.path()));
    let mut samples = Samples { world: sample("public/nginx-fastcgi.conf", &[sockets]), beside: String::new() };
    if has_internal(site) {
        samples.world += &sample("internal/nginx-homeserver-fastcgi.conf", &[sockets]);
        let listen = format!("127.0.0.1:{}", site.internal_port);
        samples.beside = sample("internal/nginx-fastcgi.conf", &[sockets, ("127.0.0.1:8080", &listen)]);
    }
    start(server, site, &samples);
}

fn start(server: &mut WebServer, site: &SiteFolder, samples: &Samples) {
    let folder = server.folder.path();
    fs::copy("/etc/nginx/fastcgi_params", folder.join("fastcgi_params"))
        .unwrap_or_else(|cause| panic!("/etc/nginx/fastcgi_params: {cause}; run tests/world/install"));
    fs::write(folder.join("world.conf"), &samples.world).unwrap();
    fs::write(folder.join("beside.conf"), &samples.beside).unwrap();
    fs::write(folder.join("nginx.conf"), frame(site)).unwrap();
    let mut command = guarded("nginx");
    command.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(folder);
    server.start_server("nginx", command);
}

/// What surrounds the samples on a sysadmin's machine, the homeserver as Synapse's manual has it; all paths are relative to the folder.
fn frame(site: &SiteFolder) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .into_iter()
        .map(|kind| format!("    {kind}_temp_path temp_{kind};\n"))
        .collect();
    format!(
        "{user}\ndaemon off;\nworker_processes 2;\npid nginx.pid;\nerror_log error.log notice;\nevents {{}}\nhttp {{\n\
         \x20   access_log access.log;\n{temporary}\
         \x20   server {{\n        listen 127.0.0.1:{};\n\
         \x20       location ~ ^(/_matrix|/_synapse/client) {{\n            proxy_pass {};\n\
         \x20           proxy_set_header X-Forwarded-For $remote_addr;\n        }}\n        include world.conf;\n    }}\n\
         \x20   include beside.conf;\n}}\n",
        site.port,
        site.homeserver_url()
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

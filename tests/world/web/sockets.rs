//! FastCGI programs, each on a socket named after it.

use super::{Process, SiteFolder, WebServer, guarded, log_to};
use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

/// Starts the programs as in docs/hosts/nginx-spawn-fcgi.md, except for the user.
pub fn start_by_spawn_fcgi(server: &mut WebServer, site: &SiteFolder) {
    let helper = |name: String| {
        let socket = server.folder.join(format!("{name}.socket"));
        let mut command = guarded("spawn-fcgi");
        command.args(["-n", "-s"]).arg(&socket).arg("--").arg(site.program(&name));
        (name, command, socket)
    };
    let helpers = names(site).into_iter().map(helper).collect();
    server.start_helpers(helpers);
}

/// Starts the programs as systemd does with `Accept=no` and `StandardInput=socket`: the socket exists first and becomes the
/// program's standard input.
pub fn start_like_systemd(server: &mut WebServer, site: &SiteFolder) {
    for name in names(site) {
        let socket = server.folder.join(format!("{name}.socket"));
        let listener = UnixListener::bind(&socket).unwrap_or_else(|cause| panic!("{}: {cause}", socket.display()));
        // The folder keeps others out; Apache's workers do not run as root.
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
        let log = server.log_path();
        let mut command = guarded(site.program(&name));
        log_to(&mut command, &log);
        command.stdin(OwnedFd::from(listener));
        server.processes.push(Process::start(&name, command, Some(&log)));
    }
}

fn names(site: &SiteFolder) -> Vec<String> {
    [site.programs_in("public"), site.programs_in("internal")].concat()
}

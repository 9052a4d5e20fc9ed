//! lighttpd, with mod_cgi and with mod_fastcgi.

use super::{Page, SiteFolder, Snippets, USER, WebServer, guarded, hand_over, text};
use std::fs;
use url::Url;

/// The module that runs the programs.
#[derive(Clone, Copy)]
pub enum Way {
    Cgi,
    FastCgi,
}

pub fn start(server: &mut WebServer, site: &SiteFolder, way: Way) {
    let port = format!("127.0.0.1:{}", site.internal_port);
    let name = ("register.example.org", "127.0.0.1");
    let (place, port) = (("/srv/matrix-register-bot", text(site.path())), ("127.0.0.1:8080", port.as_str()));
    let (module, page) = match way {
        Way::Cgi => ("mod_cgi", Page::read("lighttpd-cgi", &[name, place, port])),
        Way::FastCgi => {
            ("mod_fastcgi", Page::read("lighttpd-fastcgi", &[name, place, port, ("/run/lighttpd", text(server.folder.path()))]))
        }
    };
    fs::create_dir(server.folder.join("www")).unwrap();
    Snippets::of(&page, site).write(server);
    fs::write(server.folder.join("lighttpd.conf"), frame(server, site, module)).unwrap();
    fs::write(server.log_path(), "").unwrap();
    hand_over(server, site);
    let mut command = guarded("setpriv");
    if rustix::process::geteuid().is_root() {
        // Not with lighttpd's own setting: when a process changes its user, the kernel clears the death signal that `guarded`
        // set.
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "TERM", "--", "lighttpd", "-D", "-f"]).arg(server.folder.join("lighttpd.conf"));
    server.start_server("lighttpd", command, site.port);
}

/// The configuration around the lines of a page.
fn frame(server: &WebServer, site: &SiteFolder, module: &str) -> String {
    let folder = text(server.folder.path());
    let homeserver = Url::parse(site.homeserver_url()).expect("the homeserver has an address");
    format!(
        "server.modules = ( \"mod_alias\", \"mod_proxy\", \"{module}\" )\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
         server.document-root = \"{folder}/www\"\nserver.errorlog = \"{folder}/error.log\"\nserver.breakagelog = \"{folder}/error.log\"\n\
         server.upload-dirs = ( \"{folder}\" )\n\
         include \"beside.conf\"\n$SERVER[\"socket\"] == \"127.0.0.1:{port}\" {{\n\
         \x20   $HTTP[\"url\"] =~ \"^/_matrix/\" {{\n        proxy.server = ( \"\" => (( \"host\" => \"127.0.0.1\", \"port\" => {homeserver_port} )) )\n    }}\n\
         \x20   include \"world.conf\"\n}}\n",
        port = site.port,
        homeserver_port = homeserver.port().expect("the homeserver has a port"),
    )
}

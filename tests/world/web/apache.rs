//! Apache with mod_cgid.

use super::{SiteFolder, WebServer, guarded, has_internal, sample};
use std::fs;
use std::process::Command;

/// Where Debian keeps Apache's modules.
const MODULES: &str = "/usr/lib/apache2/modules";
const LOADED: [&str; 9] = ["mpm_event", "authz_core", "authz_host", "alias", "cgid", "headers", "setenvif", "proxy", "proxy_http"];
/// Who runs the programs where root starts the server: Apache does not serve as root.
const USER: &str = "www-data";

pub fn start(server: &mut WebServer, site: &SiteFolder) {
    let folder = site.path().to_str().expect("temporary paths are UTF-8");
    let place = ("/srv/matrix-register-bot", folder);
    let mut world = sample("public/apache-cgi.conf", &[place]);
    let mut beside = String::new();
    if has_internal(site) {
        world += &sample("internal/apache-homeserver-cgi.conf", &[place]);
        let listen = format!("127.0.0.1:{}", site.internal_port);
        beside = sample("internal/apache-cgi.conf", &[place, ("127.0.0.1:8080", &listen)]);
    }
    fs::create_dir(server.folder.join("www")).unwrap();
    fs::write(server.folder.join("world.conf"), world).unwrap();
    fs::write(server.folder.join("beside.conf"), beside).unwrap();
    fs::write(server.folder.join("apache.conf"), frame(server, site)).unwrap();
    if rustix::process::geteuid().is_root() {
        hand_over(server, site);
    }
    let mut command = guarded("apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(server.folder.join("apache.conf"));
    server.start_server("Apache", command);
}

/// Gives the user who runs the programs what they write, and the way there; the programs themselves are not touched, they
/// may be links to the built ones.
fn hand_over(server: &WebServer, site: &SiteFolder) {
    let data = site.database_path().parent().expect("a file is in a folder").to_owned();
    let written = fs::read_dir(&data).unwrap().flatten().map(|entry| entry.path());
    let places = [site.path().to_owned(), data, site.config_path(), server.folder.path().to_owned()];
    let state = Some(site.path().join("config.json")).filter(|path| path.exists());
    let done = Command::new("chown").arg(USER).args(places.into_iter().chain(written).chain(state)).status();
    assert!(done.is_ok_and(|status| status.success()), "cannot give the site to {USER}");
}

/// What surrounds the samples on a sysadmin's machine.
fn frame(server: &WebServer, site: &SiteFolder) -> String {
    let folder = server.folder.path().display();
    let modules: String = LOADED.iter().map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n")).collect();
    let user = if rustix::process::geteuid().is_root() { format!("User {USER}\nGroup {USER}\n") } else { String::new() };
    format!(
        "ServerRoot \"{folder}\"\nServerName 127.0.0.1\nPidFile apache.pid\nErrorLog error.log\nLogLevel notice\n{modules}{user}\
         DefaultRuntimeDir \"{folder}\"\nScriptSock \"{folder}/cgid.socket\"\nStartServers 1\nDocumentRoot \"{folder}/www\"\n\
         <Directory \"/\">\n    AllowOverride None\n    Require all denied\n</Directory>\n\
         <Directory \"{folder}/www\">\n    Require all granted\n</Directory>\n\
         Include beside.conf\nListen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n\
         \x20   Include world.conf\n    ProxyPass \"/_matrix\" \"{homeserver}/_matrix\" nocanon\n    AllowEncodedSlashes NoDecode\n\
         </VirtualHost>\n",
        port = site.port,
        homeserver = site.homeserver_url(),
    )
}

//! Apache, with each of the three modules that run programs.

use super::{Page, SiteFolder, Snippets, USER, WebServer, guarded, hand_over, hardening_page, sockets, text};
use std::fs;

/// Where Debian installs Apache's modules.
const MODULES: &str = "/usr/lib/apache2/modules";
const LOADED: [&str; 9] = ["mpm_event", "authz_core", "authz_host", "alias", "dir", "headers", "setenvif", "proxy", "proxy_http"];

/// The module that runs the programs.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    Cgid,
    Fcgid,
    ProxyFcgi,
}

impl Way {
    fn module(self) -> &'static str {
        match self {
            Way::Cgid => "cgid",
            Way::Fcgid => "fcgid",
            Way::ProxyFcgi => "proxy_fcgi",
        }
    }

    /// Where the module keeps its files; Debian's defaults are only for root.
    fn places(self, folder: &str) -> String {
        match self {
            Way::Cgid => format!("ScriptSock \"{folder}/cgid.socket\"\n"),
            Way::Fcgid => format!("FcgidIPCDir \"{folder}\"\nFcgidProcessTableFile \"{folder}/fcgid_shm\"\n"),
            Way::ProxyFcgi => String::new(),
        }
    }

    fn page(self, server: &WebServer, site: &SiteFolder) -> Page {
        let port = format!("127.0.0.1:{}", site.internal_port);
        let (place, port) = (("/srv/matrix-register-bot", text(site.path())), ("127.0.0.1:8080", port.as_str()));
        match self {
            Way::Cgid => Page::read("apache-cgid", &[place, port]),
            Way::Fcgid => Page::read("apache-fcgid", &[place, port]),
            Way::ProxyFcgi => Page::read("apache-proxy-fcgi", &[("/run/matrix-register-bot", text(server.folder.path())), port]),
        }
    }
}

pub fn start(server: &mut WebServer, site: &SiteFolder, way: Way) {
    if way == Way::ProxyFcgi {
        sockets::start_like_systemd(server, site);
    }
    fs::create_dir(server.folder.join("www")).unwrap();
    // Debian's start page, which must not replace the form.
    fs::write(server.folder.join("www/index.html"), "It works!").unwrap();
    Snippets::of(&way.page(server, site), site).write(server);
    fs::write(server.folder.join("apache.conf"), frame(server, site, way)).unwrap();
    hand_over(server, site);
    let mut command = guarded("apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(server.folder.join("apache.conf"));
    server.start_server("Apache", command, site.port);
}

/// The configuration around the lines of a page.
fn frame(server: &WebServer, site: &SiteFolder, way: Way) -> String {
    let folder = text(server.folder.path());
    let (mut hardened, mut more, mut log) = (Vec::new(), String::new(), String::new());
    if !server.hardening.is_empty() {
        let page = hardening_page(server);
        hardened = vec!["reqtimeout"];
        (more, log) = (page.lines("Apache").to_owned(), page.lines("Apache: VirtualHost").to_owned());
    }
    let loaded =
        LOADED.into_iter().chain([way.module()]).chain(hardened).map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"));
    let modules: String = loaded.collect();
    let user = if rustix::process::geteuid().is_root() { format!("User {USER}\nGroup {USER}\n") } else { String::new() };
    format!(
        "ServerRoot \"{folder}\"\nServerName 127.0.0.1\nPidFile apache.pid\nErrorLog error.log\nLogLevel notice\n{modules}{user}\
         DefaultRuntimeDir \"{folder}\"\n{places}StartServers 1\nDocumentRoot \"{folder}/www\"\n\
         <Directory \"/\">\n    AllowOverride None\n    Require all denied\n</Directory>\n\
         <Directory \"{folder}/www\">\n    Require all granted\n</Directory>\n\
         {more}Include beside.conf\nListen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n\
         {log}\x20   Include world.conf\n    ProxyPass \"/_matrix\" \"{homeserver}/_matrix\" nocanon\n    AllowEncodedSlashes NoDecode\n\
         </VirtualHost>\n",
        places = way.places(folder),
        port = site.port,
        homeserver = site.homeserver_url(),
    )
}

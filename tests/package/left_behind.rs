//! What `apt remove` and `apt purge` leave behind: above all web servers that start.

use crate::debian::{Debian, USER, install};
use crate::installation::run;
use crate::world::process::{Process, log_to};
use crate::world::{Browser, free_port};
use std::fs;

const NGINX: &str = "etc/nginx/sites-enabled/register";
const APACHE: &str = "etc/apache2/sites-enabled/register.conf";

/// The package is configured and was used; its programs have ended.
pub fn remove_and_purge(debian: &Debian) {
    let servers = Servers::with_both_ways_to_include(debian);
    debian.run("apt-get remove -y matrix-register-bot");
    for (path, stays) in [
        ("usr/lib/matrix-register-bot", false),
        ("usr/lib/systemd/system/matrix-register-bot-public@.service", false),
        ("etc/matrix-register-bot/config.toml", true),
        ("var/lib/matrix-register-bot/data/register.sqlite", true),
        ("var/lib/matrix-register-bot/config.json", true),
    ] {
        assert_eq!(debian.root.join(path).exists(), stays, "{path} after the removal");
    }
    cron_is_silent(debian);
    servers.answer_with_form_status(503, "after the removal");

    // systemd would have removed the sockets.
    fs::remove_dir_all(debian.root.join("run/matrix-register-bot")).unwrap();
    let said = debian.run("apt-get purge -y matrix-register-bot");
    servers.answer_with_form_status(404, "after the purge");
    let left = ["/etc/matrix-register-bot/apache/pages.conf", "/etc/matrix-register-bot/nginx/pages.conf"];
    assert!(left.iter().all(|file| said.contains(&format!("left {file}, empty"))), "{said}");
    assert_eq!(debian.run("find /etc/matrix-register-bot -type f").lines().collect::<std::collections::BTreeSet<_>>(), left.into());
    nobody_is_left(debian);

    // A later installation has the real files again, and the second purge has no reason to leave any.
    install(debian, 2);
    for file in left {
        assert!(debian.run(&format!("cat {file}")).contains(".socket"), "{file}");
    }
    servers.include_only_what_is_there();
    debian.run("apt-get purge -y matrix-register-bot");
    assert_eq!(debian.traces(), [] as [&str; 0]);
    nobody_is_left(debian);
    servers.answer_with_form_status(404, "after the second purge");
}

fn cron_is_silent(debian: &Debian) {
    let line = fs::read_to_string(debian.root.join("etc/cron.d/matrix-register-bot")).unwrap();
    let (_, told) = line.lines().last().and_then(|line| line.split_once(&format!(" {USER} "))).expect("a line for the user");
    let mut cron = debian.command("sh");
    cron.args(["-c", told]);
    assert_eq!(run(cron), "", "the crontab's line is silent without the program");
}

fn nobody_is_left(debian: &Debian) {
    let users = fs::read_to_string(debian.root.join("etc/passwd")).unwrap() + &fs::read_to_string(debian.root.join("etc/group")).unwrap();
    assert!(!users.contains(USER), "{users}");
}

/// nginx and Apache, each with two hosts: one includes the pages as the documents say, the other by the file's full name.
struct Servers<'a> {
    debian: &'a Debian,
    nginx: [u16; 2],
    apache: [u16; 2],
}

impl<'a> Servers<'a> {
    fn with_both_ways_to_include(debian: &'a Debian) -> Servers<'a> {
        debian.run("apt-get install -y --no-install-recommends apache2");
        debian.run("a2enmod proxy_fcgi headers setenvif");
        debian.run("a2dissite 000-default");
        fs::create_dir_all(debian.root.join("var/www/other")).unwrap();
        fs::write(debian.root.join("var/www/other/page.html"), "another page of this server").unwrap();
        let servers = Servers { debian, nginx: [free_port(), free_port()], apache: [free_port(), free_port()] };
        servers.write("include /etc/matrix-register-bot/nginx/pages.conf;", "Include /etc/matrix-register-bot/apache/pages.conf");
        servers
    }

    fn include_only_what_is_there(&self) {
        self.write("", "");
    }

    fn write(&self, nginx_includes: &str, apache_includes: &str) {
        let documented =
            ["include /etc/matrix-register-bot/nginx/pages*.conf;", "IncludeOptional /etc/matrix-register-bot/apache/pages.conf"];
        let nginx = |port, line| format!("server {{\n    listen 127.0.0.1:{port};\n    root /var/www/other;\n    {line}\n}}\n");
        let apache = |port, line| {
            let host = format!("ServerName localhost\nDocumentRoot /var/www/other\n{line}\n");
            format!("Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n{host}</VirtualHost>\n")
        };
        fs::write(self.debian.root.join(NGINX), nginx(self.nginx[0], documented[0]) + &nginx(self.nginx[1], nginx_includes)).unwrap();
        fs::write(self.debian.root.join(APACHE), apache(self.apache[0], documented[1]) + &apache(self.apache[1], apache_includes)).unwrap();
        fs::write(self.debian.root.join("etc/apache2/ports.conf"), "").unwrap();
    }

    /// Both start, serve their other pages, and answer for the form with this status.
    fn answer_with_form_status(&self, status: u16, when: &str) {
        self.debian.run("nginx -t");
        self.debian.run("apachectl configtest");
        let _running = [self.start("nginx", "exec nginx -g 'daemon off;'", self.nginx), self.start_apache()];
        for port in self.nginx.into_iter().chain(self.apache) {
            let browser = Browser::new(&format!("http://127.0.0.1:{port}/"));
            let other = browser.get("/page.html");
            assert_eq!((other.status, other.body.as_str()), (200, "another page of this server"), "port {port} {when}");
            assert_eq!(browser.get("/register").status, status, "port {port} {when}");
        }
    }

    fn start_apache(&self) -> Process {
        self.start("apache2", ". /etc/apache2/envvars && mkdir -p /run/apache2 && exec apache2 -DFOREGROUND", self.apache)
    }

    fn start(&self, name: &str, line: &str, ports: [u16; 2]) -> Process {
        let (mut command, log) = (self.debian.command("sh"), self.debian.root.join("log"));
        command.args(["-c", line]);
        log_to(&mut command, &log);
        let mut server = Process::start(name, command, Some(&log));
        server.wait_until(10, || ports.iter().all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok()));
        server
    }
}

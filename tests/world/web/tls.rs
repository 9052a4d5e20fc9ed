//! A proxy with a certificate in front of another web server.

use super::{Page, WebServer, guarded, nginx};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Puts nginx with a throw-away certificate in front of the server, configured as in the overview of `docs/hosts`.
pub fn start(server: &mut WebServer, port: u16) {
    let folder = server.folder.join("tls");
    fs::create_dir(&folder).unwrap();
    let (certificate, key) = self_signed(&folder, "127.0.0.1");
    let listen = format!("listen 127.0.0.1:{port} ssl;");
    let behind = format!("http://127.0.0.1:{}", server.port);
    let page = Page::read(
        "README",
        &[
            ("listen 443 ssl;", &listen),
            ("/etc/ssl/register.example.org.pem", super::text(&certificate)),
            ("/etc/ssl/register.example.org.key", super::text(&key)),
            ("http://127.0.0.1:8081", &behind),
        ],
    );
    let config = nginx::frame(page.lines("Behind a proxy with the certificate"));
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let mut command = guarded("nginx");
    command.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(&folder);
    server.start_server("nginx with the certificate", command, port);
    server.certificate = Some(fs::read_to_string(certificate).unwrap());
}

/// A throw-away certificate for an address, and its key.
pub fn self_signed(folder: &Path, address: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let mut make = Command::new("openssl");
    make.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -addext basicConstraints=critical,CA:FALSE".split(' '));
    make.args(["-subj", &format!("/CN={address}"), "-addext", &format!("subjectAltName=IP:{address}")]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&certificate).stderr(Stdio::null());
    assert!(make.status().is_ok_and(|status| status.success()), "openssl makes no certificate; run tests/world/install");
    (certificate, key)
}

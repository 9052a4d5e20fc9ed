//! `matrix-register-bot check`: the pages as a stranger reaches them, what must not be reachable, and the file by which clients find the
//! homeserver.

use crate::Story;
use crate::check::{check_with, finds, has, healthy};
use crate::world::impostor::http_impostor;
use crate::world::{Host, TempFolder, free_port, self_signed};
use serde_json::json;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

#[test]
fn a_public_url_that_leads_elsewhere_is_found() {
    let mut story = healthy();
    let url = story.site.public_url();
    for (elsewhere, words) in [
        ("http://127.0.0.1:9/".to_owned(), ["nobody listens", "public_url"]),
        (url.replace("http:", "https:"), ["nobody speaks TLS", "public_url"]),
        ("http://nowhere.invalid/".to_owned(), ["DNS", "public_url"]),
        (format!("{url}folder/"), ["404", "folder"]),
        (format!("{}/", story.synapse.base_url), ["public_url", "404"]),
        (redirecting("/register"), ["redirects in a circle", "/register"]),
        (redirecting(&format!("{url}register")), ["redirects to", "set public_url"]),
        (answering("200 OK", "<h1>It works!</h1>"), ["another host or folder", "public_url"]),
        (answering("502 Bad Gateway", ""), ["502", "socket"]),
    ] {
        story.site.set("public_url", elsewhere.as_str());
        finds(&story, "public_url", &words);
    }
    let other = Story::start("synapse", Host::NginxCgi);
    story.site.set("public_url", other.site.public_url());
    finds(&story, "public_url", &["another installation"]);
}

/// A web server that answers everything with the same page. Returns its URL.
fn answering(status: &str, body: &str) -> String {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    format!("{}/", http_impostor((head + body).into_bytes()))
}

/// A web server that redirects everything.
fn redirecting(to: &str) -> String {
    let answer = format!("HTTP/1.1 301 Moved Permanently\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    format!("{}/", http_impostor(answer.into_bytes()))
}

#[test]
fn a_certificate_that_browsers_do_not_trust_is_found() {
    let story = Story::start_with("synapse", Host::NginxFastCgi, |site| site.behind_tls());
    story.site.let_cron_succeed();
    finds(&story, "public_url", &["no certificate for this name that browsers trust", "public_url"]);
}

#[test]
fn an_internal_program_that_strangers_reach_is_found() {
    let mut story = healthy();
    let internal = story.web.internal_url();
    story.site.set("public_url", internal);
    let all = story.site.programs_in("internal");
    let words = ["/internal/", "take those lines out of the public host"].into_iter().chain(all.iter().map(String::as_str));
    finds(&story, "internal", &words.collect::<Vec<_>>());
}

/// A web server for `https://ADDRESS/.well-known/matrix/client`.
struct WellKnown {
    server: Child,
    folder: TempFolder,
    address: String,
}

impl WellKnown {
    /// Only root may listen at the port of https; otherwise `None`, with a message.
    fn start() -> Option<WellKnown> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("NOT TESTED: needs root");
            return None;
        }
        // Each test that runs at the same time has another address.
        let port = free_port();
        let address = format!("127.1.{}.{}", port / 256, port % 256);
        let folder = TempFolder::new("https");
        let (certificate, key) = self_signed(folder.path(), &address);
        fs::create_dir_all(folder.join(".well-known/matrix")).unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-WWW", "-quiet", "-accept", &format!("{address}:443")]).current_dir(folder.path());
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..200 {
            if TcpStream::connect((address.as_str(), 443)).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Some(WellKnown { server, folder, address })
    }

    fn contains(&self, text: &str) {
        fs::write(self.folder.join(".well-known/matrix/client"), text).unwrap();
    }

    fn certificate(&self) -> String {
        let path: &Path = &self.folder.join("certificate.pem");
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for WellKnown {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_well_known_file_that_leads_clients_astray_is_found() {
    let Some(well_known) = WellKnown::start() else { return };
    let mut story = healthy();
    // Clients look at the host, whatever port the name has.
    story.site.set("server_name", format!("{}:8448", well_known.address));
    let certificate = well_known.certificate();
    let looked_at = |verdict: &str, words: &[&str]| {
        let (_, findings) = check_with(&story.site, &[("SSL_CERT_FILE", &certificate)]);
        has(&findings, verdict, ".well-known", words);
    };
    let leading_to = |base_url: &str| well_known.contains(&json!({"m.homeserver": {"base_url": base_url}}).to_string());
    looked_at("warning", &["people have to type the homeserver's address", "docs/accounts.md"]);
    well_known.contains("{\"m.homeserver\": ");
    looked_at("warning", &["is no JSON file", "base_url"]);
    leading_to("http://127.0.0.1:9");
    looked_at("warning", &["leads clients to http://127.0.0.1:9", "nobody listens"]);
    leading_to(&answering("404 Not Found", "{}"));
    looked_at("warning", &["no homeserver answers there"]);
    leading_to(&answering("200 OK", r#"{"versions": ["v1.12"], "server_name": "other.test"}"#));
    looked_at("wrong", &["is the homeserver of other.test", "server_name"]);
    leading_to(&story.synapse.base_url);
    looked_at("ok", &["leads clients to", &story.synapse.base_url]);
}

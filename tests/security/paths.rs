//! Ways around the public URLs of `docs/hosts`: the internal programs and the files must stay unreachable.

use crate::world::{Host, SiteFolder, WebServer, built_programs, cheap_hash, programs_of};
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::store::{Access, NewLogin};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PASSWORD: &str = "correct horse battery staple";

fn raw(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Request targets, exactly as sent.
fn targets() -> Vec<String> {
    let mut targets: Vec<String> = Vec::new();
    for program in programs_of("internal").into_iter().chain(["profile/displayName"]) {
        targets.extend([
            format!("/internal/{program}"),
            format!("/internal/{program}.php"),
            format!("//internal/{program}"),
            format!("/./internal/{program}"),
            format!("/%69nternal/{program}"),
            format!("/internal%2f{program}"),
            format!("/register/../internal/{program}"),
            format!("/register/%2e%2e/internal/{program}"),
            format!("/register%2f..%2f..%2finternal%2f{program}"),
            format!("/..%2finternal/{program}"),
            format!("/../internal/{program}"),
            format!("/public/../internal/{program}"),
            format!("/register;/../internal/{program}"),
            format!("/register%00/../internal/{program}"),
            format!("/register%0a/internal/{program}"),
            format!("/register/internal/{program}"),
            format!("/{program}"),
            format!("/{program}.socket"),
            format!("/verify/..;/internal/{program}"),
            format!("/\\internal\\{program}"),
            format!("/INTERNAL/{program}"),
            format!("http://127.0.0.1:8080/internal/{program}"),
            format!("http://127.0.0.1/internal/{program}"),
        ]);
    }
    for path in ["check_credentials", "identity_single"] {
        targets.push(format!("/_matrix-internal/identity/v1/{path}"));
    }
    for path in ["auth/login", "directory/user/search", "identity/single", "identity/bulk", "profile/displayName"] {
        targets.push(format!("/_mxisd/backend/api/v1/{path}"));
        targets.push(format!("/_ma1sd/backend/api/v1/{path}"));
    }
    for file in [
        "config.toml",
        "config.json",
        "config.json.lock",
        "data/register.sqlite",
        "data/register.sqlite-wal",
        "cron/cron",
        "cron",
        "mails/",
    ] {
        targets.extend([
            format!("/{file}"),
            format!("/../{file}"),
            format!("/register/../{file}"),
            format!("/register/../../{file}"),
            format!("/%2e%2e/{file}"),
            format!("/register%2f..%2f..%2f{file}"),
            format!("/public/..%2f{file}"),
            format!("/..%5c{file}"),
            format!("/register%00.{file}"),
        ]);
    }
    targets
}

#[test]
fn the_world_reaches_neither_the_internal_programs_nor_a_file() {
    for host in Host::ALL {
        let site = SiteFolder::new(&built_programs!()).create();
        let web = WebServer::start(&site, host);
        let ours = Site::open(&site.config_path()).unwrap();
        ours.state.complete().unwrap();
        let login = NewLogin {
            localpart: "ada".into(),
            first_name: "Ada".into(),
            last_name: "Lovelace".into(),
            password_hash: cheap_hash(PASSWORD),
            email: "ada@secret.example.org".into(),
            email_folded: "ada@secret.example.org".into(),
            created_at: 1,
            initial_password_until: None,
        };
        ours.store(Access::Write).unwrap().import_login(&login).unwrap();
        // Every program would have something to answer to this.
        let body = serde_json::json!({
            "user": {"id": "@ada:example.test", "password": PASSWORD}, "by": "name", "search_term": "ada",
            "lookup": {"medium": "email", "address": "ada@secret.example.org"}, "mxid": "@ada:example.test"
        })
        .to_string();
        let send = |target: &str, more: &str| {
            let length = body.len();
            let request = format!(
                "POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            raw(site.port, request.as_bytes())
        };
        let known = send("/register", "");
        assert!(known.starts_with("HTTP/1.1 415"), "{host:?}: {known}");
        let tricks = "SCRIPT_FILENAME: ../internal/login\r\nSCRIPT_NAME: /internal/login\r\nPATH_INFO: /internal/login\r\nScript-Filename: ../internal/login\r\n\
                      X-Original-URL: /internal/login\r\nX-Rewrite-URL: /internal/login\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\
                      X-HTTP-Method-Override: GET\r\nMATRIX_REGISTER_BOT_CONFIG: /tmp/evil.toml\r\nMatrix-Register-Bot-Config: /tmp/evil.toml\r\n";
        for target in targets() {
            for more in ["", tricks] {
                let answer = send(&target, more);
                for secret in [
                    "success",
                    "Ada",
                    "secret.example.org",
                    "@ada",
                    "server_name =",
                    "secret_key",
                    "SQLite format",
                    "ELF",
                    "lookup\":",
                    "limited",
                    "profile\":",
                ] {
                    assert!(!answer.contains(secret), "{host:?} {target}: {answer}");
                }
            }
        }
        for target in programs_of("public").into_iter().map(|program| format!("/{program}")) {
            let answer = send(&target, tricks);
            assert!(answer.starts_with("HTTP/1.1 415"), "{host:?} {target}: {answer}");
        }
        // The same on the port for this machine only, which serves no files either.
        for target in targets().iter().filter(|target| !target.contains("internal") && !target.contains("/api/v1/")) {
            let answer =
                raw(site.internal_port, format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes());
            for secret in ["server_name =", "secret_key", "SQLite format", "ELF"] {
                assert!(!answer.contains(secret), "{host:?} {target}: {answer}");
            }
        }
        drop(web);
    }
}

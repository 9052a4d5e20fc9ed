//! The test world keeps its own promises: each server that other tests rely on is started once and checked.

#[path = "../world/mod.rs"]
mod world;

mod databases;

use lettre::Message;
use lettre::message::{Mailbox, MultiPart};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use world::{
    Browser, Chromium, Host, Key, MailCatcher, OwnSynapse, Programs, SiteFolder, Synapse, TempFolder, WebServer, program_places,
    programs_of,
};

/// Stands in for the real programs: prints how it was called, and shows a form.
const SCRIPT: &str = r#"#!/bin/sh
body=$(head -c "${CONTENT_LENGTH:-0}" | sed 's/&/\&amp;/g')
printf 'Content-Type: text/html; charset=utf-8\r\n\r\n'
cat <<END
<!DOCTYPE html><html lang="en"><title>$(basename "$0")</title>
<p id="uri">$REQUEST_URI</p><p id="query">$QUERY_STRING</p><p id="from">$REMOTE_ADDR</p>
<p id="proxy">$HTTP_PROXY</p><p id="authorization">$HTTP_AUTHORIZATION</p><p id="language">$HTTP_ACCEPT_LANGUAGE</p><p id="secret">$MX_SHARED_SECRET</p><p id="body">$body</p>
<form method="post" action="?again=1"><input type="hidden" name="form_token" value="a&amp;b">
<label for="first">First name</label><input id="first" name="first_name"><textarea name="note">
kept</textarea><input type="checkbox" name="terms"><button name="action" value="send">Send</button></form>
END
"#;

fn scripts(folder: &TempFolder) -> Programs {
    placed(folder, SCRIPT, |place| !place.starts_with("internal/"))
}

fn all_scripts(folder: &TempFolder, text: &str) -> Programs {
    placed(folder, text, |place| !place.starts_with("cron/"))
}

/// The script in each of these places.
fn placed(folder: &TempFolder, text: &str, is_wanted: fn(&str) -> bool) -> Programs {
    let places = program_places().into_iter().filter(|place| is_wanted(place));
    Programs::new(places.map(|place| (place, script(folder, place.rsplit('/').next().unwrap_or(place), text))))
}

fn script(folder: &TempFolder, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn every_old_and_new_address_reaches_its_program() {
    for host in Host::PLAIN_CGI {
        pages_are_found(host);
    }
}

fn pages_are_found(host: Host) {
    let folder = TempFolder::new("scripts");
    let site = SiteFolder::new(&scripts(&folder)).create();
    let web = WebServer::start(&site, host);
    let browser = Browser::new(&web.url());
    for (address, program) in [
        ("/", "register"),
        ("/register", "register"),
        ("/index.php", "register"),
        ("/verify?t=x", "verify"),
        ("/verify.php?t=x", "verify"),
        ("//verify.php?t=x", "verify"),
        ("/verify_admin?t=x", "verify_admin"),
        ("/verify_admin.php?t=x", "verify_admin"),
        ("//verify_admin.php?t=x", "verify_admin"),
        ("/reset_password?t=x", "reset_password"),
        ("/welcome?t=x", "welcome"),
    ] {
        let page = browser.get(address);
        assert_eq!((page.status, page.texts("title")), (200, vec![program.to_owned()]), "{address}: {}", web.log());
        assert_eq!(page.texts("#uri"), [address]);
        assert_eq!(page.texts("#query"), [address.split_once('?').map_or("", |(_, query)| query)]);
    }
    for program in programs_of("public") {
        let page = browser.get(&format!("/{program}"));
        assert_eq!((page.status, page.texts("title")), (200, vec![program.to_owned()]), "{host:?}: {}", web.log());
    }
    assert_eq!(browser.get("/cron").status, 404);
    assert_eq!(browser.get("/config.toml").status, 404);
}

/// The URLs that Synapse's module, both identity servers and configurations of the PHP program use, with the program that
/// answers.
const INTERNAL_ADDRESSES: [(&str, &str); 35] = [
    ("/_matrix-internal/identity/v1/check_credentials", "login"),
    ("/_matrix-internal/identity/v1/identity_single", "identity_single"),
    ("/internal/login", "login"),
    ("/internal/directory_search", "directory_search"),
    ("/internal/identity_single", "identity_single"),
    ("/internal/identity_bulk", "identity_bulk"),
    ("/internal/profile", "profile"),
    ("/internal/profile/displayName", "profile"),
    ("/internal/profile/threepids", "profile"),
    ("/internal/profile/roles", "profile"),
    ("/internal/intercept_change_password", "intercept_change_password"),
    ("/internal/metrics", "metrics"),
    ("/internal/room_events/_matrix/app/v1/transactions/4", "room_events"),
    ("/internal/room_events/_matrix/app/v1/ping?x=y", "room_events"),
    ("/_ma1sd/backend/api/v1/auth/login", "login"),
    ("/_ma1sd/backend/api/v1/directory/user/search", "directory_search"),
    ("/_ma1sd/backend/api/v1/identity/single", "identity_single"),
    ("/_ma1sd/backend/api/v1/identity/bulk", "identity_bulk"),
    ("/_ma1sd/backend/api/v1/profile/displayName", "profile"),
    ("/_ma1sd/backend/api/v1/profile/threepids", "profile"),
    ("/_ma1sd/backend/api/v1/profile/roles", "profile"),
    ("/_mxisd/backend/api/v1/auth/login", "login"),
    ("/_mxisd/backend/api/v1/directory/user/search", "directory_search"),
    ("/_mxisd/backend/api/v1/identity/single", "identity_single"),
    ("/_mxisd/backend/api/v1/identity/bulk", "identity_bulk"),
    ("/_mxisd/backend/api/v1/profile/displayName", "profile"),
    ("/_mxisd/backend/api/v1/profile/threepids", "profile"),
    ("/_mxisd/backend/api/v1/profile/roles", "profile"),
    ("/internal/login.php", "login"),
    ("/internal/directory_search.php", "directory_search"),
    ("/internal/identity_single.php", "identity_single"),
    ("/internal/identity_bulk.php", "identity_bulk"),
    ("/internal/intercept_change_password.php", "intercept_change_password"),
    ("//internal/login", "login"),
    ("/internal/login?x=y", "login"),
];

#[test]
fn every_internal_address_reaches_its_program_on_the_port_of_its_own_alone() {
    for host in Host::PLAIN_CGI {
        let folder = TempFolder::new("scripts");
        let site = SiteFolder::new(&all_scripts(&folder, SCRIPT)).create();
        let web = WebServer::start(&site, host);
        let (internal, world) = (Browser::new(&web.internal_url()), Browser::new(&web.url()));
        for (address, program) in INTERNAL_ADDRESSES {
            let page = internal.request("POST", address, "application/json", b"{}");
            assert_eq!((page.status, page.texts("title")), (200, vec![program.to_owned()]), "{host:?} {address}: {}", web.log());
            assert_eq!((page.texts("#uri"), page.texts("#body")), (vec![address.to_owned()], vec!["{}".to_owned()]));
            assert_ne!(world.get(address).status, 200, "{host:?} {address}");
        }
        for program in programs_of("internal") {
            let page = internal.request("POST", &format!("/internal/{program}"), "application/json", b"{}");
            assert_eq!((page.status, page.texts("title")), (200, vec![program.to_owned()]), "{host:?}: {}", web.log());
        }
        for address in ["/internal/", "/internal/cron", "/internal/login/", "/config.toml", "/register"] {
            assert_eq!(internal.get(address).status, 404, "{host:?} {address}");
        }
    }
}

#[test]
fn password_changes_leave_the_homeserver_and_everything_else_stays() {
    let synapse = Synapse::shared();
    for host in Host::PLAIN_CGI {
        let folder = TempFolder::new("scripts");
        let site = SiteFolder::new(&all_scripts(&folder, SCRIPT)).synapse(&synapse).create();
        let web = WebServer::start(&site, host);
        let browser = Browser::new(&web.url()).with_header("Authorization", "Bearer x").with_header("Proxy", "http://evil.test/");
        for version in ["r0", "v3", "unstable"] {
            let address = format!("/_matrix/client/{version}/account/password");
            for method in ["POST", "OPTIONS", "GET"] {
                let page = browser.request(method, &address, "", b"");
                assert_eq!(
                    (page.status, page.texts("title")),
                    (200, vec!["intercept_change_password".to_owned()]),
                    "{host:?}: {}",
                    web.log()
                );
                let passed = [page.texts("#authorization"), page.texts("#proxy"), page.texts("#uri")].concat();
                assert_eq!(passed, ["Bearer x", "", &address], "{host:?} {method}");
            }
        }
        for address in
            ["/_matrix/client/versions", "/_matrix/client/v3/account/whoami", "/_matrix/client/v3/account/password/email/requestToken"]
        {
            assert!(browser.get(address).body.starts_with('{'), "{host:?} {address}: Synapse answers");
        }
    }
}

#[test]
fn a_form_is_read_filled_and_sent() {
    let folder = TempFolder::new("scripts");
    let site = SiteFolder::new(&scripts(&folder)).create();
    let web = WebServer::start(&site, Host::NginxCgi);
    let browser = Browser::new(&web.url()).with_language("de").with_header("Proxy", "http://evil.test/");
    let form = browser.get("/register").form();
    assert_eq!((form.value("form_token"), form.value("note"), form.value("first_name")), ("a&b", "kept", ""));
    let page = browser.submit(&form.fill("first_name", "Jörg & Co").press("action", "send"));
    assert_eq!(page.texts("#body"), ["form_token=a%26b&first_name=J%C3%B6rg+%26+Co&note=kept&action=send"]);
    assert_eq!((page.texts("#query"), page.texts("#language")), (vec!["again=1".into()], vec!["de".into()]));
    assert_eq!(
        (page.texts("#proxy"), page.texts("#secret"), page.texts("#from")),
        (vec!["".into()], vec!["".into()], vec!["127.0.0.1".into()])
    );
}

/// A short FastCGI program: answers each request with its own name and the query. It keeps connections for as long as the web server
/// wants: one that it ended after an answer could be used again before the web server notices, and Apache repeats nothing.
const FASTCGI: &str = r#"#!/usr/bin/env python3
import io, os, socket, struct, sys, threading
def length(f):
    first = f.read(1)[0]
    return first if first < 128 else (first & 127) << 24 | int.from_bytes(f.read(3), "big")
def query(params):
    f = io.BytesIO(params)
    while f.tell() < len(params):
        name, value = length(f), length(f)
        name, value = f.read(name), f.read(value)
        if name == b"QUERY_STRING": return value
def record(kind, data): return struct.pack(">BBHHBB", 1, kind, 1, len(data), 0, 0) + data
def serve(c):
    f, params, keep = c.makefile("rb"), b"", 0
    while header := f.read(8):
        _, kind, _, size, padding, _ = struct.unpack(">BBHHBB", header)
        data = f.read(size + padding)[:size]
        if kind == 1: params, keep = b"", data[2] & 1
        if kind == 4: params += data
        if (kind, size) == (5, 0):
            text = b"Content-Type: text/plain\r\n\r\n%s %s" % (name.encode(), query(params))
            c.sendall(record(6, text) + record(3, bytes(8)))
            if not keep: break
    f.close(); c.close()
listener, name = socket.socket(fileno=0), os.path.basename(sys.argv[0])
while True: threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
"#;

#[test]
fn behind_fastcgi_each_address_reaches_the_process_of_its_program() {
    for host in Host::FASTCGI {
        let folder = TempFolder::new("scripts");
        let site = SiteFolder::new(&all_scripts(&folder, FASTCGI)).create();
        let web = WebServer::start(&site, host);
        let (internal, world) = (Browser::new(&web.internal_url()), Browser::new(&web.url()));
        for (address, answer) in [
            ("/?t=1", "register t=1"),
            ("/index.php", "register "),
            ("//verify.php?t=2", "verify t=2"),
            ("/verify_admin?t=3", "verify_admin t=3"),
            ("//verify_admin.php?t=4", "verify_admin t=4"),
            ("/welcome?t=5", "welcome t=5"),
        ] {
            let page = world.get(address);
            assert_eq!((page.status, page.body.as_str()), (200, answer), "{host:?}: {}", web.log());
        }
        for program in programs_of("public") {
            let page = world.get(&format!("/{program}"));
            assert_eq!((page.status, page.body), (200, format!("{program} ")), "{host:?}: {}", web.log());
        }
        for program in programs_of("internal") {
            let page = internal.request("POST", &format!("/internal/{program}"), "application/json", b"{}");
            assert_eq!((page.status, page.body), (200, format!("{program} ")), "{host:?}: {}", web.log());
        }
        for (address, program) in INTERNAL_ADDRESSES {
            let page = internal.request("POST", address, "application/json", b"{}");
            let query = address.split_once('?').map_or("", |(_, query)| query);
            assert_eq!((page.status, page.body), (200, format!("{program} {query}")), "{host:?} {address}: {}", web.log());
            assert_ne!(world.get(address).status, 200, "{host:?} {address}");
        }
        for address in ["/internal/", "/internal/cron", "/internal/login/", "/config.toml", "/register"] {
            assert_eq!(internal.get(address).status, 404, "{host:?} {address}");
        }
    }
}

#[test]
fn servers_end_with_the_value_that_started_them() {
    let folder = TempFolder::new("scripts");
    let site = SiteFolder::new(&scripts(&folder)).create();
    let web = WebServer::start(&site, Host::NginxCgi);
    let (pids, place) = (web.pids(), site.path().to_owned());
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)));
    drop(web);
    drop(site);
    assert!(!pids.iter().any(|pid| is_alive(*pid)) && !place.exists());
}

#[test]
fn a_site_is_laid_out_like_an_installation_and_its_cron_runs() {
    let folder = TempFolder::new("scripts");
    let mut site = SiteFolder::new(&scripts(&folder)).mode("synapse").language("de").ask_password().create();
    site.set("registration_shared_secret", "s3cret");
    site.set("times.confirm_within_hours", 1);
    let config = matrix_register_bot::domain::config::Config::load(&site.config_path()).unwrap();
    assert_eq!(config.public_url.join("/verify"), format!("http://127.0.0.1:{}/verify", site.port));
    assert_eq!(config.database().unwrap(), matrix_register_bot::domain::config::DatabaseUrl::Sqlite(site.database_path()));
    assert_eq!(site.programs_in("public"), programs_of("public"));
    let output = site.run_cron();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("<title>cron"), "{output:?}");
}

#[test]
fn mails_are_caught_and_read_as_their_reader_sees_them() {
    let catcher = MailCatcher::start();
    let to: Mailbox = "Ada <ada@example.org>".parse().unwrap();
    let text = "Grüße, bitte bestätigen:\nhttps://register.example.org/verify?t=abc\n".to_owned();
    let mail = Message::builder().from("bot@example.test".parse().unwrap()).to(to).subject("Bestätigung – jetzt");
    let mail = mail.multipart(MultiPart::alternative_plain_html(text.clone(), "<p>Grüße</p>".to_owned())).unwrap();
    deliver(catcher.port, &mail);
    let mails = catcher.wait_for("ada@example.org", 1);
    assert_eq!((mails.len(), catcher.count()), (1, 1));
    assert_eq!((mails[0].subject(), mails[0].text.trim(), mails[0].html.trim()), ("Bestätigung – jetzt", text.trim(), "<p>Grüße</p>"));
    assert_eq!(mails[0].link(), "https://register.example.org/verify?t=abc");
}

/// The whole conversation of SMTP, one line at a time.
fn deliver(port: u16, mail: &Message) {
    let mut server = BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let mut expect = |line: &[u8], code: &str| {
        server.get_mut().write_all(line).unwrap();
        let mut answer = String::new();
        server.read_line(&mut answer).unwrap();
        assert!(answer.starts_with(code), "{answer}");
    };
    let recipient = format!("RCPT TO:<{}>\r\n", mail.envelope().to()[0]);
    for (line, code) in [("", "220 "), ("HELO test\r\n", "250 "), ("MAIL FROM:<bot@example.test>\r\n", "250 "), (&recipient, "250 ")] {
        expect(line.as_bytes(), code);
    }
    expect(b"DATA\r\n", "354 ");
    expect(&[&mail.formatted()[..], b"\r\n.\r\n"].concat(), "250 ");
}

#[test]
fn synapse_logs_users_in_and_shows_what_was_said_in_a_room() {
    let synapse = Synapse::shared();
    synapse.login("alice", &synapse.alice.password).unwrap();
    assert!(synapse.login("alice", "wrong").unwrap_err().contains("M_FORBIDDEN"));
    assert_eq!(synapse.display_name("alice").as_deref(), Some("Alice Approver"));
    synapse.register("world_check", "a password");
    assert!(synapse.exists("world_check") && !synapse.exists("nobody"));
    let room = synapse.create_room();
    for number in ["one", "two"] {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}");
        let body = json!({"msgtype": "m.text", "body": format!("{number}: https://x.test/{number}")});
        assert_eq!(synapse.call("PUT", &path, Some(&synapse.bot.token), Some(body)).0, 200);
    }
    let messages = synapse.wait_for_messages(&room, 2);
    assert_eq!(messages.iter().map(|message| message.link()).collect::<Vec<_>>(), ["https://x.test/one", "https://x.test/two"]);
}

#[test]
fn a_synapse_of_ones_own_ends_with_its_value() {
    let own = OwnSynapse::start(&["--server-name", "other.test"]);
    assert_eq!(own.synapse.alice.user_id, "@alice:other.test");
    let (pid, url) = (own.pid(), format!("{}/health", own.synapse.base_url));
    drop(own);
    assert!(!is_alive(pid) && world::http::agent(5).get(&url).call().is_err());
}

#[test]
fn chromium_is_used_by_keyboard_alone() {
    let folder = TempFolder::new("scripts");
    let site = SiteFolder::new(&scripts(&folder)).create();
    let web = WebServer::start(&site, Host::NginxCgi);
    let chromium = Chromium::start("de");
    chromium.open(&format!("{}register", web.url()));
    let focus = chromium.tab_to("first_name");
    assert_eq!((focus.label.as_str(), focus.visible), ("First name", true));
    chromium.type_text("Jörg 🙂");
    assert_eq!(chromium.focus().value, "Jörg 🙂");
    chromium.press(Key::Enter);
    chromium.wait_until("return location.search === '?again=1' && document.readyState === 'complete'");
    assert!(chromium.text().contains("first_name=J%C3%B6rg+%F0%9F%99%82&"), "{}", chromium.text());
    assert!(chromium.script("return document.querySelector('#language').innerText", json!([])).as_str().unwrap().starts_with("de"));
}

#[test]
fn chromium_shows_a_small_screen_and_dark_colours() {
    let chromium = Chromium::start("en");
    chromium.open("data:text/html,<meta name=viewport content='width=device-width'><title>small</title><p>here");
    chromium.resize(320, 640);
    chromium.prefer_dark(true);
    assert_eq!(
        chromium.script("return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, navigator.language]", json!([])),
        json!([320, true, "en"])
    );
    let folder = TempFolder::new("picture");
    chromium.screenshot(&folder.join("small.png"));
    assert!(fs::read(folder.join("small.png")).unwrap().starts_with(b"\x89PNG"));
}

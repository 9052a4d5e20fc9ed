//! The requests of mxisd and ma1sd, byte for byte as their classes send them.

use crate::Table;
use crate::homeserver::shared_site;
use crate::world::{Host, WebServer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const JOHNS_PASSWORD: &str = "p=&<>'\"ä€😀\\";

/// The path after `/_ma1sd/backend/api/v1/`, the body, and the answer.
fn vectors() -> Vec<(&'static str, &'static str, Value)> {
    let id = |name: &str| json!({"type": "localpart", "value": name});
    let johns_address = json!([{"medium": "email", "address": "John.Doe@Example.org"}]);
    vec![
        (
            "auth/login",
            r#"{"auth":{"mxid":"@john:example.test","localpart":"john","domain":"example.test","password":"p\u003d\u0026\u003c\u003e\u0027\"ä€😀\\"}}"#,
            json!({"auth": {"success": true, "id": id("john"), "mxid": "@john:example.test",
                "profile": {"display_name": "John Dœ", "three_pids": johns_address}}}),
        ),
        (
            "auth/login",
            r#"{"auth":{"mxid":"@john:example.test","localpart":"john","domain":"example.test","password":"wrong"}}"#,
            json!({"auth": {"success": false}}),
        ),
        (
            "auth/login",
            r#"{"auth":{"mxid":"@jane:other.org","localpart":"jane","domain":"other.org","password":"a secret word"}}"#,
            json!({"auth": {"success": false}}),
        ),
        (
            "directory/user/search",
            r#"{"by":"name","search_term":"jo"}"#,
            json!({"limited": false, "results": [{"user_id": "john", "display_name": "John Dœ"}]}),
        ),
        (
            "directory/user/search",
            r#"{"by":"threepid","search_term":"JANE@example.org"}"#,
            json!({"limited": false, "results": [{"user_id": "jane", "display_name": "Jane"}]}),
        ),
        ("directory/user/search", r#"{"by":"name","search_term":""}"#, json!({"limited": false, "results": []})),
        ("directory/user/search", r#"{"by":"name"}"#, json!({"limited": false, "results": []})),
        (
            "identity/single",
            r#"{"lookup":{"medium":"email","address":"JOHN.DOE@EXAMPLE.ORG"}}"#,
            json!({"lookup": {"medium": "email", "address": "JOHN.DOE@EXAMPLE.ORG", "id": id("john")}}),
        ),
        ("identity/single", r#"{"lookup":{"medium":"email","address":"nobody@example.org"}}"#, json!({})),
        ("identity/single", r#"{"lookup":{"medium":"msisdn","address":"491700000000"}}"#, json!({})),
        (
            "identity/bulk",
            r#"{"lookup":[{"medium":"email","address":"JANE@example.org"},{"medium":"msisdn","address":"49170"},{"medium":"email","address":"john.doe@example.org"},{"medium":"email","address":"no@b.c"}]}"#,
            json!({"lookup": [{"medium": "email", "address": "JANE@example.org", "id": id("jane")},
                {"medium": "email", "address": "john.doe@example.org", "id": id("john")}]}),
        ),
        ("identity/bulk", r#"{"lookup":[{"medium":"msisdn","address":"49170"}]}"#, json!({"lookup": []})),
        (
            "profile/displayName",
            r#"{"localpart":"john","domain":"example.test","mxid":"@john:example.test"}"#,
            json!({"profile": {"display_name": "John Dœ"}}),
        ),
        (
            "profile/threepids",
            r#"{"localpart":"john","domain":"example.test","mxid":"@john:example.test"}"#,
            json!({"profile": {"threepids": johns_address}}),
        ),
        (
            "profile/roles",
            r#"{"localpart":"john","domain":"example.test","mxid":"@john:example.test"}"#,
            json!({"profile": {"roles": ["user"]}}),
        ),
        ("profile/displayName", r#"{"localpart":"nobody","domain":"example.test","mxid":"@nobody:example.test"}"#, json!({"profile": {}})),
    ]
}

#[test]
fn both_identity_servers_are_answered_on_their_default_paths() {
    let (_, site) = shared_site(|site| site);
    let table = Table::of(&site);
    table.add_named("john", ("John", "Dœ"), "John.Doe@Example.org", JOHNS_PASSWORD);
    table.add_named("jane", ("Jane", ""), "jane@example.org", "a secret word");
    for host in Host::ALL {
        let web = WebServer::start(&site, host);
        // One connection for all requests, which they keep open.
        let mut connection = Connection::open(&web);
        for server in ["ma1sd", "mxisd"] {
            for (path, body, answer) in vectors() {
                let path = format!("/_{server}/backend/api/v1/{path}");
                let (status, text) = connection.post(&path, body);
                let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{host:?} {path}: {text}\n{}", web.log()));
                assert_eq!((status, told), (200, answer), "{host:?} {path} {body}");
            }
        }
    }
}

#[test]
fn an_address_book_of_twenty_thousand_comes_through_the_web_server() {
    let (_, site) = shared_site(|site| site);
    Table::of(&site).add_named("jane", ("Jane", ""), "jane@example.org", "a secret word");
    let entry = |address: String| json!({"medium": "email", "address": address});
    let strangers = (0..20_000).map(|number| entry(format!("somebody.with.a.long.name.{number}@example.org")));
    let book = json!({"lookup": strangers.chain([entry("jane@example.org".into())]).collect::<Vec<_>>()}).to_string();
    assert!(book.len() > 1_048_576, "more than nginx lets in by default");
    for host in Host::ALL {
        let web = WebServer::start(&site, host);
        let (status, text) = Connection::open(&web).post("/internal/identity_bulk", &book);
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{host:?}: {status} {text}"));
        assert_eq!(told["lookup"].as_array().map(Vec::len), Some(1), "{host:?}");
    }
}

/// A kept-alive connection with the headers of Apache HttpClient.
struct Connection {
    stream: TcpStream,
    host: String,
}

impl Connection {
    fn open(web: &WebServer) -> Connection {
        let host = web.internal_url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Connection { stream, host }
    }

    fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {}\r\nHost: {}\r\n\
             Connection: Keep-Alive\r\nUser-Agent: Apache-HttpClient/4.5.14 (Java/17.0.21.1)\r\nAccept-Encoding: gzip,deflate\r\n\r\n",
            body.len(),
            self.host
        );
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream.write_all(body.as_bytes()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> (u16, String) {
        let head = String::from_utf8(self.read_until(|bytes| bytes.ends_with(b"\r\n\r\n"))).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = match length.and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => self.read_until(|bytes| bytes.len() == length),
            None => self.read_chunks(),
        };
        (status, String::from_utf8(body).unwrap())
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = String::from_utf8(self.read_until(|bytes| bytes.ends_with(b"\r\n"))).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
            let chunk = self.read_until(|bytes| bytes.len() == size + 2);
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body;
            }
        }
    }

    fn read_until(&mut self, mut enough: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !enough(&bytes) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap_or_else(|cause| panic!("{cause} after {}", String::from_utf8_lossy(&bytes)));
            bytes.push(byte[0]);
        }
        bytes
    }
}

//! Line breaks of every kind, and forged addresses: they must change neither our headers nor a mail.

use crate::the_story::{Story, address_of, fresh};
use crate::world::{Host, Mail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Encodings that a program may take for a line break; what follows would become a header.
const BREAKS: [&str; 12] = [
    "\r\n",
    "\n",
    "\r",
    "%0d%0a",
    "%250d%250a",
    "\u{2028}",
    "\u{2029}",
    "\u{85}",
    "\u{b}",
    "\u{c}",
    // Their low bytes are CR and LF.
    "\u{560d}\u{560a}",
    "\0\r\n",
];
const HEADER: &str = "X-Injected: yes";

#[test]
fn no_field_of_the_form_makes_a_header_of_an_answer_or_of_a_mail() {
    let story = Story::start("synapse", Host::NginxFastCgi);
    let mut filed = Vec::new();
    for (number, field) in ["first_name", "last_name", "username", "email", "note", "form_token", "terms", "action"].iter().enumerate() {
        for (kind, line_break) in BREAKS.iter().enumerate() {
            let name = fresh(&format!("h{number}k{kind}"));
            let form = story.filled_form(&name);
            // The form itself has neither of them.
            let is_added = ["terms", "action"].contains(field);
            let typed = if is_added { String::new() } else { form.value(field).to_owned() };
            let page = story.browser.submit(&form.put(field, &format!("{typed}{line_break}{HEADER}{line_break}Bcc: victim@example.org")));
            assert!([200, 422].contains(&page.status), "{field} {line_break:?}: {}", page.status);
            assert!(page.header("x-injected").is_none() && page.header("bcc").is_none(), "{field} {line_break:?}");
            if page.status == 200 {
                filed.push(name);
            }
        }
    }
    assert!(filed.len() >= 20, "the test must reach the mails: {filed:?}");
    for name in &filed {
        story.mails.wait_for(&address_of(name), 1);
    }
    let mails = story.mails.all();
    assert_eq!(mails.len(), filed.len(), "one mail for each, to nobody else");
    for mail in mails {
        check(&mail);
    }
    // One of them goes through all steps: the later mails and the room message contain the names.
    let name = filed.iter().find(|name| name.starts_with("h4")).unwrap();
    story.confirm(name);
    story.decide(name, "decline", &format!("No.\r\n{HEADER}\r\n\r\n{HEADER}"));
    let mail = story.mails.wait_for(&address_of(name), 2).remove(1);
    check(&mail);
}

/// Checks that a mail has each of our headers once, and no others. Those that begin with `X-Envelope` come from the mail
/// catcher.
fn check(mail: &Mail) {
    let mut names: Vec<String> =
        mail.headers.iter().map(|(name, _)| name.to_lowercase()).filter(|name| !name.starts_with("x-envelope")).collect();
    names.sort_unstable();
    let ours = [
        "auto-submitted",
        "content-language",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "subject",
        "to",
        "x-auto-response-suppress",
    ];
    assert_eq!(names, ours, "{:?}", mail.headers);
}

/// Sends one request unchanged and returns the unchanged answer.
fn raw(port: u16, request: &str) -> String {
    raw_bytes(port, request.as_bytes())
}

fn raw_bytes(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn no_header_and_no_query_makes_a_header_of_the_answer() {
    for host in Host::ALL {
        let story = Story::start("local", host);
        for encoded in ["%0d%0a", "%0a", "%0d", "%250d%250a", "%E5%98%8D%E5%98%8A", "%e2%80%a8", "%c2%85", "%00%0d%0a"] {
            for path in [
                format!("/register?lang=en{encoded}X-Injected:%20yes"),
                format!("/verify?t=x{encoded}X-Injected:%20yes&lang=de{encoded}X-Injected:%20yes"),
            ] {
                let answer = raw(story.site.port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"));
                let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
                assert!(head.starts_with("http/1.1 ") && !head.contains("\nx-injected"), "{host:?} {path}: {head}");
            }
            for name in
                ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "Accept-Language", "Origin", "Referer", "Cookie"]
            {
                let more = if name == "Host" { "" } else { "Host: 127.0.0.1\r\n" };
                let answer = raw(
                    story.site.port,
                    &format!("GET /register HTTP/1.1\r\n{more}{name}: de{encoded}X-Injected: yes\r\nConnection: close\r\n\r\n"),
                );
                let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
                assert!(head.starts_with("http/1.1 ") && !head.contains("x-injected"), "{host:?} {name}: {head}");
            }
        }
    }
}

#[test]
fn no_header_hides_from_the_internal_programs_that_a_proxy_stands_before_them() {
    for host in [Host::NginxFastCgi, Host::NginxCgi, Host::ApacheProxyFcgi, Host::ApacheCgi] {
        let story = Story::start("local", host);
        let port = story.web.internal_url().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
        let body = r#"{"user":{"id":"@ada:example.test","password":"x"}}"#;
        let ask = |more: &[u8]| {
            let head =
                format!("POST /internal/login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
            raw_bytes(port, &[head.as_bytes(), more, b"\r\n", body.as_bytes()].concat())
        };
        assert!(ask(b"").starts_with("HTTP/1.1 200"), "{host:?}: {}", ask(b""));
        for sign in ["X-Forwarded-For: 192.0.2.1", "Via: 1.1 proxy", "Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1"] {
            // Headers after one that is not UTF-8 may not reach the program.
            let answer = ask(&[b"X-A: \xff\r\n", sign.as_bytes(), b"\r\n"].concat());
            assert!(answer.starts_with("HTTP/1.1 4"), "{host:?}, {sign}: {answer}");
        }
    }
}

/// Browsers send the cookies of everything on the same host, in the bytes in which they were set.
#[test]
fn an_unreadable_cookie_of_another_application_keeps_nobody_from_the_form() {
    for host in Host::ALL {
        let story = Story::start("synapse", host);
        let request =
            b"GET /register HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: name=J\xfcrgen\r\nAccept-Language: de\r\nConnection: close\r\n\r\n";
        let answer = raw_bytes(story.site.port, request);
        assert!(answer.starts_with("HTTP/1.1 200"), "{host:?}: {answer}\n{}", story.web.log());
        // lighttpd sends a FastCGI program all headers, and the cookie hides those after it: the page is in the default language.
        let is_german = answer.to_lowercase().contains("\r\ncontent-language: de\r\n");
        assert!(is_german || host == Host::LighttpdFastCgi, "{host:?}: {answer}");
    }
}

#[test]
fn links_in_mails_and_in_the_room_never_come_from_what_a_visitor_claims() {
    let story = Story::start("synapse", Host::NginxFastCgi);
    let ada = fresh("ada");
    let claims = "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Server: evil.example\r\nForwarded: host=evil.example;proto=gopher\r\n\
                  X-Original-URL: //evil.example/\r\nX-Rewrite-URL: //evil.example/\r\nX-Host: evil.example\r\nOrigin: https://evil.example\r\nReferer: https://evil.example/\r\n";
    let send = |target: &str, fields: &[(String, String)]| {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let length = body.len();
        raw(
            story.site.port,
            &format!(
                "POST {target} HTTP/1.1\r\nHost: evil.example\r\n{claims}Content-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        )
    };
    let answer = send("http://evil.example/register", &story.filled_form(&ada).fields);
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("evil.example"), "{answer}");
    let mail = story.verify_mail(&ada);
    assert!(mail.link().starts_with(&story.web.url()), "{}", mail.link());
    let answer = send("/verify", &story.browser.get(&mail.link()).form().fields);
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("evil.example"), "{answer}");
    let message = story.room_message(&ada);
    assert!(message.link().starts_with(&story.web.url()), "{}", message.link());
    for text in [&mail.text, &mail.html, &message.body, &message.html] {
        assert!(!text.contains("evil.example"), "{text}");
    }
}

//! Lookalikes of somebody else's username.

use crate::world::impostor::impostor;
use crate::world::{Host, SiteFolder, WebServer, built_programs};
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::store::{Access, NewLogin};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn nobody_gets_the_name_of_somebody_else_in_another_spelling() {
    let site = SiteFolder::new(&built_programs!()).set("form.reserved_usernames", vec!["chef"]).create();
    let web = WebServer::start(&site, Host::NginxSystemd);
    let ours = Site::open(&site.config_path()).unwrap();
    let login = NewLogin {
        localpart: "kate".into(),
        first_name: String::new(),
        last_name: String::new(),
        password_hash: "*".into(),
        email: String::new(),
        email_folded: String::new(),
        created_at: 1,
        initial_password_until: None,
    };
    ours.store(Access::Write).unwrap().import_login(&login).unwrap();
    let form = web.browser().get("/register").form().put("first_name", "Eve").put("email", "eve@example.org");
    for name in ["kate", "chef", "admin", "register_bot"] {
        let mut spellings = vec![
            name.to_owned(),
            name.to_uppercase(),
            format!(" {name} "),
            format!("@{name}"),
            format!("@@{name}"),
            format!("{name}\u{a0}"),
        ];
        spellings.extend([format!("{name}\u{3000}"), format!("\u{2003}{name}"), format!("{name}\t"), format!("{name}\r\n")]);
        spellings.push(format!("{}\u{34f}{}", &name[..2], &name[2..]));
        for put_in in ["\u{301}", "\u{200b}", "\u{200d}", "\u{ad}", "\u{feff}", "\u{202e}", "\0", "%00", ":example.test", " x", "\u{e0061}"]
        {
            spellings.push(format!("{name}{put_in}"));
        }
        // Fullwidth letters; Cyrillic, Kelvin and mathematical letters that look the same.
        spellings.push(name.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect());
        spellings.push(name.replace('a', "\u{430}").replace('e', "\u{435}").replace('k', "\u{212a}"));
        spellings.push(name.chars().map(|c| if c == '_' { '_' } else { char::from_u32(0x1d41a + c as u32 - 97).unwrap() }).collect());
        for spelling in spellings {
            for action in ["check", "send"] {
                let page = web.browser().submit(&form.clone().put("username", &spelling).put("action", action));
                assert_eq!(page.status, 422, "{action} {spelling:?}: {}", page.text());
            }
        }
    }
}

/// A homeserver with kate and the bot that counts requests.
fn counting_homeserver(asked: &Arc<AtomicUsize>) -> String {
    let asked = Arc::clone(asked);
    let port = impostor(move |mut stream| {
        let mut head = [0; 4096];
        let length = stream.read(&mut head).unwrap_or(0);
        asked.fetch_add(1, Ordering::SeqCst);
        let taken = ["username=kate ", "username=register_bot "].iter().any(|name| String::from_utf8_lossy(&head[..length]).contains(name));
        let (status, body) = match taken {
            true => ("400 Bad Request", r#"{"errcode":"M_USER_IN_USE","error":"taken"}"#),
            false => ("200 OK", r#"{"available":true}"#),
        };
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    });
    format!("http://127.0.0.1:{port}")
}

#[test]
fn a_reserved_name_is_told_from_a_taken_one_neither_by_words_nor_by_what_it_costs() {
    let asked = Arc::new(AtomicUsize::new(0));
    let site = SiteFolder::new(&built_programs!())
        .set("form.reserved_usernames", vec!["chef"])
        .set("homeserver_url", counting_homeserver(&asked))
        .create();
    let web = WebServer::start(&site, Host::NginxSystemd);
    let form = web.browser().get("/register").form().put("first_name", "Eve");
    let answer = |name: &str, email: &str, action: &str| {
        asked.store(0, Ordering::SeqCst);
        let page = web.browser().submit(&form.clone().put("username", name).put("email", email).put("action", action));
        (page.status, page.text(), asked.load(Ordering::SeqCst))
    };
    for (email, action, questions) in [("eve@example.org", "check", 1), ("eve@example.org", "send", 1), ("nonsense", "send", 0)] {
        let taken = answer("kate", email, action);
        assert_eq!((taken.0, taken.2), (422, questions), "{action}");
        for reserved in ["chef", "admin", "register_bot"] {
            assert_eq!(answer(reserved, email, action), taken, "{action} {reserved}");
        }
    }
}

#[test]
fn a_network_without_checks_cannot_tell_a_reserved_name_from_a_free_one() {
    let asked = Arc::new(AtomicUsize::new(0));
    let site = SiteFolder::new(&built_programs!())
        .set("homeserver_url", counting_homeserver(&asked))
        .set("limits.name_checks_per_network_per_day", 1)
        .create();
    let web = WebServer::start(&site, Host::NginxSystemd);
    let form = web.browser().get("/register").form().put("first_name", "Eve").put("email", "eve@example.org");
    let answer = |name: &str, action: &str| {
        let page = web.browser().submit(&form.clone().put("username", name).put("action", action));
        (page.status, page.text())
    };
    assert_eq!(answer("unused", "check").0, 200);
    for action in ["check", "send"] {
        let free = answer("free", action);
        assert_eq!(free.0, 429, "{action}: {}", free.1);
        for name in ["kate", "admin", "register_bot"] {
            assert_eq!(answer(name, action), free, "{action} {name}");
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

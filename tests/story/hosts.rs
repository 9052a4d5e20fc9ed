//! A whole registration behind every usual web server, configured with the lines of `docs/hosts`: at the root of a host and in
//! a subfolder, with and without a TLS proxy, with our URLs and with those of the PHP program.

use crate::world::{Host, SiteBuilder};
use crate::{Story, address_of, decision_form, fresh, password_in};
use std::io::{Read, Write};

/// The kind of URLs that a visitor uses.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Names {
    Ours,
    Php,
}

impl Names {
    /// The link as the PHP program would have sent it.
    fn of(self, link: &str) -> String {
        match self {
            Names::Ours => link.to_owned(),
            Names::Php => link.replace("/verify?", "/verify.php?").replace("/verify_admin?", "/verify_admin.php?"),
        }
    }

    fn form(self) -> [&'static str; 2] {
        match self {
            Names::Ours => ["/", "/register"],
            Names::Php => ["/index.php", "/index.php"],
        }
    }
}

fn tell_the_story(host: Host) {
    let places: [fn(SiteBuilder) -> SiteBuilder; 4] =
        [|site| site, SiteBuilder::in_folder, SiteBuilder::behind_tls, |site| site.in_folder().behind_tls()];
    // At the root by both kinds of URLs, elsewhere by one of them: each meets each place behind half of the web servers.
    for (number, place) in places.into_iter().enumerate() {
        let story = Story::start_with("local", host, place);
        let both = [Names::Ours, Names::Php];
        let chosen = (number + host as usize) % 2;
        for names in if number == 0 { &both[..] } else { &both[chosen..=chosen] } {
            somebody_gets_an_account(&story, host, *names);
        }
    }
}

fn somebody_gets_an_account(story: &Story, host: Host, names: Names) {
    let ada = fresh("ada");
    let at = format!("{host:?} {} {names:?}", story.web.url());
    let [first, form] = names.form();
    let page = story.browser.get(first);
    assert_eq!((page.status, page.texts("form").len()), (200, 1), "{at}: {}\n{}", page.text(), story.web.log());
    let german = page
        .html()
        .select(&scraper::Selector::parse("nav a[lang=de]").unwrap())
        .next()
        .and_then(|link| link.attr("href"))
        .map(str::to_owned);
    let german = url::Url::parse(&page.url).unwrap().join(&german.expect("a link to the German form")).unwrap();
    assert_eq!(story.browser.get(german.as_str()).header("content-language"), Some("de"), "{at}");

    let thanks = story.browser.submit(&story.fill(story.browser.get(form).form(), &ada));
    assert_eq!(thanks.status, 200, "{at}: {}\n{}", thanks.text(), story.web.log());
    let link = story.verify_mail(&ada).link();
    assert!(link.starts_with(&format!("{}verify?t=", story.web.url())), "{at}: {link}");
    let page = story.browser.get(&names.of(&link));
    assert_eq!(story.browser.submit(&page.form()).status, 200, "{at}");

    let page = story.browser.get(&names.of(&story.room_message(&ada).link()));
    let decided = story.browser.submit(&decision_form(&page, "approve", ""));
    assert!(decided.text().contains("Approved"), "{at}: {}", decided.text());
    assert_eq!(story.state(&ada), 100, "{at}");
    let password = password_in(&story.mails.wait_for(&address_of(&ada), 2)[1]);
    may_log_in(story, &at, &ada, &password, names);

    let too_long = story.browser.post(form, &[("note", &"x".repeat(100_000))]);
    assert_eq!(too_long.status, 413, "{at}");
    assert!(too_long.header("content-security-policy").is_some(), "{at}: the answer to a long form is our own");
    for nothing in ["/registers", "/verify.phpx", "/register.php/x", "/config.toml", "/internal/login", "/cron/cron"] {
        assert_eq!(story.browser.get(nothing).status, 404, "{at} {nothing}");
    }
}

/// Checks a password as Synapse does.
fn may_log_in(story: &Story, at: &str, localpart: &str, password: &str, names: Names) {
    let address = match names {
        Names::Ours => "internal/login",
        Names::Php => "internal/login.php",
    };
    for (password, success) in [(password, true), ("wrong", false)] {
        let question = serde_json::json!({"user": {"id": story.synapse.user_id(localpart), "password": password}}).to_string();
        let url = format!("{}{address}", story.web.internal_url());
        let answer = story.browser.request("POST", &url, "application/json", question.as_bytes());
        let told: serde_json::Value =
            serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{at}: {}\n{}", answer.body, story.web.log()));
        assert_eq!(told["auth"]["success"], success, "{at}: {told}");
    }
}

/// A proxy in front may not know the length of a form, and sends it in chunks.
fn a_form_in_chunks_is_a_form(host: Host) {
    let story = Story::start("local", host);
    let ada = fresh("ada");
    let form = story.filled_form(&ada);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
    let (first, rest) = body.split_at(100);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len());
    let head = "POST /register HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", story.site.port)).unwrap();
    connection.write_all(format!("{head}{chunks}").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    // A server that accepts no chunks says so at once, and the proxy sends a length.
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 411 "), "{host:?}: {answer}\n{}", story.web.log());
    assert!(!answer.starts_with("HTTP/1.1 200 ") || story.state(&ada) == 1, "{host:?}");
}

#[test]
fn a_form_that_comes_in_chunks_is_taken_by_every_web_server() {
    for host in [Host::ApacheCgi, Host::ApacheFcgid, Host::ApacheProxyFcgi, Host::NginxCgi, Host::NginxFastCgi] {
        a_form_in_chunks_is_a_form(host);
    }
    for host in [Host::LighttpdCgi, Host::LighttpdFastCgi] {
        a_form_in_chunks_is_a_form(host);
    }
}

#[test]
fn nginx_with_fcgiwrap() {
    tell_the_story(Host::NginxCgi);
}

#[test]
fn nginx_with_spawn_fcgi() {
    tell_the_story(Host::NginxFastCgi);
}

#[test]
fn nginx_with_sockets_as_systemd_makes_them() {
    tell_the_story(Host::NginxSystemd);
}

#[test]
fn apache_with_mod_cgid() {
    tell_the_story(Host::ApacheCgi);
}

#[test]
fn apache_with_mod_fcgid() {
    tell_the_story(Host::ApacheFcgid);
}

#[test]
fn apache_with_mod_proxy_fcgi() {
    tell_the_story(Host::ApacheProxyFcgi);
}

#[test]
fn lighttpd_with_mod_cgi() {
    tell_the_story(Host::LighttpdCgi);
}

#[test]
fn lighttpd_with_mod_fastcgi() {
    tell_the_story(Host::LighttpdFastCgi);
}

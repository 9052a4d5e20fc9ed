//! The promises of `docs/hosts` and its page on hardening for a public server.

use crate::world::{Host, SiteFolder, WebServer, built_programs};
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::store::Access;
use std::time::{Duration, Instant};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_access_log_has_no_link() {
    for host in [Host::NginxFastCgi, Host::NginxCgi, Host::ApacheProxyFcgi, Host::ApacheFcgid, Host::ApacheCgi] {
        let site = SiteFolder::new(&built_programs!()).create();
        // Created before the programs run as another user.
        drop(Site::open(&site.config_path()).unwrap().store(Access::Write).unwrap());
        let web = WebServer::start_hardened(&site, host);
        for place in ["/verify", "/verify.php", "/verify_admin"] {
            assert_eq!(web.browser().get(&format!("{place}?t={TOKEN}")).status, 404);
        }
        let start = Instant::now();
        while web.access_log().lines().count() < 3 && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = web.access_log();
        assert!(log.contains("GET /verify") && log.contains("GET /verify_admin"), "{host:?}: {log}");
        assert!(!log.contains(TOKEN) && !log.contains('?'), "{host:?}: {log}");
    }
}

#[test]
fn one_visitor_who_asks_very_often_is_told_to_come_back() {
    let site = SiteFolder::new(&built_programs!()).create();
    let web = WebServer::start_with_limit_for_one_visitor(&site, Host::NginxFastCgi);
    let pages: Vec<_> = (0..60).map(|_| web.browser().get("/register")).collect();
    assert!(pages[..20].iter().all(|page| page.status == 200));
    let refused: Vec<_> = pages.iter().filter(|page| page.status != 200).collect();
    assert!(
        !refused.is_empty() && refused.iter().all(|page| page.status == 503 && page.header("retry-after") == Some("10")),
        "{refused:?}"
    );
}

/// Sockets without a program, as during a restart.
#[test]
fn a_program_that_is_not_there_is_an_honest_503_under_nginx() {
    for host in [Host::NginxFastCgi, Host::NginxCgi] {
        let site = SiteFolder::new(&built_programs!()).create();
        let web = WebServer::start(&site, host);
        assert_eq!(web.browser().get("/register").status, 200);
        // The web server comes first; the others are its helpers.
        for pid in &web.pids()[1..] {
            rustix::process::kill_process(rustix::process::Pid::from_raw(*pid as i32).unwrap(), rustix::process::Signal::TERM).unwrap();
        }
        let end = Instant::now() + Duration::from_secs(10);
        while web.browser().get("/register").status == 200 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        let internal = format!("{}internal/login", web.internal_url());
        for (method, place, kind) in [
            ("GET", "/register", "text/plain; charset=utf-8"),
            ("POST", "/_matrix/client/v3/account/password", "application/json"),
            ("POST", internal.as_str(), "application/json"),
        ] {
            let page = web.browser().request(method, place, "", b"");
            assert_eq!(
                (page.status, page.header("retry-after"), page.header("content-type")),
                (503, Some("10"), Some(kind)),
                "{host:?} {place}"
            );
        }
    }
}

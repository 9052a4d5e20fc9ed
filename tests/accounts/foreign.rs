//! Accounts that are not in our table: Synapse is responsible for their passwords.

use crate::Client;
use crate::homeserver::shared_site;
use crate::table::fresh;
use crate::world::http::{agent, pass_on, read_request};
use crate::world::impostor::impostor;
use crate::world::{Host, WebServer};
use serde_json::json;
use std::io::Write;
use std::sync::{Arc, Mutex};

#[test]
fn who_has_a_password_in_synapse_changes_it_there_through_us() {
    let (synapse, site) = shared_site(|site| site);
    for host in Host::ALL {
        let web = WebServer::start(&site, host);
        let carol = synapse.register(&fresh("carol"), "synapse's own").localpart;
        let client = Client::new(&web.url());
        let wrong = json!({"old_password": "wrong", "new_password": "another one"});
        let direct = Client::new(&synapse.base_url).change(&carol, "synapse's own", wrong.clone()).changed();
        assert_eq!(client.change(&carol, "synapse's own", wrong).changed(), direct, "{host:?}");
        let asked_first = json!({"old_password": "synapse's own", "new_password": "another one", "interactive": true});
        let report = client.change(&carol, "synapse's own", asked_first);
        assert_eq!((report.changed(), report.goes_on()), (Ok(()), true), "{host:?}: {}", web.log());
        assert!(synapse.login(&carol, "another one").is_ok() && synapse.login(&carol, "synapse's own").is_err());
        let at_once = json!({"old_password": "another one", "new_password": "a third one"});
        assert_eq!(client.change(&carol, "another one", at_once).changed(), Ok(()), "{host:?}");
        assert!(synapse.login(&carol, "a third one").is_ok());
    }
}

/// A proxy of the homeserver that keeps the requests: its URL, and what it has seen.
fn spy(homeserver: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let homeserver = homeserver.trim_start_matches("http://").to_owned();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let port = impostor(move |mut client| {
        let Ok(request) = read_request(&client) else { return };
        kept.lock().unwrap().push(String::from_utf8_lossy(&request).to_lowercase());
        let _ = client.write_all(&pass_on(&homeserver, &request).unwrap());
    });
    (format!("http://127.0.0.1:{port}"), seen)
}

/// The headers for this must get through every web server.
#[test]
fn synapse_hears_which_client_it_was_and_a_homeserver_url_that_leads_back_is_named() {
    for host in Host::ALL {
        let (synapse, mut site) = shared_site(|site| site);
        let web = WebServer::start(&site, host);
        let carol = synapse.register(&fresh("carol"), "synapse's own");
        let change = || {
            let request = ureq::http::Request::post(format!("{}_matrix/client/v3/account/password", web.url()))
                .header("Authorization", format!("Bearer {}", carol.token))
                .header("User-Agent", "Some Client/1.2")
                .header("Content-Type", "application/json");
            agent(60).run(request.body(json!({"new_password": "another one"}).to_string()).unwrap()).unwrap().status().as_u16()
        };
        let (url, seen) = spy(&synapse.base_url);
        site.set("homeserver_url", url);
        assert_eq!(change(), 401, "{host:?}: Synapse asks for the old password: {}", web.log());
        let seen = seen.lock().unwrap().concat();
        let passed_on = seen.split("post /_matrix/client/v3/account/password").nth(1).unwrap_or_else(|| panic!("{host:?}: {seen}"));
        assert!(passed_on.contains("\r\nuser-agent: some client/1.2\r\n"), "{host:?}: {passed_on}");

        site.set("homeserver_url", web.url());
        assert_eq!(change(), 500, "{host:?}: {}", web.log());
        assert_eq!(web.log().matches("homeserver_url leads back to this program").count(), 1, "{host:?}: {}", web.log());
    }
}

#[test]
fn where_the_sysadmin_wants_it_they_are_refused() {
    let (synapse, site) = shared_site(|site| site.set("password_change.foreign_accounts", "refuse"));
    let web = WebServer::start(&site, Host::NginxSystemd);
    let carol = synapse.register(&fresh("carol"), "synapse's own").localpart;
    let change = json!({"old_password": "synapse's own", "new_password": "another one"});
    let report = Client::new(&web.url()).change(&carol, "synapse's own", change);
    assert_eq!(report.changed(), Err("403 M_FORBIDDEN: Password change disabled".to_owned()));
    assert!(synapse.login(&carol, "synapse's own").is_ok() && synapse.login(&carol, "another one").is_err());
}

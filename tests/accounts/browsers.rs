//! A web client in a real browser, on another host than the homeserver.

use crate::Table;
use crate::homeserver::shared_site;
use crate::table::fresh;
use crate::world::{Chromium, Host, WebServer};
use serde_json::json;

/// Changes a password as a web client does, and stores what the browser lets it see.
const CHANGE: &str = "
    const [url, token, body] = arguments;
    window.seen = null;
    fetch(url, {method: 'POST', headers: {'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'}, body})
        .then(async answer => { window.seen = [answer.status, await answer.json()]; })
        .catch(cause => { window.seen = String(cause); });";

#[test]
fn a_browser_lets_a_web_client_elsewhere_change_the_password() {
    let (synapse, site) = shared_site(|site| site);
    let table = Table::of(&site);
    let chromium = Chromium::start("en");
    for host in Host::ALL {
        let web = WebServer::start(&site, host);
        let name = fresh("kim");
        table.add(&name, "the old password");
        let token = synapse.register(&name, "not used").token;
        // Another port is another origin; this page has no content security policy.
        chromium.open(&format!("{}/health", synapse.base_url));
        let url = format!("{}_matrix/client/v3/account/password", web.url());
        let change = |password: &str| {
            let auth = json!({"type": "m.login.password", "user": name, "password": password});
            let body = json!({"auth": auth, "new_password": "the new password"}).to_string();
            chromium.script(CHANGE, json!([url, token, body]));
            chromium.wait_until("return window.seen !== null");
            chromium.script("return window.seen", json!([]))
        };
        let refused = change("wrong");
        assert_eq!((&refused[0], &refused[1]["errcode"]), (&json!(401), &json!("M_FORBIDDEN")), "{host:?}: {refused}");
        assert_eq!(change("the old password"), json!([200, {}]), "{host:?}: {}", web.log());
    }
}

//! A changed password ends the other sessions if the client asks for it and the bot is allowed to.

use crate::Table;
use crate::homeserver::shared_site;
use crate::table::fresh;
use crate::world::impostor::http_impostor;
use crate::world::{Account, Browser, Host, SiteBuilder, Synapse, WebServer};
use serde_json::{Value, json};

const OLD: &str = "the old password";
const NEW: &str = "the new password";

/// A user with three sessions changes the password in the first. Returns which sessions still work, and the bot's log.
fn sessions_after(settings: impl FnOnce(SiteBuilder) -> SiteBuilder, logout_devices: Option<bool>) -> (Vec<bool>, String) {
    let (synapse, site) = shared_site(settings);
    let table = Table::of(&site);
    let name = fresh("grace");
    table.add(&name, OLD);
    let Account { token: first, .. } = synapse.register(&name, OLD);
    let tokens = [first, synapse.login(&name, OLD).unwrap(), synapse.login(&name, OLD).unwrap()];
    let web = WebServer::start(&site, Host::NginxSystemd);
    let mut body = json!({"new_password": NEW, "auth": {"type": "m.login.password", "user": name, "password": OLD}});
    if let Some(wish) = logout_devices {
        body["logout_devices"] = Value::Bool(wish);
    }
    let browser = Browser::new(&web.url()).with_header("Authorization", &format!("Bearer {}", tokens[0]));
    let page = browser.request("POST", "/_matrix/client/v3/account/password", "application/json", body.to_string().as_bytes());
    assert_eq!((page.status, page.body.as_str()), (200, "{}"), "{}", web.log());
    assert!(table.has_password(&name, NEW));
    (tokens.iter().map(|token| lives(&synapse, token)).collect(), web.log())
}

fn lives(synapse: &Synapse, token: &str) -> bool {
    synapse.call("GET", "/_matrix/client/v3/account/whoami", Some(token), None).0 == 200
}

fn by_administrator(site: SiteBuilder) -> SiteBuilder {
    let admin = Synapse::shared().admin;
    let site = site.set("password_change.logout_devices", true);
    site.set("room.bot_localpart", admin.localpart).set("room.access_token", admin.token)
}

#[test]
fn other_sessions_end_unless_the_client_wants_to_keep_them() {
    assert_eq!(sessions_after(by_administrator, Some(true)).0, [true, false, false]);
    assert_eq!(sessions_after(by_administrator, None).0, [true, false, false], "left out means true");
    assert_eq!(sessions_after(by_administrator, Some(false)).0, [true, true, true]);
}

#[test]
fn a_bot_that_may_not_end_sessions_changes_the_password_and_tells_the_sysadmin() {
    let (lives, log) = sessions_after(|site| site.set("password_change.logout_devices", true), Some(true));
    assert_eq!(lives, [true, true, true]);
    assert!(log.contains("sessions_not_ended") && log.contains("server administrator"), "{log}");
    let (lives, log) = sessions_after(|site| site, Some(true));
    assert_eq!((lives.as_slice(), log.contains("sessions_not_ended")), (&[true, true, true][..], false), "off in the configuration");
}

#[test]
fn while_synapse_is_away_no_password_is_changed_and_clients_are_told_to_come_back() {
    nothing_is_changed_for_now("http://127.0.0.1:9");
}

/// A client would take Matrix's error 403 for a refusal of its session.
#[test]
fn a_proxy_that_forbids_in_place_of_synapse_is_not_taken_for_synapses_no() {
    let page = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\nForbidden";
    nothing_is_changed_for_now(&http_impostor(page.to_vec()));
}

fn nothing_is_changed_for_now(homeserver_url: &str) {
    let (_, site) = shared_site(|site| site.set("homeserver_url", homeserver_url));
    let (table, name) = (Table::of(&site), fresh("grace"));
    table.add(&name, OLD);
    let web = WebServer::start(&site, Host::NginxSystemd);
    let body = json!({"new_password": NEW, "auth": {"type": "m.login.password", "user": name, "password": OLD}}).to_string();
    let browser = Browser::new(&web.url()).with_header("Authorization", "Bearer syt_some_token");
    let page = browser.request("POST", "/_matrix/client/v3/account/password", "application/json", body.as_bytes());
    assert_eq!((page.status, page.header("access-control-allow-origin")), (503, Some("*")), "{}", page.body);
    assert!(page.header("retry-after").is_some() && table.has_password(&name, OLD));
    assert!(!web.log().contains(OLD) && !web.log().contains(NEW) && !web.log().contains("syt_some_token"), "{}", web.log());
}

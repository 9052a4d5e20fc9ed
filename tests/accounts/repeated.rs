//! A change of a password that comes a second time, because the answer to the first was lost.

use crate::Table;
use crate::homeserver::shared_site;
use crate::table::{fresh, now, sql};
use crate::world::{Account, Browser, Host, SiteFolder, Synapse, WebServer, cheap_hash};
use serde_json::{Value, json};

const PATH: &str = "/_matrix/client/v3/account/password";
const OLD: &str = "the old password";
const NEW: &str = "the new password";

/// A site whose bot may end sessions.
fn site() -> (Synapse, SiteFolder) {
    let admin = Synapse::shared().admin;
    shared_site(|site| {
        let site = site.set("password_change.logout_devices", true);
        site.set("room.bot_localpart", admin.localpart).set("room.access_token", admin.token)
    })
}

fn change(user: &str, session: &Value) -> Value {
    let identifier = json!({"type": "m.id.user", "user": user});
    let mut auth = json!({"type": "m.login.password", "identifier": identifier, "password": OLD});
    if !session.is_null() {
        auth["session"] = session.clone();
    }
    json!({"new_password": NEW, "auth": auth})
}

fn post(server: &str, token: &str, body: &Value) -> (u16, Value) {
    let browser = Browser::new(server).with_header("Authorization", &format!("Bearer {token}"));
    let page = browser.request("POST", PATH, "application/json", body.to_string().as_bytes());
    (page.status, serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body)))
}

fn lives(synapse: &Synapse, token: &str) -> bool {
    synapse.call("GET", "/_matrix/client/v3/account/whoami", Some(token), None).0 == 200
}

#[test]
fn a_change_that_comes_again_succeeds_again_with_a_session_and_without() {
    let (synapse, site) = site();
    let (table, web) = (Table::of(&site), WebServer::start(&site, Host::NginxSystemd));
    for with_session in [true, false] {
        let name = fresh("grace");
        table.add(&name, OLD);
        let Account { token, .. } = synapse.register(&name, OLD);
        let other = synapse.login(&name, OLD).unwrap();
        let session = match with_session {
            true => post(&web.url(), &token, &json!({"new_password": NEW})).1["session"].clone(),
            false => Value::Null,
        };
        for _ in 0..3 {
            assert_eq!(post(&web.url(), &token, &change(&name, &session)), (200, json!({})), "{}", web.log());
        }
        assert!(table.has_password(&name, NEW) && lives(&synapse, &token) && !lives(&synapse, &other));
    }
    assert_eq!(web.log().matches("password_changed").count(), 2, "each was made once: {}", web.log());
}

/// The program ended after the new password was stored, and before it could end the other sessions.
#[test]
fn a_change_that_was_cut_short_is_finished_when_it_comes_again() {
    let (synapse, site) = site();
    let (table, web) = (Table::of(&site), WebServer::start(&site, Host::NginxSystemd));
    let name = fresh("grace");
    table.add(&name, OLD);
    let Account { token, .. } = synapse.register(&name, OLD);
    let other = synapse.login(&name, OLD).unwrap();
    let stored = format!("UPDATE logins SET password_hash = '{}', changed_at = {}", cheap_hash(NEW), now());
    sql(&site, &format!("{stored} WHERE localpart = '{name}'"));
    assert_eq!(post(&web.url(), &token, &change(&name, &Value::Null)), (200, json!({})), "{}", web.log());
    assert!(lives(&synapse, &token) && !lives(&synapse, &other), "{}", web.log());
}

/// Synapse recognises its authentication session, and without one takes the old password for a wrong one.
#[test]
fn a_change_of_a_password_in_synapse_that_comes_again_gets_synapses_answer() {
    let (synapse, site) = site();
    let web = WebServer::start(&site, Host::NginxSystemd);
    let statuses = |server: &str, with_session: bool| {
        let carol = synapse.register(&fresh("carol"), OLD);
        let session = match with_session {
            true => post(server, &carol.token, &json!({"new_password": NEW})).1["session"].clone(),
            false => Value::Null,
        };
        let body = change(&carol.localpart, &session);
        let twice = [(); 2].map(|()| post(server, &carol.token, &body).0);
        assert!(synapse.login(&carol.localpart, NEW).is_ok());
        twice
    };
    for (with_session, expected) in [(true, [200, 200]), (false, [200, 401])] {
        let both = [web.url(), synapse.base_url.clone()].map(|server| statuses(&server, with_session));
        assert_eq!(both, [expected; 2], "{with_session}");
    }
}

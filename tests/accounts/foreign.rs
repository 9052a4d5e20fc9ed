//! Accounts that are not in our table: Synapse is responsible for their passwords.

use crate::Client;
use crate::homeserver::shared_site;
use crate::table::fresh;
use crate::world::{Host, WebServer};
use serde_json::json;

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

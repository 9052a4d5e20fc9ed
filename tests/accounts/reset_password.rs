//! A forgotten password, with a real Synapse that asks us about passwords, and devices that are to be logged out.

use crate::Homestead;
use crate::Table;
use crate::homeserver::shared_site_with_mail;
use crate::table::{address_of, fresh};
use crate::world::{Account, Browser, Host, MailCatcher, Page, Synapse, WebServer};

const OLD: &str = "the old password";
const NEW: &str = "the new password";

/// Asks for a link, opens it and chooses a password; the box for logging out stays as the page shows it, or is unticked.
fn reset(browser: &Browser, mails: &MailCatcher, name: &str, mails_before: usize, keep_devices: bool) -> Page {
    let form = browser.get("/reset_password").form().fill("account", name);
    assert_eq!(browser.submit(&form).status, 200);
    let link = mails.wait_for(&address_of(name), mails_before + 1)[mails_before].link();
    let mut form = browser.get(&link).form().fill("password", NEW).fill("password_again", NEW);
    if keep_devices {
        form = form.put("log_out", "");
    }
    browser.submit(&form)
}

#[test]
fn whoever_let_the_initial_password_run_out_gets_in_with_a_new_one() {
    let homestead = Homestead::start();
    let web = homestead.serve(Host::NginxSystemd);
    let name = fresh("ada");
    let initial = homestead.sign_up(&web, &name);
    homestead.synapse().login(&name, &initial).expect("the initial password works");
    homestead.let_initial_password_run_out(&name);
    assert!(homestead.synapse().login(&name, &initial).is_err(), "it ran out");
    let page = reset(&Browser::new(&web.url()), &homestead.mails, &name, 2, false);
    assert_eq!((page.status, page.texts("h1")), (200, vec!["Your new password is set".to_owned()]), "{}", web.log());
    homestead.synapse().login(&name, NEW).expect("the new password works");
    assert!(homestead.synapse().login(&name, &initial).is_err());
}

/// Whether a device that was logged in still is, and the text of the page.
fn device_after(is_admin: bool, keep_devices: bool) -> (bool, String) {
    let (synapse, site, mails) = shared_site_with_mail(|site| {
        let site = site.set("password_change.logout_devices", true);
        let admin = Synapse::shared().admin;
        if is_admin { site.set("room.bot_localpart", admin.localpart).set("room.access_token", admin.token) } else { site }
    });
    let name = fresh("grace");
    Table::of(&site).add(&name, OLD);
    let Account { token, .. } = synapse.register(&name, OLD);
    let web = WebServer::start(&site, Host::NginxSystemd);
    let page = reset(&Browser::new(&web.url()), &mails, &name, 0, keep_devices);
    assert!(page.status == 200 && Table::of(&site).has_password(&name, NEW), "{}\n{}", page.text(), web.log());
    (synapse.call("GET", "/_matrix/client/v3/account/whoami", Some(&token), None).0 == 200, page.text())
}

#[test]
fn devices_are_logged_out_if_the_person_wants_it_and_the_bot_may() {
    let (lives, text) = device_after(true, false);
    assert!(!lives && text.contains("All devices have been logged out"), "{text}");
    let (lives, text) = device_after(true, true);
    assert!(lives && text.contains("stay logged in"), "{text}");
    let (lives, text) = device_after(false, false);
    assert!(lives && text.contains("could not be logged out"), "{text}");
}

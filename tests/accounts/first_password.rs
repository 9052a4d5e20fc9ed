//! Local mode: each of the three ways to a first password leads into Synapse.

use crate::Homestead;
use crate::table::address_of;
use crate::world::{Browser, Form, Host};

const CHOSEN: &str = "correct horse Bätterie";

#[test]
fn each_way_to_a_first_password_logs_in_at_the_homeserver() {
    let mut home = Homestead::start();
    let web = home.serve(Host::NginxSystemd);
    let initial = home.sign_up(&web, "by.mail");
    home.synapse().login("by.mail", &initial).expect("the mailed password logs in");

    home.site.set("credentials", "link");
    home.sign_up_until_the_approval(&web, "by.link", |form| form);
    let browser = Browser::new(&web.url());
    let link = home.mails.wait_for(&address_of("by.link"), 2).remove(1).link();
    let page = browser.submit(&chosen(browser.get(&link).form()));
    assert!(page.text().contains("Your account is ready"), "{}\n{}", page.text(), web.log());
    home.synapse().login("by.link", CHOSEN).expect("the password that was chosen by the link logs in");

    home.site.set("credentials", "confirm");
    home.sign_up_until_the_approval(&web, "by.confirmation", chosen);
    home.synapse().login("by.confirmation", CHOSEN).expect("the password that was chosen at the confirmation logs in");
}

fn chosen(form: Form) -> Form {
    form.fill("password", CHOSEN).fill("password_again", CHOSEN)
}

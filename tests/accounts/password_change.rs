use crate::table::{address_of, fresh};
use crate::world::Host;
use crate::{Client, Homestead, Report};
use serde_json::{Value, json};

const REFUSED: &str = "403 M_FORBIDDEN: Invalid username or password";

fn from_to(old: &str, new: &str) -> Value {
    json!({"old_password": old, "new_password": new})
}

fn refused(report: &Report) -> bool {
    report.user() == Err(REFUSED.to_owned())
}

#[test]
fn who_was_approved_logs_in_with_any_client_and_after_a_change_with_the_new_password_only() {
    let home = Homestead::start();
    let logs_in = |user: &str, password: &str| home.synapse().login(user, password).is_ok();
    for host in Host::ALL {
        let web = home.serve(host);
        let client = Client::new(&web.url());
        let ada = fresh("ada");
        let (mxid, address) = (home.synapse().user_id(&ada), address_of(&ada));
        let initial = home.sign_up(&web, &ada);

        // Synapse does not know the address yet, and asks the bot.
        let report = client.log_in_by_mail(&address.to_uppercase(), &initial);
        assert_eq!(report.user(), Ok(mxid.as_str()), "{host:?}: {}", web.log());
        for user in [&ada, &mxid] {
            let report = client.log_in(user, &initial);
            assert_eq!(report.user(), Ok(mxid.as_str()), "{host:?}: {user}");
            assert_eq!((report.display_name(), report.addresses()), ("Ada Lovelace-Größe", vec![address.as_str()]));
        }
        assert!(client.log_in_by_mail(&address, &initial).user().is_ok(), "now Synapse knows the address");
        assert!(refused(&client.log_in_by_mail("nobody@example.org", &initial)));
        assert!(logs_in(&ada.to_uppercase(), &initial) && !logs_in(&ada, "wrong"));

        let new = "correct horse Bätterie 🐎";
        let report = client.change(&ada, &initial, from_to(&initial, new));
        assert_eq!((report.changed(), report.goes_on()), (Ok(()), true), "{host:?}: {}", web.log());
        assert!(logs_in(&ada, new) && !logs_in(&ada, &initial), "{host:?}");
        let third = json!({"old_password": new, "new_password": "a third password", "interactive": true});
        assert_eq!(client.change(&ada, new, third).changed(), Ok(()), "{host:?}: asked first, then answered in the session");
        assert!(logs_in(&ada, "a third password") && !logs_in(&ada, new));
    }
}

#[test]
fn what_is_wrong_with_a_change_reaches_the_user() {
    let home = Homestead::start();
    let web = home.serve(Host::NginxSystemd);
    let client = Client::new(&web.url());
    let ada = fresh("ada");
    let initial = home.sign_up(&web, &ada);

    let wrong = client.change(&ada, &initial, from_to("not this one", "a new password"));
    assert_eq!((wrong.changed(), wrong.goes_on()), (Err("401 M_FORBIDDEN: Invalid username or password".to_owned()), true));
    let short = client.change(&ada, &initial, from_to(&initial, "short"));
    assert_eq!(short.changed(), Err("400 M_PASSWORD_TOO_SHORT: The password must be at least 10 characters long".to_owned()));
    assert!(client.log_in(&ada, &initial).user().is_ok(), "still the old one");

    // One session, opened in time; the password expires but can still be changed.
    let token = home.synapse().login(&ada, &initial).unwrap();
    home.let_initial_password_run_out(&ada);
    assert!(refused(&client.log_in(&ada, &initial)), "an initial password is good for some days only");
    let auth = json!({"type": "m.login.password", "user": ada, "password": initial});
    let body = json!({"auth": auth, "new_password": "a new password"});
    let synapse = crate::world::Synapse { base_url: web.url().trim_end_matches('/').to_owned(), ..home.synapse().clone() };
    assert_eq!(synapse.call("POST", "/_matrix/client/v3/account/password", Some(&token), Some(body)), (200, json!({})));
    assert!(client.log_in(&ada, "a new password").user().is_ok());
}

/// Strangers guess from everywhere, including the owner's own network.
#[test]
fn guessing_does_not_keep_an_owner_who_is_logged_in_from_a_change() {
    let home = Homestead::start();
    let web = home.serve(Host::NginxSystemd);
    let client = Client::new(&web.url());
    let ada = fresh("ada");
    let initial = home.sign_up(&web, &ada);
    let account = matrix_register_bot::domain::token::hash(&ada);
    for network in ["web everywhere", "web 127.0.0.0"] {
        let statement = format!("INSERT INTO guesses VALUES ('{account}', '{network}', 100000, {})", crate::table::now());
        crate::table::sql(&home.site, &statement);
    }
    let report = client.change(&ada, &initial, from_to(&initial, "a new password"));
    assert_eq!((report.changed(), report.goes_on()), (Ok(()), true), "{}", web.log());
    assert!(home.synapse().login(&ada, "a new password").is_ok());
}

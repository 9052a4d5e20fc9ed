//! An account exists on the homeserver, and Synapse cannot check the password that would prove whose it is.

use crate::Homestead;
use crate::table::{fresh, now, sql};
use crate::world::Host;
use std::process::Command;

/// The number and the state of a request.
fn request(home: &Homestead, localpart: &str) -> (i64, i64) {
    let database = rusqlite::Connection::open(home.site.database_path()).unwrap();
    let select = "SELECT id, state FROM registrations WHERE username = ?1";
    database.query_row(select, [localpart], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// The answer to the first attempt was lost, or the database was restored from a backup, and that was days ago.
#[test]
fn an_account_that_nobody_can_prove_is_never_called_somebody_elses() {
    let home = Homestead::start_without_password_table();
    let web = home.serve(Host::NginxCgi);
    for tried in ["1", "NULL"] {
        let ada = fresh("ada");
        home.sign_up(&web, &ada);
        sql(&home.site, "DELETE FROM directory_terms; DELETE FROM logins");
        let lost = format!("state = 7, state_since = 1, due_at = 0, account_tried_at = {tried}, claimed_username = username");
        sql(&home.site, &format!("UPDATE registrations SET {lost} WHERE username = '{ada}'"));
        for _ in 0..6 {
            sql(&home.site, "UPDATE registrations SET due_at = 0, tried_at = tried_at - 100000");
            let output = home.site.run_cron();
            let (id, state) = request(&home, &ada);
            assert_eq!((state, output.status.code()), (7, Some(75)), "{tried}: {output:?}");
            let last = Command::new(home.site.program("cron")).arg("--waiting").output().unwrap();
            let last = String::from_utf8(last.stdout).unwrap();
            assert!(last.contains("whether we made it cannot be told") && last.contains(&format!("cron --end {id}")), "{last}");
        }
        // Switching on the table of passwords is one way on; the other one:
        let (id, _) = request(&home, &ada);
        assert!(Command::new(home.site.program("cron")).args(["--end", &id.to_string()]).status().unwrap().success());
        assert_eq!(request(&home, &ada).1, 13);
    }
}

/// With a table of passwords, a failed proof is an answer: nobody has to wait.
#[test]
fn a_name_that_synapse_gave_to_somebody_else_is_refused_at_once() {
    let home = Homestead::start();
    let web = home.serve(Host::NginxCgi);
    let ada = fresh("ada");
    home.sign_up(&web, &ada);
    let eve = fresh("eve");
    home.synapse().register(&eve, "somebody else's");
    sql(&home.site, "DELETE FROM directory_terms; DELETE FROM logins");
    let taken = format!("username = '{eve}', state = 7, state_since = {}, due_at = 0, account_tried_at = 1", now());
    sql(&home.site, &format!("UPDATE registrations SET {taken} WHERE username = '{ada}'"));
    home.site.run_cron();
    assert_eq!(request(&home, &eve).1, 13);
}

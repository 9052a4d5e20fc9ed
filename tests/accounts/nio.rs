use crate::Homestead;
use crate::table::fresh;
use crate::world::Host;
use crate::world::installed;
use crate::world::process::guarded;
use serde_json::{Value, json};

#[test]
fn after_a_change_with_matrix_nio_only_the_new_password_logs_in() {
    let home = Homestead::start();
    let web = home.serve(Host::NginxSystemd);
    let ada = fresh("ada");
    let initial = home.sign_up(&web, &ada);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/accounts/nio_client.py");
    let python = installed("nio").join("bin/python");
    let output = guarded(python).args([script, web.url().trim_end_matches('/'), &ada, &initial, "a new password"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(
        report,
        json!({
            "login": home.synapse().user_id(&ada), "name": "Ada Lovelace-Größe",
            "asked": 401, "flows": [{"stages": ["m.login.password"]}], "changed": [200, {}], "old": false, "new": true
        }),
        "{}",
        web.log()
    );
}

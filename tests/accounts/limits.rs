use crate::world::{self, SiteFolder, programs_of};
use serde_json::Value;

/// A malformed answer blocks the query in the identity server until that is restarted.
#[test]
fn a_request_that_is_too_large_or_meets_no_database_gets_a_json_object() {
    let mut site = SiteFolder::new(&world::built_programs!()).set("internal.body_bytes", 1024).create();
    let ask = |site: &SiteFolder, program: &str, body: &[u8]| {
        let length = body.len().to_string();
        let variables = [("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("CONTENT_LENGTH", length.as_str())];
        let output = String::from_utf8(site.run(program, &variables, body).stdout).unwrap();
        let (head, body) = output.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{program}: {output:?}"));
        let json: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{program}: {output}"));
        assert!(json.is_object() && head.contains("Content-Type: application/json"), "{program}: {output}");
        head.split_whitespace().nth(1).unwrap().parse::<u16>().unwrap()
    };
    let lookup = br#"{"lookup":[{"medium":"email","address":"a@example.org"}]}"#;
    let is_asked_by_identity_servers = |program: &&str| !["intercept_change_password", "room_events"].contains(program);
    for program in programs_of("internal").into_iter().filter(is_asked_by_identity_servers) {
        assert_eq!(ask(&site, program, &[b' '; 2000]), 413, "{program}");
    }
    assert_eq!(ask(&site, "identity_bulk", lookup), 503, "no database is there yet");
    site.let_cron_succeed();
    assert_eq!(ask(&site, "identity_bulk", lookup), 200);
    site.set("operation_mode", "nonsense");
    assert_eq!(ask(&site, "identity_bulk", lookup), 500, "a broken configuration");
}

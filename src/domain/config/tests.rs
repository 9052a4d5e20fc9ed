//! The sample is a valid configuration, and wrong values are refused with their line.

use super::*;

const SAMPLE: &str = include_str!("../../../config.sample.toml");

#[test]
fn the_sample_is_a_working_configuration() {
    let config = Config::parse(SAMPLE, PathBuf::from("/srv/bot")).unwrap();
    assert_eq!(config.database().unwrap(), DatabaseUrl::Sqlite("/srv/bot/data/register.sqlite".into()));
    assert_eq!(config.public_url.join("/verify"), "https://register.example.org/verify");
}

#[test]
fn what_the_programs_write_lies_in_the_state_folder_and_what_they_read_beside_the_file() {
    let text = format!(
        "state_folder = \"/var/lib/bot\"\n{}",
        SAMPLE.replace("# access_token_file = \"/etc/matrix-register-bot/", "access_token_file = \"")
    );
    let config = Config::parse(&text, PathBuf::from("/etc/bot")).unwrap();
    assert_eq!(config.state_folder, Path::new("/var/lib/bot"));
    assert_eq!(config.database, DatabaseUrl::Sqlite("/var/lib/bot/data/register.sqlite".into()));
    assert_eq!(config.mail.folder, Path::new("/var/lib/bot/mails"));
    assert_eq!(config.room.access_token_file.as_deref(), Some(Path::new("/etc/bot/access_token")));
    let text = SAMPLE.replace("# database = \"sqlite:", "database = \"sqlite:/srv/");
    let config = Config::parse(&format!("state_folder = \"state\"\n{text}"), PathBuf::from("/etc/bot")).unwrap();
    assert_eq!(config.state_folder, Path::new("/etc/bot/state"));
    assert_eq!(config.database, DatabaseUrl::Sqlite("/srv/data/register.sqlite".into()));
}

#[test]
fn a_wrong_value_is_refused_with_its_line_and_an_example() {
    let text = SAMPLE.replace("public_url = \"https://", "public_url = \"ftp://");
    let sentence = Config::parse(&text, PathBuf::new()).unwrap_err().to_string();
    assert!(sentence.contains("public_url") && sentence.contains("https://register.example.org/"), "{sentence}");
    assert!(sentence.contains("line "), "{sentence}");
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let sentence = Config::parse(&format!("servername = \"x\"\n{SAMPLE}"), PathBuf::new()).unwrap_err().to_string();
    assert!(sentence.contains("servername") && sentence.contains("line 1"), "{sentence}");
}

#[test]
fn no_sentence_about_the_configuration_shows_a_secret() {
    for (mistake, told) in [
        ("database = \"postgres://bot:hunter2@db.example.org\"", "key \"database\""),
        ("database_password = [\"hunter2\"]", "key \"database_password\""),
        ("database_passwd = \"hunter2\"", "database_passwd"),
        ("database_password = \"hunter2", "key \"database_password\""),
        ("database_password = hunter2", "line 1"),
        ("database_password \"hunter2\"", "line 1"),
        ("database_password: hunter2", "line 1"),
        ("aHunter2hunter2=", "line 1"),
        ("get_password_on_registration = \"hunter2\"", "line 1, key \"get_password_on_registration\""),
        ("database = \"postgres://bot@localhost/bot?hunter2\"", "%3F"),
    ] {
        let sentence = Config::parse(&format!("{mistake}\n{SAMPLE}"), PathBuf::new()).unwrap_err().to_string();
        assert!(sentence.contains(told) && sentence.contains("line "), "{mistake}: {sentence}");
        assert!(!sentence.to_lowercase().contains("hunter2"), "{mistake}: {sentence}");
    }
    let number = Config::parse(&format!("database_password = 20071\n{SAMPLE}"), PathBuf::new()).unwrap_err().to_string();
    assert!(number.contains("expected a string") && !number.contains("20071"), "{number}");
}

#[test]
fn who_may_call_is_an_address_or_a_network_and_anything_else_is_refused() {
    let range = |text: &str| text.parse::<CallerRange>();
    assert!(range("172.16.0.0/12").unwrap().contains("::ffff:172.20.1.1"));
    assert!(!range("172.16.0.0/12").unwrap().contains("172.32.0.1"));
    assert!(range("2001:db8::/32").unwrap().contains("2001:db8:7::1"));
    assert!(range("::ffff:192.0.2.1").unwrap().contains("192.0.2.1"));
    for never_matches in ["[::1]", "127.0.0.1:80", "proxy.example.org", "10.0.0.0/33", "::ffff:10.0.0.0/104", ""] {
        assert!(range(never_matches).unwrap_err().contains("for example"), "{never_matches}");
    }
}

#[test]
fn mail_is_never_sent_in_clear_text_to_another_machine() {
    let text = SAMPLE.replace("host = \"localhost\"", "host = \"mail.example.org\"");
    let sentence = Config::parse(&text, PathBuf::new()).unwrap_err().to_string();
    assert!(sentence.contains("starttls"), "{sentence}");
}

#[test]
fn synapse_mode_wants_the_shared_secret() {
    let text = SAMPLE.lines().filter(|line| !line.starts_with("registration_shared_secret")).collect::<Vec<_>>().join("\n");
    let sentence = Config::parse(&text, PathBuf::new()).unwrap_err().to_string();
    assert!(sentence.contains("operation_mode") && sentence.contains("line "), "{sentence}");
}

#[test]
fn a_mode_with_a_token_wants_the_token_once_and_terms_that_somebody_has_seen() {
    let text = |keys: &str, form: &str| {
        let text = SAMPLE.replace("operation_mode = \"synapse\"", "operation_mode = \"registration_token\"");
        let text = text.replace("[registration_token]\n", &format!("[registration_token]\n{keys}\n"));
        text.replace("[form]\n", &format!("[form]\n{form}\n"))
    };
    let refusal = |keys: &str| Config::parse(&text(keys, ""), PathBuf::new()).unwrap_err().to_string();
    assert!(refusal("").contains("token_file"), "{}", refusal(""));
    assert!(refusal("token = \"a\"\ntoken_file = \"b\"").contains("both token and token_file"));
    assert!(refusal("token = \"a\"\naccept_terms = true").contains("terms_url"));
    let config =
        Config::parse(&text("token = \"hunter2\"\naccept_terms = true", "terms_url = \"https://example.org/\""), PathBuf::new()).unwrap();
    assert_eq!(config.registration_token().unwrap().as_deref(), Some("hunter2"));
    assert!(config.can_create_in(OperationMode::Synapse), "its secret is still there");
    assert!(!config.can_create_in(OperationMode::Local), "the homeserver asks nobody for passwords any more");
}

#[test]
fn loopback_is_known_with_and_without_a_port() {
    let is_loopback = |url: &str| url.parse::<BaseUrl>().unwrap().is_loopback();
    for near in ["http://127.0.0.1:8008", "http://localhost", "http://[::1]:6167/x", "https://localhost:1/"] {
        assert!(is_loopback(near), "{near}");
    }
    for far in ["http://127.0.0.1.example.org", "https://example.org/localhost", "http://10.0.0.1:8008"] {
        assert!(!is_loopback(far), "{far}");
    }
}

#[test]
fn the_way_to_the_first_password_has_one_name_and_the_older_one_still_works() {
    let credentials = |lines: &str| Config::parse(&format!("{lines}\n{SAMPLE}"), PathBuf::new()).map(|config| config.credentials());
    for (lines, expected) in [
        ("", Credentials::Mail),
        ("credentials = \"mail\"", Credentials::Mail),
        ("credentials = \"link\"", Credentials::Link),
        ("credentials = \"confirm\"", Credentials::Confirm),
        ("get_password_on_registration = true", Credentials::Confirm),
        ("get_password_on_registration = false", Credentials::Mail),
        ("credentials = \"confirm\"\nget_password_on_registration = true", Credentials::Confirm),
        ("credentials = \"link\"\nget_password_on_registration = false", Credentials::Link),
    ] {
        assert_eq!(credentials(lines).unwrap(), expected, "{lines}");
    }
    for lines in [
        "credentials = \"link\"\nget_password_on_registration = true",
        "credentials = \"mail\"\nget_password_on_registration = true",
        "credentials = \"confirm\"\nget_password_on_registration = false",
    ] {
        let sentence = credentials(lines).unwrap_err().to_string();
        assert!(sentence.contains("line 2") && sentence.contains("credentials = \"confirm\""), "{sentence}");
    }
    assert!(credentials("credentials = \"post\"").unwrap_err().to_string().contains("line 1"));
}

//! Plain CGI with environment and standard input, as in git's t5560, without a web server.

use crate::program::Folder;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

fn run(folder: &Folder, variables: &[(&str, &OsStr)], body: &[u8]) -> (String, String) {
    let mut command = Command::new(folder.echo());
    command.env_clear().envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses the request does not read the body.
    let _ = child.stdin.take().unwrap().write_all(body);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn answer(method: &str, query: &str, content_length: &str, body: &str) -> String {
    let variables = [("REQUEST_METHOD", method), ("QUERY_STRING", query), ("CONTENT_LENGTH", content_length)];
    run(&Folder::new(), &variables.map(|(name, value)| (name, OsStr::new(value))), body.as_bytes()).0
}

#[test]
fn a_get_is_answered_with_status_type_and_length() {
    let answer = answer("GET", "", "", "");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("Status: 200 OK\r\nContent-Type: text/plain"), "{head}");
    for protection in ["X-Content-Type-Options: nosniff", "Content-Security-Policy: default-src 'none'; ", "X-Frame-Options: DENY"] {
        assert_eq!(head.matches(protection).count(), 1, "{head}");
    }
    assert!(head.ends_with(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    assert!(body.contains("site=example.org method=GET"), "{body}");
}

#[test]
fn a_head_is_the_get_without_its_body() {
    let answer = answer("HEAD", "", "", "");
    assert!(answer.starts_with("Status: 200 OK\r\n") && answer.contains("Content-Length: ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_post_reads_what_it_announced_and_no_more() {
    assert!(answer("POST", "", "3", "abcdef").contains("bytes=3 sum=294 "));
    assert!(answer("POST", "", "", "abcdef").contains("bytes=0 "));
}

#[test]
fn a_length_that_lies_is_400_and_one_beyond_the_limit_413() {
    assert!(answer("POST", "", "7", "abcdef").starts_with("Status: 400 Bad Request\r\n"));
    assert!(answer("POST", "", "six", "abcdef").starts_with("Status: 400 "));
    assert!(answer("POST", "", "65537", "").starts_with("Status: 413 Content Too Large\r\n"));
}

#[test]
fn another_method_is_405_with_the_allowed_ones() {
    let answer = answer("DELETE", "", "", "");
    assert!(answer.starts_with("Status: 405 Method Not Allowed\r\n") && answer.contains("\r\nAllow: GET, HEAD, POST\r\n"), "{answer}");
}

#[test]
fn without_a_method_the_answer_is_400_and_the_log_says_why() {
    let (answer, log) = run(&Folder::new(), &[], b"");
    assert!(answer.starts_with("Status: 400 "), "{answer}");
    assert!(log.contains("request_failed: the variable REQUEST_METHOD is missing"), "{log}");
}

#[test]
fn a_variable_that_is_not_utf8_is_400_if_it_may_come_from_a_visitor() {
    let raw = OsString::from_vec(b"a=\xff".to_vec());
    let (answer, _) = run(&Folder::new(), &[("REQUEST_METHOD", OsStr::new("GET")), ("QUERY_STRING", &raw)], b"");
    assert!(answer.starts_with("Status: 400 "), "{answer}");
    let (answer, _) = run(&Folder::new(), &[("REQUEST_METHOD", OsStr::new("GET")), ("SSL_SOMETHING", &raw)], b"");
    assert!(answer.starts_with("Status: 200 "), "{answer}");
}

#[test]
fn a_panic_is_a_500_and_its_message_is_seen_by_nobody() {
    let variables = [("REQUEST_METHOD", OsStr::new("GET")), ("QUERY_STRING", OsStr::new("panic=hunter2"))];
    let (answer, log) = run(&Folder::new(), &variables, b"");
    assert!(answer.starts_with("Status: 500 Internal Server Error\r\n"), "{answer}");
    assert!(log.contains("request_failed: the program panicked at examples/echo.rs:"), "{log}");
    assert!(!answer.contains("hunter2") && !log.contains("hunter2"));
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_broken_configuration_is_a_500_and_a_sentence_in_the_log() {
    let folder = Folder::new();
    std::fs::write(folder.path("config.toml"), "server_nam = 1").unwrap();
    let (answer, log) = run(&folder, &[("REQUEST_METHOD", OsStr::new("GET"))], b"");
    assert!(answer.starts_with("Status: 500 ") && !answer.contains("server_nam"), "{answer}");
    assert!(log.contains("configuration_refused") && log.contains("server_nam"), "{log}");
}

#[test]
fn the_environment_names_another_configuration() {
    let folder = Folder::new();
    folder.write_config("other.toml", "other.example", "");
    let path = folder.path("other.toml");
    let variables = [("REQUEST_METHOD", OsStr::new("GET")), ("MATRIX_REGISTER_BOT_CONFIG", path.as_os_str())];
    assert!(run(&folder, &variables, b"").0.contains("site=other.example"));
}

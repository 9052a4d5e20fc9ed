//! The messages in the web server's error log, which most sysadmins read first.

use crate::world::Host;
use crate::{Story, decision_form, fresh};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// A site without the settings that tests usually change.
fn as_delivered(host: Host) -> Story {
    Story::start_with("local", host, |site| site.unset("log_level"))
}

#[test]
fn a_registration_that_goes_well_leaves_no_line_in_the_web_servers_error_log() {
    for host in [Host::NginxCgi, Host::NginxFastCgi, Host::ApacheCgi, Host::ApacheFcgid, Host::LighttpdCgi] {
        let story = as_delivered(host);
        let ada = fresh("ada");
        story.ask_and_confirm(&ada);
        let page = story.browser.get(&story.room_message(&ada).link());
        assert_eq!(story.browser.submit(&decision_form(&page, "approve", "")).status, 200);
        assert_eq!(story.state(&ada), 100);
        let log = story.web.log();
        for word in ["matrix-register-bot", "request_filed", "?t=", "&t=", "stderr"] {
            assert!(!log.contains(word), "{host:?}: {word} in {log}");
        }
    }
}

#[test]
fn a_warning_stands_whole_in_the_web_servers_error_log_and_names_the_program_once() {
    for host in [Host::NginxCgi, Host::NginxFastCgi, Host::ApacheCgi] {
        let mut story = as_delivered(host);
        story.site.set("default_language", "a language with a name that is longer than any that there is ".repeat(40));
        let page = story.browser.get("/register");
        assert_eq!(page.status, 500);
        let log = story.web.log();
        let line = log.lines().find(|line| line.contains("configuration_refused")).unwrap_or_else(|| panic!("{host:?}: {log}"));
        let start = line.find("matrix-register-bot register configuration_refused: ").unwrap_or_else(|| panic!("{host:?}: {line}"));
        let ours = &line[start..];
        for part in ["default_language", " ... ", "expected"] {
            assert!(ours.contains(part), "{host:?}: {part} in {ours}");
        }
        assert_eq!(log.matches("longer than any").count(), ours.matches("longer than any").count(), "in one line: {log}");
        // nginx adds its own words after a program's message, and cuts none of it.
        assert!(host != Host::NginxCgi || ours.contains("host: "), "{ours}");
    }
}

/// Runs a program where it has a syslog of its own, and prints what that got.
const WITH_SYSLOG: &str = "
import socket, subprocess, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind('/dev/log')
log.setblocking(False)
run = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, input=b'')
sys.stderr.write(run.stderr.decode())
try:
    while True: print(log.recv(65536).decode())
except BlockingIOError: pass
";

/// The site may be in /dev/shm.
const DEV_OF_ITS_OWN: &str = "mount -t tmpfs none /mnt && mkdir /mnt/shm && mount --rbind /dev/shm /mnt/shm && mount --rbind /mnt /dev && \
     exec python3 -c \"$@\"";

#[test]
fn what_somebody_changes_in_a_shell_is_found_in_syslog_with_their_name() {
    let mut story = as_delivered(Host::NginxCgi);
    story.site.set("log_level", "warning");
    let command = story.site.program("matrix-register-bot");
    let said = |arguments: &[&str]| {
        let mut shell = Command::new("unshare");
        let namespaces = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        shell.args([namespaces, "sh", "-c", DEV_OF_ITS_OWN, "sh", WITH_SYSLOG]).arg(&command).args(arguments);
        let run = shell.output().unwrap();
        (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap())
    };
    let (log, errors) = said(&["close"]);
    assert!(!errors.contains("ermi"), "nothing can be mounted here (it takes CAP_SYS_ADMIN, or user namespaces): {errors}");
    let line = "matrix-register-bot/matrix-register-bot[";
    assert!(
        log.starts_with("<30>") && log.contains(line) && log.contains("form_closed_by_operator: ") && log.contains("by="),
        "{log} {errors}"
    );
    assert!(errors.is_empty(), "nothing of it disturbs the shell: {errors}");
    assert!(said(&["list"]).0.is_empty(), "who only looks leaves no line");
    let quiet = story.site.run_with("matrix-register-bot", &["open"], &[], b"");
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "without a syslog: {quiet:?}");
}

#[test]
fn the_journal_gets_everything_with_its_severity() {
    let story = as_delivered(Host::NginxCgi);
    let journal = story.site.path().join("journal");
    let stream = File::create(&journal).unwrap();
    let id = stream.metadata().map(|file| format!("{}:{}", file.dev(), file.ino())).unwrap();
    let said = |id: &str, name: &str| {
        let body = story.filled_form(name).body();
        stream.set_len(0).unwrap();
        let mut command = Command::new(story.site.program("register"));
        command.env_clear().envs([
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REQUEST_METHOD", "POST"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("CONTENT_TYPE", "application/x-www-form-urlencoded"),
            ("CONTENT_LENGTH", &body.len().to_string()),
            ("JOURNAL_STREAM", id),
        ]);
        let log = File::options().append(true).open(&journal).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), body.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        std::fs::read_to_string(&journal).unwrap()
    };
    let log = said(&id, &fresh("ada"));
    assert!(log.lines().any(|line| line.starts_with("<6>matrix-register-bot register request_filed registration=")), "{log}");
    assert!(log.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{log}");
    // A variable that was set for another reason.
    assert_eq!(said("1:2", &fresh("bob")), "");
}

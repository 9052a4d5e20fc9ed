//! Mails over a real SMTP server, through a program, and into a folder.

use crate::impostor::impostor;
use crate::world::{Certificates, Folder, MailCatcher, closed_port, config};
use matrix_register_bot::domain::config::Language;
use matrix_register_bot::outside::mail::{Error, Letter, Mailer};
use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const LETTER: Letter = Letter {
    to_address: "max@example.org",
    to_name: Some("Jörg Müller"),
    message_id: "verify.9f86d081@example.test",
    language: Language::German,
    subject: "Bestätigen Sie Ihre Adresse",
    text: "Grüße\n.\nEnde\n",
    html: "<p>Grüße</p>\n",
};
const NOW: i64 = 1_795_000_000;

fn mailer(folder: &Folder, port: u16, smtp: &str) -> Mailer {
    try_mailer(folder, port, smtp).unwrap()
}

fn try_mailer(folder: &Folder, port: u16, smtp: &str) -> Result<Mailer, Error> {
    let mail = "[mail]\nfrom = \"Sign-up <register@example.test>\"\ntransport = \"smtp\"\n";
    let tables = format!("{mail}[mail.smtp]\nhost = \"127.0.0.1\"\nport = {port}\ntimeout_seconds = 2\n{smtp}");
    Mailer::new(&config(&folder.0, "http://127.0.0.1:1", "", &tables))
}

/// The message of a failure after which the mail is tried again.
fn later(outcome: Result<(), Error>) -> String {
    match outcome {
        Err(Error::Later(sentence) | Error::Unreachable(sentence) | Error::PutOff(sentence) | Error::PerhapsSent(sentence)) => sentence,
        other => panic!("expected \"later\", got {other:?}"),
    }
}

fn with_certificate<'a>(certificates: &'a Certificates, options: &[&'a str]) -> Vec<&'a str> {
    let files = ["--certificate", certificates.certificate.to_str().unwrap(), "--key", certificates.key.to_str().unwrap()];
    [options, &files].concat()
}

#[test]
fn a_mail_arrives_with_its_envelope_and_twice_the_same() {
    let folder = Folder::new();
    let catcher = MailCatcher::start(&folder, &[]);
    let mailer = mailer(&folder, catcher.port, "");
    mailer.send(&LETTER, NOW).unwrap();
    mailer.send(&LETTER, NOW).unwrap();
    let mails = catcher.caught();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0], mails[1]);
    assert!(mails[0].starts_with("X-Envelope-From: register@example.test\r\nX-Envelope-To: max@example.org\r\n"), "{}", mails[0]);
    assert!(mails[0].contains("Message-ID: <verify.9f86d081@example.test>\r\n"), "{}", mails[0]);
    assert!(mails[0].contains("Gr=C3=BC=C3=9Fe\r\n.\r\nEnde"), "the dot alone in a line stays: {}", mails[0]);
}

#[test]
fn with_starttls_and_a_private_authority_a_mail_arrives() {
    let folder = Folder::new();
    let certificates = Certificates::make(&folder);
    let catcher = MailCatcher::start(&folder, &with_certificate(&certificates, &["--starttls", "--auth", "bot:right"]));
    let security = format!("security = \"starttls\"\nca_file = \"{}\"\n", certificates.authority.display());
    let account = "user = \"bot\"\npassword = \"right\"\n";
    mailer(&folder, catcher.port, &format!("{security}{account}")).send(&LETTER, NOW).unwrap();
    assert_eq!(catcher.caught().len(), 1);
}

#[test]
fn with_tls_and_a_private_authority_a_mail_arrives() {
    let folder = Folder::new();
    let certificates = Certificates::make(&folder);
    let catcher = MailCatcher::start(&folder, &with_certificate(&certificates, &["--tls"]));
    let security = format!("security = \"tls\"\nca_file = \"{}\"\n", certificates.authority.display());
    mailer(&folder, catcher.port, &security).send(&LETTER, NOW).unwrap();
    assert_eq!(catcher.caught().len(), 1);
}

#[test]
fn a_mail_arrives_at_a_server_whose_answers_are_bare_codes() {
    let folder = Folder::new();
    let certificates = Certificates::make(&folder);
    let authority = format!("ca_file = \"{}\"\n", certificates.authority.display());
    let account = "user = \"bot\"\npassword = \"right\"\n";
    let plain = |options: &[&str], smtp: &str| {
        let catcher = MailCatcher::start(&folder, &[&["--bare"], options].concat());
        let before = catcher.caught().len();
        mailer(&folder, catcher.port, smtp).send(&LETTER, NOW).unwrap_or_else(|cause| panic!("{options:?}: {cause}"));
        assert_eq!(catcher.caught().len(), before + 1, "{options:?}");
    };
    plain(&[], "");
    plain(&["--auth", "bot:right"], account);
    plain(&["--auth", "bot:right", "--login-only"], account);
    let starttls = with_certificate(&certificates, &["--starttls", "--auth", "bot:right", "--login-only"]);
    plain(&starttls, &format!("security = \"starttls\"\n{authority}{account}"));
    plain(&with_certificate(&certificates, &["--tls"]), &format!("security = \"tls\"\n{authority}"));
}

/// A server that gives these answers, one to each line and one to the mail.
fn answering(answers: [&'static str; 6]) -> u16 {
    impostor(move |mut stream| {
        let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
        for (step, answer) in answers.iter().enumerate() {
            // Greeting, EHLO, MAIL, RCPT, DATA, the mail; after a refused step comes a QUIT.
            let heard = match step {
                0 => true,
                5 => lines.by_ref().map_while(Result::ok).any(|line| line == "." || line == "QUIT"),
                _ => lines.next().is_some(),
            };
            if !heard || stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        let _ = lines.next();
    })
}

#[test]
fn an_answer_counts_by_its_code_with_or_without_a_text() {
    let folder = Folder::new();
    let send = |answers| mailer(&folder, answering(answers), "").send(&LETTER, NOW);
    for ok in ["250\r\n", "250 \r\n", "250-\r\n250\r\n", "250-\r\n250-a\r\n250 b\r\n", "250\n", "250 \u{fc}\r\n"] {
        let answers = ["220\r\n", ok, ok, ok, "354\r\n", ok];
        assert_eq!(send(answers), Ok(()), "{ok:?}");
    }
    let good = ["220\r\n", "250\r\n", "250\r\n", "250\r\n", "354\r\n", "250\r\n"];
    for step in 0..6 {
        for (bare, code) in [("451\r\n", "451"), ("550\r\n", "550"), ("554-\r\n554\r\n", "554")] {
            let mut answers = good;
            answers[step] = bare;
            // A refusal of the recipient or of the mail concerns this mail; any other concerns all mails.
            match (send(answers), step) {
                (Err(Error::Later(sentence)), 3..) | (Err(Error::Unreachable(sentence)), ..3) => {
                    assert!(sentence.contains(code), "{step}: {sentence}");
                }
                (other, _) => panic!("{step} {bare:?}: {other:?}"),
            }
        }
    }
    for (step, odd) in [(3, "354\r\n"), (4, "250\r\n"), (5, "354\r\n"), (5, "250-a\r\n251 b\r\n")] {
        let mut answers = good;
        answers[step] = odd;
        assert!(later(send(answers)).contains("cannot talk to"), "{step} {odd:?}");
    }
}

#[test]
fn a_server_that_dribbles_is_left_after_the_time_out() {
    let folder = Folder::new();
    let slow = impostor(|mut stream| {
        thread::spawn(move || {
            // One byte at a time, and never the end of a line.
            while stream.write_all(b"2").is_ok() {
                thread::sleep(Duration::from_millis(300));
            }
        });
    });
    let start = Instant::now();
    let sentence = later(mailer(&folder, slow, "").send(&LETTER, NOW));
    assert!(sentence.contains("did not answer within 2 s"), "{sentence}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn words_that_a_stranger_puts_before_the_encryption_are_not_taken_for_the_servers() {
    let folder = Folder::new();
    let port = impostor(|mut stream| {
        let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
        for answer in ["220 here\r\n", "250-here\r\n250 STARTTLS\r\n", "220 go on\r\n250 AUTH PLAIN\r\n"] {
            if stream.write_all(answer.as_bytes()).is_err() || lines.next().is_none() {
                return;
            }
        }
    });
    let sentence = later(mailer(&folder, port, "security = \"starttls\"\n").send(&LETTER, NOW));
    assert!(sentence.contains("STARTTLS"), "{sentence}");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let folder = Folder::new();
    let certificates = Certificates::make(&folder);
    let other = Certificates::make(&Folder::new());
    for security in ["starttls", "tls"] {
        let catcher = MailCatcher::start(&folder, &with_certificate(&certificates, &[&format!("--{security}")]));
        let line = format!("security = \"{security}\"\n");
        let sentence = later(mailer(&folder, catcher.port, &line).send(&LETTER, NOW));
        assert!(sentence.contains("certificate") && sentence.contains("ca_file"), "{sentence}");
        assert!(catcher.caught().is_empty());
    }
    // The temporary folder of this certificate is gone, so the file is missing.
    let line = format!("security = \"tls\"\nca_file = \"{}\"\n", other.authority.display());
    let Err(Error::Config(sentence)) = try_mailer(&folder, 1, &line) else { panic!("taken") };
    assert!(sentence.contains("ca_file") && sentence.contains("cannot be read"), "{sentence}");
}

#[test]
fn a_certificate_for_another_host_is_not_trusted() {
    let folder = Folder::new();
    let certificates = Certificates::make(&folder);
    let catcher = MailCatcher::start(&folder, &with_certificate(&certificates, &["--tls"]));
    let security = format!("security = \"tls\"\nca_file = \"{}\"\n", certificates.authority.display());
    let tables = format!(
        "[mail]\nfrom = \"register@example.test\"\ntransport = \"smtp\"\n[mail.smtp]\nhost = \"127.0.0.2\"\nport = {}\n{security}",
        forward_from_another_address(catcher.port)
    );
    let mailer = Mailer::new(&config(&folder.0, "http://127.0.0.1:1", "", &tables)).unwrap();
    let sentence = later(mailer.send(&LETTER, NOW));
    assert!(sentence.contains("certificate"), "{sentence}");
}

/// The same server as 127.0.0.2, for which the certificate is not valid.
fn forward_from_another_address(port: u16) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut from_client, mut to_server) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
            let (mut from_server, mut to_client) = (server, stream);
            thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        }
    });
    own
}

#[test]
fn a_server_without_starttls_gets_neither_password_nor_mail() {
    let folder = Folder::new();
    let catcher = MailCatcher::start(&folder, &[]);
    let sentence =
        later(mailer(&folder, catcher.port, "security = \"starttls\"\nuser = \"bot\"\npassword = \"right\"\n").send(&LETTER, NOW));
    assert!(sentence.contains("STARTTLS") && sentence.contains("security"), "{sentence}");
    assert!(catcher.caught().is_empty());
}

#[test]
fn a_wrong_password_is_told_and_the_mail_kept_for_later() {
    let folder = Folder::new();
    let catcher = MailCatcher::start(&folder, &["--auth", "bot:right"]);
    mailer(&folder, catcher.port, "user = \"bot\"\npassword = \"right\"\n").send(&LETTER, NOW).unwrap();
    let sentence = later(mailer(&folder, catcher.port, "user = \"bot\"\npassword = \"wrong-one\"\n").send(&LETTER, NOW));
    assert!(sentence.contains("535") && sentence.contains("password_file"), "{sentence}");
    assert!(!sentence.contains("wrong-one"), "{sentence}");
    let sentence = later(mailer(&folder, catcher.port, "").send(&LETTER, NOW));
    assert!(sentence.contains("530"), "{sentence}");
    assert_eq!(catcher.caught().len(), 1);
}

#[test]
fn only_a_mail_box_that_does_not_exist_is_a_final_refusal() {
    let folder = Folder::new();
    let cases = [
        ("550 5.1.1 <max@example.org>: User unknown", true),
        ("550 5.7.1 <max@example.org>: Relay access denied", false),
        ("554 5.7.1 relaying denied", false),
        ("550 User unknown", false),
        ("451 4.7.1 Greylisted", false),
        ("552 5.2.2 Mailbox full", false),
    ];
    for (rejection, is_final) in cases {
        let catcher = MailCatcher::start(&folder, &["--reject-recipient", "max@example.org", "--rejection", rejection]);
        let outcome = mailer(&folder, catcher.port, "").send(&LETTER, NOW);
        let sentence = match (&outcome, is_final) {
            (Err(Error::Refused(sentence)), true) | (Err(Error::Later(sentence) | Error::PutOff(sentence)), false) => sentence,
            _ => panic!("{rejection}: {outcome:?}"),
        };
        assert!(sentence.contains(&rejection[..3]) && !sentence.contains("max@"), "{sentence}");
    }
}

#[test]
fn a_server_that_is_down_is_tried_again() {
    let folder = Folder::new();
    let sentence = later(mailer(&folder, closed_port(), "").send(&LETTER, NOW));
    assert!(sentence.contains("127.0.0.1") && sentence.contains("[mail.smtp]"), "{sentence}");
}

#[test]
fn a_server_that_hangs_is_left_after_the_time_out() {
    let folder = Folder::new();
    let silent = impostor(|stream| {
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(30));
            drop(stream);
        });
    });
    let start = Instant::now();
    let sentence = later(mailer(&folder, silent, "").send(&LETTER, NOW));
    assert!(sentence.contains("did not answer within 2 s") && sentence.contains("timeout_seconds"), "{sentence}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let start = Instant::now();
    later(mailer(&folder, silent, "security = \"tls\"\n").send(&LETTER, NOW));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

/// Each answer comes in time, but all together they would keep a visitor waiting.
#[test]
fn a_server_that_is_slow_at_every_step_is_left_before_the_mail_is_sent() {
    let folder = Folder::new();
    let slow = impostor(|stream| {
        thread::spawn(move || {
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            let mut stream = stream;
            for answer in ["220 slow\r\n", "250 slow\r\n", "250 sender\r\n", "250 recipient\r\n", "354 go on\r\n"] {
                thread::sleep(Duration::from_millis(1700));
                if stream.write_all(answer.as_bytes()).is_err() || lines.next().is_none() {
                    return;
                }
            }
        });
    });
    let start = Instant::now();
    let sentence = later(mailer(&folder, slow, "").send(&LETTER, NOW));
    assert!(sentence.contains("was not ready for the mail after 6 s"), "{sentence}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

/// As relays do that ask the mail servers of the recipient's domain first.
#[test]
fn a_server_that_is_silent_about_a_recipient_is_no_server_that_is_away() {
    let folder = Folder::new();
    let asking = impostor(|mut stream| {
        thread::spawn(move || {
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            for answer in ["220 here\r\n", "250 here\r\n", "250 sender\r\n"] {
                if stream.write_all(answer.as_bytes()).is_err() || lines.next().is_none() {
                    return;
                }
            }
            // Until the client hangs up.
            lines.next();
        });
    });
    match mailer(&folder, asking, "").send(&LETTER, NOW) {
        Err(Error::SlowDomain { domain, sentence }) => {
            assert!(domain == "example.org" && sentence.contains("did not answer within 2 s") && !sentence.contains("max"), "{sentence}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_talks_nonsense_is_tried_again() {
    let folder = Folder::new();
    for answer in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "999 what\r\n", "\0\0\0\0\r\n", "220 \u{ff}\r\n", "", "554 no service for max@example.org\r\n"]
    {
        let port = impostor(move |mut stream| {
            let _ = stream.write_all(answer.as_bytes());
        });
        let sentence = later(mailer(&folder, port, "").send(&LETTER, NOW));
        assert!(sentence.contains("127.0.0.1") && !sentence.contains("max@"), "{sentence}");
    }
}

#[test]
fn a_mail_counts_as_perhaps_sent_from_its_content_on_only() {
    let folder = Folder::new();
    // How many of our lines the server answers before it closes the connection: EHLO, MAIL, RCPT, DATA.
    for (answered, perhaps_sent) in [(0, false), (1, false), (2, false), (4, true)] {
        let port = impostor(move |mut stream| {
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"220 here\r\n").unwrap();
            for answer in &["250 hello\r\n", "250 sender\r\n", "250 recipient\r\n", "354 go on\r\n"][..answered] {
                lines.next().unwrap().unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
            // It has received what it does not answer: one more line, or the whole mail.
            lines.find(|line| answered < 4 || line.as_deref().is_ok_and(|line| line == "."));
        });
        let outcome = mailer(&folder, port, "").send(&LETTER, NOW);
        assert_eq!(matches!(outcome, Err(Error::PerhapsSent(_))), perhaps_sent, "{answered}: {outcome:?}");
        later(outcome);
    }
}

fn sendmail(folder: &Folder, script: &str) -> Mailer {
    let program = folder.join("sendmail");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tables = format!("[mail]\nfrom = \"register@example.test\"\ntransport = \"sendmail\"\nsendmail = \"{}\"\n", program.display());
    Mailer::new(&config(&folder.0, "http://127.0.0.1:1", "", &tables)).unwrap()
}

#[test]
fn a_sendmail_program_gets_sender_recipient_and_mail() {
    let folder = Folder::new();
    let out = folder.join("out").display().to_string();
    sendmail(&folder, &format!("echo \"$@\" > {out}.arguments; env > {out}.environment; cat > {out}")).send(&LETTER, NOW).unwrap();
    assert_eq!(std::fs::read_to_string(format!("{out}.arguments")).unwrap(), "-i -f register@example.test -- max@example.org\n");
    let mail = std::fs::read_to_string(&out).unwrap();
    assert!(mail.contains("Message-ID: <verify.9f86d081@example.test>\n") && !mail.contains('\r'), "{mail}");
    let environment = std::fs::read_to_string(format!("{out}.environment")).unwrap();
    assert!(!environment.contains("CARGO"), "{environment}");
}

/// After `--` such an address would be no option, but not every such program knows `--`.
#[test]
fn an_address_that_begins_with_a_dash_is_never_an_option_of_a_sendmail_program() {
    let folder = Folder::new();
    let out = folder.join("out");
    let mailer = sendmail(&folder, &format!("echo \"$@\" > {}; cat > /dev/null", out.display()));
    for address in ["-oQ/tmp@example.org", " -C/tmp/evil@example.org", "\u{200b}--config=x@example.org"] {
        let outcome = mailer.send(&Letter { to_address: address, ..LETTER }, NOW);
        assert!(matches!(outcome, Err(Error::Refused(_))) && !out.exists(), "{address:?}: {outcome:?}");
    }
    mailer.send(&LETTER, NOW).unwrap();
    assert!(std::fs::read_to_string(&out).unwrap().trim_end().ends_with(" -- max@example.org"));
}

#[test]
fn a_sendmail_program_that_fails_is_tried_again_unless_it_knows_no_such_mail_box() {
    let folder = Folder::new();
    let link = "<https://register.example.org/verify?t=0123456789abcdef>";
    let complaint = format!("cat > /dev/null; echo 'queue full for max@example.org, spam: {link}' >&2; exit 75");
    let sentence = later(sendmail(&folder, &complaint).send(&LETTER, NOW));
    assert!(sentence.contains("queue full for (address) spam: (link)") && sentence.contains("sendmail in [mail]"), "{sentence}");
    later(sendmail(&folder, "exit 1").send(&LETTER, NOW));
    assert!(matches!(sendmail(&folder, "cat > /dev/null; exit 67").send(&LETTER, NOW), Err(Error::Refused(_))));
    std::fs::remove_file(folder.join("sendmail")).unwrap();
    let tables = "[mail]\nfrom = \"register@example.test\"\ntransport = \"sendmail\"\nsendmail = \"/nowhere/sendmail\"\n";
    let sentence = later(Mailer::new(&config(&folder.0, "http://127.0.0.1:1", "", tables)).unwrap().send(&LETTER, NOW));
    assert!(sentence.contains("/nowhere/sendmail"), "{sentence}");
}

#[test]
fn what_a_sendmail_program_says_is_read_even_if_it_leaves_a_child_behind() {
    let folder = Folder::new();
    let sentence = later(sendmail(&folder, "cat > /dev/null; echo 'queue full' >&2; sleep 3 & exit 75").send(&LETTER, NOW));
    assert!(sentence.contains("queue full"), "{sentence}");
    let flood = "cat > /dev/null; echo first >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 75";
    assert!(later(sendmail(&folder, flood).send(&LETTER, NOW)).contains("first"), "it cannot fill the memory");
}

fn eml_files(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn in_a_folder_the_same_letter_again_replaces_itself() {
    let folder = Folder::new();
    let tables = "[mail]\nfrom = \"register@example.test\"\ntransport = \"file\"\nfolder = \"mails\"\n";
    let mailer = Mailer::new(&config(&folder.0, "http://127.0.0.1:1", "", tables)).unwrap();
    mailer.send(&LETTER, NOW).unwrap();
    mailer.send(&LETTER, NOW + 60).unwrap();
    mailer.send(&Letter { message_id: "../../.evil", ..LETTER }, NOW).unwrap();
    let mut names = eml_files(&folder.join("mails"));
    names.sort();
    assert_eq!(names, ["-..-.evil.eml", "verify.9f86d081@example.test.eml"]);
    let mode = std::fs::metadata(folder.join("mails").join(&names[1])).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let tables = "[mail]\nfrom = \"register@example.test\"\ntransport = \"file\"\nfolder = \"/proc/mails\"\n";
    let sentence = later(Mailer::new(&config(&folder.0, "http://127.0.0.1:1", "", tables)).unwrap().send(&LETTER, NOW));
    assert!(sentence.contains("/proc/mails") && sentence.contains("folder in [mail]"), "{sentence}");
}

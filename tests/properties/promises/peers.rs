//! Servers that we use: whatever a homeserver or a mail server answers, the result is defined, with a message for the log.

use super::{SETTINGS, Scratch};
use matrix_register_bot::domain::config::{Config, Language};
use matrix_register_bot::outside::mail::{self, Letter, Mailer};
use matrix_register_bot::outside::matrix::register::{NewAccount, register};
use matrix_register_bot::outside::matrix::relations::{self, Reaction};
use matrix_register_bot::outside::matrix::room::{self, Relation, RoomMessage};
use matrix_register_bot::outside::matrix::{Error, Homeserver, accounts, availability, forward, login, members, service, sessions};
use matrix_register_bot::outside::store::RoomEvent;
use std::collections::{HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOKEN: &str = "syt_a_token_of_ours";
const PASSWORD: &str = "a-password-of-ours";

/// The answers of a server in order; after the last one it closes the connection.
type Script = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// A server on loopback with prepared answers.
pub struct Impostor {
    port: u16,
    script: Script,
}

impl Impostor {
    /// Answers each HTTP request with the next piece of the script.
    pub fn homeserver() -> Impostor {
        Impostor::start(|mut connection, script| {
            let mut reader = BufReader::new(connection.try_clone()?);
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line)? > 2 {
                let header = line.to_ascii_lowercase();
                length = header.strip_prefix("content-length:").and_then(|value| value.trim().parse().ok()).unwrap_or(length);
                line.clear();
            }
            std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
            connection.write_all(&next(script).unwrap_or_default())
        })
    }

    /// Sends the next piece of the script at the start and after each line, or at the end of a mail.
    pub fn mail_server() -> Impostor {
        Impostor::start(|mut connection, script| {
            // A client that waits for more data waits until the connection is closed.
            connection.set_read_timeout(Some(Duration::from_millis(10)))?;
            let mut reader = BufReader::new(connection.try_clone()?);
            let mut line = Vec::new();
            while let Some(piece) = next(script) {
                connection.write_all(&piece)?;
                let is_content = line.starts_with(b"DATA") && piece.starts_with(b"354");
                loop {
                    line.clear();
                    if reader.read_until(b'\n', &mut line)? == 0 {
                        return Ok(());
                    }
                    if !is_content || line == b".\r\n" {
                        break;
                    }
                }
            }
            Ok(())
        })
    }

    fn start(serve: fn(TcpStream, &Script) -> std::io::Result<()>) -> Impostor {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("it is bound").port();
        let script = Script::default();
        let told = script.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let Ok(end) = connection.try_clone() else { continue };
                // A client that closed the connection early is of no interest.
                let _ = serve(connection, &told);
                let _ = end.shutdown(Shutdown::Both);
            }
        });
        Impostor { port, script }
    }

    fn say(&self, pieces: &[u8]) {
        let pieces = pieces.split(|byte| *byte == 0x1e).map(<[u8]>::to_vec);
        *self.script.lock().expect("nobody panics with it") = pieces.collect();
    }

    /// The homeserver answers one call with these pieces, separated by 0x1e.
    pub fn homeserver_says(&self, scratch: &Scratch, call: u8, pieces: &[u8]) {
        self.say(pieces);
        let settings = SETTINGS.replace("http://127.0.0.1:9", &format!("http://127.0.0.1:{}", self.port));
        let homeserver = Homeserver::new(&Config::parse(&settings, scratch.0.clone()).expect("the settings are right"));
        if let Err(cause) = ask(&homeserver, call) {
            is_fit_for_the_log(&cause.to_string());
            assert!(!matches!(cause, Error::Limited { retry_after_seconds, .. } if !(1..=3600).contains(&retry_after_seconds)));
        }
    }

    /// The mail server's part of a conversation, with answers separated by 0x1e.
    pub fn mail_server_says(&self, scratch: &Scratch, with_login: bool, pieces: &[u8]) {
        self.say(pieces);
        let login = if with_login { format!("user = \"max\"\npassword = \"{PASSWORD}\"\n") } else { String::new() };
        let server = format!("[mail.smtp]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\ntimeout_seconds = 1\n{login}", self.port);
        let settings = SETTINGS.replace("transport = \"file\"", "transport = \"smtp\"") + &server;
        let mailer = Mailer::new(&Config::parse(&settings, scratch.0.clone()).expect("the settings are right")).expect("a mailer");
        let letter = Letter {
            to_address: "max@example.org",
            to_name: None,
            message_id: "a@example.org",
            language: Language::English,
            subject: "Hello",
            text: "Hello\n.\nMax\n",
            html: "<p>Hello</p>\n",
        };
        if let Err(cause) = mailer.send(&letter, super::NOW) {
            is_fit_for_the_log(&cause.to_string());
            assert!(!cause.to_string().contains("max@example.org"), "{cause}");
            let speaks_of_the_box = pieces.windows(3).any(|three| three == b"5.1" || three == b"5.2");
            assert!(speaks_of_the_box || !matches!(cause, mail::Error::Refused(_)), "given up: {cause}");
        }
    }
}

/// One line of reasonable length, without our secrets.
fn is_fit_for_the_log(sentence: &str) {
    assert!(!sentence.contains(char::is_control), "{sentence:?}");
    assert!(sentence.len() < 4000, "{} bytes", sentence.len());
    assert!(!sentence.contains(TOKEN) && !sentence.contains(PASSWORD), "{sentence}");
}

fn next(script: &Script) -> Option<Vec<u8>> {
    script.lock().expect("nobody panics with it").pop_front()
}

fn ask(homeserver: &Homeserver, call: u8) -> Result<(), Error> {
    let message = RoomMessage { text: "Max", html: "<b>Max</b>" };
    let account = NewAccount { localpart: "max", password: PASSWORD, display_name: Some("Max"), is_bot: false };
    let forwarded = forward::Forwarded {
        path: "/_matrix/client/v3/account/password?access_token=x",
        authorization: Some("Bearer x"),
        user_agent: None,
        client_address: Some("192.0.2.1"),
        mark: "mark",
        body: b"{}",
    };
    let event = RoomEvent { room_id: "!room".into(), event_id: "$ours".into() };
    match call % 16 {
        0 => login::login(homeserver, "max", PASSWORD, "DEVICE", "a device").map(drop),
        1 => login::proves(homeserver, "max", PASSWORD).map(drop),
        2 => register(homeserver, "secret", &account).map(drop),
        3 => availability::availability(homeserver, "max").map(drop),
        4 => availability::display_name(homeserver, "max").map(drop),
        5 => room::send_message(homeserver, TOKEN, "!room", "txn", &message, Relation::None).map(drop),
        6 => room::resolve_alias(homeserver, "#room:example.org").map(drop),
        7 => room::join(homeserver, TOKEN, "!room").map(drop),
        8 => sessions::whoami(homeserver, TOKEN).map(drop),
        9 => sessions::end_others(homeserver, TOKEN, "max", Some("DEVICE")),
        10 => accounts::facts(homeserver, TOKEN, "max").map(drop),
        12 => relations::reactions(homeserver, TOKEN, &event).map(|found| check_reactions(&found)),
        13 => members::is_joined(homeserver, TOKEN, "!room", "@max:example.org").map(drop),
        14 => members::power(homeserver, TOKEN, "!room", "@max:example.org").map(drop),
        15 => service::ping(homeserver, TOKEN),
        _ => forward::post(homeserver, &forwarded).map(|answer| assert!((100..1000).contains(&answer.status))),
    }
}

/// Each reaction is there once, and there are no more than the module promises.
fn check_reactions(found: &[Reaction]) {
    let ids: HashSet<&str> = found.iter().map(|reaction| reaction.event_id.as_str()).collect();
    assert!(ids.len() == found.len() && found.len() <= 2_000, "{}", found.len());
    assert!(found.iter().all(|reaction| reaction.key.len() <= 100));
}

//! The fuzz targets: each checks an input against some promises. `fuzz/fuzz_targets` has a program for each; the tests run the
//! inputs of `fuzz/corpus` through the same functions.
#![allow(dead_code)] // each fuzz target uses one of them

use crate::promises::mails::{self, Texts};
use crate::promises::peers::Impostor;
use crate::promises::{self, PAGES, PROGRAMS, Scratch, World, php};
use matrix_register_bot::domain::config::OperationMode;

/// Checks an input; a broken promise is a panic.
pub type Target = fn(&[u8]);

/// The name of each target, which is also its folder in the corpus.
pub const ALL: [(&str, Target); 15] = [
    ("address", address),
    ("config", config),
    ("form", form),
    ("gateway", gateway),
    ("homeserver", homeserver),
    ("json_bodies", json_bodies),
    ("locale_file", locale_file),
    ("mail", mail),
    ("mail_server", mail_server),
    ("names", names),
    ("password_hash", password_hash),
    ("query", query),
    ("state_file", state_file),
    ("take_over", take_over),
    ("transactions", transactions),
];

thread_local! {
    static WORLD: World = World::new();
    static SCRATCH: Scratch = Scratch::new();
    static HOMESERVER: Impostor = Impostor::homeserver();
    static MAIL_SERVER: Impostor = Impostor::mail_server();
}

pub fn address(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else { return };
    promises::address(typed);
    promises::folded_address(typed);
}

pub fn config(data: &[u8]) {
    std::str::from_utf8(data).map(promises::config).unwrap_or_default();
}

/// The first byte selects the page that gets the rest as its form.
pub fn form(data: &[u8]) {
    promises::form_and_query(data);
    let Some((first, body)) = data.split_first() else { return };
    WORLD.with(|world| world.form_body(&PAGES[usize::from(*first) % PAGES.len()], body));
}

/// Lines `NAME=value` of the environment, an empty line, the body.
pub fn gateway(data: &[u8]) {
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(place) => (&data[..place], &data[place + 2..]),
        None => (data, &b""[..]),
    };
    let line = |line: &[u8]| line.iter().position(|byte| *byte == b'=').map(|place| (line[..place].to_vec(), line[place + 1..].to_vec()));
    let variables: Vec<_> = head.split(|byte| *byte == b'\n').filter_map(line).collect();
    WORLD.with(|world| PAGES.iter().for_each(|page| world.gateway(page, &variables, body)));
}

/// The first byte selects the call; the answers to it follow, separated by 0x1e.
pub fn homeserver(data: &[u8]) {
    let Some((call, answers)) = data.split_first() else { return };
    SCRATCH.with(|scratch| HOMESERVER.with(|server| server.homeserver_says(scratch, *call, answers)));
}

/// The first byte selects the internal program that gets the rest as its body.
pub fn json_bodies(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    WORLD.with(|world| world.json_body(&PROGRAMS[usize::from(*first) % PROGRAMS.len()], body));
}

pub fn locale_file(data: &[u8]) {
    promises::locale_file(&Scratch::new(), data);
}

/// Address, name, Message-ID, subject, text and HTML, separated by 0x1f.
pub fn mail(data: &[u8]) {
    let Ok(texts) = std::str::from_utf8(data) else { return };
    let mut texts = texts.split('\u{1f}');
    let mut next = || texts.next().unwrap_or("");
    let texts = Texts { address: next(), name: next(), message_id: next(), subject: next(), text: next(), html: next() };
    SCRATCH.with(|scratch| mails::letter(scratch, &texts));
}

/// The first byte says whether to log in; the server's answers follow, separated by 0x1e.
pub fn mail_server(data: &[u8]) {
    let Some((first, answers)) = data.split_first() else { return };
    SCRATCH.with(|scratch| MAIL_SERVER.with(|server| server.mail_server_says(scratch, first % 2 == 1, answers)));
}

/// Two names, separated by a line break, for everything that takes a short text.
pub fn names(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else { return };
    let (one, other) = typed.split_once('\n').unwrap_or((typed, ""));
    promises::localpart(typed);
    promises::person_name_and_note(typed);
    promises::visible_text(typed);
    promises::characters(typed);
    promises::fold(typed);
    promises::terms(one, other);
    promises::languages(one, other);
    promises::form_token(one, data.len() as i64, 3600);
}

/// A password, a line break, and a hash from a foreign database.
pub fn password_hash(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (password, stored) = text.split_once('\n').unwrap_or(("", text));
    php::stored_hash(password, stored);
}

/// The first byte selects the page that gets the rest as its query.
pub fn query(data: &[u8]) {
    let Some((first, query)) = data.split_first() else { return };
    let Ok(query) = std::str::from_utf8(query) else { return };
    WORLD.with(|world| world.query_string(&PAGES[usize::from(*first) % PAGES.len()], query));
}

pub fn state_file(data: &[u8]) {
    promises::state_file(&Scratch::new(), data);
}

/// Rows of the PHP program, in both modes.
pub fn take_over(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let rows = php::rows(text);
    php::take_over(&rows, OperationMode::Synapse);
    php::take_over(&rows, OperationMode::Local);
}

/// What the homeserver pushes to `room_events`.
pub fn transactions(data: &[u8]) {
    WORLD.with(|world| world.pushed(data));
}

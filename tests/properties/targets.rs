//! What the fuzz targets do with an input: the promises that it is held against. `fuzz/fuzz_targets` has a program for
//! each; the tests run the inputs of `fuzz/corpus` through the same functions.
#![allow(dead_code)] // each fuzz target uses one of them

use crate::promises::{self, PAGES, PROGRAMS, Scratch, World};

/// Takes an input; a broken promise is a panic.
pub type Target = fn(&[u8]);

/// The name of each target, which is its folder in the corpus, too.
pub const ALL: [(&str, Target); 9] = [
    ("address", address),
    ("config", config),
    ("form", form),
    ("gateway", gateway),
    ("json_bodies", json_bodies),
    ("locale_file", locale_file),
    ("names", names),
    ("query", query),
    ("state_file", state_file),
];

thread_local! {
    static WORLD: World = World::new();
}

pub fn address(data: &[u8]) {
    std::str::from_utf8(data).map(promises::address).unwrap_or_default();
}

pub fn config(data: &[u8]) {
    std::str::from_utf8(data).map(promises::config).unwrap_or_default();
}

/// The first byte says which page gets the rest as its form.
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

/// The first byte says which internal program gets the rest as its body.
pub fn json_bodies(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    WORLD.with(|world| world.json_body(&PROGRAMS[usize::from(*first) % PROGRAMS.len()], body));
}

pub fn locale_file(data: &[u8]) {
    promises::locale_file(&Scratch::new(), data);
}

/// Two names with a line break between them, for everything that takes a short text.
pub fn names(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else { return };
    let (one, other) = typed.split_once('\n').unwrap_or((typed, ""));
    promises::localpart(typed);
    promises::person_name_and_note(typed);
    promises::visible_text(typed);
    promises::fold(typed);
    promises::terms(one, other);
    promises::languages(one, other);
    promises::form_token(one, data.len() as i64, 3600);
}

/// The first byte says which page gets the rest as its query.
pub fn query(data: &[u8]) {
    let Some((first, query)) = data.split_first() else { return };
    let Ok(query) = std::str::from_utf8(query) else { return };
    WORLD.with(|world| world.query_string(&PAGES[usize::from(*first) % PAGES.len()], query));
}

pub fn state_file(data: &[u8]) {
    promises::state_file(&Scratch::new(), data);
}

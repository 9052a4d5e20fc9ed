//! The environment of a plain CGI program, a line each, and behind an empty line the body.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

use promises::{PAGES, World};

thread_local! {
    static WORLD: World = World::new();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(place) => (&data[..place], &data[place + 2..]),
        None => (data, &b""[..]),
    };
    let line = |line: &[u8]| line.iter().position(|byte| *byte == b'=').map(|place| (line[..place].to_vec(), line[place + 1..].to_vec()));
    let variables: Vec<_> = head.split(|byte| *byte == b'\n').filter_map(line).collect();
    WORLD.with(|world| PAGES.iter().for_each(|page| world.gateway(page, &variables, body)));
});

//! The first byte says which internal program gets the rest as its body.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

use promises::{PROGRAMS, World};

thread_local! {
    static WORLD: World = World::new();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    WORLD.with(|world| world.json_body(&PROGRAMS[usize::from(*first) % PROGRAMS.len()], body));
});

//! The first byte says which page gets the rest as its query string.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

use promises::{PAGES, World};

thread_local! {
    static WORLD: World = World::new();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, query)) = data.split_first() else { return };
    let Ok(query) = std::str::from_utf8(query) else { return };
    WORLD.with(|world| world.query_string(&PAGES[usize::from(*first) % PAGES.len()], query));
});

//! The first byte says which page gets the rest as its form.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

use promises::{PAGES, World};

thread_local! {
    static WORLD: World = World::new();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    promises::form_and_query(data);
    let Some((first, body)) = data.split_first() else { return };
    WORLD.with(|world| world.form_body(&PAGES[usize::from(*first) % PAGES.len()], body));
});

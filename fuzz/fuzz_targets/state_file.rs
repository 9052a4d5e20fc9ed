//! `config.json`.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

use promises::Scratch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    promises::state_file(&Scratch::new(), data);
});

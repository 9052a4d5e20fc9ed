//! `config.toml`.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(content) = std::str::from_utf8(data) else { return };
    promises::config(content);
});

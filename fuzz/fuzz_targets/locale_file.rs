//! The operator's own `locales/de.toml`.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

use promises::Scratch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    promises::locale_file(&Scratch::new(), data);
});

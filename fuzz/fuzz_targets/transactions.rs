//! `targets::transactions`, by libFuzzer.
#![no_main]

#[path = "../../tests/properties/promises/mod.rs"]
mod promises;
#[path = "../../tests/properties/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::transactions(data));

//! What an applicant types as username, name and note; what a browser asks for; what a form token may be.
#![no_main]

#[path = "../../tests/properties/promises.rs"]
mod promises;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(typed) = std::str::from_utf8(data) else { return };
    let (one, other) = typed.split_once('\n').unwrap_or((typed, ""));
    promises::localpart(typed);
    promises::person_name_and_note(typed);
    promises::visible_text(typed);
    promises::fold(typed);
    promises::terms(one, other);
    promises::languages(one, other);
    promises::form_token(one, data.len() as i64, 3600);
});

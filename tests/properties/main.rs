//! Every parser keeps its promises (`promises`), whatever its input.
//!
//! The environment variable `PROPTEST_CASES` sets the number of inputs; `make fuzz` tests the same promises for longer.

mod fastcgi;
mod generate;
#[path = "../world/programs.rs"]
mod programs;
mod promises;
mod targets;

use generate::{damaged, deep_json, json, nearly_a_vector, typed};
use programs::programs_of;
use promises::{PAGES, PROGRAMS, Scratch, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

const LOCALE: &str = include_str!("../../templates/locales/de.toml");
const SAMPLE: &str = include_str!("../../config.sample.toml");

thread_local! {
    /// One world for all inputs of a test.
    static WORLD: World = World::new();
}

/// Fewer cases for tests that hash a password or write a file in each.
fn some() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.div_ceil(2), ..config }
}

fn ask_all(body: &[u8]) {
    WORLD.with(|world| {
        PROGRAMS.iter().for_each(|program| world.json_body(program, body));
        world.pushed(body);
    });
}

/// A new program gets all inputs, too.
#[test]
fn every_program_that_is_asked_has_its_promises() {
    let internal: BTreeSet<&str> = PROGRAMS.iter().map(|program| program.name).chain(["room_events", "metrics"]).collect();
    assert_eq!(
        internal,
        programs_of("internal").into_iter().collect(),
        "add it to PROGRAMS in promises/mod.rs; `pushed` is for room_events, and metrics takes no body"
    );
    let pages: BTreeSet<&str> = PAGES.iter().map(|page| page.name).collect();
    assert_eq!(pages, programs_of("public").into_iter().collect(), "add it to PAGES in promises/mod.rs");
}

/// The sample with every key uncommented, so that each can be damaged.
fn every_key() -> String {
    let is_key = |line: &str| line.strip_prefix("# ").is_some_and(|rest| rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
    let uncomment = |line: &'static str| if is_key(line) { &line[2..] } else { line };
    SAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

fn state_file_content() -> impl Strategy<Value = Vec<u8>> {
    let whole = format!("{{\"secret_key\":\"{}\",\"register_password\":\"p\",\"access_token\":\"t\",\"smtp\":[1]}}", "0a".repeat(32));
    prop_oneof![
        damaged(select(vec![whole.into_bytes(), b"{}".to_vec()]), vec(any::<u8>(), 0..8)),
        json().prop_map(String::into_bytes),
        vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #![proptest_config(some())]

    #[test]
    fn any_json_is_answered_as_callers_read_it(body in json()) {
        ask_all(body.as_bytes());
    }

    #[test]
    fn a_damaged_body_is_answered_as_callers_read_it(body in nearly_a_vector()) {
        ask_all(&body);
    }

    #[test]
    fn what_is_no_json_is_answered_as_callers_read_it(body in vec(any::<u8>(), 0..200)) {
        ask_all(&body);
    }

    #[test]
    fn relations_of_any_form_are_read_or_refused(pages in vec((json(), json()), 1..4), call in 12_u8..15) {
        let page = |(chunk, next): (String, String)| {
            let body = format!("{{\"chunk\":[{chunk}],\"next_batch\":{next},\"membership\":\"join\"}}");
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        };
        let pages: Vec<String> = pages.into_iter().map(page).collect();
        targets::homeserver(&[&[call], pages.join("\x1e").as_bytes()].concat());
    }

    #[test]
    fn deep_json_overflows_no_stack(body in deep_json()) {
        ask_all(body.as_bytes());
    }

    #[test]
    fn pages_answer_any_form_with_a_whole_page(body in vec(any::<u8>(), 0..200), fields in vec((select(&FIELDS[..]), typed()), 0..8)) {
        let fields = serde_urlencoded::to_string(fields).unwrap();
        WORLD.with(|world| for page in &PAGES {
            world.form_body(page, &body);
            world.form_body(page, fields.as_bytes());
            world.query_string(page, &fields);
            world.query_string(page, &String::from_utf8_lossy(&body));
        });
    }

    #[test]
    fn the_gateway_answers_any_environment(variables in vec((variable(), vec(1..=255_u8, 0..40)), 0..6), body in vec(any::<u8>(), 0..40)) {
        WORLD.with(|world| PAGES.iter().for_each(|page| world.gateway(page, &variables, &body)));
    }

    #[test]
    fn a_state_file_of_any_content_is_taken_or_refused(content in state_file_content()) {
        promises::state_file(&Scratch::new(), &content);
    }

    #[test]
    fn a_locale_file_of_any_content_is_taken_or_refused(
        content in damaged(Just(LOCALE.as_bytes()[..300].to_vec()), vec(any::<u8>(), 0..8))
    ) {
        promises::locale_file(&Scratch::new(), &content);
    }
}

proptest! {
    #[test]
    fn a_form_is_read_or_refused(encoded in vec(any::<u8>(), 0..100), content_type in any::<String>()) {
        promises::form_and_query(&encoded);
        promises::content_type(&content_type);
    }

    #[test]
    fn an_encoded_form_is_read_or_refused(encoded in "([a-z]{0,3}=?(%[0-9a-fA-F]{1,2}|[+&;=%]|ä)?){0,12}") {
        promises::form_and_query(encoded.as_bytes());
    }

    #[test]
    fn a_username_is_one_that_synapse_takes(typed in typed()) {
        promises::localpart(&typed);
    }

    #[test]
    fn a_name_that_is_taken_stays_as_it_is(typed in typed()) {
        promises::person_name_and_note(&typed);
        promises::visible_text(&typed);
        promises::characters(&typed);
    }

    #[test]
    fn an_address_that_is_taken_can_be_sent_to(typed in typed()) {
        promises::address(&typed);
        promises::folded_address(&typed);
    }

    #[test]
    fn folding_twice_is_folding_once(typed in typed()) {
        promises::fold(&typed);
    }

    #[test]
    fn an_account_has_few_terms_and_is_found_by_them(first in typed(), last in typed()) {
        promises::terms(&first, &last);
    }

    #[test]
    fn only_our_own_form_tokens_are_taken(text in prop_oneof![any::<String>(), "[A-Za-z0-9_-]{0,60}"], now in any::<i64>(), age in 0..=i64::MAX) {
        promises::form_token(&text, now, age);
    }

    #[test]
    fn a_damaged_configuration_is_taken_or_refused_with_its_place(
        content in damaged(select(vec![SAMPLE.as_bytes().to_vec(), every_key().into_bytes()]), vec(any::<u8>(), 0..8))
    ) {
        promises::config(&String::from_utf8_lossy(&content));
    }

    #[test]
    fn every_visitor_gets_a_language(
        query in prop_oneof![any::<String>(), "(de|en|DE|fr)?[-_]?[A-Z]{0,2}"],
        header in prop_oneof![any::<String>(), "((de|en|fr|\\*)(; ?[qQ]=[0-9.]{0,5})?,? ?){0,6}"],
    ) {
        promises::languages(&query, &header);
    }
}

/// Tries every single character, because random texts may miss some. Of the planes that are empty, for private use, or filled with
/// ideographs that Unicode maps to nothing else, in which all are alike, it tries some hundred each.
#[test]
fn every_character_folds_and_parses() {
    let is_left_out =
        |c: &char| matches!(c, '\u{20000}'..='\u{2f7ff}' | '\u{2fa20}'..='\u{dffff}' | '\u{e1000}'..) && u32::from(*c) % 251 > 0;
    for c in ('\0'..=char::MAX).filter(|c| !is_left_out(c)) {
        promises::fold(&format!("a{c}b {c}"));
        promises::person_name_and_note(&format!("a{c}\u{301}"));
        promises::visible_text(&c.to_string());
        // Ideographs and syllables are all alike, too.
        if !matches!(c, '\u{3400}'..='\u{9ff0}' | '\u{ac00}'..='\u{f8ff}' | '\u{20000}'..='\u{dffff}' | '\u{e1000}'..) {
            promises::characters(&format!("\u{915}\u{94d}{c}\u{200d}\u{645}{c}\u{200c}b{c}"));
        }
    }
}

const FIELDS: [&str; 12] =
    ["form_token", "first_name", "last_name", "username", "email", "note", "password", "t", "d", "decision", "reason", "lang"];

fn variable() -> impl Strategy<Value = Vec<u8>> {
    let known = select(
        &[
            "REQUEST_METHOD",
            "CONTENT_LENGTH",
            "CONTENT_TYPE",
            "QUERY_STRING",
            "REMOTE_ADDR",
            "PATH_INFO",
            "SCRIPT_NAME",
            "SERVER_NAME",
            "HTTP_ACCEPT_LANGUAGE",
            "HTTP_X_FORWARDED_FOR",
            "HTTP_PROXY",
        ][..],
    );
    prop_oneof![4 => known.prop_map(|name| name.as_bytes().to_vec()), 1 => vec(1..=255_u8, 1..12)]
}

#[test]
fn every_input_of_the_fuzzers_corpus_keeps_the_promises() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::ALL {
        let inputs: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{name}");
        for input in inputs {
            target(&std::fs::read(&input).unwrap());
        }
    }
}

use crate::World;
use crate::accounts::{self, add};
use crate::world::{Engine, on_every_database};
use matrix_register_bot::faces::api::directory_search::search;
use matrix_register_bot::faces::cron;
use serde_json::{Value, json};

fn found(world: &World, by: &str, term: &str) -> Vec<String> {
    let answer = world.ask(search, &json!({"by": by, "search_term": term}).to_string());
    answer["results"].as_array().unwrap().iter().map(|user| user["user_id"].as_str().unwrap().to_owned()).collect()
}

/// The example searches D1 to D5.
fn a_search_is_answered_as_mxisd_reads_it(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let nobody = json!({"limited": false, "results": []});
    for (body, answer) in [
        (r#"{"by":"name","search_term":"jo"}"#, json!({"limited": false, "results": [{"user_id": "john", "display_name": "John Dœ"}]})),
        (
            r#"{"by":"threepid","search_term":"JANE@example.org"}"#,
            json!({"limited": false, "results": [{"user_id": "jane", "display_name": "Jane"}]}),
        ),
        (r#"{"by":"name","search_term":""}"#, nobody.clone()),
        (r#"{"by":"name"}"#, nobody.clone()),
    ] {
        assert_eq!(world.ask(search, body), answer, "{body}");
    }
    for (by, term) in [("name", "jo"), ("threepid", "jane@example.org")] {
        let of_length = |bytes: usize| format!("{term}{}", " ".repeat(bytes - term.len()));
        assert_eq!((found(&world, by, &of_length(4096)).len(), found(&world, by, &of_length(4097)).len()), (1, 0), "{by}");
    }
}

fn with_search_by_address(engine: Engine, value: &str) -> World {
    let world = World::with(engine, &format!("[internal]\nsearch_by_address = {value}\n"));
    accounts::add_known_accounts(&world);
    world
}

/// If searches matched beginnings by default, anybody could find out the addresses of all users letter by letter.
fn an_address_is_found_as_a_whole_only_and_by_beginnings_where_the_operator_wants_it(engine: Engine) {
    let (whole, beginnings) = (["jane@example.org", "JOHN.DOE@example.org"], ["j", "jane", "jane@", "jane@example.or", "john.doe"]);
    for (value, by_whole, by_beginning) in
        [("\"exact\"", true, false), ("\"prefix\"", true, true), ("\"off\"", false, false), ("true", true, false), ("false", false, false)]
    {
        let world = with_search_by_address(engine, value);
        assert!(whole.iter().all(|term| found(&world, "threepid", term).len() == usize::from(by_whole)), "{value}");
        assert!(beginnings.iter().all(|term| found(&world, "threepid", term).is_empty() != by_beginning), "{value}");
    }
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    assert!(beginnings.iter().all(|term| found(&world, "threepid", term).is_empty()), "by default");
    add(&world, "jane2", ("Jane", "Two"), "Jane@example.org", "*");
    world.database.sql("UPDATE logins SET active = 0 WHERE localpart = 'john'");
    assert_eq!(found(&world, "threepid", "jane@example.org"), ["jane", "jane2"], "all with this address");
    assert!(found(&world, "threepid", "john.doe@example.org").is_empty(), "a disabled one is not found");
}

fn every_spelling_of_a_name_finds_it(engine: Engine) {
    let world = World::on(engine);
    add(&world, "keyboard", ("Shaquille", "O'Neil"), "k@example.org", "*");
    add(&world, "telephone", ("Tatum", "O’Neil"), "t@example.org", "*");
    for term in ["O'Neil", "O’Neil", "o‘neil", "Oʼneil", "O´Neil", "o`neil", "O'Ne\u{200b}il"] {
        assert_eq!(found(&world, "name", term), ["keyboard", "telephone"], "{term}");
    }
    add(&world, "hyphen", ("Anna\u{2011}Lena", "van\u{a0}Dyk"), "h@example.org", "*");
    for term in ["anna-lena", "Anna‐Lena", "Anna–Lena van dyk", "van\u{202f}dyk"] {
        assert_eq!(found(&world, "name", term), ["hyphen"], "{term}");
    }
}

fn every_spelling_of_an_address_finds_it(engine: Engine) {
    for (value, beginnings) in
        [("\"exact\"", &[][..]), ("\"prefix\"", &["max@bü", "MAX@bücher.ex", "max@xn--bcher-kva.ex", "max@xn--bcher-kva"][..])]
    {
        let world = with_search_by_address(engine, value);
        add(&world, "letters", ("L", ""), "Max@Bücher.example", "*");
        add(&world, "ascii", ("A", ""), "max@xn--bcher-kva.example", "*");
        for term in ["max@bücher.example", "max@xn--bcher-kva.example", "MAX@XN--BCHER-KVA.example", "max@bu\u{308}cher.example\u{200e}"] {
            assert_eq!(found(&world, "threepid", term), ["letters", "ascii"], "{value}: {term}");
        }
        for term in beginnings {
            assert_eq!(found(&world, "threepid", term), ["letters", "ascii"], "{value}: {term}");
        }
    }
}

/// As an earlier version stored them, with apostrophes and addresses as typed.
fn accounts_of_before_are_found_in_every_spelling_after_a_run_of_cron(engine: Engine) {
    let world = with_search_by_address(engine, "\"prefix\"");
    add(&world, "old", ("Tatum", "O’Neil"), "max@xn--bcher-kva.example", "*");
    add(&world, "hidden", ("Secret", "O’Neil"), "hidden@example.org", "*");
    world.database.sql("DELETE FROM directory_terms");
    for (kind, term) in [(0, "old"), (1, "tatum o’neil"), (2, "o’neil tatum"), (3, "max@xn--bcher-kva.example")] {
        world.database.sql(&format!(
            "INSERT INTO directory_terms (kind, term, login_id) SELECT {kind}, '{term}', id FROM logins WHERE localpart = 'old'"
        ));
    }
    world.database.sql("UPDATE logins SET email = 'max@xn--bcher-kva.example\u{200b}' WHERE localpart = 'old'");
    assert!(found(&world, "name", "o'neil").is_empty() && found(&world, "threepid", "max@büc").is_empty());
    cron::run(&world.site).unwrap();
    assert_eq!(found(&world, "name", "o'neil"), ["old"], "and nobody who was in no directory");
    assert_eq!(found(&world, "threepid", "max@büc"), ["old"]);
    assert_eq!(world.database.rows("SELECT email FROM logins WHERE localpart = 'old'"), [["max@xn--bcher-kva.example"]]);
    assert_eq!(world.database.rows("SELECT folding, done_up_to FROM directory_folding"), [["1", "0"]]);
    world.database.sql("UPDATE logins SET email = 'x\u{200b}@example.org' WHERE localpart = 'old'");
    cron::run(&world.site).unwrap();
    assert_eq!(world.database.rows("SELECT email FROM logins WHERE localpart = 'old'"), [["x\u{200b}@example.org"]], "done once");
}

fn people_are_found_by_any_word_without_case_and_accents(engine: Engine) {
    let world = World::on(engine);
    add(&world, "js", ("Jürgen Émile", "GROß"), "x@example.org", "*");
    for term in [
        "js",
        "jurgen",
        "JÜRGEN",
        "emile",
        "Émile gro",
        "gross",
        "groß jürgen",
        "@js",
        "js:example.org",
        "@js:example.org",
        "  jürgen   émile ",
    ] {
        assert_eq!(found(&world, "name", term), ["js"], "{term}");
    }
    for term in ["urgen", "x@example", "js:other.org", "jurgen x"] {
        assert!(found(&world, "name", term).is_empty(), "{term}");
    }
}

fn wildcards_are_letters_like_others(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    for term in ["%", "_", "j%", "j_hn", "*", "\\", "'", "\" OR 1=1 --"] {
        assert!(found(&world, "name", term).is_empty() && found(&world, "threepid", term).is_empty(), "{term}");
    }
}

fn the_best_match_comes_first_and_limited_is_told_truthfully(engine: Engine) {
    let world = World::on(engine);
    for number in 0..9 {
        add(&world, &format!("u{number}"), ("Anna", &format!("Nr {number}")), &format!("u{number}@example.org"), "*");
    }
    add(&world, "anna", ("Someone", "Else"), "anna@example.org", "*");
    let answer = world.ask(search, r#"{"by":"name","search_term":"anna"}"#);
    assert_eq!(answer["limited"], Value::Bool(false));
    assert_eq!(answer["results"].as_array().unwrap().len(), 10);
    assert_eq!(answer["results"][0]["user_id"], "anna");
    assert_eq!(answer["results"][1]["user_id"], "u0");
    add(&world, "u9", ("Anna", "Nr 9"), "u9@example.org", "*");
    let answer = world.ask(search, r#"{"by":"name","search_term":"anna"}"#);
    assert_eq!((answer["limited"].clone(), answer["results"].as_array().unwrap().len()), (Value::Bool(true), 10));
}

fn a_disabled_user_is_not_found(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    world.database.sql("UPDATE logins SET active = 0 WHERE localpart = 'john'");
    assert!(found(&world, "name", "john").is_empty());
}

on_every_database! {
    a_search_is_answered_as_mxisd_reads_it,
    an_address_is_found_as_a_whole_only_and_by_beginnings_where_the_operator_wants_it,
    every_spelling_of_a_name_finds_it,
    every_spelling_of_an_address_finds_it,
    accounts_of_before_are_found_in_every_spelling_after_a_run_of_cron,
    people_are_found_by_any_word_without_case_and_accents,
    wildcards_are_letters_like_others,
    the_best_match_comes_first_and_limited_is_told_truthfully,
    a_disabled_user_is_not_found,
}

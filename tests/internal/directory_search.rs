use crate::World;
use crate::accounts::{self, add};
use crate::world::{Engine, on_every_database};
use matrix_register_bot::faces::api::directory_search::search;
use serde_json::{Value, json};

fn found(world: &World, by: &str, term: &str) -> Vec<String> {
    let answer = world.ask(search, &json!({"by": by, "search_term": term}).to_string());
    answer["results"].as_array().unwrap().iter().map(|user| user["user_id"].as_str().unwrap().to_owned()).collect()
}

/// Contract mxisd 11, D1 to D5.
fn d1_to_d5_the_contracts_searches(engine: Engine) {
    let world = World::on(engine);
    accounts::add_contract_accounts(&world);
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
}

/// D2 of the contract finds nobody by a part of an address; with `search_by_address` the beginning of one is enough.
fn d2_the_search_by_address_can_be_switched_off(engine: Engine) {
    let world = World::with(engine, "[internal]\nsearch_by_address = false\n");
    accounts::add_contract_accounts(&world);
    assert!(found(&world, "threepid", "jo").is_empty() && found(&world, "threepid", "jane@example.org").is_empty());
    let world = World::on(engine);
    accounts::add_contract_accounts(&world);
    assert_eq!(found(&world, "threepid", "jo"), ["john"]);
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
    accounts::add_contract_accounts(&world);
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
    accounts::add_contract_accounts(&world);
    world.database.sql("UPDATE logins SET active = 0 WHERE localpart = 'john'");
    assert!(found(&world, "name", "john").is_empty());
}

on_every_database! {
    d1_to_d5_the_contracts_searches,
    d2_the_search_by_address_can_be_switched_off,
    people_are_found_by_any_word_without_case_and_accents,
    wildcards_are_letters_like_others,
    the_best_match_comes_first_and_limited_is_told_truthfully,
    a_disabled_user_is_not_found,
}

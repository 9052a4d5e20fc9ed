use crate::World;
use crate::accounts::{self, add};
use crate::world::{Engine, on_every_database};
use matrix_register_bot::faces::api::{identity_bulk, identity_single};
use serde_json::{Value, json};

/// The example lookups S1 to S3.
fn a_single_lookup_is_answered_as_mxisd_reads_it(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    for (body, answer) in [
        (
            r#"{"lookup":{"medium":"email","address":"JOHN.DOE@EXAMPLE.ORG"}}"#,
            json!({"lookup": {"medium": "email", "address": "JOHN.DOE@EXAMPLE.ORG", "id": {"type": "localpart", "value": "john"}}}),
        ),
        (r#"{"lookup":{"medium":"email","address":"nobody@example.org"}}"#, json!({})),
        (r#"{"lookup":{"medium":"msisdn","address":"491700000000"}}"#, json!({})),
    ] {
        assert_eq!(world.ask(identity_single::look_up, body), answer, "{body}");
    }
}

/// The example lookups B1 and B2.
fn a_bulk_lookup_is_answered_as_mxisd_reads_it(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let body = r#"{"lookup":[{"medium":"email","address":"JANE@example.org"},{"medium":"msisdn","address":"49170"},{"medium":"email","address":"john.doe@example.org"},{"medium":"email","address":"no@b.c"}]}"#;
    assert_eq!(
        world.ask(identity_bulk::look_up, body),
        json!({"lookup": [{"medium": "email", "address": "JANE@example.org", "id": {"type": "localpart", "value": "jane"}},
                          {"medium": "email", "address": "john.doe@example.org", "id": {"type": "localpart", "value": "john"}}]})
    );
    assert_eq!(world.ask(identity_bulk::look_up, r#"{"lookup":[{"medium":"msisdn","address":"49170"}]}"#), json!({"lookup": []}));
}

fn one_bad_entry_does_not_spoil_the_others_and_repetitions_are_kept(engine: Engine) {
    let world = World::on(engine);
    accounts::add_known_accounts(&world);
    let body = r#"{"lookup":[null,{"medium":"email"},{"medium":"email","address":7},{"medium":"email","address":"' OR 1=1 --"},
                   {"medium":"email","address":"jane@example.org"},{"medium":"email","address":"Jane@Example.org"},{"medium":"email","address":"jane@example.org"}]}"#;
    let answer = world.ask(identity_bulk::look_up, body);
    let addresses: Vec<&Value> = answer["lookup"].as_array().unwrap().iter().map(|entry| &entry["address"]).collect();
    assert_eq!(addresses, ["jane@example.org", "Jane@Example.org", "jane@example.org"]);
}

fn an_address_of_two_accounts_is_the_older_ones_and_a_disabled_one_is_nobodys(engine: Engine) {
    let world = World::on(engine);
    add(&world, "older", ("A", ""), "same@example.org", "*");
    add(&world, "newer", ("B", ""), "Same@example.org", "*");
    let single = |world: &World| {
        world.ask(identity_single::look_up, r#"{"lookup":{"medium":"email","address":"same@example.org"}}"#)["lookup"]["id"]["value"]
            .clone()
    };
    let bulk = |world: &World| {
        world.ask(identity_bulk::look_up, r#"{"lookup":[{"medium":"email","address":"same@example.org"}]}"#)["lookup"][0]["id"]["value"]
            .clone()
    };
    assert_eq!((single(&world), bulk(&world)), (json!("older"), json!("older")));
    world.database.sql("UPDATE logins SET active = 0 WHERE localpart = 'older'");
    assert_eq!((single(&world), bulk(&world)), (json!("newer"), json!("newer")));
}

fn a_domain_in_another_script_is_the_same_in_both_spellings(engine: Engine) {
    let world = World::on(engine);
    add(&world, "idn", ("I", ""), "Max@Bücher.example", "*");
    for spelling in ["max@bücher.example", "MAX@xn--bcher-kva.example", "max@BÜCHER.example"] {
        let answer = world.ask(identity_single::look_up, &json!({"lookup": {"medium": "email", "address": spelling}}).to_string());
        assert_eq!((answer["lookup"]["id"]["value"].clone(), answer["lookup"]["address"].clone()), (json!("idn"), json!(spelling)));
    }
}

/// Client libraries differ in what they escape in JSON.
fn an_address_book_finds_every_spelling_and_answers_with_the_address_as_asked(engine: Engine) {
    let world = World::on(engine);
    for (localpart, address) in [("jane", "jane@example.org"), ("idn", "max@bücher.example"), ("slash", "a/b@example.org")] {
        add(&world, localpart, ("A", ""), address, "*");
    }
    let spellings = [
        (r"jane@example.org", "jane"),
        (r"\u006aANE@example.org", "jane"),
        (r"max@b\u00fccher.example", "idn"),
        (r"MAX@BÜCHER.example", "idn"),
        (r"max@xn--bcher-kva.example", "idn"),
        (r"a\/b@example.org", "slash"),
        (r"\u0061\u002Fb@example.org", "slash"),
    ];
    let entries =
        |medium: &str| spellings.map(|(address, _)| format!(r#"{{"address":"{address}","more":1,"medium":"{medium}"}}"#)).join(",");
    // With an entry that cannot be read, each is parsed by itself.
    for body in [entries("email"), entries(r"em\u0061il"), format!("7,{}", entries("email"))] {
        let answer = world.ask(identity_bulk::look_up, &format!(r#"{{"lookup":[{body}]}}"#));
        let as_asked = |address: &str| -> Value { serde_json::from_str(&format!("\"{address}\"")).unwrap() };
        let expected = spellings.map(|(address, localpart)| {
            json!({"medium": "email", "address": as_asked(address), "id": {"type": "localpart", "value": localpart}})
        });
        assert_eq!(answer, json!({"lookup": expected}), "{body}");
    }
}

fn an_address_book_of_thirty_thousand_is_one_request(engine: Engine) {
    let world = World::on(engine);
    for number in 0..50 {
        add(&world, &format!("u{number}"), ("U", ""), &format!("u{number}@example.org"), "*");
    }
    let entries: Vec<Value> = (0..30_000).map(|number| json!({"medium": "email", "address": format!("U{number}@example.org")})).collect();
    let answer = world.ask(identity_bulk::look_up, &json!({"lookup": entries}).to_string());
    assert_eq!(answer["lookup"].as_array().unwrap().len(), 50);
    assert_eq!(answer["lookup"][49]["address"], "U49@example.org");
}

on_every_database! {
    a_single_lookup_is_answered_as_mxisd_reads_it,
    a_bulk_lookup_is_answered_as_mxisd_reads_it,
    one_bad_entry_does_not_spoil_the_others_and_repetitions_are_kept,
    an_address_of_two_accounts_is_the_older_ones_and_a_disabled_one_is_nobodys,
    a_domain_in_another_script_is_the_same_in_both_spellings,
    an_address_book_finds_every_spelling_and_answers_with_the_address_as_asked,
    an_address_book_of_thirty_thousand_is_one_request,
}

//! The promises of the store on a cluster, without web servers.

use crate::world::Galera;
use matrix_register_bot::domain::config::DatabaseUrl;
use matrix_register_bot::outside::store::{Access, Filed, FilingLimits, NewRegistration, Store};
use std::time::{Duration, Instant};

fn url(galera: &Galera, node: usize, name: &str) -> DatabaseUrl {
    galera.url_from(node, name).parse().unwrap()
}

fn request(number: usize) -> NewRegistration {
    let seed = matrix_register_bot::domain::token::new_seed();
    NewRegistration {
        submission: format!("submission {seed}"),
        page_token_hash: format!("page {seed}"),
        verify_token_hash: format!("verify {seed}"),
        admin_token_hash: format!("admin {seed}"),
        seed,
        username: format!("name{number}"),
        first_name: "Ada".into(),
        last_name: String::new(),
        email: format!("{number}@example.org"),
        email_folded: format!("{number}@example.org"),
        note: String::new(),
        language: matrix_register_bot::domain::config::Language::English,
        filled_hidden_field: false,
        requested_at: 1000,
    }
}

#[test]
fn a_cluster_is_one_database() {
    let galera = Galera::start(3);

    nodes_that_start_on_an_empty_database_at_once_all_get_one(&galera);
    what_was_filed_on_one_node_is_there_on_the_other(&galera);
    a_connection_leaves_a_node_that_left_the_cluster(&galera);
}

fn nodes_that_start_on_an_empty_database_at_once_all_get_one(galera: &Galera) {
    for round in 0..8 {
        let name = format!("empty{round}");
        galera.create_database(&name);
        std::thread::scope(|scope| {
            for node in 0..6 {
                let url = url(galera, node % 3, &name);
                scope.spawn(move || Store::open(&url, Access::Write).unwrap_or_else(|cause| panic!("{cause}")));
            }
        });
        assert_eq!(galera.rows(0, &format!("SELECT version FROM {name}.schema_version")).len(), 1);
    }
}

fn what_was_filed_on_one_node_is_there_on_the_other(galera: &Galera) {
    let [mut here, mut there] = [0, 1].map(|node| Store::open(&url(galera, node, "empty0"), Access::Write).unwrap());
    let (mut longest, mut all, mut tokens) = (Duration::ZERO, Duration::ZERO, Vec::new());
    for number in 0..200 {
        let new = request(number);
        assert!(matches!(
            here.file(&new, &FilingLimits { unconfirmed_per_address: 3, ..FilingLimits::default() }).unwrap(),
            Filed::Accepted(_)
        ));
        let start = Instant::now();
        let found = there.registration_by_verify_token(&new.verify_token_hash).unwrap();
        (longest, all) = (longest.max(start.elapsed()), all + start.elapsed());
        assert!(found.is_some(), "request {number} is not there yet");
        tokens.push(new.verify_token_hash);
    }
    let start = Instant::now();
    for token in &tokens {
        assert!(there.registration_by_verify_token(token).unwrap().is_some());
    }
    println!(
        "a link that is opened at once on another node is found within {:.1} ms on average, {:.1} ms at the longest; a lookup when nothing is new takes {:.2} ms",
        all.as_secs_f64() * 1000.0 / 200.0,
        longest.as_secs_f64() * 1000.0,
        start.elapsed().as_secs_f64() * 1000.0 / 200.0,
    );
}

/// The node is alive but answers only that it is not part of the cluster any more.
fn a_connection_leaves_a_node_that_left_the_cluster(galera: &Galera) {
    let mut store = Store::open(&url(galera, 2, "empty0"), Access::Write).unwrap();
    assert!(!store.username_is_taken("name1").unwrap(), "nobody has confirmed yet");
    galera.rows(2, "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
    galera.wait_for_size(2);
    // The node itself may notice a moment later than the others.
    let end = Instant::now() + Duration::from_secs(30);
    while galera.node(2).status("wsrep_ready").as_deref() != Some("OFF") {
        assert!(Instant::now() < end, "it runs, and is of no use");
        std::thread::sleep(Duration::from_millis(100));
    }
    let new = request(1000);
    assert!(
        matches!(store.file(&new, &FilingLimits { unconfirmed_per_address: 3, ..FilingLimits::default() }).unwrap(), Filed::Accepted(_)),
        "on another node"
    );
    assert!(store.registration_by_verify_token(&new.verify_token_hash).unwrap().is_some());
    let mut fresh = Store::open(&url(galera, 2, "empty0"), Access::Write).unwrap();
    assert!(fresh.registration_by_verify_token(&new.verify_token_hash).unwrap().is_some());
}

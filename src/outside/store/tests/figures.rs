//! What is counted of all requests, and that it stays cheap.

use super::*;
use crate::outside::store::{figures, owed, registrations};

/// With the other databases the sizes of the tables decide as well; bench/README.md says how they are measured.
#[test]
fn no_figure_is_taken_from_all_requests_one_by_one() {
    let scratch = Scratch::on(Engine::Sqlite);
    let mut store = scratch.open(Access::Write);
    let now = [Value::from(1)];
    let unknown = registrations::of_unknown_states();
    let sqls = [(figures::of_open(), &[][..]), (figures::of_steps(), &now), (owed::of_failing("registrations"), &[]), (unknown, &[])];
    for (sql, values) in sqls {
        let plan = format!("{:?}", store.query(&format!("EXPLAIN QUERY PLAN {sql}"), values).unwrap());
        assert!(plan.contains("SEARCH registrations USING") && !plan.contains("SCAN registrations"), "{sql}: {plan}");
    }
}

fn what_is_over_is_counted_each_hour(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert!(store.withdraw(id, 1000).unwrap());
    let withdrawn = |store: &mut Store| store.kept_by_state().unwrap().into_iter().find(|(state, _)| *state == State::Withdrawn).unwrap().1;
    assert_eq!(withdrawn(&mut store), 0);
    store.count_kept(1_000_000).unwrap();
    assert_eq!(withdrawn(&mut store), 1);
    let other = accepted(&mut store, "moritz");
    assert!(store.withdraw(other, 1000).unwrap());
    store.count_kept(1_000_060).unwrap();
    assert_eq!(withdrawn(&mut store), 1, "not each minute");
    store.count_kept(1_003_600).unwrap();
    assert_eq!(withdrawn(&mut store), 2);
}

on_every_database! {
    what_is_over_is_counted_each_hour,
}

//! What is counted of all requests, and that it stays cheap.

use super::*;
use crate::domain::seconds::DAY;
use crate::outside::store::{figures, listing, median, owed, registrations};

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

/// Counting takes longer the more requests there are, but reads nothing but an index.
#[test]
fn the_statistics_of_the_command_are_taken_from_indexes() {
    let scratch = Scratch::on(Engine::Sqlite);
    scratch.open(Access::Write);
    let connection = rusqlite::Connection::open(scratch.path()).unwrap();
    let of_median = [median::sample_of_decided(), median::count_decided(), median::decided_within()];
    for sql in [listing::FIRST_FILED, listing::OF_A_WEEK].into_iter().chain(of_median.iter().map(String::as_str)) {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec![1; statement.parameter_count()];
        let plan: Vec<String> =
            statement.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan[0].starts_with("SEARCH registrations USING COVERING INDEX"), "{sql}: {plan:?}");
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

fn what_is_kept_is_counted_by_week_and_state_and_has_a_median(engine: Engine) {
    const DAYS: [(i64, State, Option<i64>); 7] = [
        (3, State::Done, Some(50)),
        (8, State::Done, Some(10)),
        (8, State::Declined, Some(30)),
        (13, State::EmailVerify, None),
        (14, State::AdminVerify, None),
        (14, State::Done, Some(-5)),
        (700, State::Done, Some(20)),
    ];
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    assert_eq!((store.kept_by_week(0).unwrap(), store.median_to_a_decision(0).unwrap()), (vec![], None));
    for (number, (day, state, seconds)) in DAYS.into_iter().enumerate() {
        let id = accepted(&mut store, &format!("user{number}"));
        let at = day * DAY;
        let confirmed = (state != State::EmailVerify).then_some(at + 60);
        let sql = "UPDATE registrations SET state = ?, requested_at = ?, confirmed_at = ?, decided_at = ?, claimed_username = NULL,
                   email_folded = '' WHERE id = ?";
        let decided = seconds.map(|seconds| at + 60 + seconds);
        store.execute(sql, &[state.number().into(), at.into(), confirmed.into(), decided.into(), id.into()]).unwrap();
    }
    let week = |week: i64, state, asked, confirmed| OfWeek { begins_at: week * 7 * DAY, state: Some(state), asked, confirmed };
    let sorted = |mut weeks: Vec<OfWeek>| {
        weeks.sort_by_key(|week| (week.begins_at, week.state.map(State::number)));
        weeks
    };
    let after_the_first = vec![
        week(1, State::EmailVerify, 1, 0),
        week(1, State::Declined, 1, 1),
        week(1, State::Done, 1, 1),
        week(2, State::AdminVerify, 1, 1),
        week(2, State::Done, 1, 1),
        week(100, State::Done, 1, 1),
    ];
    let all = [vec![week(0, State::Done, 1, 1)], after_the_first.clone()].concat();
    assert_eq!(sorted(store.kept_by_week(0).unwrap()), sorted(all));
    assert_eq!(sorted(store.kept_by_week(3 * DAY + 1).unwrap()), sorted(after_the_first));
    let medians = [0, 9 * DAY, 15 * DAY, 701 * DAY].map(|from| store.median_to_a_decision(from).unwrap());
    assert_eq!(medians, [Some(20), Some(20), Some(20), None]);
    assert_eq!(store.median_to_a_decision(14 * DAY).unwrap(), Some(20), "of two, the longer");
    store.execute("DELETE FROM registrations WHERE requested_at > ?", &[(15 * DAY).into()]).unwrap();
    assert_eq!(store.median_to_a_decision(14 * DAY).unwrap(), Some(0), "decided at once by a wrong clock");
}

/// The sample has the decisions at a multiple of 101 seconds.
fn the_median_is_right_whatever_the_sample_says(engine: Engine) {
    const COUNT: i64 = 101;
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let ids: Vec<i64> = (0..COUNT)
        .map(|number| {
            let id = accepted(&mut store, &format!("user{number}"));
            store.execute("UPDATE registrations SET email_folded = '' WHERE id = ?", &[id.into()]).unwrap();
            id
        })
        .collect();
    let mut median = |decided_at: &dyn Fn(i64) -> i64| {
        for (place, id) in (0..).zip(&ids) {
            // Seconds from 1 to COUNT, in another order than the ids.
            let seconds = place * 7 % COUNT + 1;
            let decided = decided_at(seconds);
            let sql = "UPDATE registrations SET confirmed_at = ?, decided_at = ? WHERE id = ?";
            store.execute(sql, &[(decided - seconds).into(), decided.into(), (*id).into()]).unwrap();
        }
        store.median_to_a_decision(0).unwrap()
    };
    assert_eq!(median(&|seconds| 101 * (1000 + seconds)), Some(51), "all are in the sample");
    assert_eq!(median(&|seconds| 101 * (1000 + seconds) + i64::from(seconds % 4 > 0)), Some(51), "each fourth");
    assert_eq!(median(&|seconds| 101 * (1000 + seconds) + i64::from(seconds > 30)), Some(51), "only quick ones");
    assert_eq!(median(&|seconds| 101 * (1000 + seconds) + i64::from(seconds < 80)), Some(51), "only slow ones");
    assert_eq!(median(&|seconds| 101 * (1000 + seconds) + 1), Some(51), "none");
}

on_every_database! {
    the_median_is_right_whatever_the_sample_says,
    what_is_kept_is_counted_by_week_and_state_and_has_a_median,
    what_is_over_is_counted_each_hour,
}

//! Questions and the usual time to a decision, with every kind of database.

use super::*;

fn a_question_is_answered_once_and_only_before_the_decision(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert_eq!(store.ask(id, "Too early?", &Decider::Operator("anna".into()), 1).unwrap(), Asked::NotUndecided);
    assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
    let Asked::Yes(first) =
        store.ask(id, "Who are you?", &Decider::Word { mxid: "@mod:example.org".into(), event_id: "$words".into() }, 2).unwrap()
    else {
        panic!()
    };
    let Asked::Yes(second) = store.ask(id, "Really?", &Decider::Operator("anna".into()), 3).unwrap() else { panic!() };
    let [row, _] = store.due(QUESTION, 3, (i64::MIN, 0), 10).unwrap().try_into().unwrap();
    let mailed = store.question_to_mail(row.row.id).unwrap().map(|question| (question.id, question.question));
    assert_eq!(mailed, Some((first, "Who are you?".into())));
    assert!(store.answer(id, first, "Ada", 4).unwrap() && !store.answer(id, first, "Eve", 5).unwrap());
    assert!(!store.answer(id + 1, second, "from elsewhere", 5).unwrap());
    assert_eq!(store.question_to_mail(row.row.id).unwrap(), None, "it has its answer");
    let said: Vec<_> = store.questions(id).unwrap().into_iter().map(|asked| (asked.asked_by, asked.answer, asked.answered_at)).collect();
    assert_eq!(said, [(Some("@mod:example.org".into()), Some("Ada".into()), Some(4)), (None, None, None)]);
    assert!(store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 6).unwrap());
    assert!(due(&mut store, QUESTION, 9).is_empty(), "nobody is asked after the decision");
    assert!(
        !store.answer(id, second, "too late", 7).unwrap()
            && store.ask(id, "Too late?", &Decider::Operator("anna".into()), 7).unwrap() == Asked::NotUndecided
    );
    assert_eq!(store.forget(State::Register, 9, Leaves::default()).unwrap(), 1);
    assert!(store.questions(id).unwrap().is_empty());
}

fn of_many_questions_at_once_each_is_mailed_and_none_is_too_many(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
    let mut asked: Vec<i64> = std::thread::scope(|scope| {
        let ask = || {
            let mut store = scratch.open(Access::Write);
            let asked = (0..4).map(|_| store.ask(id, "And?", &Decider::Operator("anna".into()), 2).unwrap());
            asked.filter_map(|asked| if let Asked::Yes(question) = asked { Some(question) } else { None }).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    asked.sort_unstable();
    let kept: Vec<i64> =
        store.query("SELECT id FROM questions ORDER BY id", &[]).unwrap().iter().map(|row| row.integer().unwrap()).collect();
    assert_eq!((asked.len() as i64, &asked), (MOST_QUESTIONS, &kept));
    let due = store.due(QUESTION, 2, (i64::MIN, 0), 100).unwrap();
    let mut mailed: Vec<i64> = due.iter().map(|due| store.question_to_mail(due.row.id).unwrap().unwrap().id).collect();
    mailed.sort_unstable();
    assert_eq!(mailed, asked);
}

fn a_question_at_the_moment_of_the_decision_is_not_mailed_after_it(engine: Engine) {
    let scratch = Scratch::on(engine);
    let (mut store, mut other) = (scratch.open(Access::Write), scratch.open(Access::Write));
    for round in 0..40 {
        let id = accepted(&mut store, &format!("name{round}"));
        assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                other.ask(id, "And?", &Decider::Operator("anna".into()), 2).unwrap();
            });
            both.wait();
            assert!(store.decline(id, Event::Declined, None, &Decider::Link, 2).unwrap());
        });
        assert!(due(&mut store, QUESTION, 2).is_empty(), "round {round}");
    }
}

fn nobody_is_asked_without_end(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.confirm(id, None, None, 1).unwrap();
    let asked = (0..MOST_QUESTIONS + 1)
        .map(|number| store.ask(id, "And?", &Decider::Operator("anna".into()), number).unwrap())
        .filter(|asked| *asked == Asked::TooMany);
    assert_eq!(asked.count(), 1);
}

fn the_usual_time_is_that_in_the_middle_of_the_last_decisions(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let decided = |store: &mut Store, number: i64, seconds: i64| {
        let id = accepted(store, &format!("max{number}"));
        let now = 10_000 * (number + 1);
        store.confirm(id, None, None, now).unwrap();
        assert!(store.decline(id, Event::Declined, None, &Decider::Link, now + seconds).unwrap());
    };
    for (number, seconds) in [(0, 5000), (1, 10)] {
        decided(&mut store, number, seconds);
        assert_eq!(store.usual_seconds_to_decision().unwrap(), None);
    }
    decided(&mut store, 2, 60);
    assert_eq!(store.usual_seconds_to_decision().unwrap(), Some(60));
    (3..23).for_each(|number| decided(&mut store, number, 700));
    assert_eq!(store.usual_seconds_to_decision().unwrap(), Some(700));
}

on_every_database! {
    a_question_is_answered_once_and_only_before_the_decision,
    of_many_questions_at_once_each_is_mailed_and_none_is_too_many,
    a_question_at_the_moment_of_the_decision_is_not_mailed_after_it,
    nobody_is_asked_without_end,
    the_usual_time_is_that_in_the_middle_of_the_last_decisions,
}

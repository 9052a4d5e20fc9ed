//! What the room should show and what it shows, what is taken back, and what is left of the forgotten; with every kind of database.

use super::*;
use crate::domain::back_off::{Tries, Trouble};

const SHOWING: Owed = Owed::Beside(SideAction::ShowInRoom);

fn told(store: &mut Store, name: &str) -> i64 {
    let id = accepted(store, name);
    assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
    store.note_message_try(id, "first").unwrap();
    let event = RoomEvent { room_id: "!r".into(), event_id: format!("$of {name}") };
    store.note_room_message(id, RoomMessageKind::Request, &event, 2).unwrap();
    assert!(store.lease(step(id, State::AdminSend), "me", 2, 100).unwrap());
    assert!(store.settle(id, State::AdminSend, "me", State::AdminVerify, 2).unwrap());
    id
}

fn showing(store: &mut Store) -> OwedRow {
    let [due] = store.due(SHOWING, 1000, (i64::MIN, 0), 10).unwrap().try_into().unwrap();
    due.row
}

fn each_move_owes_one_edit_and_one_that_happens_during_the_edit_another(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    assert!(due(&mut store, SHOWING, 1000).is_empty(), "it shows what was sent");
    assert!(store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 3).unwrap());
    let row = showing(&mut store);
    assert!(store.lease(row, "me", 4, 100).unwrap());
    let round = store.round(row).unwrap();
    assert!(store.lease(step(id, State::Register), "other", 4, 100).unwrap());
    assert!(store.settle(id, State::Register, "other", State::MailCredentials, 4).unwrap());
    let shown = Some(Shown { revision: 1, hash: "approved" });
    assert_eq!(store.settle_shown(row, id, "me", round, shown, None).unwrap(), Settled::Outdated);
    assert_eq!(showing(&mut store), row, "what happened meanwhile is shown as well");
    assert!(store.lease(row, "me", 5, 100).unwrap());
    let round = store.round(row).unwrap();
    assert_eq!(store.settle_shown(row, id, "me", round, Some(Shown { revision: 2, hash: "made" }), None).unwrap(), Settled::Yes);
    assert!(due(&mut store, SHOWING, 1000).is_empty());
    assert_eq!(store.live_message(id).unwrap(), Some(LiveMessage { revision: 2, shown_hash: Some("made".into()) }));
}

fn a_late_step_owes_an_edit_for_each_new_reason_and_none_for_the_same(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    assert!(store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 3).unwrap());
    let late = step(id, State::Register);
    let mut revision = 0;
    let mut edit = |store: &mut Store| {
        let row = showing(store);
        revision += 1;
        assert!(store.lease(row, "me", 4, 100).unwrap());
        let round = store.round(row).unwrap();
        assert_eq!(store.settle_shown(row, id, "me", round, Some(Shown { revision, hash: "shown" }), None).unwrap(), Settled::Yes);
    };
    edit(&mut store);
    for (count, error, is_shown) in [(1, "away", true), (2, "away", false), (3, "refused", true), (4, "refused", false), (5, "away", true)]
    {
        assert!(store.lease(late, "me", 4, 100).unwrap());
        let tries = Tries { count, ..Tries::default() };
        store.postpone(late, "me", &Postponed { tries, due_at: 4, trouble: Trouble::Homeserver, error }, 4).unwrap();
        assert_eq!(!due(&mut store, SHOWING, 1000).is_empty(), is_shown, "try {count}: {error}");
        if is_shown {
            edit(&mut store);
        }
    }
}

fn after_an_edit_by_two_at_once_the_message_is_edited_again(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    assert!(store.decline(id, Event::Declined, None, &Decider::Link, 3).unwrap());
    let row = showing(&mut store);
    assert!(store.lease(row, "slow", 4, 5).unwrap() && store.lease(row, "fast", 6, 100).unwrap());
    assert_eq!(store.settle_shown(row, id, "fast", 0, Some(Shown { revision: 1, hash: "new" }), None).unwrap(), Settled::Yes);
    assert_eq!(store.settle_shown(row, id, "slow", 0, Some(Shown { revision: 1, hash: "old" }), None).unwrap(), Settled::LeaseLost);
    assert_eq!(due(&mut store, SHOWING, 1000), [id], "the old text may have come later");
    assert_eq!(store.live_message(id).unwrap().and_then(|live| live.shown_hash), None);
}

fn a_request_that_never_came_to_the_room_owes_no_edit(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
    assert!(store.withdraw(id, 2).unwrap());
    assert!(due(&mut store, SHOWING, 1000).is_empty());
}

fn a_no_is_taken_back_while_its_name_is_free(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    assert_eq!(store.take_back(id, &Decider::Link, 3).unwrap(), TakenBack::NotDeclined);
    assert!(store.decline(id, Event::Declined, Some("no"), &Decider::Link, 3).unwrap());
    let rival = accepted(&mut store, "max");
    assert_eq!(
        store.take_back(id, &Decider::Word { mxid: "@mod:example.org".into(), event_id: "$words".into() }, 4).unwrap(),
        TakenBack::Yes
    );
    let again = store.registration(id).unwrap().unwrap();
    assert_eq!((again.state, again.reason, again.decided_at), (State::AdminVerify, None, None));
    assert_eq!(store.confirm(rival, None, None, 5).unwrap(), Confirmed::NameTaken);
    assert_eq!(due(&mut store, REMINDER, 1_000_000), [id], "the room is reminded again");
    assert_eq!(
        store.last_decision(id).unwrap().map(|last| (last.outcome, last.by)),
        Some((Outcome::TakenBack, Some("@mod:example.org".into())))
    );

    assert!(store.decline(id, Event::DeclinedSilently, None, &Decider::Link, 6).unwrap());
    assert_eq!(store.confirm(rival, None, None, 7).unwrap(), Confirmed::Yes);
    assert_eq!(store.take_back(id, &Decider::Link, 8).unwrap(), TakenBack::NameTaken);
    assert_eq!(store.state(id).unwrap(), Some(State::Declined));
    assert!(store.withdraw(rival, 9).unwrap());
    store.add_login(&login("max")).unwrap();
    assert_eq!(store.take_back(id, &Decider::Link, 10).unwrap(), TakenBack::NameTaken, "there is an account");
}

fn what_the_homeserver_refused_cannot_be_taken_back(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    assert!(store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 3).unwrap());
    assert!(store.lease(step(id, State::Register), "me", 4, 100).unwrap());
    assert!(store.settle_refused(id, State::Register, "me", State::DeclineSend, "in use", 4).unwrap());
    assert_eq!(store.take_back(id, &Decider::Link, 5).unwrap(), TakenBack::NotDeclined);
}

fn of_two_who_take_a_no_back_at_once_one_does(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    assert!(store.decline(id, Event::Declined, None, &Decider::Link, 3).unwrap());
    let done: Vec<TakenBack> = std::thread::scope(|scope| {
        let take_back = || scratch.open(Access::Write).take_back(id, &Decider::Link, 4).unwrap();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(take_back)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|done| **done == TakenBack::Yes).count(), 1, "{done:?}");
    assert_eq!(store.decisions(id).unwrap().len(), 2);
}

fn what_nobody_decides_ends_and_frees_its_name(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    assert_eq!(store.end_undecided(2, 9).unwrap(), 0);
    assert_eq!(store.end_undecided(3, 9).unwrap(), 1);
    assert_eq!(store.state(id).unwrap(), Some(State::DeclineSend));
    assert_eq!(store.last_decision(id).unwrap().map(|last| (last.outcome, last.way)), Some((Outcome::Undecided, Way::Time)));
    let next = accepted(&mut store, "max");
    assert_eq!(store.confirm(next, None, None, 10).unwrap(), Confirmed::Yes);
}

fn reminders_come_in_their_turn_and_those_that_are_late_are_one(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = told(&mut store, "max");
    let delays = [10, 30, 50];
    let remind = |store: &mut Store, now: i64| {
        store.schedule(SideAction::Remind, &delays).unwrap();
        let due = store.due(REMINDER, now, (i64::MIN, 0), 10).unwrap();
        for due in &due {
            assert!(store.lease(due.row, "me", now, now + 5).unwrap());
            assert!(store.settle_reminder(due.row, id, "me", &delays, now).unwrap());
        }
        due.len()
    };
    let reminded: Vec<i64> = (2..100).filter(|now| remind(&mut store, *now) > 0).collect();
    assert_eq!(reminded, [12, 32, 52]);
    let late = told(&mut store, "late");
    assert_eq!(remind(&mut store, 1000), 1);
    assert!(due(&mut store, REMINDER, 10_000).is_empty(), "one reminder for all that were missed of {late}");
}

fn of_a_forgotten_request_stay_its_outcome_and_the_duty_to_redact(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let (first, second) = (told(&mut store, "max"), told(&mut store, "moritz"));
    for id in [first, second] {
        store.note_person(id, "hash of a person").unwrap();
    }
    assert!(store.decline(first, Event::DeclinedSilently, Some("spam"), &Decider::Link, 3).unwrap());
    let of_second = store.registration(second).unwrap().unwrap();
    let [kept] = store.earlier(&of_second).unwrap().try_into().unwrap();
    assert_eq!((kept.username.as_deref(), kept.state), (Some("max"), Some(State::Declined)));
    let leaves = Leaves { outcome: true, redactions_at: Some(5) };
    assert_eq!(store.forget(State::Declined, 3, leaves).unwrap(), 0);
    assert_eq!(store.forget(State::Declined, 4, leaves).unwrap(), 1);
    let [remembered] = store.earlier(&of_second).unwrap().try_into().unwrap();
    assert_eq!(remembered.username, None);
    assert_eq!(remembered.decided.map(|decided| (decided.outcome, decided.reason)), Some((Outcome::DeclinedSilently, Some("spam".into()))));
    let [redaction] = store.due(Owed::Redaction, 5, (i64::MIN, 0), 10).unwrap().try_into().unwrap();
    assert_eq!(store.redaction(redaction.row).unwrap().map(|event| event.event_id), Some("$of max".into()));
    assert!(store.lease(redaction.row, "me", 5, 100).unwrap() && store.settle_redaction(redaction.row, "me").unwrap());
    store.forget_remembered(4).unwrap();
    assert!(store.earlier(&of_second).unwrap().is_empty());
}

on_every_database! {
    each_move_owes_one_edit_and_one_that_happens_during_the_edit_another,
    a_late_step_owes_an_edit_for_each_new_reason_and_none_for_the_same,
    after_an_edit_by_two_at_once_the_message_is_edited_again,
    a_request_that_never_came_to_the_room_owes_no_edit,
    a_no_is_taken_back_while_its_name_is_free,
    what_the_homeserver_refused_cannot_be_taken_back,
    of_two_who_take_a_no_back_at_once_one_does,
    what_nobody_decides_ends_and_frees_its_name,
    reminders_come_in_their_turn_and_those_that_are_late_are_one,
    of_a_forgotten_request_stay_its_outcome_and_the_duty_to_redact,
}

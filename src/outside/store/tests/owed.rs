//! Required actions and cron's memory: leases, waits, times from a wrong clock, invalid rows.

use super::*;

fn a_lease_is_held_by_one_and_ends_by_itself(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    let row = step(id, State::EmailSend);
    assert!(store.lease(row, "me", 1000, 1100).unwrap());
    assert!(!store.lease(row, "you", 1099, 1200).unwrap());
    assert!(due(&mut store, row.owed, 1099).is_empty());
    assert!(store.lease(row, "you", 1100, 1200).unwrap());
    assert!(!store.settle(id, State::EmailSend, "me", State::EmailVerify, 1101).unwrap(), "the first lost it");
    assert!(store.settle(id, State::EmailSend, "you", State::EmailVerify, 1101).unwrap());
}

fn what_failed_is_not_tried_again_before_its_time(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    let row = step(id, State::EmailSend);
    failed(&mut store, row, &AWAY, 1000, 1060);
    assert!(due(&mut store, row.owed, 1059).is_empty());
    assert_eq!(due(&mut store, row.owed, 1060), [id]);
    assert_eq!(store.tries(row).unwrap().count, 1);
}

fn the_longest_waiting_comes_first_and_nobody_is_looked_up_twice(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let ids = ["ada", "bob", "eve"].map(|name| accepted(&mut store, name));
    store.execute("UPDATE registrations SET due_at = 900 WHERE id = ?", &[ids[2].into()]).unwrap();
    let owed = Owed::Step(State::EmailSend);
    let first = store.due(owed, 1000, (i64::MIN, 0), 2).unwrap();
    let last = first.last().unwrap();
    let rest = store.due(owed, 1000, (last.due_at, last.row.id), 2).unwrap();
    let order: Vec<i64> = first.iter().chain(&rest).map(|due| due.registration).collect();
    assert_eq!(order, [ids[2], ids[0], ids[1]]);
}

fn a_mail_box_that_is_gone_stays_gone_whatever_fails_later(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let row = step(accepted(&mut store, "max"), State::EmailSend);
    for (blame, now) in [(GONE, 1000), (AWAY, 2000)] {
        failed(&mut store, row, &blame, now, now + 60);
    }
    let tries = store.tries(row).unwrap();
    assert!(tries.is_gone && tries.refusals == 1 && tries.seconds == 1000 && tries.failing_since == Some(1000), "{tries:?}");
}

fn a_reminder_is_owed_for_as_long_as_the_room_has_to_decide(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.advance(id, State::EmailSend, State::AdminSend, 1000).unwrap();
    assert!(store.lease(step(id, State::AdminSend), "me", 1000, 1100).unwrap());
    assert!(store.settle(id, State::AdminSend, "me", State::AdminVerify, 1000).unwrap());
    assert!(due(&mut store, REMINDER, 1000).is_empty(), "a run of cron may be looking right now");
    for (delay, now, expected) in [(5000, 5999, vec![]), (5000, 6000, vec![id]), (500, 1500, vec![id])] {
        store.schedule(SideAction::Remind, &[delay]).unwrap();
        assert_eq!(due(&mut store, REMINDER, now), expected, "{delay} {now}");
    }
    assert!(store.decline(id, Event::Declined, None, &Decider::Link, 7000).unwrap());
    assert!(due(&mut store, REMINDER, 9000).is_empty());
}

fn the_room_is_reminded_once_of_what_waited_before_reminders_had_a_table(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.execute("UPDATE registrations SET state = 6", &[]).unwrap();
    for _ in 0..2 {
        store.schedule(SideAction::Remind, &[10]).unwrap();
    }
    let [reminder] = &store.due(REMINDER, 2000, (i64::MIN, 0), 10).unwrap()[..] else { panic!("one reminder") };
    assert!(store.lease(reminder.row, "me", 2000, 2100).unwrap());
    assert!(store.settle_beside(reminder.row, id, "me", 2000).unwrap());
    store.schedule(SideAction::Remind, &[10]).unwrap();
    assert!(due(&mut store, REMINDER, 9000).is_empty());
}

fn a_reminder_that_failed_waits_for_its_time(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.advance(id, State::EmailSend, State::AdminVerify, 1000).unwrap();
    store.schedule(SideAction::Remind, &[10]).unwrap();
    let row = store.due(REMINDER, 6000, (i64::MIN, 0), 10).unwrap()[0].row;
    failed(&mut store, row, &Blame::Peer(Peer::Room), 6000, 7000);
    store.schedule(SideAction::Remind, &[10]).unwrap();
    assert!(due(&mut store, REMINDER, 6999).is_empty());
    assert_eq!(due(&mut store, REMINDER, 7000), [id]);
    assert_eq!(store.failing().unwrap()[0].trouble.name(), "room");
    store.schedule(SideAction::Remind, &[]).unwrap();
    assert!(store.failing().unwrap().is_empty(), "switched off");
}

fn a_side_action_lasts_as_long_as_the_states_that_have_it(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.advance(id, State::EmailSend, State::Register, 1000).unwrap();
    store.advance(id, State::Register, State::MailCredentials, 2000).unwrap();
    assert_eq!(due(&mut store, BINDING, 2000), [id], "at once");
    store.advance(id, State::MailCredentials, State::Done, 3000).unwrap();
    assert_eq!(due(&mut store, BINDING, 3000), [id], "the mail does not end it, nor make a second one");
    let row = store.owed_beside(id, SideAction::BindAddress).unwrap()[0];
    assert!(store.lease(row, "me", 3000, 3100).unwrap() && store.settle_beside(row, id, "me", 3001).unwrap());
    assert!(due(&mut store, BINDING, 9000).is_empty());
    let reminder = Owed::Beside(SideAction::RemindOfPassword);
    store.schedule(SideAction::RemindOfPassword, &[500]).unwrap();
    assert!(due(&mut store, reminder, 3499).is_empty());
    assert_eq!(due(&mut store, reminder, 3500), [id], "each has its own time");
    store.schedule(SideAction::RemindOfPassword, &[]).unwrap();
    assert!(due(&mut store, reminder, 1_000_000).is_empty(), "the configuration has no use for it");
}

fn a_clock_that_was_wrong_once_delays_nothing_for_long(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    let row = step(id, State::EmailSend);
    for ahead in [40 * 3600, 10 * 365 * 86_400] {
        let then = 1000 + ahead;
        assert!(store.lease(row, "dead", then, then + 600).unwrap());
        store.execute("UPDATE registrations SET due_at = ?", &[then.into()]).unwrap();
        assert!(store.take_lock("cron", "dead", then, then + 300).unwrap());
        assert_eq!(store.bring_back(1000).unwrap(), 1);
        assert_eq!(due(&mut store, row.owed, 1000), [id]);
        assert!(store.take_lock("cron", "me", 1000, 1300).unwrap());
        store.release_lock("cron", "me").unwrap();
        assert!(store.lease(row, "me", 1000, 1600).unwrap());
        store.release(row, "me").unwrap();
    }
}

fn a_wait_that_was_meant_is_not_cut_short(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let row = step(accepted(&mut store, "max"), State::EmailSend);
    failed(&mut store, row, &AWAY, 1000, 1000 + crate::domain::back_off::LONGEST);
    assert_eq!(store.bring_back(1000).unwrap(), 0);
}

fn what_came_to_rest_under_a_wrong_clock_ends_all_the_same(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let (ahead, behind) = (accepted(&mut store, "max"), accepted(&mut store, "eve"));
    let in_ten_years = 1000 + 10 * 365 * 86_400;
    store.advance(ahead, State::EmailSend, State::EmailVerify, in_ten_years).unwrap();
    store.advance(behind, State::EmailSend, State::EmailVerify, 900).unwrap();
    store.forget_times_of_a_wrong_clock(1000).unwrap();
    assert_eq!(store.expire(State::EmailVerify, State::Expired, 950, 1000).unwrap(), 1, "others keep their time");
    assert_eq!(store.expire(State::EmailVerify, State::Expired, 1001, 1001).unwrap(), 1);
}

fn a_clock_that_is_behind_is_told_from_the_newest_request(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    assert_eq!(store.newest_time(5000).unwrap(), None);
    accepted(&mut store, "max");
    store.execute("UPDATE registrations SET requested_at = 3000, state_since = 4000", &[]).unwrap();
    let seen = [0, 3500, 5000].map(|now| store.newest_time(now).unwrap());
    assert_eq!(seen, [Some(3000), Some(3000), Some(4000)]);
}

fn the_operators_end_does_not_come_between_a_program_and_its_step(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.advance(id, State::EmailSend, State::AdminSend, 1).unwrap();
    store.approve(id, Event::Approved, OperationMode::Synapse, &Decider::Link, 2).unwrap();
    assert!(store.lease(step(id, State::Register), "me", 1000, 1100).unwrap());
    assert!(!store.end(id, State::Register, None, &Decider::Operator("anna".into()), 1050).unwrap());
    assert!(store.end(id, State::Register, Some("the homeserver is gone"), &Decider::Operator("anna".into()), 1100).unwrap());
    let ended = store.registration(id).unwrap().unwrap();
    assert_eq!((ended.state, ended.reason.as_deref(), ended.decided_at), (State::DeclineSend, Some("the homeserver is gone"), Some(1100)));
    accepted(&mut store, "max");
}

fn what_fails_is_counted_by_what_it_fails_at(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| accepted(&mut store, name));
    for (id, blame, now) in [(ada, AWAY, 1000), (bob, AWAY, 1100), (eve, GONE, 1200)] {
        failed(&mut store, step(id, State::EmailSend), &blame, now, now + 60);
    }
    let failing = store.failing().unwrap();
    let seen: Vec<_> = failing.iter().map(|failing| (failing.trouble.name(), failing.count, failing.since, failing.registration)).collect();
    assert_eq!(seen, [("mail server", 2, Some(1000), bob), ("mail addresses", 1, Some(1200), eve)]);
    assert!(store.lease(step(eve, State::EmailSend), "me", 2000, 2100).unwrap());
    store.settle(eve, State::EmailSend, "me", State::EmailVerify, 2000).unwrap();
    assert_eq!(store.failing().unwrap().len(), 1, "what went on does not fail any more");
}

fn cron_keeps_in_mind_what_it_said_and_how_the_clock_went(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    assert!(store.told_troubles().unwrap().is_empty() && store.cron_clock().unwrap().is_none());
    for told_at in [5, 6] {
        let told = Told { name: "room".into(), since: 4, told_at };
        store.note_told(&told).unwrap();
        assert_eq!(store.told_troubles().unwrap(), [told]);
        let clock = CronClock { ran_at: told_at, usual_gap: 300, even_seconds: 9, trusted_at: told_at - 1 };
        store.note_cron_clock(&clock).unwrap();
        assert_eq!(store.cron_clock().unwrap(), Some(clock));
    }
    store.forget_told("room").unwrap();
    assert!(store.told_troubles().unwrap().is_empty());
}

const BINDING: Owed = Owed::Beside(SideAction::BindAddress);

/// Only SQLite stores text in a number column.
#[test]
fn a_row_with_text_where_a_number_belongs_is_named_and_can_be_put_off() {
    let scratch = Scratch::on(Engine::Sqlite);
    let mut store = scratch.open(Access::Write);
    let (broken, fine) = (accepted(&mut store, "max"), accepted(&mut store, "eve"));
    for column in ["requested_at", "state_since", "attempts", "due_at", "tried_at", "tried_seconds", "undeliverable"] {
        store.execute(&format!("UPDATE registrations SET {column} = 'tomorrow' WHERE id = ?"), &[broken.into()]).unwrap();
    }
    let sentence = store.registration(broken).unwrap_err().to_string();
    assert!(sentence.contains("requested_at in row 1 of registrations"), "{sentence}");
    assert_eq!(store.bring_back(1000).unwrap(), 1);
    assert_eq!(due(&mut store, Owed::Step(State::EmailSend), 1000), [broken, fine]);
    failed(&mut store, step(broken, State::EmailSend), &Blame::Ours, 1000, 2000);
    assert_eq!(due(&mut store, Owed::Step(State::EmailSend), 1000), [fine]);
    assert_eq!(store.tries(step(broken, State::EmailSend)).unwrap().count, 1);
    store.forget_times_of_a_wrong_clock(1000).unwrap();
    assert_eq!(store.registration(broken).unwrap().unwrap().requested_at, 1000, "what can be mended is mended");
    assert_eq!((store.newest_time(5000).unwrap(), store.listed(Which::Open, None, 10).unwrap().len()), (Some(1000), 2));
}

#[test]
fn a_state_that_is_none_is_found() {
    let scratch = Scratch::on(Engine::Sqlite);
    let mut store = scratch.open(Access::Write);
    let [text, number, fine] = ["max", "eve", "ada"].map(|name| accepted(&mut store, name));
    store.execute("UPDATE registrations SET state = 'x' WHERE id = ?", &[text.into()]).unwrap();
    store.execute("UPDATE registrations SET state = 77 WHERE id = ?", &[number.into()]).unwrap();
    assert_eq!(store.of_unknown_state().unwrap(), [text, number]);
    assert!(store.state(text).is_err() && store.state(fine).unwrap() == Some(State::EmailSend));
    // A time that cannot be read hides nothing either.
    store.execute("UPDATE registrations SET state_since = 'then' WHERE id = ?", &[fine.into()]).unwrap();
    for which in [Which::Open, Which::All] {
        assert_eq!(store.listed(which, None, 10).unwrap().len(), 3, "{which:?}");
    }
    assert_eq!(store.listed(Which::In(&[State::EmailSend]), None, 10).unwrap().len(), 1);
}

on_every_database! {
    a_lease_is_held_by_one_and_ends_by_itself,
    what_failed_is_not_tried_again_before_its_time,
    the_longest_waiting_comes_first_and_nobody_is_looked_up_twice,
    a_mail_box_that_is_gone_stays_gone_whatever_fails_later,
    a_reminder_is_owed_for_as_long_as_the_room_has_to_decide,
    the_room_is_reminded_once_of_what_waited_before_reminders_had_a_table,
    a_reminder_that_failed_waits_for_its_time,
    a_side_action_lasts_as_long_as_the_states_that_have_it,
    a_clock_that_was_wrong_once_delays_nothing_for_long,
    a_wait_that_was_meant_is_not_cut_short,
    what_came_to_rest_under_a_wrong_clock_ends_all_the_same,
    a_clock_that_is_behind_is_told_from_the_newest_request,
    the_operators_end_does_not_come_between_a_program_and_its_step,
    what_fails_is_counted_by_what_it_fails_at,
    cron_keeps_in_mind_what_it_said_and_how_the_clock_went,
}

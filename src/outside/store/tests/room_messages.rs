//! Messages to the room, with every kind of database.

use super::*;

fn event(id: &str) -> RoomEvent {
    RoomEvent { room_id: "!room:example.org".into(), event_id: id.into() }
}

fn to_read(store: &mut Store, only_wanted: bool) -> Vec<String> {
    store.messages_to_read(only_wanted, 10).unwrap().into_iter().map(|message| message.event.event_id).collect()
}

fn each_message_about_an_undecided_request_has_its_turn_to_be_read(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let ids = ["max", "eve", "ada"].map(|name| accepted(&mut store, name));
    for (id, name) in ids.into_iter().zip(["$max", "$eve", "$ada"]) {
        assert_eq!(store.confirm(id, None, None, 1).unwrap(), Confirmed::Yes);
        for now in [2, 3] {
            store.note_room_message(id, RoomMessageKind::Request, &event(name), now).unwrap();
        }
    }
    store.note_room_message(ids[1], RoomMessageKind::Reminder, &event("$eve2"), 4).unwrap();
    assert_eq!(store.room_message(ids[1], RoomMessageKind::Request).unwrap(), Some(event("$eve")));
    assert_eq!(to_read(&mut store, false), ["$max", "$eve", "$ada", "$eve2"]);
    assert!(to_read(&mut store, true).is_empty());
    let first = store.messages_to_read(false, 1).unwrap().remove(0);
    store.begin_reading(first.id, 9).unwrap();
    assert_eq!(to_read(&mut store, false), ["$eve", "$ada", "$eve2", "$max"]);

    assert_eq!(store.want_read(&["$max", "$unknown", "$MAX"]).unwrap(), 1);
    assert_eq!((to_read(&mut store, true), to_read(&mut store, false)[0].as_str()), (vec!["$max".to_owned()], "$max"));
    assert!(store.decline(ids[0], Event::Declined, None, &Decider::Link, 5).unwrap());
    assert!(to_read(&mut store, true).is_empty(), "it is decided");
    assert_eq!((store.want_read(&["$max"]).unwrap(), store.want_read(&[]).unwrap()), (0, 0));
    let many: Vec<String> = (0..350).map(|number| format!("$other{number}")).chain(["$ada".to_owned()]).collect();
    assert_eq!(store.want_read(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap(), 1);
}

fn an_event_id_longer_than_any_is_not_kept(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.confirm(id, None, None, 1).unwrap();
    for strange in ["", &"x".repeat(256)] {
        store.note_room_message(id, RoomMessageKind::Request, &event(strange), 2).unwrap();
    }
    assert!(to_read(&mut store, false).is_empty());
    store.note_room_message(id, RoomMessageKind::Request, &event(&"😀".repeat(60)), 2).unwrap();
    assert_eq!(to_read(&mut store, false).len(), 1);
    store.forget(State::AdminSend, 9, Leaves::default()).unwrap();
    assert!(store.room_message(id, RoomMessageKind::Request).unwrap().is_none(), "it goes with its request");
}

fn words_that_could_not_be_read_let_others_pass(engine: Engine) {
    let scratch = Scratch::on(engine);
    let mut store = scratch.open(Access::Write);
    let id = accepted(&mut store, "max");
    store.confirm(id, None, None, 1).unwrap();
    store.note_room_message(id, RoomMessageKind::Request, &event("$request"), 2).unwrap();
    for words in ["$broken", "$fine", "$fine"] {
        store.note_words(words, "$request", 3).unwrap();
    }
    assert!(!store.note_words("$other", "$unknown", 3).unwrap());
    let first = |store: &mut Store| store.words_to_read(1).unwrap().remove(0).event.event_id;
    assert_eq!(first(&mut store), "$broken");
    store.put_off_words("$broken").unwrap();
    assert_eq!(first(&mut store), "$fine");
    store.settle_words("$fine", 4).unwrap();
    assert_eq!(first(&mut store), "$broken");
}

on_every_database! {
    words_that_could_not_be_read_let_others_pass,
    each_message_about_an_undecided_request_has_its_turn_to_be_read,
    an_event_id_longer_than_any_is_not_kept,
}

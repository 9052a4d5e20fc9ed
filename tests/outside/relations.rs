//! Reactions as homeservers answer that differ from Synapse.

use crate::impostor::impostor;
use crate::world::{Folder, config};
use matrix_register_bot::outside::matrix::Homeserver;
use matrix_register_bot::outside::matrix::relations::{Reaction, put_in_order, reactions};
use matrix_register_bot::outside::store::RoomEvent;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn ours() -> RoomEvent {
    RoomEvent { room_id: "!room".into(), event_id: "$ours".into() }
}

fn reaction(number: usize) -> Value {
    let relates_to = json!({"rel_type": "m.annotation", "event_id": "$ours", "key": "👍"});
    json!({"type": "m.reaction", "event_id": format!("${number}"), "sender": format!("@u{number}:x"), "origin_server_ts": number,
        "content": {"m.relates_to": relates_to}})
}

/// A homeserver that answers each query string with a page, and counts the requests.
fn homeserver(folder: &Folder, page: impl Fn(&str) -> Value + Send + 'static) -> (Homeserver, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let page = Mutex::new(page);
    let port = impostor(move |mut stream| {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).unwrap_or(0);
        count.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let query = head.split_once('?').and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("");
        let body = page.lock().unwrap()(query).to_string();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    });
    (Homeserver::new(&config(&folder.0, &format!("http://127.0.0.1:{port}"), "", "")), asked)
}

fn ids(found: &[Reaction]) -> Vec<&str> {
    found.iter().map(|reaction| reaction.event_id.as_str()).collect()
}

#[test]
fn pages_that_never_end_are_read_to_a_bound() {
    let folder = Folder::new();
    let number = AtomicUsize::new(0);
    let (endless, asked) = homeserver(&folder, move |_| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        json!({"chunk": [reaction(number)], "next_batch": format!("t{number}")})
    });
    // A part of them may decide something else than all.
    let said = reactions(&endless, "token", &ours()).unwrap_err().to_string();
    assert!(said.contains("more than 20 reactions") && said.contains("decide by the link"), "{said}");
    assert!(asked.load(Ordering::SeqCst) <= 20);
}

#[test]
fn a_homeserver_that_begins_again_with_each_page_is_asked_once_more_and_no_more() {
    let folder = Folder::new();
    let (again, asked) = homeserver(&folder, |_| json!({"chunk": [reaction(1), reaction(2)], "next_batch": "t1"}));
    assert_eq!(ids(&reactions(&again, "token", &ours()).unwrap()), ["$1", "$2"]);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn a_homeserver_that_knows_no_direction_is_asked_without() {
    let folder = Folder::new();
    // As Conduit 0.11.
    let (conduit, _) = homeserver(&folder, |query| match query.contains("dir=f") {
        true => json!({"chunk": [], "prev_batch": "-18446744073709551615"}),
        false => json!({"chunk": [reaction(3), reaction(1), reaction(2)], "next_batch": "x"}),
    });
    assert_eq!(ids(&reactions(&conduit, "token", &ours()).unwrap()), ["$1", "$2", "$3"], "in the order of their times");
}

#[test]
fn a_homeserver_that_ignores_the_direction_does_not_make_the_last_the_first() {
    let folder = Folder::new();
    let (newest_first, _) = homeserver(&folder, |_| json!({"chunk": [reaction(2), reaction(1)]}));
    let mut found = reactions(&newest_first, "token", &ours()).unwrap();
    put_in_order(&newest_first, "token", &ours(), &mut found).unwrap();
    assert_eq!(ids(&found), ["$1", "$2"]);
    // Times are a claim: where the direction counts, they do not.
    let (as_asked, _) = homeserver(&folder, |query| match query.contains("dir=f") {
        true => json!({"chunk": [reaction(2), reaction(1)]}),
        false => json!({"chunk": [reaction(1), reaction(2)]}),
    });
    let mut found = reactions(&as_asked, "token", &ours()).unwrap();
    put_in_order(&as_asked, "token", &ours(), &mut found).unwrap();
    assert_eq!(ids(&found), ["$2", "$1"]);
}

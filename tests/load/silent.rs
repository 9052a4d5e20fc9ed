//! A homeserver that accepts connections and never answers: visitors who send the form wait for it, and nobody else does.

use crate::crowd::{self, Asked};
use crate::flood::Flooded;
use crate::world::impostor::impostor;
use std::thread;
use std::time::Duration;

#[test]
fn the_form_is_shown_at_once_while_forms_wait_for_a_silent_homeserver() {
    let mut silent = Vec::new();
    let port = impostor(move |connection| silent.push(connection));
    let flooded = Flooded::start_with(|site| site.set("homeserver_url", format!("http://127.0.0.1:{port}")));
    let show = [Asked::get(flooded.port(), "/register")];
    let calm = crowd::ask(&show, Duration::from_secs(30)).remove(0);
    assert_eq!(calm.status, Some(200));
    let forms: Vec<Asked> = (0..32).map(|number| flooded.registration(&format!("waiting{number}"))).collect();
    thread::scope(|scope| {
        let sent = scope.spawn(|| crowd::ask(&forms, Duration::from_secs(60)));
        let mut seen = 0;
        while !sent.is_finished() {
            let shown = crowd::ask(&show, Duration::from_secs(30)).remove(0);
            // Allows for a busy machine; without reserved places the page took some 9 s.
            assert!(shown.status == Some(200) && shown.after < Duration::from_secs(3), "{:?} after {:?}", shown.status, shown.after);
            seen += 1;
            thread::sleep(Duration::from_millis(100));
        }
        assert!(seen > 10, "the homeserver was asked: {seen}");
        for answer in sent.join().unwrap() {
            assert!(
                answer.status == Some(200) || answer.is_honest_refusal(),
                "{:?} after {:?}: {}",
                answer.status,
                answer.after,
                answer.text
            );
        }
    });
}

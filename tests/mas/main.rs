//! `operation_mode = "mas"`: accounts in matrix-authentication-service, with a stand-in for it (`tests/world/mas_stand_in.py`) and
//! a real Synapse behind. `make mas-check` makes the same registrations against a real one.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod check;
mod checks;
mod dead_ends;
mod kills;
mod lost_answers;
mod room;
mod stand_in;
mod story;

use the_story::{Story, address_of, password_in};
use world::{Mail, Mas, fresh};

/// Waits until the request is in this state; the work after the answer may still be going on.
fn wait_for_state(story: &Story, localpart: &str, state: i64) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while story.state(localpart) != state {
        assert!(std::time::Instant::now() < end, "{} instead of {state}: {}", story.state(localpart), story.web.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Approves with the link in the room, and waits until the program that does the work after the answer is done with it.
fn approve(story: &Story, localpart: &str) {
    let page = story.decide(localpart, "approve", "");
    assert!(page.status == 200 && page.text().contains("Approved"), "{}\n{}", page.text(), story.web.log());
    wait_until_free(story);
}

/// Waits until nobody works on any request, and the queue has had its first look.
fn wait_until_free(story: &Story) {
    // The message in the room is edited last; cron would take that edit for left over, and make it as well.
    story.site.wait_for_programs();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let busy = "SELECT count(*) FROM registrations WHERE lease IS NOT NULL OR (state IN (7, 8) AND attempts = 0)";
    while story.number(busy) > 0 {
        assert!(std::time::Instant::now() < end, "still at work: {}", story.web.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Makes everything due, and lets cron work, until the request is done.
fn finish(story: &Story, localpart: &str) {
    for _ in 0..6 {
        if story.state(localpart) == 100 {
            return;
        }
        run_cron(story);
    }
    panic!("state {}: {}", story.state(localpart), story.text("SELECT COALESCE(last_error, '') FROM registrations"));
}

/// One run in which everything is due, also what a program left that was killed. Returns what cron said.
fn run_cron(story: &Story) -> String {
    story.sql("UPDATE registrations SET due_at = 0, lease = NULL, lease_until = NULL");
    story.sql("UPDATE owed_actions SET due_at = 0, lease = NULL, lease_until = NULL");
    story.sql("UPDATE locks SET held_until = 0");
    let ran = story.site.run_cron();
    String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
}

/// The mail with the credentials, which is the last one.
fn credentials(story: &Story, localpart: &str) -> Mail {
    story.mails.wait_for(&address_of(localpart), 2).pop().unwrap()
}

/// The account is complete: name, address and password are the applicant's, and every token for the admin API was revoked.
fn is_complete(story: &Story, mas: &Mas, localpart: &str) {
    let password = password_in(&credentials(story, localpart));
    assert!(mas.synapse.login(localpart, &password).is_ok(), "the mailed password logs in");
    let user = mas.user(localpart);
    assert_eq!(user["attributes"]["username"], localpart, "{user}");
    assert_eq!(user["emails"], serde_json::json!([address_of(localpart)]));
    assert_eq!(mas.synapse.display_name(localpart).as_deref(), Some("Ada Lovelace-Größe"));
}

//! Synapse's limits for logins, which count successes too: after five, one in 333 seconds.

use crate::world::{Engine, TokenSynapse};
use crate::{address_of, approved, fresh, now, run_cron, sign_up};

#[test]
fn the_homeservers_limits_are_waited_out_and_mails_go_on_meanwhile() {
    let synapse = TokenSynapse::start(&["--set", r#"rc_login={"address":{"per_second":0.003,"burst_count":3}}"#]);
    let story = sign_up(&synapse.home, Engine::Sqlite, |site| site);
    let names: Vec<String> = (0..4).map(|number| fresh(&format!("ada{number}"))).collect();
    for name in &names {
        approved(&story, name);
    }
    let states = || names.iter().map(|name| story.state(name)).collect::<Vec<_>>();
    assert_eq!(states(), [100, 100, 100, 7], "{}", story.web.log());
    let due = story.number(&format!("SELECT due_at FROM registrations WHERE username = '{}'", names[3]));
    assert!(due > now() + 200, "after the time that Synapse asks for, {}", due - now());
    // Accounts are held up, and nothing else.
    story.ask(&fresh("bob"));
    let (eve, kim) = (fresh("eve"), fresh("kim"));
    story.ask_and_confirm(&eve);
    story.ask_and_confirm(&kim);
    let page = story.browser.get(&story.room_message(&eve).link());
    story.browser.submit(&crate::the_story::decision_form(&page, "decline", "no"));
    story.sql(&format!("UPDATE registrations SET state = 12 WHERE username = '{eve}'"));
    let said = run_cron(&story);
    assert!(said.contains("too many requests"), "{said}");
    assert_eq!(story.mails.wait_for(&address_of(&eve), 3).len(), 3, "the mail went out in the same run");
    assert_eq!(states(), [100, 100, 100, 7]);
}

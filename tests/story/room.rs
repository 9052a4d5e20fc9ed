//! Deciding in the room by a reaction, found by cron alone.

use crate::world::{Account, Engine, Host, on_every_database};
use crate::{Story, fresh, now};

/// As most clients send them.
pub const YES: &str = "👍\u{FE0F}";
pub const NO: &str = "👎\u{FE0F}";

/// A request that waits for a decision, with bob in the room as well.
pub struct Waiting {
    pub story: Story,
    pub applicant: String,
    pub event_id: String,
}

impl Waiting {
    pub fn on(engine: Engine) -> Waiting {
        Waiting::in_story(Story::on(engine, "synapse", Host::NginxCgi))
    }

    pub fn in_story(story: Story) -> Waiting {
        story.synapse.invite(&story.room, &story.synapse.bot, &story.synapse.bob);
        story.synapse.join(&story.room, &story.synapse.bob);
        let applicant = fresh("ada");
        story.ask_and_confirm(&applicant);
        let event_id = story.room_message(&applicant).event_id;
        Waiting { story, applicant, event_id }
    }

    fn start() -> Waiting {
        Waiting::on(Engine::Sqlite)
    }

    pub fn react(&self, who: &Account, key: &str) -> String {
        self.story.synapse.react(&self.story.room, who, &self.event_id, key)
    }

    /// The state after a run of cron.
    pub fn state_after_cron(&self) -> i64 {
        let cron = self.story.site.run_cron();
        assert!(cron.status.success() && cron.stderr.is_empty(), "{}", String::from_utf8_lossy(&cron.stderr));
        self.story.state(&self.applicant)
    }

    /// Waits until the message has these reactions: another program may be about to send them.
    fn wait_for_reactions(&self, expected: &[(&Account, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(who, key)| (who.user_id.clone(), (*key).to_owned())).collect();
        let end = now() + 30;
        loop {
            let found = self.story.synapse.reactions(&self.story.room, &self.event_id);
            if found == expected {
                return;
            }
            assert!(now() < end, "{found:?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Who decided, and in which way.
    pub fn decided_by(&self) -> Vec<Vec<String>> {
        self.story.database.rows("SELECT outcome, way, decided_by FROM decisions ORDER BY id")
    }
}

fn a_thumb_up_in_the_room_makes_the_account(engine: Engine) {
    let waiting = Waiting::on(engine);
    let synapse = &waiting.story.synapse;
    assert_eq!(waiting.state_after_cron(), 6, "nobody has reacted");
    waiting.react(&synapse.alice, "👀");
    waiting.react(&synapse.alice, YES);
    assert_eq!(waiting.state_after_cron(), 100);
    assert!(synapse.exists(&waiting.applicant));
    assert_eq!(waiting.decided_by(), [["approved", "reaction", &synapse.alice.user_id]]);
    let late = waiting.story.browser.get(&waiting.story.room_message(&waiting.applicant).link());
    assert!(late.text().contains(&synapse.alice.user_id), "who decided is told to whoever comes second: {}", late.text());
}

fn a_thumb_down_in_the_room_declines(engine: Engine) {
    let waiting = Waiting::on(engine);
    waiting.react(&waiting.story.synapse.bob, "👎🏽");
    assert_eq!(waiting.state_after_cron(), 13);
    assert_eq!(waiting.decided_by(), [["declined", "reaction", &waiting.story.synapse.bob.user_id]]);
}

#[test]
fn of_two_people_the_first_to_react_decides() {
    let waiting = Waiting::start();
    let synapse = &waiting.story.synapse;
    waiting.react(&synapse.bob, NO);
    waiting.react(&synapse.alice, YES);
    assert_eq!(waiting.state_after_cron(), 13);
    assert_eq!(waiting.decided_by(), [["declined", "reaction", &synapse.bob.user_id]]);
}

#[test]
fn who_shows_both_thumbs_decides_nothing_until_one_is_taken_back() {
    let waiting = Waiting::start();
    let synapse = &waiting.story.synapse;
    let yes = waiting.react(&synapse.alice, YES);
    waiting.react(&synapse.alice, NO);
    assert_eq!(waiting.state_after_cron(), 6);
    synapse.redact(&waiting.story.room, &synapse.alice, &yes);
    assert_eq!(waiting.state_after_cron(), 13);
}

#[test]
fn a_reaction_that_was_taken_back_in_time_decides_nothing() {
    let waiting = Waiting::start();
    let synapse = &waiting.story.synapse;
    let yes = waiting.react(&synapse.alice, YES);
    synapse.redact(&waiting.story.room, &synapse.alice, &yes);
    assert_eq!(waiting.state_after_cron(), 6);
}

#[test]
fn who_is_not_in_the_room_any_more_decides_nothing() {
    let waiting = Waiting::start();
    let (synapse, room) = (&waiting.story.synapse, &waiting.story.room);
    waiting.react(&synapse.bob, YES);
    synapse.leave(room, &synapse.bob);
    assert_eq!(waiting.state_after_cron(), 6, "left");
    synapse.remove(room, &synapse.bot, &synapse.bob, "ban");
    assert_eq!(waiting.state_after_cron(), 6, "banned");
    waiting.react(&synapse.alice, NO);
    assert_eq!(waiting.state_after_cron(), 13, "alice is there");
}

#[test]
fn with_a_power_level_configured_only_those_who_have_it_decide() {
    let waiting = Waiting::in_story(Story::start_with("synapse", Host::NginxCgi, |site| site.set("room.decide_from_power", 50)));
    let synapse = &waiting.story.synapse;
    waiting.react(&synapse.bob, NO);
    waiting.react(&synapse.alice, YES);
    assert_eq!(waiting.state_after_cron(), 6);
    synapse.give_power(&waiting.story.room, &synapse.bot, &synapse.alice, 50);
    assert_eq!(waiting.state_after_cron(), 100);
    assert_eq!(waiting.decided_by(), [["approved", "reaction", &synapse.alice.user_id]]);
}

#[test]
fn reactions_that_are_switched_off_or_belong_to_something_else_decide_nothing() {
    let mut waiting = Waiting::start();
    let synapse = waiting.story.synapse.clone();
    waiting.story.site.set("room.reactions", false);
    waiting.react(&synapse.alice, YES);
    assert_eq!(waiting.state_after_cron(), 6);
    waiting.story.site.set("room.reactions", true);
    waiting.react(&synapse.alice, NO);
    let words = serde_json::json!({"msgtype": "m.text", "body": "and this?"});
    let other = synapse.send(&waiting.story.room, &synapse.bob, "m.room.message", words);
    synapse.react(&waiting.story.room, &synapse.bob, &other, YES);
    assert_eq!(waiting.state_after_cron(), 6);
}

#[test]
fn a_bot_that_was_removed_from_the_room_says_that_reactions_decide_nothing() {
    let mut story = Story::start("synapse", Host::NginxCgi);
    let synapse = story.synapse.clone();
    story.room = synapse.create_room_of(&synapse.alice, &[&synapse.bot]);
    story.site.set("room.id", story.room.as_str());
    let applicant = fresh("ada");
    story.ask_and_confirm(&applicant);
    let waiting = Waiting { event_id: story.room_message(&applicant).event_id, story, applicant };
    synapse.remove(&waiting.story.room, &synapse.alice, &synapse.bot, "ban");
    let cron = waiting.story.site.run_cron();
    let said = String::from_utf8_lossy(&cron.stderr).into_owned();
    assert!(said.contains("reactions_unread") && said.contains("403"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(waiting.story.decide(&waiting.applicant, "approve", "").text().contains("Approved"), "the link works");
}

#[test]
fn a_reaction_that_declined_does_not_decline_again_once_its_no_is_taken_back() {
    let waiting = Waiting::start();
    let (story, synapse) = (&waiting.story, &waiting.story.synapse);
    waiting.react(&synapse.bob, NO);
    assert_eq!(waiting.state_after_cron(), 13);
    // Times of decisions are in whole seconds.
    let second = now();
    while now() == second {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let declined = story.browser.get(&story.room_message(&waiting.applicant).link());
    story.browser.submit(&declined.form());
    assert_eq!(waiting.state_after_cron(), 6, "bob's reaction has had its effect");
    // A request that waits again has a ballot again.
    waiting.wait_for_reactions(&[(&synapse.bob, NO), (&synapse.bot, YES), (&synapse.bot, NO)]);
    let taken_back_at = story.number("SELECT decided_at FROM decisions WHERE outcome = 'taken_back'");
    while now() <= taken_back_at {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    waiting.react(&synapse.alice, NO);
    assert_eq!(waiting.state_after_cron(), 13, "a new one counts");
}

#[test]
fn the_bot_puts_both_thumbs_there_and_takes_them_away_after_the_decision() {
    let waiting = Waiting::start();
    let synapse = &waiting.story.synapse;
    let ballot = [(&synapse.bot, YES), (&synapse.bot, NO)];
    waiting.wait_for_reactions(&ballot);
    assert_eq!(waiting.state_after_cron(), 6, "the bot's own reactions decide nothing");
    waiting.wait_for_reactions(&ballot);
    waiting.react(&synapse.bob, NO);
    assert_eq!(waiting.state_after_cron(), 13);
    // What people said stays.
    waiting.wait_for_reactions(&[(&synapse.bob, NO)]);
}

#[test]
fn whoever_opens_the_link_sees_what_somebody_has_decided_in_the_room() {
    let waiting = Waiting::start();
    let (story, synapse) = (&waiting.story, &waiting.story.synapse);
    let link = story.room_message(&waiting.applicant).link();
    waiting.react(&synapse.bob, "👀");
    assert!(story.browser.get(&link).text().contains("Approve"));
    waiting.react(&synapse.bob, YES);
    let decided = story.browser.get(&link);
    assert!(decided.text().contains("has already been approved") && decided.text().contains(&synapse.bob.user_id), "{}", decided.text());
    assert!(synapse.exists(&waiting.applicant));
    story.room_shows(&waiting.applicant, "The account has been created");
    assert_eq!(waiting.decided_by(), [["approved", "reaction", &synapse.bob.user_id]]);
}

#[test]
fn a_silent_homeserver_delays_the_page_of_the_link_by_seconds_only() {
    let mut waiting = Waiting::start();
    let link = waiting.story.room_message(&waiting.applicant).link();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    waiting.story.site.set("homeserver_url", format!("http://{}", silent.local_addr().unwrap()));
    let start = std::time::Instant::now();
    assert!(waiting.story.browser.get(&link).text().contains("Approve"));
    assert!(start.elapsed() < std::time::Duration::from_secs(6), "{:?}", start.elapsed());
    waiting.story.site.set("homeserver_url", "http://127.0.0.1:9");
    assert!(waiting.story.browser.get(&link).text().contains("Approve"), "nor does one that is away");
}

#[test]
fn the_ballot_goes_after_a_decision_by_the_link_too() {
    let waiting = Waiting::start();
    let bot = &waiting.story.synapse.bot;
    waiting.wait_for_reactions(&[(bot, YES), (bot, NO)]);
    waiting.story.decide(&waiting.applicant, "decline", "");
    waiting.wait_for_reactions(&[]);
}

#[test]
fn without_a_ballot_people_react_all_the_same() {
    let story = Story::start_with("synapse", Host::NginxCgi, |site| site.set("room.ballot", false));
    let waiting = Waiting::in_story(story);
    assert_eq!(waiting.state_after_cron(), 6);
    let (synapse, room) = (&waiting.story.synapse, &waiting.story.room);
    assert!(synapse.reactions(room, &waiting.event_id).is_empty());
    waiting.react(&synapse.bob, YES);
    assert_eq!(waiting.state_after_cron(), 100);
}

on_every_database! {
    a_thumb_up_in_the_room_makes_the_account,
    a_thumb_down_in_the_room_declines,
}

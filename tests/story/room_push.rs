//! Deciding in the room by a reaction, of which a real homeserver tells the bot as its application service.

use crate::Story;
use crate::room::{NO, YES};
use crate::world::{Account, Database, Engine, Host, MailCatcher, OwnSynapse, SiteFolder, WebServer, built_programs, fresh, http};
use serde_json::{Value, json};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The bot's account, which nobody has registered.
const BOT: &str = "signups";

/// A story with a homeserver of its own, which knows the bot as an application service.
pub struct Service {
    pub story: Story,
    pub own: OwnSynapse,
    hs_token: String,
}

impl Service {
    pub fn start(host: Host) -> Service {
        Service::start_with(host, &[])
    }

    /// With further options for the homeserver.
    pub fn start_with(host: Host, options: &[&str]) -> Service {
        let (database, mails) = (Database::new(Engine::Sqlite), MailCatcher::start());
        let builder = SiteFolder::new(&built_programs!()).mail(&mails).mode("synapse").database(&database);
        let internal = format!("http://127.0.0.1:{}", builder.internal_port);
        let builder = builder.set("registration_shared_secret", "x").set("room.bot_localpart", BOT).set("internal.url", internal.as_str());
        let mut site = builder.create();
        let printed = site.run_cron_with(&["--print-appservice"]);
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        let file = site.path().join("register-bot.yaml");
        fs::write(&file, &printed.stdout).unwrap();
        assert_eq!(site.run_cron_with(&["--print-appservice"]).stdout, printed.stdout, "the tokens stay");
        let own = OwnSynapse::start(&[&["--appservice", file.to_str().unwrap()], options].concat());
        let synapse = own.synapse.clone();
        let bot = Account { localpart: BOT.into(), user_id: synapse.user_id(BOT), password: String::new(), token: String::new() };
        let room = synapse.create_room_of(&synapse.alice, &[&bot, &synapse.bob]);
        synapse.join(&room, &synapse.bob);
        for (key, value) in [
            ("server_name", &synapse.server_name),
            ("homeserver_url", &synapse.base_url),
            ("registration_shared_secret", &synapse.shared_secret),
            ("room.id", &room),
        ] {
            site.set(key, value.as_str());
        }
        let web = WebServer::start(&site, host);
        let browser = web.browser();
        let state: Value = serde_json::from_slice(&fs::read(site.path().join("config.json")).unwrap()).unwrap();
        let hs_token = state["service"]["hs_token"].as_str().unwrap().to_owned();
        Service { story: Story { synapse, room, mails, site, web, browser, database }, own, hs_token }
    }

    /// A request that waits for a decision: its applicant, and the message about it.
    pub fn waiting(&self) -> (String, String) {
        let applicant = fresh("ada");
        self.story.ask_and_confirm(&applicant);
        let event_id = self.story.room_message(&applicant).event_id;
        (applicant, event_id)
    }

    pub fn react(&self, who: &Account, event_id: &str, key: &str) -> String {
        self.story.synapse.react(&self.story.room, who, event_id, key)
    }

    /// Waits until the request has this state. Returns how long that took.
    pub fn wait_for(&self, applicant: &str, state: i64) -> Duration {
        let start = Instant::now();
        while self.story.state(applicant) != state {
            assert!(start.elapsed() < Duration::from_secs(30), "{}\n{}", self.story.state(applicant), self.story.web.log());
            thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    }

    /// What the homeserver sends, sent by somebody who has its token.
    fn push(&self, number: u64, events: Value) -> (u16, Value) {
        let url = format!("{}internal/room_events/_matrix/app/v1/transactions/{number}", self.story.web.internal_url());
        http::json(&http::agent(30), "PUT", &url, Some(&self.hs_token), Some(&json!({ "events": events }))).unwrap()
    }
}

#[test]
fn a_thumb_in_the_room_decides_within_seconds_and_the_bot_needs_no_login() {
    let service = Service::start(Host::NginxFastCgi);
    let synapse = service.story.synapse.clone();
    let (ada, message) = service.waiting();
    service.react(&synapse.bob, &message, "👀");
    service.react(&synapse.alice, &message, YES);
    let took = service.wait_for(&ada, 100);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(synapse.exists(&ada));
    assert_eq!(service.story.room_message(&ada).sender, synapse.user_id(BOT));
    assert_eq!(synapse.display_name(BOT).as_deref(), Some("Registration bot"));
    let state = fs::read_to_string(service.story.site.path().join("config.json")).unwrap();
    assert!(!state.contains("access_token"), "no login was made");

    let (max, message) = service.waiting();
    let reply = json!({"msgtype": "m.text", "body": "approve", "m.relates_to": {"m.in_reply_to": {"event_id": message}}});
    synapse.send(&service.story.room, &synapse.bob, "m.room.message", reply);
    service.wait_for(&max, 100);

    let (eve, message) = service.waiting();
    service.react(&synapse.bob, &message, NO);
    service.wait_for(&eve, 13);
    assert_eq!(service.story.text("SELECT decided_by FROM decisions ORDER BY id DESC LIMIT 1"), synapse.bob.user_id);
    let cron = service.story.site.run_cron();
    let said = String::from_utf8_lossy(&cron.stderr);
    assert!(cron.status.success() && !said.contains("application_service"), "the ping comes through: {said}");
}

#[test]
fn whoever_takes_back_one_of_two_thumbs_decides_at_once() {
    let mut service = Service::start(Host::NginxFastCgi);
    let synapse = service.story.synapse.clone();
    let (ada, message) = service.waiting();
    // Both are there before anybody looks.
    service.story.site.set("room.reactions", false);
    let yes = service.react(&synapse.alice, &message, YES);
    service.react(&synapse.alice, &message, NO);
    let talk = service.react(&synapse.bob, &message, "👀");
    service.story.site.set("room.reactions", true);
    service.story.site.let_cron_succeed();
    assert_eq!(service.story.state(&ada), 6, "alice counts for neither");
    synapse.redact(&service.story.room, &synapse.bob, &talk);
    synapse.redact(&service.story.room, &synapse.alice, &yes);
    service.wait_for(&ada, 13);
}

#[test]
fn a_push_alone_decides_nothing() {
    let service = Service::start(Host::NginxCgi);
    let synapse = service.story.synapse.clone();
    let (ada, message) = service.waiting();
    let relates_to = json!({"rel_type": "m.annotation", "event_id": message, "key": YES});
    let event = json!({"type": "m.reaction", "event_id": "$made_up", "sender": synapse.alice.user_id, "room_id": service.story.room,
        "content": {"m.relates_to": relates_to}, "unsigned": {}});
    for number in [1, 1, 2] {
        assert_eq!(service.push(number, json!([event])), (200, json!({})));
    }
    // Only whoever is in the room when the bot looks.
    service.react(&synapse.bob, &message, YES);
    synapse.remove(&service.story.room, &synapse.alice, &synapse.bob, "ban");
    assert_eq!(service.push(3, json!([event])), (200, json!({})));
    let cron = service.story.site.run_cron();
    assert!(cron.status.success(), "{}", String::from_utf8_lossy(&cron.stderr));
    let state = service.story.state(&ada);
    // Bob was still in the room if his reaction was read before the ban.
    let by_bob = service.story.database.rows("SELECT decided_by FROM decisions").concat();
    assert!(state == 6 || by_bob == [synapse.bob.user_id.clone()], "{state} {by_bob:?}");
    assert!(!by_bob.contains(&synapse.alice.user_id), "alice has not reacted");
}

#[test]
fn what_a_push_lost_cron_finds_and_a_push_that_comes_again_changes_nothing() {
    let service = Service::start(Host::NginxCgi);
    let synapse = service.story.synapse.clone();
    let (ada, message) = service.waiting();
    // As if Synapse had lost the push: nobody listens.
    let Service { story, own: _own, hs_token } = service;
    let Story { synapse: _, room, mails, site, web, browser, database } = story;
    drop(web);
    let reaction = synapse.react(&room, &synapse.alice, &message, NO);
    let cron = site.run_cron();
    let said = String::from_utf8_lossy(&cron.stderr).into_owned();
    assert!(said.contains("application_service") && said.contains("internal.url"), "{said}");
    let web = WebServer::start(&site, Host::NginxCgi);
    let story = Story { synapse: synapse.clone(), room, mails, site, web, browser, database };
    assert_eq!(story.state(&ada), 13);
    let service = Service { story, own: _own, hs_token };
    let relates_to = json!({"rel_type": "m.annotation", "event_id": message, "key": NO});
    let event = json!({"type": "m.reaction", "event_id": reaction, "sender": synapse.alice.user_id, "room_id": service.story.room,
        "content": {"m.relates_to": relates_to}});
    for number in [1, 1, 1, 9] {
        assert_eq!(service.push(number, json!([event, event])), (200, json!({})));
    }
    service.story.site.let_cron_succeed();
    assert_eq!(service.story.number("SELECT count(*) FROM decisions"), 1);
    assert_eq!(service.story.state(&ada), 13);
    assert!(service.own.pid() > 0);
}

#[test]
fn of_many_pairs_of_people_who_decide_at_once_each_makes_one_decision() {
    let service = Service::start(Host::NginxFastCgi);
    let synapse = service.story.synapse.clone();
    for _ in 0..15 {
        let (ada, message) = service.waiting();
        thread::scope(|scope| {
            scope.spawn(|| service.react(&synapse.alice, &message, YES));
            scope.spawn(|| service.react(&synapse.bob, &message, NO));
        });
        let start = Instant::now();
        while ![13, 100].contains(&service.story.state(&ada)) {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", service.story.web.log());
            thread::sleep(Duration::from_millis(20));
        }
        let select =
            format!("SELECT count(*) FROM decisions JOIN registrations ON registrations.id = registration_id WHERE username = '{ada}'");
        assert_eq!(service.story.number(&select), 1);
        assert_eq!(synapse.exists(&ada), service.story.state(&ada) == 100);
    }
}

/// Prints the median of 30 taps. Start it with `tests/world/start-synapse run --`.
#[test]
#[ignore = "it measures: docs/room.md has the command and the figures"]
fn how_long_it_takes_from_the_tap_to_the_decision() {
    let service = Service::start(Host::NginxFastCgi);
    let alice = service.story.synapse.alice.clone();
    let taps = (0..30).map(|number| {
        let (_, message) = service.waiting();
        let start = Instant::now();
        service.react(&alice, &message, if number % 2 == 0 { YES } else { NO });
        let decided = format!("SELECT count(*) FROM decisions JOIN room_messages USING (registration_id) WHERE event_id = '{message}'");
        while service.story.number(&decided) == 0 {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", service.story.web.log());
            thread::sleep(Duration::from_millis(2));
        }
        let decided = start.elapsed();
        let heading = if number % 2 == 0 { "Approved: " } else { "Declined: " };
        while !service.story.synapse.shown(&service.story.room, &message).contains(heading) {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", service.story.web.log());
        }
        (decided, start.elapsed())
    });
    let (mut decided, mut shown): (Vec<_>, Vec<_>) = taps.unzip();
    for (what, times) in [("decided", &mut decided), ("shown in the room", &mut shown)] {
        times.sort_unstable();
        println!("{what}: median {:?}, from {:?} to {:?}", times[times.len() / 2], times[0], times[times.len() - 1]);
    }
    assert!(decided[15] < Duration::from_secs(2));
}

/// With the lines of each page of `docs/hosts`.
#[test]
fn every_web_server_passes_on_what_a_homeserver_pushes() {
    for host in Host::ALL {
        let site = SiteFolder::new(&built_programs!()).create();
        assert!(site.run_cron_with(&["--print-appservice"]).status.success());
        let state: Value = serde_json::from_slice(&fs::read(site.path().join("config.json")).unwrap()).unwrap();
        let web = WebServer::start(&site, host);
        let url = |rest: &str| format!("{}internal/room_events/_matrix/app/v1/{rest}", web.internal_url());
        let call = |method: &str, rest: &str, token: &str, body: &Value| {
            http::json(&http::agent(60), method, &url(rest), Some(token), Some(body)).unwrap()
        };
        let token = state["service"]["hs_token"].as_str().unwrap();
        assert_eq!(call("PUT", "transactions/1", token, &json!({"events": []})), (200, json!({})), "{host:?}: {}", web.log());
        assert_eq!(call("PUT", "transactions/a%2Fb?x=y", token, &json!({"events": [7]})), (200, json!({})), "{host:?}: {}", web.log());
        assert_eq!(call("POST", "ping", token, &json!({"transaction_id": "x"})), (200, json!({})), "{host:?}: {}", web.log());
        let user = http::json(&http::agent(60), "GET", &url("users/@x:y"), Some(token), None).unwrap();
        assert_eq!((user.0, &user.1["errcode"]), (404, &json!("M_NOT_FOUND")), "{host:?}");
        // The second is larger than the program takes.
        for megabytes in [9, 20] {
            let large = json!({"events": ["x".repeat(megabytes << 20)]});
            assert_eq!(call("PUT", "transactions/2", token, &large), (200, json!({})), "{host:?} {megabytes}: {}", web.log());
        }
        let (status, refused) = call("PUT", "transactions/3", "x", &json!({"events": []}));
        assert_eq!((status, &refused["errcode"]), (403, &json!("M_FORBIDDEN")), "{host:?}");
    }
}

//! Deciding in the room when something is wrong with it, or when several programs read it at once.

use crate::room::{NO, Waiting, YES};
use crate::room_push::Service;
use crate::world::{Engine, Host, SiteFolder, WebServer, built_programs, free_port, http, on_every_database};
use crate::{Story, fresh, now};
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// In a room of alice's, where she can do everything.
fn in_a_room_of_alice() -> Waiting {
    let mut story = Story::start("synapse", Host::NginxCgi);
    let synapse = story.synapse.clone();
    story.room = synapse.create_room_of(&synapse.alice, &[&synapse.bot]);
    story.site.set("room.id", story.room.as_str());
    let applicant = fresh("ada");
    story.ask_and_confirm(&applicant);
    Waiting { event_id: story.room_message(&applicant).event_id, story, applicant }
}

#[test]
fn a_bot_that_was_kicked_shows_what_was_decided_once_it_is_invited_again() {
    let waiting = in_a_room_of_alice();
    let (story, synapse) = (&waiting.story, &waiting.story.synapse);
    synapse.remove(&story.room, &synapse.alice, &synapse.bot, "kick");
    waiting.react(&synapse.alice, YES);
    let said = String::from_utf8_lossy(&story.site.run_cron().stderr).into_owned();
    assert!(said.contains("@alice:example.test removed it") && said.contains("invite @"), "{said}");
    synapse.invite(&story.room, &synapse.alice, &synapse.bot);
    story.sql("UPDATE owed_actions SET due_at = 0, owed_since = 0");
    story.site.run_cron();
    assert_eq!(story.state(&waiting.applicant), 100);
    story.room_shows(&waiting.applicant, "Approved: ");
    assert_eq!(waiting.decided_by(), [["approved", "reaction", &synapse.alice.user_id]]);
}

#[test]
fn in_a_room_that_was_upgraded_what_is_open_can_be_decided_and_what_is_new_comes_to_the_new_one() {
    let waiting = in_a_room_of_alice();
    let (story, synapse) = (&waiting.story, &waiting.story.synapse);
    let new_room = synapse.upgrade(&story.room, &synapse.alice);
    waiting.react(&synapse.alice, NO);
    let said = String::from_utf8_lossy(&story.site.run_cron().stderr).into_owned();
    assert!(said.contains(&new_room) && said.contains("invite @"), "{said}");
    assert_eq!(story.state(&waiting.applicant), 6, "who may decide is seen in the new room");
    synapse.invite(&new_room, &synapse.alice, &synapse.bot);
    story.sql("UPDATE owed_actions SET due_at = 0, owed_since = 0");
    story.site.run_cron();
    assert_eq!(story.state(&waiting.applicant), 13);
    // The bot cannot edit there any more, and does not try for ever.
    assert_eq!(story.number("SELECT count(*) FROM owed_actions WHERE kind IN (5, 6)"), 0);
    let eve = fresh("eve");
    story.ask_and_confirm(&eve);
    let posted = synapse.wait_for_messages(&new_room, 1);
    synapse.react(&new_room, &synapse.alice, &posted[0].event_id, YES);
    story.site.let_cron_succeed();
    assert!(synapse.exists(&eve));
}

#[test]
fn who_is_only_in_a_former_room_decides_nothing_there() {
    let mut waiting = in_a_room_of_alice();
    let synapse = waiting.story.synapse.clone();
    let former = waiting.story.room.clone();
    synapse.invite(&former, &synapse.alice, &synapse.bob);
    synapse.join(&former, &synapse.bob);
    let room = synapse.create_room_of(&synapse.alice, &[&synapse.bot]);
    waiting.story.site.set("room.id", room.as_str());
    let (story, applicant) = (&waiting.story, &waiting.applicant);
    synapse.react(&former, &synapse.bob, &waiting.event_id, YES);
    let reply = json!({"m.in_reply_to": {"event_id": waiting.event_id}});
    synapse.send(&former, &synapse.bob, "m.room.message", json!({"msgtype": "m.text", "body": "!approve", "m.relates_to": reply}));
    story.site.run_cron();
    assert_eq!(story.state(applicant), 6);
    synapse.react(&former, &synapse.alice, &waiting.event_id, NO);
    story.site.run_cron();
    assert_eq!(story.state(applicant), 13, "alice is in both");
}

#[test]
fn in_an_encrypted_room_a_reaction_decides() {
    let waiting = in_a_room_of_alice();
    let (story, synapse) = (&waiting.story, &waiting.story.synapse);
    synapse.set_state(&story.room, &synapse.alice, "m.room.encryption", json!({"algorithm": "m.megolm.v1.aes-sha2"}));
    waiting.react(&synapse.alice, YES);
    assert_eq!(waiting.state_after_cron(), 100);
    story.room_shows(&waiting.applicant, "Approved: ");
    let eve = fresh("eve");
    story.ask_and_confirm(&eve);
    synapse.react(&story.room, &synapse.alice, &story.room_message(&eve).event_id, NO);
    story.site.run_cron();
    assert_eq!(story.state(&eve), 13);
}

/// Two web servers with one database hear of two people who decide differently at the same moment, each twice, while cron runs on both.
fn on_two_nodes_at_once_each_of_two_people_is_heard_and_one_decides(engine: Engine) {
    let waiting = Waiting::on(engine);
    let (story, synapse) = (&waiting.story, &waiting.story.synapse);
    let state = story.site.path().to_str().unwrap();
    assert!(story.site.run_cron_with(&["--print-appservice"]).status.success());
    let kept: Value = serde_json::from_slice(&fs::read(story.site.path().join("config.json")).unwrap()).unwrap();
    let token = kept["service"]["hs_token"].as_str().unwrap();
    let second = SiteFolder::new(&built_programs!()).synapse(synapse).room(&story.room).mail(&story.mails).mode("synapse");
    let second = second.database(&story.database).set("state_folder", state).create();
    let second_web = WebServer::start(&second, Host::NginxFastCgi);
    let nodes = [(&story.site, &story.web), (&second, &second_web)];
    let push = |web: &WebServer, event: &Value| {
        let url = format!("{}internal/room_events/_matrix/app/v1/transactions/1", web.internal_url());
        assert_eq!(http::json(&http::agent(60), "PUT", &url, Some(token), Some(&json!({ "events": [event] }))).unwrap().0, 200);
    };
    let mut requests = vec![(waiting.applicant.clone(), waiting.event_id.clone())];
    let pairs = if engine == Engine::Postgres { 15 } else { 5 };
    requests.extend((1..pairs).map(|_| {
        let name = fresh("pair");
        story.ask_and_confirm(&name);
        (name.clone(), story.room_message(&name).event_id)
    }));
    for (_, message) in &requests {
        thread::scope(|scope| {
            for (who, key) in [(&synapse.alice, YES), (&synapse.bob, NO)] {
                scope.spawn(move || {
                    let reaction = synapse.react(&story.room, who, message, key);
                    let relates_to = json!({"rel_type": "m.annotation", "event_id": message, "key": key});
                    let event = json!({"type": "m.reaction", "event_id": reaction, "sender": who.user_id, "room_id": story.room,
                        "content": {"m.relates_to": relates_to}});
                    thread::scope(|scope| {
                        for (_, web) in nodes {
                            let event = &event;
                            scope.spawn(move || push(web, event));
                        }
                    });
                });
            }
        });
    }
    thread::scope(|scope| {
        for (site, _) in nodes {
            scope.spawn(move || site.run_cron());
        }
    });
    // Programs work after their answers.
    let end = now() + 60;
    while story.number("SELECT count(*) FROM owed_actions WHERE kind IN (5, 6)") > 0 {
        assert!(now() < end, "{}", story.web.log());
        story.site.run_cron();
    }
    for (name, message) in &requests {
        let decided = story.database.rows(&format!(
            "SELECT outcome, decided_by FROM decisions JOIN registrations ON registrations.id = registration_id WHERE username = '{name}'"
        ));
        let [decided] = <[Vec<String>; 1]>::try_from(decided).unwrap();
        let (heading, who) = match decided[0].as_str() {
            "approved" => ("Approved: ", &synapse.alice),
            _ => ("Declined: ", &synapse.bob),
        };
        assert_eq!(decided[1], who.user_id);
        assert_eq!(synapse.exists(name), heading == "Approved: ");
        let shown = synapse.shown(&story.room, message);
        let behind_the_number = shown.split_once(' ').map_or("", |(_, rest)| rest);
        assert!(behind_the_number.starts_with(heading) && shown.contains(&who.user_id), "{shown}");
        // What was sent last is what is shown: nobody edited after the last state.
        let edits = synapse.edits(&story.room, message);
        assert_eq!(edits.last().unwrap()["content"]["m.new_content"]["body"], json!(shown));
    }
}

/// A cable between two homeservers that can be cut.
struct Cable {
    port: u16,
    is_cut: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(target: u16) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cable = Cable { port: listener.local_addr().unwrap().port(), is_cut: Arc::default(), streams: Arc::default() };
        let (is_cut, streams) = (cable.is_cut.clone(), cable.streams.clone());
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                streams.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        cable
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A real second homeserver, which has not heard of the ban. Ours pushes the reaction, marked as soft-failed, and shows it to nobody.
#[test]
fn a_reaction_of_somebody_who_was_banned_while_another_homeserver_did_not_hear_of_it_decides_nothing() {
    let (ours, theirs) = (free_port(), free_port());
    let own_name = format!("127.0.0.1:{ours}");
    let service = Service::start_with(Host::NginxFastCgi, &["--server-name", &own_name, "--federation-port", &ours.to_string()]);
    let cable = Cable::to(theirs);
    let their_name = format!("127.0.0.1:{}", cable.port);
    let other = crate::world::OwnSynapse::start(&["--server-name", &their_name, "--federation-port", &theirs.to_string()]);
    let (synapse, room) = (service.story.synapse.clone(), service.story.room.clone());
    let carol = other.synapse.register("carol", "pw-carol");
    synapse.invite(&room, &synapse.alice, &carol);
    other.synapse.join(&room, &carol);

    let (ada, message) = service.waiting();
    other.synapse.wait_for_event(&room, &carol, &message);
    other.synapse.react(&room, &carol, &message, YES);
    service.wait_for(&ada, 100);

    let (eve, message) = service.waiting();
    let (may, another) = service.waiting();
    other.synapse.wait_for_event(&room, &carol, &message);
    cable.cut();
    synapse.remove(&room, &synapse.alice, &carol, "ban");
    other.synapse.react(&room, &carol, &message, YES);
    let arrived = "SELECT count(*) FROM event_json WHERE internal_metadata LIKE '%soft_failed%'";
    let end = now() + 60;
    while service.own.number(arrived) == 0 {
        assert!(now() < end, "the other homeserver did not send the reaction");
        thread::sleep(Duration::from_millis(50));
    }
    // What comes later is pushed later.
    service.react(&synapse.bob, &another, NO);
    service.wait_for(&may, 13);
    service.story.site.let_cron_succeed();
    assert_eq!(service.story.state(&eve), 6, "carol is banned");
}

on_every_database!(on_two_nodes_at_once_each_of_two_people_is_heard_and_one_decides);

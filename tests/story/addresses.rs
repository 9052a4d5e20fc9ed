//! Synapse mode: the confirmed address is bound to the account, if the bot is a server administrator.

use crate::world::{Engine, Host, Synapse, on_every_database};
use crate::{Story, address_of, fresh, password_in};
use serde_json::{Value, json};

/// A site whose bot is the homeserver's administrator.
fn with_the_right(engine: Engine) -> Story {
    let synapse = Synapse::shared();
    let room = synapse.create_room_of(&synapse.admin, &[&synapse.alice]);
    synapse.join(&room, &synapse.alice);
    let mut story = Story::on_with(engine, "synapse", Host::NginxSystemd, |site| {
        site.set("room.access_token", synapse.admin.token.as_str()).room(&room)
    });
    story.room = room;
    story
}

fn sign_up(story: &Story, localpart: &str) -> String {
    story.ask_and_confirm(localpart);
    story.decide(localpart, "approve", "");
    assert_eq!(story.state(localpart), 100, "{}", story.web.log());
    password_in(&story.mails.wait_for(&address_of(localpart), 2)[1])
}

fn log_in_by_address(story: &Story, address: &str, password: &str) -> (u16, Value) {
    let identifier = json!({"type": "m.id.thirdparty", "medium": "email", "address": address});
    let login = json!({"type": "m.login.password", "identifier": identifier, "password": password});
    story.synapse.call("POST", "/_matrix/client/v3/login", None, Some(login))
}

fn owed(story: &Story) -> i64 {
    story.number("SELECT count(*) FROM owed_actions WHERE kind = 4")
}

fn with_the_right_people_log_in_by_their_confirmed_address(engine: Engine) {
    let mut story = with_the_right(engine);
    let ada = fresh("ada");
    let password = sign_up(&story, &ada);
    assert_eq!(owed(&story), 1);
    // While the homeserver is away, it is tried again later, and nothing else waits for it.
    story.site.set("homeserver_url", "http://127.0.0.1:9");
    story.site.run_cron();
    assert_eq!((owed(&story), story.state(&ada)), (1, 100));
    let said = story.text("SELECT last_error FROM owed_actions WHERE kind = 4");
    assert!(said.contains("/_synapse/admin/v2/users/...") && !said.contains(&ada), "names are not for the log: {said}");
    story.site.set("homeserver_url", story.synapse.base_url.clone());
    story.sql("UPDATE owed_actions SET due_at = 0");
    story.site.let_cron_succeed();
    assert_eq!(owed(&story), 0);
    let (status, answer) = log_in_by_address(&story, &address_of(&ada).to_uppercase(), &password);
    assert_eq!((status, answer["user_id"].as_str()), (200, Some(story.synapse.user_id(&ada).as_str())), "{answer}");
}

fn without_the_right_nothing_changes_and_that_is_said_once(engine: Engine) {
    let story = Story::on(engine, "synapse", Host::NginxSystemd);
    let mut said = String::new();
    for name in ["ada", "bob", "eve"] {
        let name = fresh(name);
        let password = sign_up(&story, &name);
        let run = story.site.run_cron();
        assert!(run.status.success() && run.stdout.is_empty(), "{run:?}");
        said += &String::from_utf8_lossy(&run.stderr);
        assert_eq!(owed(&story), 0, "it is not tried again");
        assert!(story.synapse.login(&name, &password).is_ok());
        assert_eq!(log_in_by_address(&story, &address_of(&name), &password).0, 403);
    }
    assert_eq!(said.matches("address_not_bound").count(), 1, "{said}");
    let talkative = std::process::Command::new(story.site.program("cron")).arg("-v").output().unwrap();
    let talk = String::from_utf8_lossy(&talkative.stdout);
    assert!(talkative.status.success() && talk.contains("is not a server administrator"), "{talk}");
}

fn an_address_that_another_account_has_stays_there(engine: Engine) {
    let story = with_the_right(engine);
    let (ada, other) = (fresh("ada"), fresh("other"));
    story.synapse.register(&other, "the other one's");
    let path = format!("/_synapse/admin/v2/users/{}", story.synapse.user_id(&other).replace('@', "%40"));
    let threepids = json!({"threepids": [{"medium": "email", "address": address_of(&ada)}]});
    assert_eq!(story.synapse.call("PUT", &path, Some(&story.synapse.admin.token), Some(threepids)).0, 200);
    let password = sign_up(&story, &ada);
    story.site.let_cron_succeed();
    assert_eq!(owed(&story), 0);
    let opened = log_in_by_address(&story, &address_of(&ada), "the other one's").1;
    assert_eq!(opened["user_id"].as_str(), Some(story.synapse.user_id(&other).as_str()), "{opened}");
    assert!(story.synapse.login(&ada, &password).is_ok());
}

on_every_database! {
    with_the_right_people_log_in_by_their_confirmed_address,
    without_the_right_nothing_changes_and_that_is_said_once,
    an_address_that_another_account_has_stays_there,
}

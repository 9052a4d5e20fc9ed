//! The pictures of the room in the documentation, as a real Matrix client shows it: `make screenshots MATRIX_CLIENT=FOLDER`, where FOLDER
//! is a built Cinny (<https://github.com/cinnyapp/cinny>, `npm ci && npx vite build`, then `dist`). No client is part of the project.
//! Without a font for emoji the thumbs are boxes: Debian's `fonts-noto-color-emoji`.

use crate::Story;
use crate::screenshots::write_picture;
use crate::world::process::{Process, guarded};
use crate::world::{Account, Chromium, Database, Engine, Host, MailCatcher, OwnSynapse, SiteFolder, TempFolder, WebServer, free_port};
use crate::world::{built_programs, http};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

#[test]
#[ignore = "it writes docs/screenshots; `make screenshots MATRIX_CLIENT=FOLDER` runs it"]
fn screenshots_of_the_room() {
    let Some(client) = std::env::var_os("MATRIX_CLIENT").map(PathBuf::from) else {
        println!("without MATRIX_CLIENT, the folder of a built Cinny, the pictures of the room stay as they are");
        return;
    };
    let own = OwnSynapse::start(&["--server-name", "example.org"]);
    let story = story_at(&own);
    let client = Client::start(&client, &story, &own.synapse.alice);
    let [ada, max, zoe] = ["ada", "max", "zoe"];

    let ada = ask(&story, ada, "Ada Lovelace");
    client.picture("room-request", 480, 560, "confirmed");
    client.tap("👍");
    wait_for_reactions(&story, &ada, 3);
    cron(&story);
    client.picture("room-approve", 480, 600, "Approved");

    let max = ask(&story, max, "Max Muster");
    say(&story, "decline: We only know people from the choir.", json!({"m.in_reply_to": {"event_id": max}}));
    client.picture("room-decline", 480, 660, "Declined");
    in_thread(&story, &max, "!reopen");
    client.picture("room-reopen", 480, 780, "taken back");

    let zoe = ask(&story, zoe, "Zoë Ångström");
    in_thread(&story, &zoe, "!ask Which voice do you sing?");
    let link = story.mails.wait_for("zoe@example.net", 2)[1].link();
    story
        .browser
        .submit(&story.browser.get(&link).form_to("answer").fill("answer", "Alto, and Greta knows me from the Tuesday rehearsals."));
    client.picture("room-ask", 480, 800, "Tuesday rehearsals");
}

fn story_at(own: &OwnSynapse) -> Story {
    let (database, mails, synapse) = (Database::new(Engine::Sqlite), MailCatcher::start(), own.synapse.clone());
    let room = synapse.create_room();
    let site = SiteFolder::new(&built_programs!()).synapse(&synapse).room(&room).mail(&mails).mode("synapse").database(&database);
    let site = site.create();
    let web = WebServer::start(&site, Host::NginxFastCgi);
    let browser = web.browser();
    Story { synapse, room, mails, site, web, browser, database }
}

/// A confirmed request. Returns the message about it.
fn ask(story: &Story, username: &str, name: &str) -> String {
    let address = format!("{username}@example.net");
    let (first, last) = name.split_once(' ').unwrap();
    let form = story.filled_form(username).fill("first_name", first).fill("last_name", last).fill("email", &address);
    story.browser.submit(&form.fill("note", "Greta told me that you plan the concerts here."));
    let link = story.mails.wait_for(&address, 1)[0].link();
    story.browser.submit(&story.browser.get(&link).form());
    cron(story);
    story.room_message(username).event_id
}

fn in_thread(story: &Story, root: &str, body: &str) {
    let relation = json!({"rel_type": "m.thread", "event_id": root, "is_falling_back": true, "m.in_reply_to": {"event_id": root}});
    say(story, body, relation);
}

fn say(story: &Story, body: &str, relates_to: Value) {
    let content = json!({"msgtype": "m.text", "body": body, "m.relates_to": relates_to});
    story.synapse.send(&story.room, &story.synapse.alice, "m.room.message", content);
    cron(story);
}

fn cron(story: &Story) {
    story.site.run_cron();
}

fn wait_for_reactions(story: &Story, message: &str, count: usize) {
    while story.synapse.reactions(&story.room, message).len() < count {
        thread::sleep(Duration::from_millis(50));
    }
}

/// The client in a browser, logged in.
struct Client {
    chromium: Chromium,
    base: String,
    room: String,
    _server: Process,
    _folder: TempFolder,
}

impl Client {
    fn start(built: &Path, story: &Story, who: &Account) -> Client {
        let (folder, port) = (TempFolder::new("client"), free_port());
        for entry in fs::read_dir(built).unwrap_or_else(|cause| panic!("MATRIX_CLIENT: {}: {cause}", built.display())).flatten() {
            if entry.file_name() != "config.json" {
                std::os::unix::fs::symlink(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        let config = json!({"defaultHomeserver": 0, "homeserverList": ["example.org"], "allowCustomHomeservers": true,
            "hashRouter": {"enabled": true, "basename": "/"}});
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let mut command = guarded("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(folder.path()).arg(port.to_string());
        let mut server = Process::start("the client's web server", command, None);
        let base = format!("http://127.0.0.1:{port}/");
        server.wait_until(20, || http::json(&http::agent(5), "GET", &format!("{base}config.json"), None, None).is_ok());
        let chromium = Chromium::start("en");
        chromium.prefer_dark(false);
        chromium.open(&format!("{base}config.json"));
        let kept = json!([
            ["cinny_access_token", who.token],
            ["cinny_device_id", "PICTURES"],
            ["cinny_user_id", who.user_id],
            ["cinny_hs_base_url", story.synapse.base_url],
            ["settings", json!({"themeId": "light-theme", "useSystemTheme": false}).to_string()]
        ]);
        chromium.script("for (const [key, value] of arguments[0]) localStorage.setItem(key, value)", json!([kept]));
        Client { chromium, base, room: story.room.clone(), _server: server, _folder: folder }
    }

    /// The end of the room, once it shows these words.
    fn picture(&self, name: &str, width: u32, height: u32, words: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1.5, "mobile": false});
        self.chromium.devtools("Emulation.setDeviceMetricsOverride", size);
        self.chromium.open(&format!("{}?{name}#/home/{}/", self.base, self.room.replace('!', "%21").replace(':', "%3A")));
        // A client that starts waits up to half a minute until it believes that it is connected.
        let is_ready = |text: &str| text.contains(words) && !text.contains("Connecting");
        let end = Instant::now() + Duration::from_secs(60);
        while !is_ready(&self.chromium.text()) {
            assert!(Instant::now() < end, "{}", self.chromium.text());
            thread::sleep(Duration::from_millis(200));
        }
        let to_the_end = "[...document.querySelectorAll('button')].filter(button => button.innerText.includes('Jump to Latest'))\
                          .forEach(button => button.click())";
        for _ in 0..3 {
            // The room moves until its last message is in sight.
            self.chromium.script(to_the_end, json!([]));
            thread::sleep(Duration::from_secs(1));
        }
        write_picture(&self.chromium, name);
    }

    /// Taps the newest reaction with this emoji.
    fn tap(&self, emoji: &str) {
        let tap = "[...document.querySelectorAll('button')].filter(button => button.innerText.includes(arguments[0])).pop().click()";
        self.chromium.script(tap, json!([emoji]));
    }
}

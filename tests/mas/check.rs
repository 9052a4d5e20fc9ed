//! `make mas-check`: whole registrations against a real MAS and its homeserver, once for each way of credentials. It prints what it
//! does and sees. Accounts and messages stay there, so it is for a test server.

use crate::world::{Account, Browser, Database, Engine, Host, Mas, Synapse, fresh, http};
use crate::{Story, address_of, password_in};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CHOSEN: &str = "tramlinie 4 nach gossau";
const FORM: &str = r#"a JSON object such as
{"admin_url": "http://127.0.0.1:8081/", "public_url": "https://auth.example.test/", "client_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "client_secret": "...",
 "homeserver_url": "https://matrix.example.test", "room": "!abc:example.test", "moderator_token": "..."}
where moderator_token may invite people to the room; see docs/homeservers.md"#;

/// What the operator writes.
#[derive(Deserialize)]
struct Given {
    admin_url: String,
    token_url: Option<String>,
    public_url: String,
    client_id: String,
    client_secret: String,
    homeserver_url: String,
    room: String,
    moderator_token: String,
}

/// The servers, seen by their administrator.
struct Real {
    given: Given,
    synapse: Synapse,
    token: String,
}

#[test]
#[ignore = "needs a MAS: MAS_WORLD=world.json make mas-check"]
fn a_real_mas_makes_accounts_that_log_in() {
    let path = std::env::var("MAS_WORLD").unwrap_or_else(|_| panic!("set MAS_WORLD to the path of a file with {FORM}"));
    check(&PathBuf::from(path));
}

#[test]
fn the_check_passes_with_the_stand_in() {
    check(&Mas::world_file());
}

fn check(path: &Path) {
    let real = Real::reach(path);
    for way in ["mail", "link", "confirm", "recovery"] {
        real.register(way, &real.given.admin_url);
    }
    // Token, look-up, account, version, address, password, end of the token.
    for number in 1..=7 {
        match losing(&real.given.admin_url, number) {
            Some(proxy) => real.register_though_an_answer_is_lost(number, &proxy),
            None => println!("mas-check: answers of MAS are lost only if admin_url begins with http://"),
        }
    }
    println!("mas-check: all is well; the accounts named above stay");
}

impl Real {
    fn reach(path: &Path) -> Real {
        let text = std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}; expected {FORM}", path.display()));
        let given: Given = serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{}: {cause}; expected {FORM}", path.display()));
        let given = Given {
            admin_url: given.admin_url.trim_end_matches('/').to_owned(),
            homeserver_url: given.homeserver_url.trim_end_matches('/').to_owned(),
            ..given
        };
        let token = token(&given);
        println!("mas-check: a token for the admin API");
        let nobody = Account { localpart: String::new(), user_id: String::new(), password: String::new(), token: String::new() };
        let moderator = Account { token: given.moderator_token.clone(), ..nobody.clone() };
        let synapse = Synapse {
            base_url: given.homeserver_url.clone(),
            server_name: String::new(),
            shared_secret: String::new(),
            room: given.room.clone(),
            admin: nobody.clone(),
            bot: nobody.clone(),
            alice: moderator.clone(),
            bob: nobody,
        };
        let mut real = Real { given, synapse, token };
        real.look_around();
        real.make_bot();
        real
    }

    /// A call of the admin API; panics unless the status is one of these.
    fn admin(&self, method: &str, path: &str, body: Option<Value>, wanted: &[u16]) -> Value {
        let url = format!("{}/api/admin/v1/{path}", self.given.admin_url);
        let (status, answer) =
            http::json(&http::agent(150), method, &url, Some(&self.token), body.as_ref()).unwrap_or_else(|cause| panic!("{cause}"));
        assert!(wanted.contains(&status), "{method} {url}: {status} {answer}; is the resource adminapi on this listener?");
        answer
    }

    fn look_around(&mut self) {
        let version = self.admin("GET", "version", None, &[200, 404])["version"].clone();
        let settings = self.admin("GET", "site-config", None, &[200]);
        println!("mas-check: MAS {version}, settings {settings}");
        self.synapse.server_name = settings["server_name"].as_str().expect("a server_name").to_owned();
        for path in ["/_matrix/client/v1/auth_metadata", "/_matrix/client/v3/login"] {
            let (status, answer) = self.synapse.call("GET", path, None, None);
            assert_eq!(status, 200, "{path}: {answer}; homeserver_url has to be the address that apps use, where logins go to MAS");
        }
        let (status, whoami) = self.synapse.call("GET", "/_matrix/client/v3/account/whoami", Some(&self.given.moderator_token), None);
        assert_eq!(status, 200, "moderator_token: {whoami}");
        println!("mas-check: {} moderates {}", whoami["user_id"], self.given.room);
    }

    /// An account of its own for the bot, with a personal session that has a device, invited to the room.
    fn make_bot(&mut self) {
        let name = fresh("register-bot");
        let id = self.admin("POST", "users", Some(json!({ "username": name })), &[201])["data"]["id"].clone();
        let scope = "urn:matrix:client:api:* urn:matrix:client:device:REGISTERBOT";
        let session = json!({"actor_user_id": id, "human_name": "mas-check", "scope": scope});
        let made = self.admin("POST", "personal-sessions", Some(session), &[201]);
        let token = made["data"]["attributes"]["access_token"].as_str().expect("a token").to_owned();
        let user_id = self.synapse.user_id(&name);
        self.synapse.bot = Account { localpart: name, user_id, password: String::new(), token };
        self.synapse.invite(&self.given.room, &self.synapse.alice, &self.synapse.bot);
        println!("mas-check: the bot is {}, invited to the room", self.synapse.bot.user_id);
    }

    fn site(&self, way: &str, admin_url: &str) -> Story {
        let mas = Mas::given(admin_url, &self.given.client_id, &self.given.client_secret, &self.synapse);
        Story::in_room((self.synapse.clone(), self.given.room.clone()), Database::new(Engine::Sqlite), Host::NginxCgi, |site| {
            let site = site.mas(&mas).set("mas.public_url", self.given.public_url.as_str()).set("credentials", way);
            match &self.given.token_url {
                Some(url) => site.set("mas.token_url", url.as_str()),
                None => site,
            }
        })
    }

    fn register_though_an_answer_is_lost(&self, number: usize, admin_url: &str) {
        let story = self.site("mail", admin_url);
        let ada = fresh("mas-check");
        story.ask_and_confirm(&ada);
        crate::approve(&story, &ada);
        crate::finish(&story, &ada);
        self.has_account(&story, "mail", &ada);
        println!("mas-check: answer {number} of MAS was lost, and {} has one account all the same", self.synapse.user_id(&ada));
    }

    fn register(&self, way: &str, admin_url: &str) {
        let story = self.site(way, admin_url);
        let ada = fresh("mas-check");
        println!("mas-check: credentials = {way:?}: {} asks and confirms the address", self.synapse.user_id(&ada));
        story.ask(&ada);
        match way {
            "confirm" => assert_eq!(story.confirm_choosing(&ada, CHOSEN).status, 200),
            _ => assert_eq!(story.confirm(&ada).status, 200),
        }
        let page = story.decide(&ada, "approve", "");
        let said: String = page.text().split_once("Approved").map(|(_, rest)| rest.chars().take(120).collect()).unwrap_or_default();
        println!("mas-check:   the room says yes, and the page says: Approved{said}...");
        if way == "link" {
            let link = story.mails.wait_for(&address_of(&ada), 2)[1].link();
            let form = Browser::new(&story.web.url()).get(&link).form();
            story.browser.submit(&form.fill("password", CHOSEN).fill("password_again", CHOSEN));
        }
        self.wait(&story, &ada);
        self.has_account(&story, way, &ada);
    }

    /// Name, address and password are the applicant's.
    fn has_account(&self, story: &Story, way: &str, ada: &str) {
        let mails = story.mails.all();
        let last = mails.last().expect("a mail");
        let user = self.admin("GET", &format!("users/by-username/{ada}"), None, &[200]);
        let emails = self.admin("GET", &format!("user-emails?filter[user]={}", user["data"]["id"].as_str().unwrap_or("")), None, &[200]);
        println!("mas-check:   MAS has {} with {}", user["data"]["attributes"], emails["data"][0]["attributes"]["email"]);
        assert_eq!(emails["data"][0]["attributes"]["email"], address_of(ada));
        assert_eq!(self.synapse.display_name(ada).as_deref(), Some("Ada Lovelace-Größe"), "the display name at the homeserver");
        if way == "recovery" {
            assert!(last.text.contains("/recover"), "{}", last.text);
            println!("mas-check:   the mail leads to {}", last.text.lines().find(|line| line.contains("/recover")).unwrap_or(""));
            return;
        }
        let password = if way == "mail" { password_in(last) } else { CHOSEN.to_owned() };
        match self.log_in(ada, &password) {
            Ok(_) => println!("mas-check:   m.login.password with the {} password: 200", if way == "mail" { "mailed" } else { "chosen" }),
            Err(cause) => panic!("m.login.password as {ada}: {cause}"),
        }
    }

    /// MAS takes three logins from one address, right or wrong, and then one in twenty seconds.
    fn log_in(&self, ada: &str, password: &str) -> Result<String, String> {
        for _ in 0..5 {
            match self.synapse.login(ada, password) {
                Err(cause) if cause.starts_with("429") => {
                    println!("mas-check:   MAS takes no more logins for a moment");
                    std::thread::sleep(Duration::from_secs(21));
                }
                answer => return answer,
            }
        }
        self.synapse.login(ada, password)
    }

    fn wait(&self, story: &Story, ada: &str) {
        let end = Instant::now() + Duration::from_secs(200);
        while story.state(ada) != 100 {
            let why = story.text("SELECT COALESCE(last_error, '') FROM registrations");
            assert!(why.is_empty() && Instant::now() < end, "state {}: {why}\n{}", story.state(ada), story.web.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("mas-check:   the account is made, and the mail is sent");
    }
}

/// A proxy before MAS that loses one answer, by its number. `None` if MAS speaks TLS.
fn losing(admin_url: &str, number: usize) -> Option<String> {
    let upstream = admin_url.strip_prefix("http://")?.trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (count, client) in (1..).zip(listener.incoming()) {
            let Ok(mut client) = client else { continue };
            let answer = http::read_request(&client).and_then(|request| http::pass_on(&upstream, &request));
            if let Ok(answer) = answer.as_deref().map_err(drop).and_then(|answer| if count == number { Err(()) } else { Ok(answer) }) {
                let _ = client.write_all(answer);
            }
        }
    });
    Some(url)
}

fn token(given: &Given) -> String {
    let url = given.token_url.clone().unwrap_or_else(|| format!("{}/oauth2/token", given.admin_url));
    let basic = BASE64.encode(format!("{}:{}", given.client_id, given.client_secret).as_bytes());
    let request = ureq::http::Request::post(&url)
        .header("Authorization", format!("Basic {basic}"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&scope=urn%3Amas%3Aadmin".to_owned())
        .unwrap();
    let mut answer =
        http::agent(30).run(request).unwrap_or_else(|cause| panic!("POST {url}: {cause}; is admin_url right, and does MAS run?"));
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    let token = serde_json::from_str::<Value>(&text).unwrap_or_default()["access_token"].as_str().map(str::to_owned);
    token.unwrap_or_else(|| {
        panic!(
            "POST {url}: {} {text}; 401: client_id or client_secret, 403: the client is not in policy.data.admin_clients of MAS's configuration",
            answer.status()
        )
    })
}

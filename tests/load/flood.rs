//! Registrations and logins, all at once, against one FastCGI process of each program behind nginx.

use crate::crowd::{self, Answer, Asked};
use crate::memory::{self, Watch};
use crate::world::{Host, SiteBuilder, SiteFolder, WebServer, built_programs};
use matrix_register_bot::domain::password;
use matrix_register_bot::domain::token;
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::store::{Access, NewLogin};
use std::fs;
use std::time::{Duration, Instant};

const FORM: &str = "application/x-www-form-urlencoded";
const PASSWORD: &str = "correct horse battery staple";

/// Existing accounts, with [`PASSWORD`]; other names are used with a wrong one.
const ACCOUNTS: usize = 50;

/// How long a visitor waits for an answer; longer than web servers wait for programs.
const PATIENCE: Duration = Duration::from_secs(180);

/// The one place for what a flood needs of a configuration: no limits but those that hold the machine together.
fn site(settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> SiteFolder {
    settings(SiteFolder::new(&built_programs!()).set("mail.transport", "file")).create()
}

pub struct Flooded {
    web: WebServer,
    site: SiteFolder,
    ours: Site,
}

impl Flooded {
    fn start() -> Flooded {
        Flooded::start_with(|site| site)
    }

    pub fn start_with(settings: impl FnOnce(SiteBuilder) -> SiteBuilder) -> Flooded {
        let site = site(settings);
        let web = WebServer::start_hardened(&site, Host::NginxFastCgi);
        let ours = Site::open(&site.config_path()).unwrap();
        let hash = password::hash(PASSWORD).unwrap();
        let mut store = ours.store(Access::Write).unwrap();
        for number in 0..ACCOUNTS {
            let login = NewLogin {
                localpart: format!("user{number}"),
                first_name: "Ada".into(),
                last_name: String::new(),
                password_hash: hash.clone(),
                email: String::new(),
                email_folded: String::new(),
                created_at: 1,
                initial_password_until: None,
            };
            store.import_login(&login).unwrap();
        }
        drop(store);
        Flooded { web, site, ours }
    }

    pub fn port(&self) -> u16 {
        self.site.port
    }

    pub fn registration(&self, name: &str) -> Asked {
        let form_token = token::form_token(&self.ours.state.secret().unwrap(), "register", "", self.ours.now());
        let fields = [
            ("form_token", form_token.as_str()),
            ("first_name", "Ada"),
            ("username", name),
            ("email", &format!("{name}@applicants.example.org")),
            ("send", "1"),
        ];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Asked::post(self.site.port, "/register", FORM, &body)
    }

    fn login(&self, number: usize) -> Asked {
        // One in ten is wrong, for an account that does not exist: wrong passwords slow down guessing, and right ones must not
        // be slowed.
        let (name, password) =
            if number % 10 == 9 { (format!("nobody{number}"), "wrong") } else { (format!("user{}", number % ACCOUNTS), PASSWORD) };
        let body = serde_json::json!({"user": {"id": format!("@{name}:example.test"), "password": password}}).to_string();
        Asked::post(self.site.internal_port, "/_matrix-internal/identity/v1/check_credentials", "application/json", &body)
    }

    fn filed(&self) -> usize {
        let database = rusqlite::Connection::open(self.site.database_path()).unwrap();
        database.query_row("SELECT count(*) FROM registrations", [], |row| row.get::<_, i64>(0)).unwrap() as usize
    }

    fn mails(&self) -> usize {
        fs::read_dir(self.site.path().join("mails"))
            .map_or(0, |mails| mails.flatten().filter(|mail| mail.path().extension().is_some()).count())
    }
}

/// The number of each answer, with the 50 % and 99 % quantiles of the waiting times.
fn summary(name: &str, answers: &[&Answer]) -> String {
    let mut lines = String::new();
    let mut statuses: Vec<Option<u16>> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let mut times: Vec<Duration> = answers.iter().filter(|answer| answer.status == status).map(|answer| answer.after).collect();
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        let word = status.map_or("no answer".to_owned(), |status| status.to_string());
        lines += &format!("{name}: {} x {word}, median {:.1?}, 99 % {:.1?}, longest {:.1?}\n", times.len(), at(0.5), at(0.99), at(1.0));
    }
    lines
}

/// Repeats refused requests until all are served. Returns the number of rounds.
fn come_back_until_all_are_served(flooded: &Flooded, mut refused: Vec<Asked>) -> usize {
    let mut rounds = 0;
    while !refused.is_empty() {
        rounds += 1;
        assert!(rounds < 100, "{} are still not served", refused.len());
        let answers = crowd::ask(&refused, PATIENCE);
        check_registrations(&answers);
        refused = refused.into_iter().zip(&answers).filter(|(_, answer)| answer.status != Some(200)).map(|(asked, _)| asked).collect();
        if !refused.is_empty() {
            std::thread::sleep(Duration::from_secs(2));
        }
    }
    println!("all {} registrations are filed after {rounds} more rounds", flooded.filed());
    rounds
}

fn check_registrations(answers: &[Answer]) {
    for answer in answers {
        assert!(answer.status == Some(200) || answer.is_honest_refusal(), "{:?} after {:?}: {}", answer.status, answer.after, answer.text);
    }
}

fn check_logins(answers: &[Answer]) {
    for (number, answer) in answers.iter().enumerate() {
        assert!(answer.status == Some(200) || answer.is_honest_refusal(), "{:?} after {:?}: {}", answer.status, answer.after, answer.text);
        let right = if number % 10 == 9 { "\"success\":false" } else { "\"success\":true" };
        assert!(answer.status != Some(200) || answer.has(right), "login {number}: {}", answer.text);
    }
}

fn flood(registrations: usize, logins: usize) {
    let flooded = Flooded::start();
    let calm = memory::now(flooded.site.program("login").to_str().unwrap());
    let watches = ["register", "login"].map(|name| (name, Watch::of(&flooded.site.program(name))));
    let mut all: Vec<Asked> = (0..registrations).map(|number| flooded.registration(&format!("applicant{number}"))).collect();
    all.extend((0..logins).map(|number| flooded.login(number)));
    let start = Instant::now();
    let answers = crowd::ask(&all, PATIENCE);
    println!("{} requests, {} at once at most: {:.1?}", all.len(), crowd::most_at_once().min(all.len()), start.elapsed());
    let end = Instant::now();
    let afterwards = crowd::ask(&[Asked::get(flooded.site.port, "/register"), flooded.login(0)], PATIENCE);
    println!("the next ones are served after {:.1?}", end.elapsed());
    let (registered, logged_in) = answers.split_at(registrations);
    print!("{}", summary("registrations", &registered.iter().collect::<Vec<_>>()));
    print!("{}", summary("logins", &logged_in.iter().collect::<Vec<_>>()));
    println!("login before: {} KiB, {} threads", calm.kib, calm.threads);
    for (name, watch) in watches {
        let most = watch.end();
        println!("{name}: at most {} KiB and {} threads, in both processes", most.kib, most.threads);
        assert!(most.kib > 0 && most.kib < 160 * 1024, "{name}: {most:?}");
        // The descriptors of a worker (2048), its own threads, and those of the supervisor.
        assert!(most.threads < 2200, "{name}: {most:?}");
    }
    check_registrations(registered);
    check_logins(logged_in);
    assert!(afterwards.iter().all(|answer| answer.status == Some(200)), "{afterwards:?}");
    assert!(end.elapsed() < Duration::from_secs(5), "the service is not back: {:?}", end.elapsed());
    let served = registered.iter().filter(|answer| answer.status == Some(200)).count();
    assert_eq!(flooded.filed(), served, "each yes is a request, and nothing else is");
    let refused = all.into_iter().zip(registered).filter(|(_, answer)| answer.status != Some(200)).map(|(asked, _)| asked).collect();
    come_back_until_all_are_served(&flooded, refused);
    assert_eq!((flooded.filed(), flooded.mails()), (registrations, registrations), "{}", flooded.web.log());
}

#[test]
fn a_flood_gets_answers_or_an_honest_refusal_and_takes_bounded_memory() {
    flood(100, 500);
}

#[test]
#[ignore = "two thousand registrations and twenty thousand logins: make load"]
fn a_great_flood_gets_answers_or_an_honest_refusal_and_takes_bounded_memory() {
    flood(2_000, 20_000);
}

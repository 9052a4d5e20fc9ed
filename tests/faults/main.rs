//! Nothing lost, nothing twice: many people sign up at once while programs, database and web server are killed, the disk fills
//! up, and mail server and homeserver lose, cut, delay, refuse and repeat requests. Afterwards the promises made to people are
//! compared with the data on the servers.
//!
//! `cargo test` runs a short version; `make faults` runs as long as configured (FAULTS_KILLS, FAULTS_DATABASE, FAULTS_SEED) and
//! prints the figures of docs/reliability.md.

#[path = "../world/mod.rs"]
mod world;

mod homeserver_proxy;
mod mail_proxy;
mod people;
mod place;
mod promises;
mod tally;
mod weather;

use people::{People, Way};
use place::Place;
use promises::{Found, Round};
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use world::{Engine, Mas, TokenSynapse};

/// The most storms in a round; remaining requests are completed in calm weather.
const STORMS: usize = 30;
/// How long a storm lasts.
const STORM: Duration = Duration::from_millis(1600);
/// Where web programs die in a storm, as in `fault`; one is chosen. Programs that die as soon as they have a lease leave all
/// work to cron.
const WEB_DEATHS: [&str; 22] = [
    "1/6",
    "1/10",
    "1/20",
    "1/100",
    "leased",
    "leased",
    "committed",
    "confirming",
    "withdrawing",
    "deciding",
    "taking back",
    "answered",
    "choosing",
    "address corrected",
    "reset links opened",
    "mail taken",
    "homeserver answered:2",
    "settle",
    "reading begun",
    "words noted",
    "words obeyed",
    "room message posted",
];
/// How many people act at the same time.
const VISITORS: usize = 12;
/// How many crons run at the same time, each after the other without a pause: in the short versions, and in a long campaign.
const CRONS: usize = 3;
const MANY_CRONS: usize = 8;
/// The number of crons in a row without work after which a storm ends early.
const IN_VAIN: usize = 16;
/// Side actions that are not done yet; reminders wait for their time.
const STILL_OWED: &str = "lease IS NOT NULL OR kind NOT IN (0, 2, 3)";
/// What somebody wrote to the bot, and was not read yet.
const UNREAD: &str = "SELECT event_id FROM room_words WHERE read_at IS NULL";
/// How long it may take in calm weather until no action is required any more.
const CALM: Duration = Duration::from_secs(240);

#[test]
fn sqlite_loses_nothing_and_does_nothing_twice() {
    Campaign {
        engine: Engine::Sqlite,
        kills: 40,
        people: 12,
        crons: CRONS,
        ways: &[("synapse", "link"), ("local", "mail")],
        seed: seed(1),
    }
    .run();
}

#[test]
fn postgresql_loses_nothing_and_does_nothing_twice() {
    Campaign {
        engine: Engine::Postgres,
        kills: 40,
        people: 8,
        crons: CRONS,
        ways: &[("local", "link"), ("synapse", "mail")],
        seed: seed(2),
    }
    .run();
}

#[test]
fn mariadb_loses_nothing_and_does_nothing_twice() {
    Campaign {
        engine: Engine::Mariadb,
        kills: 40,
        people: 8,
        crons: CRONS,
        ways: &[("synapse", "link"), ("local", "mail")],
        seed: seed(3),
    }
    .run();
}

#[test]
fn accounts_in_mas_are_made_once_and_for_their_owners() {
    Campaign { engine: Engine::Sqlite, kills: 40, people: 10, crons: CRONS, ways: &[("mas", "mail"), ("mas", "link")], seed: seed(4) }
        .run();
}

#[test]
fn accounts_with_a_registration_token_are_neither_lost_nor_made_twice() {
    let ways = &[("registration_token", "link"), ("registration_token", "mail")];
    Campaign { engine: Engine::Sqlite, kills: 120, people: 10, crons: CRONS, ways, seed: seed(5) }.run();
}

/// `make planted` takes long; a patch that no longer applies is noticed here.
#[test]
fn every_bug_that_is_planted_still_fits_the_sources() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = std::fs::read_dir(top.join("tests/faults/planted")).unwrap().map(|entry| entry.unwrap().path());
    let patches: Vec<_> = patches.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    assert!(patches.len() >= 3, "{patches:?}");
    for patch in patches {
        let tried = Command::new("patch").args(["--dry-run", "--fuzz=0", "-p1", "-d"]).arg(top).arg("-i").arg(&patch).output().unwrap();
        assert!(tried.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&tried.stdout));
    }
}

#[test]
#[ignore = "takes as long as it is told to: make faults"]
fn a_long_campaign() {
    let name = std::env::var("FAULTS_DATABASE").unwrap_or_else(|_| "sqlite".into());
    let engine = Engine::ALL.into_iter().find(|engine| engine.name() == name);
    let engine = engine.unwrap_or_else(|| panic!("FAULTS_DATABASE is {name:?}: expected sqlite, postgres or mariadb"));
    let (kills, people) = (number("FAULTS_KILLS", 10_000), number("FAULTS_PEOPLE", 96));
    let ways: &[_] = match std::env::var("FAULTS_MODE").as_deref() {
        Ok("mas") => &[("mas", "mail"), ("mas", "link")],
        Ok("registration_token") => &[("registration_token", "mail"), ("registration_token", "link")],
        Ok(other) => panic!("FAULTS_MODE is {other:?}: expected mas, registration_token, or nothing"),
        Err(_) => &[("synapse", "mail"), ("local", "link"), ("synapse", "link"), ("local", "mail")],
    };
    Campaign { engine, kills, people, crons: MANY_CRONS, ways, seed: seed(0) }.run();
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}: expected a number")))
}

/// The configured seed, or a new one each time.
fn seed(number_of_test: usize) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    number("FAULTS_SEED", now.as_secs() as usize % 1_000_000 * 10 + number_of_test) as u64
}

/// Rounds until enough programs were killed.
struct Campaign {
    engine: Engine,
    kills: usize,
    /// People per round.
    people: usize,
    crons: usize,
    /// Pairs of `operation_mode` and `credentials`, used in turn, one per round.
    ways: &'static [(&'static str, &'static str)],
    seed: u64,
}

impl Campaign {
    fn run(&self) {
        println!("{}: seed {}", self.engine.name(), self.seed);
        let has = |wanted: &str| self.ways.iter().any(|(mode, _)| *mode == wanted);
        let own_synapse = has("registration_token").then(|| TokenSynapse::start(&[]));
        let mut place = Place::set_up(self.engine, self.seed, has("mas").then(Mas::start), own_synapse);
        let (start, mut all, mut rounds) = (Instant::now(), Found::default(), 0);
        while place.tally.kills() < self.kills {
            let way = self.ways[rounds % self.ways.len()];
            rounds += 1;
            let room = place.turn_to(way);
            let found = self.round(&place, room, way, rounds);
            all.add(&found);
            println!("{}: {}", self.engine.name(), place.tally.figures(&all, rounds, start.elapsed()));
        }
        assert!(!place.log().contains("panicked"), "{}", place.log());
        println!("{}: {}\n{:?}", self.engine.name(), place.weather.counts(), place.tally.points.lock().unwrap());
    }

    /// One group of people, from the form to the end; fails the test if any promise is broken.
    fn round(&self, place: &Place, room: String, (mode, credentials): (&'static str, &'static str), number: usize) -> Found {
        let prefix = format!("p{}{}r{number}", world::mark(), self.engine.name());
        let people = People::new(place, room, self.people, &prefix, Way::new((mode, credentials)));
        let (mut handed, mut database_storms) = (Vec::new(), HashSet::new());
        for _ in 0..STORMS {
            if people.done() * 10 >= self.people * 9 {
                break;
            }
            place.weather.rise();
            place.mas_goes_wrong();
            let special = self.storm(place, &people);
            place.order_deaths("");
            place.wait_until_quiet();
            if matches!(special, Special::Database | Special::Disk) {
                database_storms.insert(place.weather.beat());
            }
            handed.extend(place.mail_proxy.take_handed());
            place.time_passes();
            if std::env::var_os("FAULTS_LOG").is_some() {
                println!(
                    "storm {}: {} kills, {} errors seen, {}",
                    place.weather.beat(),
                    place.tally.kills(),
                    place.tally.errors_seen.load(Ordering::SeqCst),
                    people.summary()
                );
            }
            if place.weather.chance.one_in(3) {
                place.forget_token();
            }
        }
        place.mas_is_well();
        self.settle(place, &people);
        handed.extend(place.mail_proxy.take_handed());
        let found = Round { place, people: &people, mode, prefix: &prefix, handed, database_storms }.check();
        people.tidy();
        let violations = people.violations.lock().unwrap();
        if !violations.is_empty() {
            panic!(
                "round {number}, seed {}: {} VIOLATIONS\n{}\n\n{}",
                self.seed,
                violations.len(),
                violations.join("\n"),
                place.log_tail()
            );
        }
        found
    }

    /// All faults at once.
    fn storm(&self, place: &Place, people: &People) -> Special {
        let chance = &place.weather.chance;
        let special = chance.pick(&[Special::None, Special::None, Special::None, Special::Web, Special::Database, Special::Disk]);
        place.order_deaths(chance.pick(&WEB_DEATHS));
        let goes_on = AtomicBool::new(true);
        let going = || goes_on.load(Ordering::SeqCst);
        thread::scope(|scope| {
            for _ in 0..VISITORS {
                scope.spawn(|| {
                    while going() {
                        if !people.somebody_acts() {
                            thread::sleep(Duration::from_millis(30));
                        }
                    }
                });
            }
            for _ in 0..self.crons {
                scope.spawn(|| {
                    while going() {
                        place.run_cron();
                    }
                });
            }
            scope.spawn(|| {
                while going() {
                    thread::sleep(Duration::from_millis(250));
                    place.kill_a_web_program();
                }
            });
            scope.spawn(|| {
                while going() {
                    people.look();
                    thread::sleep(Duration::from_millis(300));
                }
            });
            scope.spawn(|| watch_state_file(place, people, going));
            thread::sleep(STORM / 4);
            match special {
                Special::None => {}
                Special::Web => place.kill_web(chance.below(2)),
                Special::Database => place.kill_database(),
                Special::Disk => place.fill_disk(STORM / 4),
            }
            let end = Instant::now() + STORM * 3 / 4;
            place.tally.crons_in_vain.store(0, Ordering::SeqCst);
            // If dead programs hold all leases, only time helps.
            while Instant::now() < end && place.tally.crons_in_vain.load(Ordering::SeqCst) < IN_VAIN {
                thread::sleep(Duration::from_millis(20));
            }
            // Releases whatever hangs, as otherwise everybody would wait for it.
            place.weather.calm();
            goes_on.store(false, Ordering::SeqCst);
        });
        special
    }

    /// No more faults: people finish, and cron does what is left.
    fn settle(&self, place: &Place, people: &People) {
        let end = Instant::now() + CALM;
        while Instant::now() < end {
            people.look();
            thread::scope(|scope| {
                for _ in 0..VISITORS {
                    // A person who gets an error tries again at the next turn.
                    scope.spawn(|| (0..people.all.len()).any(|_| !people.somebody_acts()));
                }
            });
            place.wait_until_quiet();
            place.time_passes();
            place.run_cron();
            let open = place.database.rows("SELECT username FROM registrations WHERE state NOT IN (13, 15, 100)");
            let beside = place.database.rows(&format!("SELECT registration_id FROM owed_actions WHERE {STILL_OWED}"));
            let resets = place.database.rows("SELECT id FROM password_resets WHERE is_done = 0");
            let words = place.database.rows(UNREAD);
            if open.is_empty() && beside.is_empty() && resets.is_empty() && words.is_empty() && people.done() == self.people {
                break;
            }
        }
        people.look();
    }
}

/// An event that happens once in a storm, in addition to the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    None,
    Web,
    Database,
    Disk,
}

/// The state file must never be half-written, and the secret must not change.
fn watch_state_file(place: &Place, people: &People, going: impl Fn() -> bool) {
    let mut known = None;
    while going() {
        match place.secret_key() {
            Err(violation) => people.complain(violation),
            Ok(secret) if known.is_none() => known = secret,
            Ok(secret) if secret != known => people.complain("config.json has another secret_key than before".into()),
            Ok(_) => {}
        }
        thread::sleep(Duration::from_millis(5));
    }
}

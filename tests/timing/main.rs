//! The time of an answer does not reveal who has an account.
//!
//! Compares the CPU time of the answering thread, as the system counts it, over [`TRIES`] tries of each kind, so other programs
//! on the machine do not count. The kinds take turns, so that a cold cache or a slower clock affects all of them.

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use matrix_register_bot::domain::address::Address;
use matrix_register_bot::domain::config::Config;
use matrix_register_bot::domain::password;
use matrix_register_bot::domain::token;
use matrix_register_bot::faces::api::login;
use matrix_register_bot::faces::pages::reset_password;
use matrix_register_bot::outside::cgi::Request;
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::store::{Access, NewLogin};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

/// The most tries per kind.
const TRIES: usize = 200;
/// After these numbers of tries, the measurement ends if all kinds are within [`CLEARLY_ALIKE`] times the tolerances. A difference
/// as great as the tolerances looks so much alike by chance less than once in twenty-five runs.
const EARLY_ENDS: [usize; 2] = [80, 130];
const CLEARLY_ALIKE: f64 = 0.4;
/// How much the medians may differ.
const MEDIAN_TOLERANCE: f64 = 0.05;
/// The same with light hashes: less time than the other tolerance gives to hashes of the usual cost, and yet more than chance gives on
/// a machine with much other work.
const LIGHT_MEDIAN_TOLERANCE: f64 = 0.1;
/// How much the chance that one kind takes longer than another may differ from one half. Its standard deviation is 0.029 for
/// 200 tries of each kind; a difference of five times that occurs by chance once in two million runs.
const RANK_TOLERANCE: f64 = 0.145;

const NOW: i64 = 1_800_000_000;
const PASSWORD: &str = "the right password";

/// A request with the answer "no": the name and the password.
struct Kind {
    name: &'static str,
    mxid: &'static str,
    password: &'static str,
}

const WRONG: Kind = Kind { name: "wrong password", mxid: "@john:example.org", password: "no" };
const UNKNOWN: Kind = Kind { name: "unknown user", mxid: "@nobody:example.org", password: "no" };
const DISABLED: Kind = Kind { name: "disabled user", mxid: "@disabled:example.org", password: PASSWORD };
const EXPIRED: Kind = Kind { name: "initial password that ran out", mxid: "@expired:example.org", password: PASSWORD };
const FOREIGN: Kind = Kind { name: "user of another server", mxid: "@john:example.net", password: PASSWORD };
const PHP: Kind = Kind { name: "wrong password, hashed by PHP", mxid: "@php:example.org", password: "no" };

/// A site with the accounts above, in a folder that is removed at the end.
struct World {
    site: Site,
    folder: PathBuf,
    tolerance: f64,
}

impl World {
    /// With hashes that take a fifth of the usual work: a difference of the rest is five times as conspicuous, and found in a fifth of
    /// the time.
    fn new() -> World {
        let mut world = World::with("", &light_hash());
        world.tolerance = LIGHT_MEDIAN_TOLERANCE;
        world
    }

    /// With hashes of the usual cost.
    fn at_full_cost() -> World {
        World::with("", &password::hash(PASSWORD).unwrap())
    }

    /// With more settings.
    fn with(more: &str, hash: &str) -> World {
        let folder = std::env::temp_dir().join(format!("timing-{}", token::new_seed()));
        std::fs::create_dir_all(&folder).unwrap();
        let settings = "server_name = \"example.org\"\nhomeserver_url = \"http://127.0.0.1:9\"\npublic_url = \"https://register.example.org/\"\n\
                        operation_mode = \"local\"\n[room]\nid = \"!room\"\n[mail]\nfrom = \"a@example.org\"\ntransport = \"file\"\n";
        let settings = settings.to_owned() + more;
        let world =
            World { site: Site::new(Config::parse(&settings, folder.clone()).unwrap(), || NOW), folder, tolerance: MEDIAN_TOLERANCE };
        world.add("john", hash, None);
        world.add("disabled", hash, None);
        world.add("expired", hash, Some(NOW - 1));
        world.sql("UPDATE logins SET active = 0 WHERE localpart = 'disabled'");
        world.site.state.secret().unwrap();
        world
    }

    fn sql(&self, statement: &str) {
        let database = rusqlite::Connection::open(self.folder.join("data/register.sqlite")).unwrap();
        database.execute_batch(statement).unwrap();
    }

    fn add(&self, localpart: &str, password_hash: &str, initial_password_until: Option<i64>) {
        let email = format!("{localpart}@example.org");
        let login = NewLogin {
            localpart: localpart.into(),
            first_name: "Max".into(),
            last_name: "Muster".into(),
            password_hash: password_hash.into(),
            email_folded: Address::parse(&email).unwrap().folded(),
            email,
            created_at: 1,
            initial_password_until,
        };
        self.site.store(Access::Write).unwrap().import_login(&login).unwrap();
    }

    /// The CPU time of one "no".
    fn ask(&self, kind: &Kind) -> Duration {
        let body = serde_json::json!({"user": {"id": kind.mxid, "password": kind.password}}).to_string();
        let variables = [("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1")].map(|(name, value)| (name.into(), value.into()));
        let request = Request::new(variables.into(), body.into_bytes());
        let start = cpu_time();
        let response = login::check(&self.site, &request).unwrap();
        let spent = cpu_time() - start;
        assert_eq!(response.body(), br#"{"auth":{"success":false}}"#, "{}", kind.name);
        spent
    }

    /// The times of each kind.
    fn measure(&self, kinds: &[Kind]) -> Vec<Times> {
        let mut times = vec![Times::default(); kinds.len()];
        for round in 0..TRIES + 3 {
            for index in shuffled(kinds.len()) {
                let spent = self.ask(&kinds[index]).as_secs_f64();
                if round >= 3 {
                    times[index].add(spent);
                }
            }
            if EARLY_ENDS.contains(&times[0].0.len())
                && times.iter().all(|of_kind| of_kind.is_like(&times[0], self.tolerance, CLEARLY_ALIKE))
            {
                break;
            }
        }
        times
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// All numbers below `count` in random order, so that no kind profits from what another leaves in the caches.
fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<([u8; 8], usize)> = (0..count).map(|number| (token::random(), number)).collect();
    numbers.sort();
    numbers.into_iter().map(|(_, number)| number).collect()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Times in seconds, the shortest first.
#[derive(Clone, Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, seconds: f64) {
        self.0.insert(self.0.partition_point(|known| *known < seconds), seconds);
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// How often one of these is greater than one of `others`: the Mann-Whitney statistic, as a fraction.
    fn chance_of_greater(&self, others: &Times) -> f64 {
        let pairs = self.0.iter().flat_map(|one| others.0.iter().map(move |other| one.total_cmp(other) as i32));
        0.5 + f64::from(pairs.sum::<i32>()) / (2.0 * self.0.len() as f64 * others.0.len() as f64)
    }

    /// Whether nobody can tell these from `others`, within a part of the tolerances.
    fn is_like(&self, others: &Times, median_tolerance: f64, part: f64) -> bool {
        (self.median() / others.median() - 1.0).abs() <= median_tolerance * part
            && (self.chance_of_greater(others) - 0.5).abs() <= RANK_TOLERANCE * part
    }
}

/// Compares each kind with the first.
fn assert_nothing_can_be_told_apart(world: &World, kinds: &[Kind]) {
    let times = world.measure(kinds);
    let report: Vec<(String, bool)> = kinds
        .iter()
        .zip(&times)
        .map(|(kind, of_kind)| {
            let (ratio, chance) = (of_kind.median() / times[0].median(), of_kind.chance_of_greater(&times[0]));
            let line = format!("{:40} median {:.3} ms, ratio {ratio:.4}, longer in {chance:.3}", kind.name, of_kind.median() * 1e3);
            (line, of_kind.is_like(&times[0], world.tolerance, 1.0))
        })
        .collect();
    let lines: Vec<&str> = report.iter().map(|(line, _)| line.as_str()).collect();
    println!("{} tries\n{}", times[0].0.len(), lines.join("\n"));
    assert!(report.iter().all(|(_, is_alike)| *is_alike), "\n{}", lines.join("\n"));
}

/// What was typed on the page for forgotten passwords.
const FORGOTTEN: [&str; 6] = ["john", "nobody", "disabled", "john@example.org", "nobody@example.org", "expired"];

/// The CPU time of the answer to somebody who forgot a password.
fn forget(world: &World, typed: &str) -> Duration {
    let token = token::form_token(&world.site.state.secret().unwrap(), "reset_password", "", NOW - 60);
    let body = format!("form_token={token}&account={}", typed.replace('@', "%40"));
    let variables = [("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1"), ("CONTENT_TYPE", "application/x-www-form-urlencoded")];
    let request = Request::new(variables.map(|(name, value)| (name.into(), value.into())).into(), body.into_bytes());
    let start = cpu_time();
    let response = reset_password::submit(&world.site, &request).unwrap();
    let spent = cpu_time() - start;
    assert_eq!(response.status, 200, "{typed}");
    spent
}

#[test]
fn an_answer_to_a_forgotten_password_costs_the_same_whoever_asks() {
    let world = World::with(
        "[limits]\nrequests_per_network_per_day = 0\nrequests_per_address_per_day = 0\nconfirm_mails_per_day = 0\n",
        &light_hash(),
    );
    let mut times = vec![Times::default(); FORGOTTEN.len()];
    for round in 0..TRIES + 3 {
        for index in shuffled(FORGOTTEN.len()) {
            let spent = forget(&world, FORGOTTEN[index]).as_secs_f64();
            if round >= 3 {
                times[index].add(spent);
            }
        }
    }
    for (typed, of_kind) in FORGOTTEN.iter().zip(&times) {
        // Names among names and addresses among addresses: which of the two was typed is no secret.
        let like = FORGOTTEN.iter().position(|other| other.contains('@') == typed.contains('@')).unwrap();
        let (ratio, chance) = (of_kind.median() / times[like].median(), of_kind.chance_of_greater(&times[like]));
        println!("{typed:20} median {:.3} ms, ratio {ratio:.4}, longer in {chance:.3}", of_kind.median() * 1e3);
        assert!((chance - 0.5).abs() <= RANK_TOLERANCE, "{typed}: ratio {ratio}, longer in {chance}");
    }
}

#[test]
fn a_no_costs_the_same_whoever_is_asked_for() {
    assert_nothing_can_be_told_apart(&World::new(), &[WRONG, UNKNOWN, DISABLED, EXPIRED, FOREIGN]);
}

/// The memory and the allocations are the real ones here.
#[test]
fn a_no_about_a_stranger_costs_what_a_wrong_password_costs() {
    assert_nothing_can_be_told_apart(&World::at_full_cost(), &[WRONG, UNKNOWN]);
}

/// Argon2id as ours, with less memory.
fn light_hash() -> String {
    let params = Params::new(4 * 1024, 2, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(PASSWORD.as_bytes()).unwrap().to_string()
}

/// As PHP's `password_hash` makes them. The usual cost is 10; this one takes a tenth of the work, a difference that the test
/// would notice.
fn php_hash() -> String {
    bcrypt::hash_with_result(PASSWORD, 6).unwrap().format_for_version(bcrypt::Version::TwoY)
}

#[test]
fn a_no_costs_the_same_while_all_hashes_are_phps() {
    let mut world = World::new();
    world.tolerance = MEDIAN_TOLERANCE;
    world.sql("UPDATE logins SET active = 0");
    world.add("php", &php_hash(), None);
    assert_nothing_can_be_told_apart(&world, &[PHP, UNKNOWN, FOREIGN, DISABLED]);
}

#[test]
fn hashes_of_accounts_that_are_switched_off_cost_nobody_anything() {
    let world = World::new();
    for number in 0..50 {
        world.add(&format!("php{number}"), &php_hash(), None);
    }
    world.add("php", &php_hash(), None);
    world.sql("UPDATE logins SET active = 0 WHERE localpart LIKE 'php%'");
    assert_nothing_can_be_told_apart(&world, &[WRONG, UNKNOWN, DISABLED, PHP]);
}

/// Six of ten accounts have PHP hashes. Missing users look like these accounts as well, each always like the same one.
#[test]
fn as_many_made_up_names_cost_what_phps_hashes_cost_as_accounts_do() {
    let world = World::at_full_cost();
    world.sql("DELETE FROM logins WHERE localpart <> 'john'");
    let (php, ours) = (php_hash(), password::hash(PASSWORD).unwrap());
    for number in 0..9 {
        world.add(&format!("account{number}"), if number < 6 { &php } else { &ours }, None);
    }
    // The shortest of several times, because what else happens on the machine only adds to them.
    let time_of = |name: &'static str| {
        let kind = Kind { name, mxid: Box::leak(format!("@{name}:example.org").into_boxed_str()), password: "no" };
        (0..3).map(|_| world.ask(&kind).as_secs_f64()).fold(f64::INFINITY, f64::min)
    };
    let times_of_accounts = || ["account0", "account8"].map(time_of);
    let [php, argon2] = times_of_accounts();
    assert!(php * 2.0 < argon2, "{php} {argon2}");
    let accounts = Cell::new([php, argon2]);
    // If a name looks like no account, perhaps the machine has become faster or slower.
    let is_like_php = |name: &'static str| {
        let compare = || {
            let (time, [php, argon2]) = (time_of(name), accounts.get());
            let of_php = time < (php * argon2).sqrt();
            let like = if of_php { php } else { argon2 };
            if (time / like - 1.0).abs() < 0.3 {
                return Some(of_php);
            }
            println!("{name}: {time}, {php}, {argon2}");
            accounts.set(times_of_accounts());
            None
        };
        (0..10).find_map(|_| compare()).unwrap_or_else(|| panic!("{name} looks like no account"))
    };
    let names: Vec<&'static str> = (0..60).map(|number| &*Box::leak(format!("nobody{number}").into_boxed_str())).collect();
    let first: Vec<bool> = names.iter().map(|name| is_like_php(name)).collect();
    let share = first.iter().filter(|of_php| **of_php).count();
    println!("{share} of 60 like PHP's");
    assert!((20..=52).contains(&share), "six of ten, about: {share} of 60");
    assert_eq!(names.iter().map(|name| is_like_php(name)).collect::<Vec<_>>(), first, "each name costs the same each time");
}

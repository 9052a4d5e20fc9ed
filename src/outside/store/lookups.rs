//! A lookup reads only what it returns, however many accounts there are. Checks the query plans and the number of steps.
//!
//! Every statement of the store's functions goes through [`Watched`], so none is missed.

use super::*;
use crate::domain::config::Config;
use crate::domain::directory::TermKind;
use crate::outside::site::Site;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, StatementStatus, params_from_iter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[path = "../../../bench/users.rs"]
mod users;

/// Accounts in the larger database.
const MANY: u64 = 30_000;
/// Accounts in the smaller one.
const FEW: u64 = 1_000;

/// A statement that was executed.
#[derive(Debug, Default)]
struct Seen {
    sql: String,
    plan: Vec<String>,
    rows: usize,
    /// Rows visited in full table scans.
    scanned: i32,
    /// Instructions of SQLite's virtual machine.
    steps: i32,
}

/// SQLite as the programs use it, with a record of its work.
struct Watched {
    connection: Connection,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Watched {
    fn run(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        let mut plan = self.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let plan = plan.query_map(params_from_iter(values), |row| row.get(3))?.collect::<Result<_, _>>()?;
        let mut statement = self.connection.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = Vec::new();
        let mut cursor = statement.query(params_from_iter(values))?;
        while let Some(row) = cursor.next()? {
            let value = |index| match row.get::<_, rusqlite::types::Value>(index)? {
                rusqlite::types::Value::Integer(number) => Ok(Value::Integer(number)),
                rusqlite::types::Value::Text(text) => Ok(Value::Text(text)),
                _ => Ok(Value::Null),
            };
            rows.push(Row::new((0..columns).map(value).collect::<Result<_, rusqlite::Error>>()?));
        }
        drop(cursor);
        let (scanned, steps) = (statement.get_status(StatementStatus::FullscanStep), statement.get_status(StatementStatus::VmStep));
        self.seen.lock().unwrap().push(Seen { sql: sql.into(), plan, rows: rows.len(), scanned, steps });
        Ok(rows)
    }
}

impl Driver for Watched {
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Error> {
        self.run(sql, values)?;
        Ok(self.connection.changes())
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.run(sql, values)
    }

    fn query_once(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Error> {
        self.run(sql, values)
    }

    fn rows_with(&self, table: &str, column: &str, texts: &[&str]) -> (String, Vec<Value>) {
        sqlite::rows_with(table, column, texts)
    }

    fn has(&mut self, _table: &str, _column: &str) -> Result<bool, Error> {
        Ok(true)
    }

    fn run(&mut self, statements: &str) -> Result<(), Error> {
        Ok(self.connection.execute_batch(statements)?)
    }

    fn turns(&self) -> bool {
        false
    }

    fn turn_to(&mut self, _access: Access) -> Result<(), Error> {
        Ok(())
    }

    fn ping(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn is_current(&self) -> bool {
        true
    }

    fn tidy(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn commit(&mut self) -> Result<(), Error> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    fn rollback(&mut self) {
        let _ = self.connection.execute_batch("ROLLBACK");
    }
}

/// A database with accounts, in a folder that is removed at the end.
struct Filled {
    folder: PathBuf,
    accounts: u64,
}

impl Filled {
    fn with(accounts: u64) -> Filled {
        let folder = std::env::temp_dir().join(format!("lookups-{}", crate::domain::token::new_seed()));
        let filled = Filled { folder, accounts };
        Store::open(&DatabaseUrl::Sqlite(filled.file()), Access::Write).unwrap().import_logins((0..accounts).map(users::user)).unwrap();
        filled
    }

    fn file(&self) -> PathBuf {
        self.folder.join("data/register.sqlite")
    }

    /// Records the work of a lookup in this database.
    fn watch(&self, lookup: fn(&mut Store, &Filled)) -> Vec<Seen> {
        let seen = Arc::default();
        let connection = Connection::open(self.file()).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        let mut store =
            Store::on(Box::new(Watched { connection, seen: Arc::clone(&seen) }), DatabaseUrl::Sqlite(self.file()), Access::Write);
        lookup(&mut store, self);
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        // A few wrong guesses, chosen at random, also tidy their table.
        seen.retain(|seen: &Seen| !seen.sql.starts_with("DELETE FROM guesses"));
        seen
    }

    fn addresses(&self, count: u64) -> Vec<String> {
        (0..count).map(|number| users::user(number * (self.accounts / count)).email_folded).collect()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

type Lookup = (&'static str, fn(&mut Store, &Filled));

/// The lookups of the internal programs, each with a check of its answer.
fn lookups() -> [Lookup; 9] {
    [
        ("login: an account", |store, _| assert!(store.login(&users::user(500).localpart).unwrap().is_some())),
        ("login: an account that is not there", |store, _| assert!(store.login("nobody").unwrap().is_none())),
        ("login: a hash to check for somebody who is not there", |store, _| {
            let highest = store.highest_login_id().unwrap();
            assert!(store.password_hash_from(highest / 2).unwrap().is_some());
        }),
        ("login: wrong guesses", |store, _| {
            store.note_wrong_guess("account", "network", 0, 1).unwrap();
            assert_eq!(store.wrong_guesses("account", "network", 0, 1).unwrap(), 1);
            store.note_wrong_guess("account", "network", 0, 1).unwrap();
        }),
        ("identity_single", |store, _| {
            assert!(store.localpart_of_address(&users::user(500).email_folded).unwrap().is_some());
        }),
        ("identity_bulk: 1,000 addresses", |store, filled| {
            let addresses = filled.addresses(1_000);
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            let mut found = 0;
            store.localparts_of_addresses(&addresses, |_, _| found += 1).unwrap();
            assert_eq!(found, 1_000);
        }),
        ("directory_search: by name", |store, _| {
            for kind in TermKind::NAMES {
                let limit = 11 * kind.most_of_an_account();
                assert!(store.search_directory(kind, "anna", limit as i64).unwrap().len() <= limit);
            }
            assert_eq!(store.search_directory(TermKind::NameStart, "anna", 11).unwrap().len(), 11);
        }),
        ("directory_search: by a whole address", |store, _| {
            assert_eq!(store.users_of_address(&users::user(500).email_folded, 11).unwrap().len(), 1);
        }),
        ("directory_search: by the beginning of an address", |store, _| {
            assert_eq!(store.search_directory(TermKind::Address, "anna", 11).unwrap().len(), 11);
        }),
    ]
}

/// The plan must search an index and return rows in its order. Only the addresses of a bulk lookup are read one after the other.
fn assert_plan(name: &str, seen: &Seen) {
    // Two tables, searched one after the other.
    let joins = ["COMPOUND QUERY", "LEFT-MOST SUBQUERY", "UNION ALL"];
    let is_fine = |line: &String| {
        let reads_addresses = name.starts_with("identity_bulk") && line.starts_with("SCAN json_each VIRTUAL TABLE");
        line.starts_with("SEARCH ") || joins.contains(&line.as_str()) || reads_addresses
    };
    assert!(seen.plan.iter().all(is_fine) && (!seen.plan.is_empty() || seen.sql.starts_with("INSERT")), "{name}: {seen:#?}");
    assert_eq!(seen.scanned, 0, "{name}: {seen:#?}");
}

#[test]
fn a_lookup_reads_only_what_it_returns_however_many_accounts_there_are() {
    let (few, many) = (Filled::with(FEW), Filled::with(MANY));
    for (name, lookup) in lookups() {
        let (with_few, with_many) = (few.watch(lookup), many.watch(lookup));
        assert_eq!(with_few.len(), with_many.len(), "{name}");
        for (with_few, with_many) in with_few.iter().zip(&with_many) {
            assert_plan(name, with_few);
            assert_plan(name, with_many);
            let asked = with_many.sql.matches('?').count() as i32;
            let bound = |seen: &Seen| 60 + 12 * asked + 40 * seen.rows as i32;
            for seen in [with_few, with_many] {
                assert!(seen.steps <= bound(seen), "{name}: {} steps for {} rows: {}", seen.steps, seen.rows, short(&seen.sql));
            }
            assert!(with_few.rows != with_many.rows || with_many.steps <= with_few.steps + 20, "{name}: {with_few:#?} {with_many:#?}");
        }
    }
}

fn short(sql: &str) -> String {
    sql.chars().take(120).collect()
}

/// Statements of the pages must be searches as well, whatever the tables contain.
#[test]
fn a_page_finds_a_request_without_reading_others() {
    let filled = Filled::with(FEW);
    let seen = filled.watch(|store, _| {
        store.username_is_taken("max").unwrap();
        store.registration(1).unwrap();
        store.same_submission("hash").unwrap();
        store.registration_by_verify_token("hash").unwrap();
        store.registration_by_admin_token("hash").unwrap();
        store.due(Owed::Step(crate::domain::registration::State::EmailSend), 1, (i64::MIN, 0), 10).unwrap();
    });
    seen.iter().for_each(|seen| assert_plan("pages", seen));
}

/// `make bench-lookups`: prints the figures of `bench/lookups.md`.
#[test]
#[ignore = "takes minutes and 1 GB; make bench-lookups"]
fn figures_of_the_lookups() {
    let accounts = std::env::var("BENCH_USERS").map_or(1_000_000, |count| count.parse().expect("BENCH_USERS is a number"));
    let start = Instant::now();
    let filled = Filled::with(accounts);
    let size = std::fs::metadata(filled.file()).unwrap().len() >> 20;
    println!("{accounts} accounts, {size} MiB, made in {} s\n", start.elapsed().as_secs());
    println!("| lookup | statements | rows | steps of the virtual machine | rows of a scan |\n|---|---:|---:|---:|---:|");
    for (name, lookup) in lookups() {
        let seen = filled.watch(lookup);
        let sum = |of: fn(&Seen) -> i32| seen.iter().map(of).sum::<i32>();
        println!(
            "| {name} | {} | {} | {} | {} |",
            seen.len(),
            sum(|seen| seen.rows as i32),
            sum(|seen| seen.steps),
            sum(|seen| seen.scanned)
        );
    }
    println!("\n| request to | median ms | slowest of 200 ms |\n|---|---:|---:|");
    let site = site(&filled.folder);
    for (name, respond, body) in requests(&filled) {
        let mut times: Vec<Duration> = (0..200).map(|number| time(&site, respond, &body(number))).collect();
        times.sort();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        println!("| {name} | {:.3} | {:.3} |", milliseconds(times[100]), milliseconds(times[199]));
    }
}

type Respond = fn(&Site, &crate::outside::cgi::Request) -> Result<crate::outside::cgi::Response, crate::domain::error::Error>;
type Requests<'a> = Vec<(&'static str, Respond, Box<dyn Fn(u64) -> serde_json::Value + 'a>)>;

/// Common beginnings of names.
const COMMON: [&str; 6] = ["anna", "m", "schr", "иван", "山", "garcia"];

/// Each number asks for different accounts.
fn requests(filled: &Filled) -> Requests<'_> {
    use crate::faces::api::{directory_search, identity_bulk, identity_single, profile};
    use serde_json::json;
    let user = |number: u64| users::user((number * (filled.accounts / 200) + 7) % filled.accounts);
    let entry = |number: u64| json!({"medium": "email", "address": users::user(number).email});
    vec![
        (
            "identity_single",
            identity_single::look_up,
            Box::new(move |number| json!({"lookup": {"medium": "email", "address": user(number).email}})),
        ),
        ("profile", profile::show, Box::new(move |number| json!({"mxid": format!("@{}:example.org", user(number).localpart)}))),
        (
            "identity_bulk, 1,000 addresses",
            identity_bulk::look_up,
            Box::new(move |number| {
                let of_each = filled.accounts / 1_000;
                json!({"lookup": (0..1_000).map(|place| entry(place * of_each + number % of_each)).collect::<Vec<_>>()})
            }),
        ),
        (
            "directory_search, a name of many users",
            directory_search::search,
            Box::new(|number| json!({"by": "name", "search_term": COMMON[number as usize % COMMON.len()]})),
        ),
        (
            "directory_search, a whole localpart",
            directory_search::search,
            Box::new(move |number| json!({"by": "name", "search_term": user(number).localpart})),
        ),
    ]
}

fn site(folder: &Path) -> Site {
    let settings = "server_name = \"example.org\"\nhomeserver_url = \"http://127.0.0.1:9\"\npublic_url = \"https://register.example.org/\"\n\
                    operation_mode = \"local\"\n[room]\nid = \"!room\"\n[mail]\nfrom = \"a@example.org\"\ntransport = \"file\"\n";
    Site::new(Config::parse(settings, folder.to_owned()).unwrap(), || 1_800_000_000)
}

fn time(site: &Site, respond: Respond, body: &serde_json::Value) -> Duration {
    let variables = [("REQUEST_METHOD", "POST"), ("REMOTE_ADDR", "127.0.0.1")].map(|(name, value)| (name.into(), value.into()));
    let request = crate::outside::cgi::Request::new(variables.into(), body.to_string().into_bytes());
    let start = Instant::now();
    let response = respond(site, &request).unwrap();
    assert!(response.status == 200 && response.body().len() > 20, "{}", String::from_utf8_lossy(response.body()));
    start.elapsed()
}

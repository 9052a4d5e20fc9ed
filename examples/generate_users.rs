//! Fills a database with realistic users, millions in a few minutes, for `make bench`:
//!
//! * `generate_users sqlite FILE COUNT` into a new SQLite database;
//! * `generate_users tables FOLDER COUNT` into `logins.tsv` and `directory_terms.tsv`, for a database on a server to load.
//!
//! Adds two accounts with the password [`PASSWORD`]: `bench_login`, and `bench_cheap`, whose hash costs almost nothing, to measure the
//! cost of a login without the hash.

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use matrix_register_bot::domain::config::DatabaseUrl;
use matrix_register_bot::domain::directory;
use matrix_register_bot::domain::password;
use matrix_register_bot::outside::store::{Access, NewLogin, Store};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

#[path = "../bench/users.rs"]
mod users;

type Failure = Box<dyn std::error::Error>;

/// The password of `bench_login` and `bench_cheap`.
const PASSWORD: &str = "a password for figures";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["sqlite", file, count] => fill_sqlite(Path::new(file), count.parse()?),
        ["tables", folder, count] => write_tables(Path::new(folder), count.parse()?),
        _ => Err("expected sqlite FILE COUNT or tables FOLDER COUNT, for example: sqlite users.sqlite 1000000".into()),
    }
}

/// All accounts, in the order of their ids, which start at 1.
fn accounts(count: u64) -> Result<impl Iterator<Item = NewLogin>, Failure> {
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None)?);
    let cheap = cheap.hash_password(PASSWORD.as_bytes()).map_err(|cause| cause.to_string())?.to_string();
    let known = [("bench_login", password::hash(PASSWORD)?), ("bench_cheap", cheap)];
    let known = known.map(|(name, password_hash)| NewLogin {
        localpart: name.into(),
        email: format!("{name}@example.org"),
        email_folded: format!("{name}@example.org"),
        password_hash,
        ..users::user(0)
    });
    Ok((0..count).map(users::user).chain(known))
}

/// Rows of `directory_terms` in the order of their key, which is the fastest to write.
#[derive(Default)]
struct Terms {
    localparts: Vec<(String, u32)>,
    addresses: Vec<(String, u32)>,
    /// Few terms, each with many accounts.
    names: BTreeMap<(i64, String), Vec<u32>>,
    /// The terms of names that occurred before.
    known: HashMap<String, Vec<(i64, String)>>,
}

impl Terms {
    fn add(&mut self, id: u32, login: &NewLogin) {
        // Already lower-case ASCII, except for one domain.
        self.localparts.push((login.localpart.clone(), id));
        self.addresses.push((login.email.replace('ü', "u"), id));
        let of_name = self.known.entry(format!("{}\n{}", login.first_name, login.last_name)).or_insert_with(|| {
            let terms = directory::terms("", &login.first_name, &login.last_name, "");
            terms.into_iter().map(|(kind, term)| (kind.number(), term)).collect()
        });
        for key in of_name {
            match self.names.get_mut(key) {
                Some(ids) => ids.push(id),
                None => _ = self.names.insert(key.clone(), vec![id]),
            }
        }
    }

    fn each(mut self, mut take: impl FnMut(i64, &str, u32) -> Result<(), Failure>) -> Result<(), Failure> {
        self.localparts.sort_unstable();
        self.addresses.sort_unstable();
        self.localparts.iter().try_for_each(|(term, id)| take(directory::TermKind::Localpart.number(), term, *id))?;
        for ((kind, term), ids) in &self.names {
            ids.iter().try_for_each(|id| take(*kind, term, *id))?;
        }
        self.addresses.iter().try_for_each(|(term, id)| take(directory::TermKind::Address.number(), term, *id))
    }
}

/// Writes without syncing to disk, and creates the indexes at the end.
fn fill_sqlite(file: &Path, count: u64) -> Result<(), Failure> {
    drop(Store::open(&DatabaseUrl::Sqlite(file.into()), Access::Write)?);
    let mut connection = Connection::open(file)?;
    for (name, value) in [
        ("journal_mode", "DELETE"),
        ("journal_mode", "OFF"),
        ("synchronous", "OFF"),
        ("locking_mode", "EXCLUSIVE"),
        ("cache_size", "-1500000"),
    ] {
        connection.pragma_update(None, name, value)?;
    }
    let indexes = connection
        .prepare(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('logins', 'directory_terms')",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(String, String)>, _>>()?;
    for (name, _) in &indexes {
        connection.execute_batch(&format!("DROP INDEX {name}"))?;
    }
    let transaction = connection.transaction()?;
    let mut terms = Terms::default();
    {
        let mut insert = transaction.prepare(
            "INSERT INTO logins (id, active, localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at)
             VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for (id, login) in (1..).zip(accounts(count)?) {
            let at = login.created_at;
            insert.execute(params![
                id,
                login.localpart,
                login.first_name,
                login.last_name,
                login.password_hash,
                login.email,
                login.email_folded,
                at,
                at
            ])?;
            terms.add(id, &login);
        }
        let mut insert = transaction.prepare("INSERT INTO directory_terms (kind, term, login_id) VALUES (?, ?, ?)")?;
        terms.each(|kind, term, id| insert.execute(params![kind, term, id]).map(drop).map_err(Failure::from))?;
    }
    transaction.commit()?;
    for (_, sql) in &indexes {
        connection.execute_batch(sql)?;
    }
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA journal_mode = WAL")?;
    Ok(())
}

/// Writes tab-separated files in the default format of PostgreSQL's COPY and MariaDB's LOAD DATA. No text here contains a tab or a
/// backslash.
fn write_tables(folder: &Path, count: u64) -> Result<(), Failure> {
    let file = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
    let (mut logins, mut rows) = (file("logins.tsv")?, file("directory_terms.tsv")?);
    let mut terms = Terms::default();
    for (id, login) in (1..).zip(accounts(count)?) {
        let NewLogin { localpart, first_name, last_name, password_hash, email, email_folded, created_at, .. } = &login;
        writeln!(
            logins,
            "{id}\t1\t{localpart}\t{first_name}\t{last_name}\t{password_hash}\t{email}\t{email_folded}\t{created_at}\t{created_at}"
        )?;
        terms.add(id, &login);
    }
    terms.each(|kind, term, id| Ok(writeln!(rows, "{kind}\t{term}\t{id}")?))?;
    logins.flush()?;
    Ok(rows.flush()?)
}

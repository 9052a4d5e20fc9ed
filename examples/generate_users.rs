//! Fills a database with users that look like people: `cargo run --release --example generate_users -- FILE COUNT`.

use matrix_register_bot::config::DatabaseUrl;
use matrix_register_bot::store::{Access, NewLogin, Store};
use std::error::Error;

#[path = "../bench/users.rs"]
mod users;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, count] = arguments.as_slice() else { return Err("expected a file and a count, for example: users.sqlite 1000000".into()) };
    let users = (0..count.parse()?).map(users::user);
    Ok(Store::open(&DatabaseUrl::Sqlite(file.into()), Access::Write)?.import_logins(users)?)
}

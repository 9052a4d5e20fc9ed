//! Accounts in our own table, used from outside: a real Synapse checks passwords with us, a real client library logs in and
//! changes them, and requests as from identity servers come through real web servers.

#[path = "../world/mod.rs"]
mod world;

mod browsers;
mod client;
mod dialogue;
mod first_password;
mod foreign;
mod homeserver;
mod identity_servers;
mod limits;
mod nio;
mod password_change;
mod published;
mod repeated;
mod reset_password;
mod sessions;
mod table;
mod unclear;

use client::{Client, Report};
use homeserver::Homestead;
use table::Table;

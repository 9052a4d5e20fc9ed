//! `login`: checks a password for Synapse's password module and for mxisd/ma1sd.
//!
//! * `POST {"user":{"id","password"}}` or `{"auth":{"mxid","localpart","domain","password"}}` answers `{"auth":{"success":...}}`.
//!
//! Reads `config.toml` and `logins`; replaces hashes of the PHP program; uses no network.

use matrix_register_bot::faces::api::{self, login};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    api::serve("login", login::check)
}

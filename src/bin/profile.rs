//! `profile`: display name, addresses and roles of a user for mxisd/ma1sd.
//!
//! * `POST {"localpart","domain","mxid"}` answers `{"profile":{"display_name","threepids","roles"}}`.
//!
//! Reads `config.toml` and `logins`; changes nothing; uses no network.

use matrix_register_bot::faces::api::{self, profile};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    api::serve("profile", profile::show)
}

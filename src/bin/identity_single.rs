//! `identity_single`: finds the owner of a mail address for mxisd/ma1sd.
//!
//! * `POST {"lookup":{"medium","address"}}` answers `{"lookup":{"medium","address","id"}}`, or `{}`.
//!
//! Reads `config.toml` and `logins`; changes nothing; uses no network.

use matrix_register_bot::faces::api::{self, identity_single};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    api::serve("identity_single", identity_single::look_up)
}

//! `identity_bulk`: finds the owners of many mail addresses for mxisd/ma1sd.
//!
//! * `POST {"lookup":[{"medium","address"},...]}` answers `{"lookup":[...]}` with the hits.
//!
//! Reads `config.toml` and `logins`; changes nothing; uses no network.

use matrix_register_bot::faces::api::{self, identity_bulk};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    api::serve("identity_bulk", identity_bulk::look_up)
}

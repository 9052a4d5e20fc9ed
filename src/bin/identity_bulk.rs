//! `identity_bulk`: whose mail addresses are these, for mxisd/ma1sd.
//!
//! * `POST {"lookup":[{"medium","address"},...]}` answers `{"lookup":[...]}` with the hits.
//!
//! Reads `config.toml` and `logins`; changes nothing; talks to nobody.

use matrix_register_bot::faces::api::{self, identity_bulk};
use std::process::ExitCode;

fn main() -> ExitCode {
    api::serve("identity_bulk", identity_bulk::look_up)
}

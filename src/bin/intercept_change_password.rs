//! `intercept_change_password`: a Matrix client changes the password of an account in the bot's own table.
//!
//! * `POST /_matrix/client/(r0|v3|unstable)/account/password`, routed here by the proxy, is answered as Synapse does.
//! * `OPTIONS` is the preflight of web clients.
//!
//! Reads `config.toml`; writes `logins`; asks the homeserver for the owner of the access token, and passes on requests for
//! accounts that are not ours.

use matrix_register_bot::faces::api::{self, intercept_change_password};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    api::serve_clients("intercept_change_password", intercept_change_password::change)
}

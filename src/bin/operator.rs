//! `matrix-register-bot`: what the operator does in a shell. `matrix-register-bot --help` lists it.
//!
//! Reads `config.toml`; reads and writes `registrations` and what belongs to them; talks to the homeserver and SMTP, but does not need
//! them.

use matrix_register_bot::faces::operator;
use matrix_register_bot::outside::log;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    log::speak_as("matrix-register-bot");
    operator::run()
}

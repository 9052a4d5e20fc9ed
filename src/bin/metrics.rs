//! `metrics`: figures about the sign-up for Prometheus.
//!
//! * `GET` answers in Prometheus's text format 0.0.4.
//!
//! Reads `config.toml` and the database; changes nothing; uses no network.

use matrix_register_bot::faces::api::{self, metrics};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    api::serve("metrics", metrics::show)
}

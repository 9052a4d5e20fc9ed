//! `directory_search`: finds users by name or mail address for mxisd/ma1sd.
//!
//! * `POST {"by":"name"|"threepid","search_term"}` answers `{"limited","results":[{"user_id","display_name"}]}`.
//!
//! Reads `config.toml`, `logins` and `directory_terms`; changes nothing; uses no network.

use matrix_register_bot::faces::api::{self, directory_search};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    api::serve("directory_search", directory_search::search)
}

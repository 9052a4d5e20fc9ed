//! `welcome`: the approved applicant chooses a password, and the account is made (`credentials = "link"`).
//!
//! * `GET ?t=TOKEN` shows the name and two fields; it changes nothing.
//! * `POST t, form_token, password, password_again` stores the password and makes the account; sent twice, it answers that this
//!   was done.
//!
//! Reads `config.toml`; writes `registrations` and, in local mode, `logins`; talks to the mail server and to the homeserver,
//! also after the answer.

use matrix_register_bot::domain::error::Error;
use matrix_register_bot::faces::pages::{self, welcome};
use matrix_register_bot::outside::cgi::Method;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    pages::serve_patiently("welcome", |site, request| match request.method() {
        Method::Get => welcome::show(site, request),
        Method::Post => welcome::submit(site, request),
        _ => Err(Error::method_not_allowed("GET, HEAD, POST")),
    })
}

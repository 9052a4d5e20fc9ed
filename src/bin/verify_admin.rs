//! `verify_admin`: a member of the room approves or declines one request.
//!
//! * `GET ?t=TOKEN` shows the request and two buttons; it decides nothing, but reads what somebody in the room has decided before.
//! * `POST t, form_token, decision, reason` decides; later decisions are answered with the first one.
//!
//! Reads `config.toml`; writes `registrations` and `logins`; talks to the mail server and to the homeserver, also after
//! the answer.

use matrix_register_bot::domain::error::Error;
use matrix_register_bot::faces::pages::{self, verify_admin};
use matrix_register_bot::outside::cgi::Method;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    pages::serve_and_show("verify_admin", |site, request| match request.method() {
        Method::Get => verify_admin::show(site, request),
        Method::Post => verify_admin::decide(site, request),
        _ => Err(Error::method_not_allowed("GET, HEAD, POST")),
    })
}

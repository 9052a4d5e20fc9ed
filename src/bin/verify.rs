//! `verify`: the applicant confirms the mail address.
//!
//! * `GET ?t=TOKEN` shows the request and a button; it changes nothing.
//! * `POST t, form_token` (and `password, password_again`, if asked for) confirms the address and tells the room; sent twice,
//!   it answers that this was done.
//!
//! Reads `config.toml`; writes `registrations`; talks to the homeserver, also after the answer.

use matrix_register_bot::domain::error::Error;
use matrix_register_bot::faces::pages::{self, verify};
use matrix_register_bot::outside::cgi::Method;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    pages::serve_and_show("verify", |site, request| match request.method() {
        Method::Get => verify::show(site, request),
        Method::Post => verify::submit(site, request),
        _ => Err(Error::method_not_allowed("GET, HEAD, POST")),
    })
}

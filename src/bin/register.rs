//! `register`: a stranger asks for an account.
//!
//! * `GET` shows the form; it changes nothing.
//! * `POST` files the request and sends the confirmation mail; the same form sent twice is one request.
//!
//! Reads `config.toml`; writes `registrations` and, at the first use, `config.json`; talks to SMTP, and asks the homeserver
//! whether the username is free.

use matrix_register_bot::domain::error::Error;
use matrix_register_bot::faces::pages::{self, register};
use matrix_register_bot::outside::cgi::Method;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    pages::serve("register", |site, request| match request.method() {
        Method::Get => register::show(site, request),
        Method::Post => register::submit(site, request),
        _ => Err(Error::method_not_allowed("GET, HEAD, POST")),
    })
}

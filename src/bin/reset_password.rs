//! `reset_password`: in local mode, whoever forgot a password sets a new one.
//!
//! * `GET` shows a form; `GET ?t=TOKEN` shows another one, for the new password. Neither changes anything.
//! * `POST form_token, account` (a username or an address) gives the same answer for everybody. Then it mails a link for an hour,
//!   if there is such an account.
//! * `POST t, form_token, password, password_again` sets the password, once.
//!
//! Reads `config.toml`; writes `password_resets`, `reset_links` and `logins`; talks to the mail server after the answer, and to
//! the homeserver if devices are to be logged out.

use matrix_register_bot::domain::error::Error;
use matrix_register_bot::faces::gateway::Respond;
use matrix_register_bot::faces::pages::{self, reset_password};
use matrix_register_bot::outside::cgi::Method;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    let respond: Respond = |site, request| match request.method() {
        Method::Get => reset_password::show(site, request),
        Method::Post => reset_password::submit(site, request),
        _ => Err(Error::method_not_allowed("GET, HEAD, POST")),
    };
    pages::serve_and_work("reset_password", respond, reset_password::mail_links)
}

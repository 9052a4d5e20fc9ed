//! `room_events`: the homeserver calls this program, as an application service, when something happens in the bot's rooms.
//!
//! * `PUT  .../_matrix/app/v1/transactions/ID` answers `{}`; if somebody reacted to a message about an undecided request, the
//!   reactions to that message are read after the answer.
//! * `POST .../_matrix/app/v1/ping` answers `{}`.
//!
//! Reads `config.toml`, `config.json` and `registrations`; writes `registrations`; after the answer it talks to the homeserver and
//! SMTP.

use matrix_register_bot::faces::api::room_events;
use std::process::ExitCode;

pub fn main() -> ExitCode {
    room_events::serve("room_events")
}

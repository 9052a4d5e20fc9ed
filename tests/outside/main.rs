//! The library against real mail servers and a real homeserver.
//!
//! The mail tests start their own servers (`tests/world/mail_catcher.py`). The homeserver is started around all tests:
//!
//!     python3 tests/world/start-synapse run -- cargo test --test outside

#[path = "../world/impostor.rs"]
mod impostor;

mod mail;
mod matrix;
mod relations;
mod world;

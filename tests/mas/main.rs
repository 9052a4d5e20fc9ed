//! `operation_mode = "mas"`: accounts in matrix-authentication-service, with a stand-in for it (`tests/world/mas_stand_in.py`) and
//! a real Synapse behind. `make mas-check` makes the same registrations against a real one.

#[path = "../world/mod.rs"]
mod world;

mod stand_in;

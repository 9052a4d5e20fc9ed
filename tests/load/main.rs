//! What a crowd can do to a site, and what it cannot: floods, and visitors who are slow on purpose.
//!
//! `cargo test` uses a small crowd; `make load` uses the full one, and prints the figures of `docs/load.md`.

mod crowd;
mod flood;
mod memory;
mod silent;
mod slow;
#[path = "../world/mod.rs"]
mod world;

//! What a crowd can do to a site, and what it cannot: floods, and visitors who are slow on purpose.
//!
//! `cargo test` has a small crowd; `make load` the full one, whose figures are in `docs/load.md`.

mod crowd;
mod flood;
mod memory;
mod slow;
#[path = "../world/mod.rs"]
mod world;

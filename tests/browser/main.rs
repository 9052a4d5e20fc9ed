//! What people do in a real browser with the keyboard alone: apply, correct errors, confirm, approve, decline.
//!
//! Needs the shared homeserver: `tests/world/start-synapse run -- cargo test --test browser`

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod accessibility;
mod keyboard;
mod languages;
mod looks;
mod own_page;
mod room_pictures;
mod screenshots;
mod visitor;
mod welcome;
mod words;

use the_story::{Story, address_of, fresh, password_in};

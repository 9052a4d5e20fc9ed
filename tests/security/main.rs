//! A site under attack: what an attacker can send, guess, put in the way or read. `docs/security.md` lists which test holds
//! which promise, here and elsewhere.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod attack;
mod buttons;
mod files;
mod hardening;
mod headers;
mod markup;
mod names;
mod paths;
mod usernames;

//! A site as an attacker sees it: what he can send, guess, put in the way or read. `docs/security.md` says which promise is
//! held by which test, here and elsewhere.

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
mod paths;
mod usernames;

//! `make install` and the Debian package, from the installation to the complete removal.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod clean_debian;
mod container;
mod debian;
mod engine;
mod installation;
mod laid_out;
mod left_behind;
mod newcomer;
mod registration;

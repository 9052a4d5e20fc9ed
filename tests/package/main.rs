//! What `make install` lays out, and the Debian package of it: from the installation to the last trace.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod clean_debian;
mod installation;
mod laid_out;
mod registration;

//! The main job, end to end: real programs behind a real web server, a real Synapse, a real mail server.

#[path = "../world/mod.rs"]
mod world;

#[path = "../world/story.rs"]
mod the_story;

mod accounts_by_hand;
mod addresses;
mod bad_input;
mod check;
mod check_machine;
mod check_site;
mod closed_form;
mod cron;
mod dead_ends;
mod deciding;
mod ends;
mod get_changes_nothing;
mod hosts;
mod limits;
mod live_message;
mod local_mode;
mod logs;
mod lost_key;
mod memory;
mod modes;
mod numbers;
mod operator;
mod outages;
mod own_page;
mod ownership;
mod passwords;
mod queue;
mod registered;
mod repeated;
mod reset_password;
mod restored;
mod room;
mod room_push;
mod room_troubles;
mod room_words;
mod secrets;
mod synapse_mode;
mod text_browsers;
mod welcome;

use the_story::{Story, address_of, decision_form, fresh, now, password_in};

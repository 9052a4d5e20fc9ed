//! The world around the programs: web server, database, homeserver, mail server, templates, log. One module for each.

pub mod cgi;
pub mod disk;
pub mod exposure;
pub mod fault;
mod http;
pub mod lately;
pub mod log;
pub mod mail;
pub mod mas;
pub mod matrix;
pub mod ownership;
pub mod page;
pub mod panics;
pub mod site;
pub mod state_file;
pub mod store;
pub mod take_over;
pub mod text;
mod tls;
pub mod watched;
pub mod web;

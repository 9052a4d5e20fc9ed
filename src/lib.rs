//! Moderated sign-up for a Matrix homeserver.
#![forbid(unsafe_code)]

pub mod cgi;
pub mod config;
pub mod error;
pub mod log;
pub mod page;
pub mod site;
pub mod state_file;
pub mod store;
pub mod text;
pub mod token;

//! Moderated sign-up for a Matrix homeserver.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod address;
pub mod api;
pub mod cgi;
pub mod config;
pub mod cron;
pub mod directory;
pub mod error;
pub mod log;
pub mod mail;
pub mod matrix;
pub mod names;
pub mod page;
pub mod pages;
pub mod password;
pub mod password_check;
pub mod registration;
pub mod site;
pub mod state_file;
pub mod steps;
pub mod store;
pub mod text;
pub mod token;

//! Requests, names, addresses and the configuration. Pure: this code decides and computes without I/O, except that [`config`]
//! reads its file.

pub mod address;
pub mod back_off;
pub mod characters;
pub mod config;
pub mod decision;
pub mod directory;
pub mod error;
pub mod names;
pub mod number;
pub mod password;
pub mod pieces;
pub mod registration;
pub mod seconds;
pub mod stage;
pub mod text_key;
pub mod token;

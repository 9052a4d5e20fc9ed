//! What a request, a name, an address and a configuration are. Pure: what is here decides and computes, and asks nobody, but that [`config`] reads its file.

pub mod address;
pub mod back_off;
pub mod characters;
pub mod config;
pub mod directory;
pub mod error;
pub mod names;
pub mod password;
pub mod registration;
pub mod seconds;
pub mod text_key;
pub mod token;

//! The steps of a request, and its limits.

pub mod accounts;
pub mod addresses;
pub mod asking;
pub mod attempt;
pub mod ballot;
pub mod beside;
pub mod breakers;
pub mod caller;
pub mod deciding;
pub mod devices;
pub mod failure;
pub mod forgetting;
pub mod keys;
pub mod letters;
pub mod limits;
pub mod listening;
pub mod looking;
pub mod password_check;
pub mod password_ends;
pub mod queue;
pub mod reminding;
pub mod resets;
pub mod room_message;
pub mod steps;
pub mod votes;
pub mod words;

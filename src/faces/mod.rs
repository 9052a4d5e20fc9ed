//! The interfaces of the programs: pages for people, answers for other servers, and cron.

pub mod api;
pub mod cron;
pub mod gateway;
pub mod pages;

//! Whom the programs talk to: visitors and deciders, servers, the crontab.

pub mod api;
pub mod cron;
pub mod gateway;
pub mod pages;

//! The interfaces of the programs: pages for people, answers for other servers, cron, and the command of the operator.

pub mod api;
pub mod cron;
pub mod gateway;
pub mod operator;
pub mod pages;

//! Moderated sign-up for a Matrix homeserver.
//!
//! How a request passes through the modules:
//!
//! 1. A web server starts one of the programs, or passes a request to it. [`faces::gateway::serve`] is the `main` of all of
//!    them: it reads the request within limits and opens the [`outside::site::Site`] of its [`domain::config`].
//! 2. A stranger fills in the form ([`faces::pages::register`]). The input is parsed ([`domain::names`], [`domain::address`])
//!    and one row is written ([`outside::store::Store::file`]). Its state requires a mail ([`domain::registration::State`]).
//! 3. [`flow::steps::carry_on`] does what a state requires, under a lease, and moves the state on: here it sends the mail
//!    ([`outside::page`], [`outside::mail`]).
//! 4. The stranger confirms the address ([`faces::pages::verify`]). `steps` tells the room ([`outside::matrix::bot`]).
//! 5. A member of the room approves or declines ([`faces::pages::verify_admin`]).
//! 6. After approval, `steps` makes the account ([`flow::accounts`]) and mails the credentials; the initial password is derived
//!    ([`domain::password`], [`domain::token`]), as the links are. After a decline it mails that.
//! 7. [`faces::cron`] calls the same steps for unfinished requests, and ends and deletes old ones.
//!
//! For accounts in our own table, [`faces::api`] answers Synapse, mxisd, ma1sd and Matrix clients.
//!
//! Texts for visitors are in `templates/` ([`outside::page`], [`outside::text`]); messages to the sysadmin go through
//! [`domain::error`] and [`outside::log`]. `ARCHITECTURE.md` gives the reasons, and explains how to add things.
#![forbid(unsafe_code)]
// Module headers are written for contributors, so they link private items, too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod domain;
pub mod faces;
pub mod flow;
pub mod outside;

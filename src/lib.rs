//! Moderated sign-up for a Matrix homeserver.
//!
//! What becomes of a request, and where:
//!
//! 1. A web server starts one of the programs, or passes a request to it. [`cgi::serve`] is the `main` of all of them: it
//!    reads the request within limits and opens the [`site::Site`] of its [`config`].
//! 2. A stranger fills in the form ([`pages::register`]). What was typed is parsed ([`names`], [`address`]), and one row is
//!    written ([`store::Store::file`]). Its state asks for a mail ([`registration::State`]).
//! 3. [`steps::carry_on`] does what a state asks for, under a lease, and moves the state on: here it sends the mail
//!    ([`page`], [`mail`]).
//! 4. The stranger confirms the address ([`pages::verify`]). `steps` tells the room ([`matrix::bot`]).
//! 5. A member of the room approves or declines ([`pages::verify_admin`]).
//! 6. After a yes, `steps` makes the account ([`accounts`]) and mails how to log in; the initial password is derived
//!    ([`password`], [`token`]), as the links are. After a no it mails that.
//! 7. [`cron`] calls the same steps for whatever is left, and ends and forgets what is over.
//!
//! For accounts in our own table, [`api`] answers Synapse, mxisd, ma1sd and Matrix clients.
//!
//! What visitors read is in `templates/` ([`page`], [`text`]); what the sysadmin reads goes through [`error`] and [`log`].
//! `ARCHITECTURE.md` has the reasons, and how to add things.
#![forbid(unsafe_code)]
// The headers explain modules to who changes them: private ones are linked, too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod domain;
pub mod faces;
pub mod flow;
pub mod outside;

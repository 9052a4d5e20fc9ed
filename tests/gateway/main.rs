//! The gateway, through a built program (`examples/echo.rs`): plain CGI, raw FastCGI records, and real web servers.

mod client;
mod fastcgi;
mod kept;
mod memory;
mod plain;
mod program;
mod web_server;

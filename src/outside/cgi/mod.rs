//! A request from the web server and its answer, in the terms of CGI (RFC 3875).

mod header;
mod request;
mod response;
mod variables;

pub use header::Header;
pub use request::{Method, Request};
pub use response::Response;
pub use variables::Variables;

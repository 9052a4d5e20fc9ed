//! A request from the web server and its answer, in the terms of CGI (RFC 3875).

mod request;
mod response;
mod variables;

pub use request::{Method, Request};
pub use response::Response;
pub use variables::Variables;

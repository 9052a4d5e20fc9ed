//! One request of the web server's and its answer, in the words of CGI (RFC 3875).

mod request;
mod response;

pub use request::{Method, Request};
pub use response::Response;

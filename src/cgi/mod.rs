//! The gateway to the web server: one `main` for all programs, as plain CGI or as FastCGI.

mod request;
mod response;

pub use request::{Method, Request};
pub use response::Response;

use crate::error::Error;
use crate::site::Site;
use std::process::ExitCode;

/// Serves `respond` as plain CGI, or as FastCGI where file descriptor 0 is a listening socket.
///
/// `fail` makes the answer to a request that ended with an error, be it before a site was there (`None`).
pub fn serve(
    program: &'static str,
    fail: fn(Option<&Site>, Option<&Request>, &Error) -> Response,
    respond: fn(&Site, &Request) -> Result<Response, Error>,
) -> ExitCode {
    let _ = (program, fail, respond);
    todo!()
}

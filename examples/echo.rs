//! A program for `tests/gateway`: echoes the request, and misbehaves when asked to.
//!
//! * `GET ?sleep=MILLISECONDS` logs "sleeping" and waits; `GET ?panic=1` panics; `GET ?fill=BYTES` sends an answer of that size;
//!   `GET ?status=502` has that status;
//! * every answer names the process, the site, the body's length, and the largest number of simultaneous requests.

use matrix_register_bot::domain::error::Error;
use matrix_register_bot::faces::gateway::{self, Program};
use matrix_register_bot::outside::cgi::{Header, Method, Request, Response};
use matrix_register_bot::outside::site::Site;
use serde::Deserialize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    sleep: u64,
    #[serde(default)]
    fill: usize,
    panic: Option<String>,
    status: Option<u16>,
}

fn main() -> ExitCode {
    let body_limit: gateway::BodyLimit = |site, _| Ok(site.config.limits.body_bytes.0);
    gateway::serve(Program {
        name: "echo",
        body_limit,
        pace: gateway::by_method,
        fail: |_, _, error| Response::bare(error),
        respond,
        afterwards: gateway::nothing,
    })
}

fn respond(site: &Site, request: &Request) -> Result<Response, Error> {
    if request.method() == Method::Other {
        return Err(Error::method_not_allowed("GET, HEAD, POST"));
    }
    let wish: Wish = request.query()?;
    MOST.fetch_max(NOW.fetch_add(1, SeqCst) + 1, SeqCst);
    if wish.sleep > 0 {
        eprintln!("sleeping");
        std::thread::sleep(Duration::from_millis(wish.sleep));
    }
    NOW.fetch_sub(1, SeqCst);
    if let Some(secret) = wish.panic {
        panic!("this message has a {secret} in it");
    }
    let sum = request.body().iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let text = format!(
        "pid={} site={} method={} address={} bytes={} sum={sum} most={} header={} filling={}\n",
        std::process::id(),
        site.config.server_name,
        request.variable("REQUEST_METHOD").unwrap_or(""),
        request.variable("REMOTE_ADDR").unwrap_or("none"),
        request.body().len(),
        MOST.load(SeqCst),
        request.variable("HTTP_X_TEST").or(request.header(Header::XForwardedFor)).unwrap_or("none"),
        "x".repeat(wish.fill),
    );
    Ok(Response::text(wish.status.unwrap_or(200), &text))
}

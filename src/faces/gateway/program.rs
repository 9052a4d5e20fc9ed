//! Turns the variables and the body of a request into the bytes of its answer, for plain CGI and FastCGI alike.

use super::body::{self, Framing};
use super::gate::{Gate, Pace};
use super::sites::Sites;
use super::variables::Checked;
use crate::domain::error::Error;
use crate::outside::cgi::{Request, Response};
use crate::outside::log;
use crate::outside::panics;
use crate::outside::site::Site;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits for its turn before it gets a 503.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers a request that ended with an error; without the site or the request if the error came before them.
pub type Fail = fn(Option<&Site>, Option<&Request>, &Error) -> Response;

/// Answers a request.
pub type Respond = fn(&Site, &Request) -> Result<Response, Error>;

/// What a program does once an answer with [`Response::with_work_left`] is out, so that its duration says nothing to the visitor.
/// It may be cut short at any time, so it must be something that cron does as well.
pub type Afterwards = fn(&Site);

/// A whole answer, and the work that it leaves.
pub struct Answer {
    /// Ready to be written.
    pub bytes: Vec<u8>,
    /// The site for [`Program::afterwards`].
    pub work_left: Option<Arc<Site>>,
}

/// The limit for the body of a request to this program, in bytes; an error refuses the request before its body is read.
pub type BodyLimit = fn(&Site, &Request) -> Result<u64, Error>;

/// What a request to this program may wait for.
pub type PaceOf = fn(&Request) -> Pace;

/// A program: its name, its limits and its two functions.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub name: &'static str,
    pub body_limit: BodyLimit,
    pub pace: PaceOf,
    pub fail: Fail,
    pub respond: Respond,
    pub afterwards: Afterwards,
}

/// A request that has just arrived.
pub struct Incoming<'a> {
    pub variables: Checked,
    pub body: &'a mut dyn Read,
    pub framing: Framing,
}

impl Program {
    /// The whole answer. Never panics.
    pub fn answer(&self, incoming: Incoming, sites: &Sites, gate: &Gate) -> Answer {
        let (variables, verdict) = incoming.variables;
        let mut request = Request::new(variables, Vec::new());
        let mut site = None;
        let outcome = panics::guard(|| {
            verdict?;
            let site = &**site.insert(sites.of(&request)?);
            let limits = &site.config.limits;
            let length = request.variable("CONTENT_LENGTH");
            let most = (self.body_limit)(site, &request)?;
            request.set_body(body::read(incoming.body, incoming.framing, length, most)?);
            let _place = gate.enter(limits.concurrent_requests.0, (self.pace)(&request), PATIENCE).ok_or_else(busy)?;
            (self.respond)(site, &request)
        });
        let outcome = outcome.unwrap_or_else(|panic| Err(Error::internal(format!("the program panicked at {}", panic.place))));
        let response = outcome.unwrap_or_else(|error| self.failure(site.clone(), &request, &error));
        // Keeps browsers from treating an answer that is not a page as one.
        let response = response
            .default_header("X-Content-Type-Options", "nosniff")
            .default_header("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
            .default_header("X-Frame-Options", "DENY");
        Answer { work_left: site.filter(|_| response.leaves_work()), bytes: response.into_bytes(request.is_head()) }
    }

    /// Does the work that an answer left. Never panics.
    pub fn work_afterwards(&self, site: &Site) {
        if let Err(panic) = panics::guard(|| (self.afterwards)(site)) {
            log::warn("work_left_failed", None, &format!("the program panicked at {}; cron does the rest", panic.place));
        }
    }

    /// The site of this request, for work in another process.
    pub fn site_of(&self, variables: Checked, sites: &Sites) -> Result<Arc<Site>, Error> {
        let (variables, verdict) = variables;
        verdict?;
        sites.of(&Request::new(variables, Vec::new()))
    }

    /// The answer to an error, with the headers that its status requires; [`Response::bare`] if making it panics.
    fn failure(&self, site: Option<Arc<Site>>, request: &Request, error: &Error) -> Response {
        let made = panics::guard(|| {
            if !error.cause.is_empty() {
                log::warn("request_failed", None, &error.cause);
            }
            (self.fail)(site.as_deref(), Some(request), error).for_error(error)
        });
        made.unwrap_or_else(|_| Response::bare(&Error::internal("")))
    }
}

/// No cause: the gate counts these errors and the worker logs the count, so that a flood does not fill the log.
fn busy() -> Error {
    Error::unavailable("")
}

//! HTTP as the tests want it: each status is an answer, no redirect is followed, no proxy is asked.

use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// A client that gives up after so many seconds.
pub fn agent(seconds: u64) -> Agent {
    settings(seconds).build().into()
}

/// The same, with one certificate in PEM that is trusted.
pub fn trusting_agent(seconds: u64, certificate: &str) -> Agent {
    let certificate = Certificate::from_pem(certificate.as_bytes()).expect("a certificate in PEM");
    let trusted = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
    settings(seconds).tls_config(trusted).build().into()
}

fn settings(seconds: u64) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(seconds)))
}

/// One JSON request: status and parsed body (`Null` where it is no JSON), or why there was no answer.
pub fn json(agent: &Agent, method: &str, url: &str, token: Option<&str>, body: Option<&Value>) -> Result<(u16, Value), String> {
    let mut request = ureq::http::Request::builder().method(method).uri(url).header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let answer = match body {
        Some(body) => agent.run(request.body(body.to_string()).unwrap()),
        None => agent.run(request.body(()).unwrap()),
    };
    let mut answer = answer.map_err(|cause| format!("{method} {url}: {cause}"))?;
    let text = answer.body_mut().with_config().limit(100_000_000).read_to_string().unwrap_or_default();
    Ok((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
}

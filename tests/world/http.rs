//! HTTP for the tests: every status is an answer, redirects are not followed, proxies are not used.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// A client with a time limit in seconds.
pub fn agent(seconds: u64) -> Agent {
    settings(seconds).build().into()
}

/// The same, trusting one certificate (PEM).
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
        // Less than the five seconds after which Apache closes an idle connection.
        .max_idle_age(Duration::from_secs(3))
        .timeout_global(Some(Duration::from_secs(seconds)))
}

/// Sends a JSON request: the status and the parsed body (`Null` if it is not JSON), or why there was no answer.
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

/// All bytes of a request, made to ask for only one answer on its connection.
pub fn read_request(client: &TcpStream) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(client);
    let (mut request, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "content-length" => length = line[name.len() + 1..].trim().parse().map_err(io::Error::other)?,
            "connection" => continue,
            _ => {}
        }
        if line == "\r\n" {
            request.extend_from_slice(b"Connection: close\r\n\r\n");
            break;
        }
        request.extend_from_slice(line.as_bytes());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.extend(body);
    Ok(request)
}

/// Sends a request to the homeserver and reads the whole answer, even if the client is gone.
pub fn pass_on(upstream: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(upstream)?;
    connection.write_all(request)?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(answer)
}

//! A proxy between the programs and Synapse, or MAS, that loses, cuts, delays, refuses and repeats requests.

use crate::weather::{UnderWay, Weather};
use crate::world::http::{pass_on, read_request};
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// The faults. In those "after it was done" Synapse has carried out the request.
const MISHAPS: [&str; 12] = [
    "homeserver refused",
    "homeserver hung",
    "homeserver hung after it was done",
    "homeserver's answer lost",
    "homeserver's answer cut",
    "homeserver's 429",
    "homeserver's 500",
    "homeserver's 500 after it was done",
    "homeserver's 502",
    "homeserver's HTML",
    "homeserver's HTML after it was done",
    "homeserver asked twice",
];

/// Listens on loopback until the process ends. Returns its URL. `repeats`: requests may arrive twice, as a proxy does that sends a
/// request once more; Synapse bears that, and MAS does not.
pub fn start(homeserver: &str, weather: &Arc<Weather>, repeats: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (upstream, weather) = (homeserver.trim_start_matches("http://").trim_end_matches('/').to_owned(), weather.clone());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (upstream, weather) = (upstream.clone(), weather.clone());
            thread::spawn(move || {
                let under_way = weather.under_way("a request to the homeserver");
                // The client may have been killed; that is intended.
                let _ = serve(client, &upstream, &weather, &under_way, repeats);
            });
        }
    });
    url
}

fn serve(mut client: TcpStream, upstream: &str, weather: &Weather, under_way: &UnderWay, repeats: bool) -> io::Result<()> {
    let mishap = weather.mishap(&MISHAPS);
    if mishap == "homeserver refused" {
        return client.shutdown(Shutdown::Both);
    }
    let request = read_request(&client)?;
    under_way.is_at(format!("{mishap}: {}", String::from_utf8_lossy(&request).lines().next().unwrap_or_default()));
    if mishap == "homeserver hung" {
        weather.hang();
        return Ok(());
    }
    let is_done = mishap.is_empty() || ["lost", "cut", "done", "twice"].iter().any(|word| mishap.ends_with(word));
    let mut answer = if is_done { pass_on(upstream, &request)? } else { Vec::new() };
    match mishap {
        "homeserver hung after it was done" => weather.hang(),
        "homeserver's answer lost" => {}
        "homeserver's answer cut" => {
            answer.truncate(weather.chance.below(answer.len()));
            client.write_all(&answer)?;
        }
        "homeserver's 429" => {
            let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests","retry_after_ms":2000}"#;
            say(&mut client, "429 Too Many Requests", "application/json", body)?;
        }
        "homeserver's 500" | "homeserver's 500 after it was done" => {
            let body = r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#;
            say(&mut client, "500 Internal Server Error", "application/json", body)?;
        }
        "homeserver's 502" => say(&mut client, "502 Bad Gateway", "text/html", "<html><h1>502 Bad Gateway</h1></html>")?,
        "homeserver's HTML" | "homeserver's HTML after it was done" => {
            say(&mut client, "200 OK", "text/html", "<html><h1>Welcome</h1></html>")?;
        }
        "homeserver asked twice" if repeats => client.write_all(&pass_on(upstream, &request)?)?,
        _ => client.write_all(&answer)?,
    }
    Ok(())
}

fn say(client: &mut TcpStream, status: &str, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(client, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

//! A proxy before any homeserver that loses answers, after what they answer was done.

use crate::world::http::{pass_on, read_request};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The calls that make an account, each with the number of its answers.
pub const CALLS: [(&str, usize); 6] = [
    ("POST /_matrix/client/v3/register ", 1),
    ("POST /_matrix/client/v3/register ", 2),
    ("POST /_matrix/client/v3/register ", 3),
    ("POST /_matrix/client/v3/login ", 1),
    ("PUT /_matrix/client/v3/profile/", 1),
    ("POST /_matrix/client/v3/logout ", 1),
];

/// Listens on loopback until the tests end.
pub struct Losing {
    pub url: String,
    /// How a request begins, and how many of them it still takes until the answer is lost.
    next: Arc<Mutex<Option<(&'static str, usize)>>>,
}

impl Losing {
    /// `None` if the homeserver speaks TLS, which this proxy cannot.
    pub fn before(homeserver: &str) -> Option<Losing> {
        let upstream = homeserver.strip_prefix("http://")?.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let losing = Losing { url: format!("http://{}", listener.local_addr().unwrap()), next: Arc::default() };
        let next = losing.next.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, next) = (upstream.clone(), next.clone());
                std::thread::spawn(move || serve(client, &upstream, &next));
            }
        });
        Some(losing)
    }

    /// Loses one answer: that to the `number`th request from now on that begins with `call`.
    pub fn lose(&self, (call, number): (&'static str, usize)) {
        *self.next.lock().unwrap() = Some((call, number));
    }

    /// Whether it was lost; if there were fewer such requests, it is not.
    pub fn has_lost(&self) -> bool {
        self.next.lock().unwrap().take().is_none()
    }
}

fn serve(mut client: TcpStream, upstream: &str, next: &Mutex<Option<(&'static str, usize)>>) {
    let Ok(request) = read_request(&client) else { return };
    let Ok(answer) = pass_on(upstream, &request) else { return };
    let is_lost = {
        let mut next = next.lock().unwrap();
        match *next {
            Some((call, number)) if request.starts_with(call.as_bytes()) => {
                *next = (number > 1).then_some((call, number - 1));
                number == 1
            }
            _ => false,
        }
    };
    if !is_lost {
        let _ = client.write_all(&answer);
    }
}

//! Servers that do what no real server does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Gives each connection to `answer`, one after another, until the tests end. Returns the port.
pub fn impostor(mut answer: impl FnMut(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream);
        }
    });
    port
}

/// A web server that sends the same bytes to every request. Returns its URL.
pub fn http_impostor(answer: Vec<u8>) -> String {
    let port = impostor(move |mut stream| {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&answer);
    });
    format!("http://127.0.0.1:{port}")
}

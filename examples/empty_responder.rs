//! The minimum cost of FastCGI with the crate that the programs use, for `make bench`: reads the body and answers `ok`.

use std::io::{Read, Write};

fn main() {
    fastcgi::run(|mut request| {
        let mut body = Vec::new();
        let _ = request.stdin().read_to_end(&mut body);
        let _ = request.stdout().write_all(b"Content-Type: text/plain\r\n\r\nok\n");
    });
}

//! What a program of the web server says to somebody who starts it in a shell.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// sysexits.h: wrong use of the command.
const EX_USAGE: u8 = 64;

/// Explains the program and returns its exit status, if no web server has started it; `None`: one has.
///
/// A web server that is set up wrongly may send no variables at all, and must get an answer in the log. So only a terminal, or an
/// argument that asks for help, counts as a shell.
pub fn explain(program: &str) -> Option<ExitCode> {
    if ["GATEWAY_INTERFACE", "REQUEST_METHOD"].iter().any(|name| std::env::var_os(name).is_some()) {
        return None;
    }
    match std::env::args().nth(1).as_deref() {
        Some("--version" | "-V") => {
            let _ = writeln!(std::io::stdout(), concat!("matrix-register-bot ", env!("CARGO_PKG_VERSION")));
            Some(ExitCode::SUCCESS)
        }
        Some("--help" | "-h") => {
            let _ = writeln!(std::io::stdout(), "{}", sentence(program));
            Some(ExitCode::SUCCESS)
        }
        _ if std::io::stdout().is_terminal() => {
            let _ = writeln!(std::io::stderr(), "{}", sentence(program));
            Some(ExitCode::from(EX_USAGE))
        }
        _ => None,
    }
}

fn sentence(program: &str) -> String {
    format!(
        "matrix-register-bot {program}: a web server starts this program, by CGI or FastCGI (docs/install.md); in a shell, use \
         matrix-register-bot --help, and matrix-register-bot check to see whether all is set up"
    )
}

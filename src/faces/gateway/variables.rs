//! Which CGI variables a request must have, and how large they may be together.
//!
//! **A missing variable means denied.** The `fastcgi` crate silently drops a parameter that is not UTF-8 *and all that follow
//! it*. Any visitor can cause this: `/%ff` makes nginx's `SCRIPT_NAME` such a parameter, `Authorization: Basic /zo=` its
//! `REMOTE_USER`, `?` and a raw byte 0xff the `QUERY_STRING`, any header an `HTTP_` one. So a FastCGI request is served only if
//! all of [`PRESENT`] arrived. In nginx's lines of `docs/hosts` the headers come first and `SERVER_NAME` last, and in `fastcgi_params` (Debian's and
//! upstream's) `SERVER_NAME` follows everything that a visitor can spoil; Apache (`ap_add_common_vars`, then `ap_add_cgi_vars`)
//! sends headers and addresses first, then `REQUEST_METHOD`, `QUERY_STRING`, `REQUEST_URI`, `SCRIPT_NAME`. A visitor can still remove:
//!
//! * their own headers, and headers that a proxy appended to them, such as `X-Forwarded-For`. So a missing header must never
//!   grant anything, and only `REMOTE_ADDR` may grant something (the web server's `realip` module sets it);
//! * `PATH_INFO`, and in nginx every `fastcgi_param` below `PATH_INFO` or the other lines. So `MATRIX_REGISTER_BOT_CONFIG`
//!   belongs above them.
//!
//! Plain CGI loses nothing: a visitor's variable that is not UTF-8 is detected and refused, unless it is a header that nobody reads,
//! such as a cookie of another application on the same host.

use crate::domain::error::Error;
use crate::outside::cgi::{Header, Variables};
use std::ffi::OsString;

/// Bytes of all names and values together. nginx itself refuses to send more than 65,535 bytes of FastCGI parameters (500).
pub const MAX_BYTES: usize = 64 * 1024;

/// Some of the variables that RFC 3875 section 4.1 requires of every server, including those that nginx and Apache send last.
const PRESENT: [&str; 5] = ["REQUEST_METHOD", "REMOTE_ADDR", "SERVER_NAME", "QUERY_STRING", "SCRIPT_NAME"];

/// Prefixes of the variables that a visitor can influence; the rest of the environment is the sysadmin's.
const FROM_VISITORS: [&str; 8] = ["HTTP_", "REQUEST_", "REMOTE_", "SERVER_", "CONTENT_", "QUERY_STRING", "PATH_INFO", "SCRIPT_NAME"];

/// The variables of a request, and the error if they are not acceptable.
pub(crate) type Checked = (Variables, Result<(), Error>);

/// Checks the parameters of a FastCGI request.
pub(crate) fn from_fastcgi(params: impl Iterator<Item = (String, String)>) -> Checked {
    let variables: Variables = params.collect();
    let verdict = require(&variables, &PRESENT).and_then(|()| within_limit(&variables));
    (variables, verdict)
}

/// Checks the environment of a plain CGI program.
pub(crate) fn from_environment(environment: impl Iterator<Item = (OsString, OsString)>) -> Checked {
    let mut variables = Variables::default();
    let mut not_utf8 = None;
    for (name, value) in environment {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push(name, value),
            (Ok(name), Err(_)) if FROM_VISITORS.iter().any(|start| name.starts_with(start)) && is_read(&name) => {
                not_utf8 = Some(name);
            }
            _ => {}
        }
    }
    let verdict = match not_utf8 {
        Some(name) => Err(Error::bad_request(format!("the variable {name} is not UTF-8"))),
        None => require(&variables, &PRESENT[..1]).and_then(|()| no_proxy(&variables)).and_then(|()| within_limit(&variables)),
    };
    (variables, verdict)
}

/// Whether it is no header, or one that a program, the gateway or a library reads.
fn is_read(name: &str) -> bool {
    let mut read = Header::ALL.iter().map(|header| header.variable()).chain(["HTTP_TRANSFER_ENCODING", "HTTP_PROXY"]);
    !name.starts_with("HTTP_") || read.any(|variable| variable == name)
}

fn require(variables: &Variables, names: &[&str]) -> Result<(), Error> {
    match names.iter().find(|name| variables.get(name).is_none()) {
        None => Ok(()),
        Some(name) => Err(Error::bad_request(format!(
            "the variable {name} is missing: the web server does not send it (nginx: see the fastcgi_ lines in docs/hosts), or the \
             request held bytes that are not UTF-8, or the program was not started by a web server"
        ))),
    }
}

/// A header `Proxy: ...` becomes the environment variable in which HTTP clients look for the operator's proxy ("httpoxy",
/// CVE-2016-5385). Our requests to the homeserver, tokens included, would go where a visitor says.
fn no_proxy(variables: &Variables) -> Result<(), Error> {
    match variables.get("HTTP_PROXY").is_some() {
        true => Err(Error::bad_request("HTTP_PROXY is set: by a visitor's header, or by mistake in the web server's environment")),
        false => Ok(()),
    }
}

/// 431 (RFC 6585). A plain environment also contains the sysadmin's variables, which are small.
fn within_limit(variables: &Variables) -> Result<(), Error> {
    match variables.bytes() > MAX_BYTES {
        true => Err(Error { status: 431, ..Error::too_large() }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    /// The `fastcgi_` lines of a program, each until `SERVER_NAME`.
    #[test]
    fn the_lines_for_nginx_send_what_is_read_and_end_with_the_variable_that_proves_it() {
        let page = include_str!("../../../docs/hosts/nginx-systemd.md");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = page
            .lines()
            .filter(|line| {
                ["fastcgi_param ", "fastcgi_pass_request_headers "].iter().any(|start| line.starts_with(&format!("    {start}")))
            })
            .map(words)
            .collect();
        let lists: Vec<&[String]> = lines.split_inclusive(|line| line.starts_with("fastcgi_param SERVER_NAME ")).collect();
        assert_eq!(
            lists.len(),
            6,
            "twice the pages and the pages in a subfolder, the internal programs, a change of a password: {lists:?}"
        );
        assert_eq!((lists[0], lists[2]), (lists[1], lists[3]), "a request that is sent once more is the same");
        let headers = [Header::OF_PAGES; 4].into_iter().chain([Header::OF_INTERNAL, Header::OF_PASSWORD_CHANGE]);
        for (list, headers) in lists.into_iter().zip(headers) {
            let first = headers.iter().map(|header| {
                let variable = header.variable();
                format!("fastcgi_param {variable} ${} if_not_empty;", variable.to_lowercase())
            });
            let first: Vec<String> = ["fastcgi_pass_request_headers off;".to_owned()].into_iter().chain(first).collect();
            assert!(list.starts_with(&first), "headers come first, because each that is not UTF-8 hides what follows: {list:?}");
            let is_sent = |name: &&str| list.iter().any(|line| line.starts_with(&format!("fastcgi_param {name} ")));
            assert!(PRESENT.iter().all(is_sent), "{list:?}");
        }
    }

    fn status((_, verdict): Checked) -> Option<u16> {
        verdict.err().map(|error| error.status)
    }

    fn environment(more: &[(&str, &[u8])]) -> Checked {
        let all = [("REQUEST_METHOD", &b"GET"[..])].into_iter().chain(more.iter().copied());
        from_environment(all.map(|(name, value)| (name.into(), OsString::from_vec(value.to_vec()))))
    }

    #[test]
    fn a_fastcgi_request_that_lost_any_of_its_ends_is_refused() {
        let all = |without: &str| {
            PRESENT.iter().filter(|name| **name != without).map(|name| (name.to_string(), String::new())).collect::<Vec<_>>()
        };
        assert_eq!(status(from_fastcgi(all("").into_iter())), None);
        for name in PRESENT {
            assert_eq!(status(from_fastcgi(all(name).into_iter())), Some(400), "{name}");
        }
    }

    #[test]
    fn what_a_visitor_sends_must_be_utf8_and_what_the_sysadmin_has_need_not() {
        assert_eq!(status(environment(&[("PATH", b"/\xff"), ("SCRIPT_FILENAME", b"/\xff")])), None);
        let read_by_the_gateway = ["HTTP_TRANSFER_ENCODING", "HTTP_PROXY"];
        let read = ["QUERY_STRING", "REMOTE_ADDR", "REMOTE_USER", "CONTENT_TYPE", "PATH_INFO"].into_iter().chain(read_by_the_gateway);
        for name in read.chain(Header::ALL.iter().map(|header| header.variable())) {
            assert_eq!(status(environment(&[(name, b"\xff")])), Some(400), "{name}");
        }
        for name in ["HTTP_COOKIE", "HTTP_REFERER"] {
            let (variables, verdict) = environment(&[(name, b"\xff")]);
            assert!(verdict.is_ok() && variables.get(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_proxy_header_is_refused_where_it_would_redirect_our_own_requests() {
        assert_eq!(status(environment(&[("HTTP_PROXY", b"http://evil.example/")])), Some(400));
    }

    #[test]
    fn sixty_five_kibibytes_of_headers_are_431() {
        assert_eq!(status(environment(&[("HTTP_X", &[b'x'; MAX_BYTES - 100])])), None);
        assert_eq!(status(environment(&[("HTTP_X", &[b'x'; MAX_BYTES])])), Some(431));
    }
}

//! The pages, as a stranger's browser reaches them.

use super::{Finding, ok, warning, wrong};
use crate::domain::token;
use crate::faces::pages::register::own_word;
use crate::flow::limits;
use crate::outside::site::Site;
use crate::outside::store::Access;
use crate::outside::web::{self, Fetched};

/// Whether the form is behind `public_url`, and what is for the homeserver is not.
pub fn pages(site: &Site) -> Vec<Finding> {
    let mut findings = vec![form(site), internal(site)];
    findings.extend(well_known(site));
    findings
}

/// Whether strangers can ask for accounts.
pub fn form_is_open(site: &Site) -> Vec<Finding> {
    let closed = site.store(Access::Read).and_then(|mut store| Ok(limits::closed_by(site, &mut store)?));
    match closed {
        Ok(None) => vec![ok("form", "open")],
        Ok(Some(closed)) => vec![warning("form", limits::why_closed(&closed))],
        // The finding about the database has the reason.
        Err(_) => Vec::new(),
    }
}

/// Fetches the form with a word that only this installation can answer.
fn form(site: &Site) -> Finding {
    let word = token::new_seed();
    let url = site.config.public_url.join(&format!("/register?check={word}"));
    let shown = site.config.public_url.join("/register");
    let fetched = match web::fetch(&url) {
        Ok(fetched) => fetched,
        Err(why) => {
            return wrong(
                "public_url",
                format!("{shown} cannot be fetched: {why}; look at public_url, the web server, DNS and the certificate"),
            );
        }
    };
    let is_ours = site.state.secret().is_ok_and(|secret| fetched.body.trim() == own_word(&secret, &word));
    match &fetched {
        _ if is_ours => ok("public_url", format!("{shown} is this installation")),
        Fetched { status: 300..400, location: Some(to), .. } => {
            wrong("public_url", format!("{shown} redirects to {to}; set public_url to the address that the pages really have"))
        }
        Fetched { status: 404, .. } => wrong(
            "public_url",
            format!("{shown} is not found (404): the web server has no line for the program, or public_url has the wrong folder"),
        ),
        Fetched { status: 502..=504, .. } => wrong(
            "public_url",
            format!(
                "{shown}: {} of the web server: does the service of the program run, and is its socket the one that the web server asks?",
                fetched.status
            ),
        ),
        Fetched { status: 200, body, .. } if has_a_word(body) => wrong(
            "public_url",
            format!("{shown} is another installation of this program, with another config.json; look at public_url and the web server"),
        ),
        Fetched { status, content_type, .. } => wrong(
            "public_url",
            format!(
                "{shown} answers {status} with {content_type:?}, and not with this program: public_url leads to another host or folder"
            ),
        ),
    }
}

/// Whether a body has the form of [`own_word`].
fn has_a_word(body: &str) -> bool {
    let body = body.trim();
    body.len() == 32 && body.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the homeserver asks must not be reachable by strangers.
fn internal(site: &Site) -> Finding {
    let url = site.config.public_url.join("/internal/login");
    match web::fetch(&url) {
        Ok(Fetched { content_type, .. }) if content_type.starts_with("application/json") => wrong(
            "internal",
            format!("{url} is answered by our program: strangers must not reach internal/; take those lines out of the public host"),
        ),
        Ok(_) | Err(_) => ok("internal", "not reachable under public_url"),
    }
}

/// Clients find the homeserver by this file; without it people have to type its address.
fn well_known(site: &Site) -> Option<Finding> {
    let url = format!("https://{}/.well-known/matrix/client", site.config.server_name);
    let base = web::fetch(&url).ok().filter(|fetched| fetched.status == 200).and_then(|fetched| {
        let file: serde_json::Value = serde_json::from_str(&fetched.body).ok()?;
        Some(file["m.homeserver"]["base_url"].as_str()?.to_owned())
    });
    Some(match base {
        Some(base) => ok(".well-known", format!("{url} leads clients to {base}")),
        None => warning(".well-known", format!("{url} does not lead clients to the homeserver, so that people have to type its address")),
    })
}

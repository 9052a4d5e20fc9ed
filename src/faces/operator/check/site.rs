//! The pages, as a stranger's browser reaches them.

use super::{Finding, Verdict, machine, ok, warning, wrong};
use crate::domain::characters;
use crate::domain::token;
use crate::faces::pages::register::own_word;
use crate::flow::limits;
use crate::outside::ownership;
use crate::outside::site::Site;
use crate::outside::web::{self, Fetched};

/// The programs for the homeserver and for identity servers.
const INTERNAL: [&str; 8] =
    ["login", "directory_search", "identity_single", "identity_bulk", "intercept_change_password", "profile", "room_events", "metrics"];
/// Redirects that are followed to find out whether they end.
const MOST_REDIRECTS: usize = 5;

/// Whether the form is behind `public_url`, and what is for the homeserver is not.
pub fn pages(site: &Site) -> Vec<Finding> {
    let form = form(site);
    let is_there = form.verdict == Verdict::Ok;
    let mut findings = vec![form];
    // Where nothing answers, nothing is exposed either.
    findings.extend(Some(internal(site)).filter(|found| is_there || found.verdict != Verdict::Ok));
    findings.push(well_known(site));
    findings
}

/// Whether strangers can ask for accounts.
pub fn form_is_open(site: &Site) -> Vec<Finding> {
    match machine::store_as_it_is(site).map(|mut store| limits::closed_by(site, &mut store)) {
        Some(Ok(None)) => vec![ok("form", "open")],
        Some(Ok(Some(closed))) => vec![warning("form", limits::why_closed(&closed))],
        // The finding about the database has the reason.
        Some(Err(_)) | None => Vec::new(),
    }
}

/// Fetches the form with a word that only this installation can answer.
fn form(site: &Site) -> Finding {
    let word = token::new_seed();
    let url = site.config.public_url.join(&format!("/register?check={word}"));
    let shown = site.config.public_url.join("/register");
    let fetched = match web::fetch(&url) {
        Ok(fetched) => fetched,
        Err(why) => return wrong("public_url", format!("{shown} cannot be fetched: {why} (public_url)")),
    };
    let is_ours = site.state.secret().is_ok_and(|secret| fetched.body.trim() == own_word(&secret, &word));
    match &fetched {
        _ if is_ours => ok("public_url", format!("{shown} is this installation")),
        Fetched { status: 300..400, location: Some(to), .. } => wrong("public_url", redirected(&url, &shown, to)),
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
        Fetched { status: 500, .. } => wrong(
            "public_url",
            format!(
                "{shown} answers with an error (500): look into the log of the web server or of the program; does the web server run the programs as {}, who owns state_folder?",
                ownership::owner(&site.config.state_folder)
            ),
        ),
        Fetched { status: 200, body, .. } if has_a_word(body) => wrong(
            "public_url",
            format!("{shown} is another installation of this program, with another config.json; look at public_url and the web server"),
        ),
        Fetched { status, content_type, .. } => wrong(
            "public_url",
            format!(
                "{shown} answers {status} with {content_type:?}, and not with this program: public_url leads to another host or folder, or something in front of the web server answers"
            ),
        ),
    }
}

/// Tells a loop from an address that has moved.
fn redirected(url: &str, shown: &str, first: &str) -> String {
    let mut seen = vec![url.to_owned()];
    let mut next = resolved(url, first);
    while let Some(here) = next {
        if seen.contains(&here) || seen.len() > MOST_REDIRECTS {
            return format!(
                "{shown} redirects in a circle, over {}: let neither the web server nor what is in front of it redirect public_url",
                without_query(first)
            );
        }
        next = web::fetch(&here).ok().and_then(|fetched| resolved(&here, &fetched.location?));
        seen.push(here);
    }
    format!("{shown} redirects to {}; set public_url to the address that the pages really have", without_query(first))
}

/// Where a page at `base` redirects to; `None`: not to the web.
fn resolved(base: &str, location: &str) -> Option<String> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.to_owned());
    }
    let host = base.find("://")? + 3;
    let end = base[host..].find('/').map_or(base.len(), |path| host + path);
    (location.starts_with('/') && !location.starts_with("//")).then(|| format!("{}{location}", &base[..end]))
}

/// Without the word, which says nothing to people.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// Whether a body has the form of [`own_word`].
fn has_a_word(body: &str) -> bool {
    let body = body.trim();
    body.len() == 32 && body.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the homeserver asks must not be reachable by strangers.
fn internal(site: &Site) -> Finding {
    let open: Vec<&str> =
        INTERNAL.into_iter().filter(|name| is_answered(&site.config.public_url.join(&format!("/internal/{name}")))).collect();
    match open[..] {
        [] => ok("internal", "not reachable under public_url"),
        _ => wrong(
            "internal",
            format!(
                "{} is answered by our program ({}): strangers must not reach internal/; take those lines out of the public host",
                site.config.public_url.join("/internal/"),
                open.join(", ")
            ),
        ),
    }
}

/// A homeserver at the same host answers unknown paths with JSON as well, and 404.
fn is_answered(url: &str) -> bool {
    web::fetch(url).is_ok_and(|Fetched { status, content_type, body, .. }| {
        (content_type.starts_with("application/json") && status != 404) || body.contains("matrix_register_bot_")
    })
}

/// Clients find the homeserver by this file; without it people have to type its address.
fn well_known(site: &Site) -> Finding {
    let host = site.config.server_name.host();
    let url = format!("https://{host}/.well-known/matrix/client");
    let left = "so that people have to type the homeserver's address";
    let doubt = |what: String| warning(".well-known", format!("{url} {what}, {left} (docs/accounts.md)"));
    match web::fetch(&url) {
        Err(why) => doubt(format!("cannot be fetched: {why}")),
        Ok(Fetched { status: 200, body, .. }) => match base_url(&body) {
            Some(base) => leads_to(site, &url, &base),
            None => doubt("is no JSON file with \"m.homeserver\" and its \"base_url\"".into()),
        },
        Ok(Fetched { status, .. }) => doubt(format!("answers {status}")),
    }
}

fn base_url(file: &str) -> Option<String> {
    let file: serde_json::Value = serde_json::from_str(file).ok()?;
    Some(characters::one_line(file["m.homeserver"]["base_url"].as_str()?))
}

/// Whether clients get to this homeserver, as far as a homeserver says its name to strangers.
fn leads_to(site: &Site, url: &str, base: &str) -> Finding {
    let ask = |path: &str| web::fetch(&format!("{}{path}", base.trim_end_matches('/')));
    let parse = |fetched: Fetched| serde_json::from_str::<serde_json::Value>(&fetched.body).ok().filter(|_| fetched.status == 200);
    if let Err(why) = ask("/_matrix/client/versions").and_then(|fetched| match parse(fetched) {
        Some(answer) if answer["versions"].is_array() => Ok(()),
        _ => Err("no homeserver answers there".into()),
    }) {
        return warning(".well-known", format!("{url} leads clients to {base}: {why}"));
    }
    let named =
        ask("/_matrix/key/v2/server").ok().and_then(parse).and_then(|keys| Some(characters::one_line(keys["server_name"].as_str()?)));
    match named {
        Some(name) if name != site.config.server_name.0 => wrong(
            ".well-known",
            format!(
                "{url} leads clients to {base}, which is the homeserver of {name} and not of {} (server_name)",
                site.config.server_name
            ),
        ),
        _ => ok(".well-known", format!("{url} leads clients to {base}")),
    }
}

//! The pictures in the documentation: `make screenshots` takes them from real pages.

use crate::Story;
use crate::visitor::Visitor;
use crate::world::{Chromium, Host};
use data_encoding::BASE64;
use serde_json::json;
use std::fs;
use std::path::Path;

const NOTE: &str =
    "Hello! I sing in the Tuesday choir, and Greta told me that you plan the concerts here.\n\nI would like to join in. Thank you, Ada";

#[test]
#[ignore = "it writes docs/screenshots; `make screenshots` runs it"]
fn screenshots() {
    let story = Story::start_with("local", Host::NginxSystemd, |site| site.set("server_name", "example.org"));
    let visitor = Visitor::new("en", &story.web.url());
    picture_form(&visitor, &story.web.url());
    picture_decision(&story, &visitor);
}

fn picture_form(visitor: &Visitor, form: &str) {
    visitor.open(form);
    visitor.chromium.prefer_dark(false);
    picture(visitor, "form", 1200, 1.0);
    visitor.chromium.prefer_dark(true);
    picture(visitor, "form-dark-phone", 390, 1.5);
}

/// A second request with the same address, as the room sees it.
fn picture_decision(story: &Story, visitor: &Visitor) {
    visitor.chromium.prefer_dark(false);
    for username in ["ada", "ada.lovelace"] {
        visitor.open(&story.web.url());
        let who = [("first_name", "Ada"), ("last_name", "Lovelace"), ("email", "ada@example.net")];
        let fields: Vec<_> = who.into_iter().chain([("username", username), ("note", NOTE)]).collect();
        visitor.send(&fields, ".actions button");
    }
    visitor.open(&story.mails.wait_for("ada@example.net", 2)[1].link());
    visitor.send(&[], "main button");
    visitor.open(&story.synapse.wait_for_messages(&story.room, 1)[0].link());
    picture(visitor, "decide", 800, 1.0);
}

/// The whole page at this width.
fn picture(visitor: &Visitor, name: &str, width: u32, scale: f64) {
    let metrics = |height: u64| json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": false});
    visitor.chromium.devtools("Emulation.setDeviceMetricsOverride", metrics(100));
    let height = visitor.chromium.script("return document.documentElement.scrollHeight", json!([])).as_u64().expect("a height");
    visitor.chromium.devtools("Emulation.setDeviceMetricsOverride", metrics(height));
    write_picture(&visitor.chromium, name);
}

/// What the window shows, into `docs/screenshots`.
pub fn write_picture(chromium: &Chromium, name: &str) {
    let answer = chromium.devtools("Page.captureScreenshot", json!({"format": "png"}));
    let png = BASE64.decode(answer["data"].as_str().expect("a picture").as_bytes()).expect("base64");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.png")), png).unwrap();
}

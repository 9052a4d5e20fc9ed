//! axe-core (<https://github.com/dequelabs/axe-core>) checks every page and mail of the gallery.

use crate::world::{Chromium, TempFolder, installed};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn no_page_and_no_mail_breaks_a_rule_of_accessibility() {
    let folder = TempFolder::new("gallery");
    let made = Command::new(gallery()).arg(folder.path()).output().expect("the gallery starts");
    assert!(made.status.success(), "{made:?}");
    let axe = fs::read_to_string(installed("axe/node_modules/axe-core/axe.min.js")).expect("a script");
    let chromium = Chromium::start("en");
    // In every page from now on, which is faster than to send it with each.
    chromium.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": axe}));
    let pages: Vec<PathBuf> = ["en", "de", "extreme"].iter().flat_map(|part| html_files(&folder.join(part))).collect();
    assert!(pages.len() > 100, "only {} pages", pages.len());
    let broken: Vec<String> = pages.iter().filter_map(|page| broken_rules(&chromium, page)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The example as Cargo built it beside this test.
fn gallery() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    test.parent().and_then(Path::parent).expect("the folder of the build").join("examples/gallery")
}

fn html_files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("a folder of the gallery").flatten().map(|file| file.path());
    let is_shown_by_us = |name: &str| name.ends_with(".html") && !name.starts_with("room-");
    let mut files: Vec<PathBuf> = files.filter(|file| is_shown_by_us(&name_of(file))).collect();
    files.sort();
    files
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The rules that a page breaks, with the places.
fn broken_rules(chromium: &Chromium, page: &Path) -> Option<String> {
    chromium.open(&format!("file://{}", page.display()));
    // A mail program shows mails inside a page of its own.
    let of_whole_pages: &[&str] =
        if name_of(page).starts_with("mail-") { &["landmark-one-main", "page-has-heading-one", "region"] } else { &[] };
    chromium.script(
        "const rules = Object.fromEntries(arguments[0].map(name => [name, {enabled: false}])); axe.run({rules}).then(found => { window.broken = found.violations.map(rule => rule.id + ': ' + \
         rule.nodes.map(node => node.html.slice(0, 120)).join(' ')); }, fault => { window.broken = [String(fault)]; })",
        json!([of_whole_pages]),
    );
    chromium.wait_until("return window.broken !== undefined");
    let broken = chromium.script("return window.broken.join('; ')", json!([]));
    let broken = broken.as_str().expect("a text");
    (!broken.is_empty()).then(|| format!("{}: {broken}", page.display()))
}

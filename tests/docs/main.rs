//! Checks what the documentation says: keys and defaults, programs, log events, links.

#[path = "../world/programs.rs"]
mod programs;

use matrix_register_bot::domain::config::Config;
use programs::{program_places, programs_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::{Table, Value};

const README: &str = include_str!("../../README.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const INSTALLATION: &str = include_str!("../../docs/install.md");
const TROUBLESHOOTING: &str = include_str!("../../docs/troubleshooting.md");
const SAMPLE: &str = include_str!("../../config.sample.toml");

/// Section and key, e.g. `("mail.smtp", "host")`; the section is empty at the top of the file.
type Key = (String, String);

/// All keys of the sample, commented out or not, with the text after the equals sign.
fn sample_keys() -> BTreeMap<Key, String> {
    let mut section = String::new();
    let mut keys = BTreeMap::new();
    for line in SAMPLE.lines() {
        if let Some(name) = line.strip_prefix("# ").unwrap_or(line).strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            keys.insert((section.clone(), key.to_owned()), value.to_owned());
        }
    }
    keys
}

/// The rows of the tables of keys in docs/configuration.md: the cell with the default. The heading names the section: "## `[room]`".
fn described_keys() -> BTreeMap<Key, String> {
    let mut section = String::new();
    let mut keys = BTreeMap::new();
    for line in CONFIGURATION.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.split(['[', ']']).nth(1).unwrap_or("").to_owned();
        } else if let Some((key, rest)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) {
            let default = rest.split(" |").next().unwrap_or("");
            assert_eq!(keys.insert((section.clone(), key.to_owned()), default.to_owned()), None, "{key} has two rows");
        }
    }
    keys
}

/// The result of loading the sample with one key changed or removed.
fn loaded(key: &Key, value: Option<Value>) -> Result<String, String> {
    let mut whole: Table = SAMPLE.parse().unwrap();
    if value.is_none() && !key.0.is_empty() && key.0.split('.').next().is_some_and(|section| !whole.contains_key(section)) {
        // A section that the sample only shows.
        return Config::parse(&whole.to_string(), PathBuf::new()).map(|config| format!("{config:?}")).map_err(|cause| cause.to_string());
    }
    let sections = key.0.split('.').filter(|name| !name.is_empty());
    let place = sections
        .fold(&mut whole, |table, name| table.entry(name).or_insert_with(|| Value::Table(Table::new())).as_table_mut().expect("a section"));
    match value {
        Some(value) => place.insert(key.1.clone(), value),
        None => place.remove(&key.1),
    };
    Config::parse(&whole.to_string(), PathBuf::new()).map(|config| format!("{config:?}")).map_err(|cause| cause.to_string())
}

fn parsed(value: &str) -> Option<Value> {
    format!("x = {value}").parse::<Table>().unwrap_or_else(|cause| panic!("{value}: {cause}")).remove("x")
}

#[test]
fn every_key_is_described_and_no_other() {
    let (sample, described): (BTreeSet<Key>, BTreeSet<Key>) = (sample_keys().into_keys().collect(), described_keys().into_keys().collect());
    assert!(sample.len() > 40, "the sample is read: {}", sample.len());
    assert_eq!(sample.difference(&described).collect::<Vec<_>>(), [] as [&Key; 0], "not in docs/configuration.md");
    assert_eq!(described.difference(&sample).collect::<Vec<_>>(), [] as [&Key; 0], "not in config.sample.toml");
}

/// If a default is in the code, it is compared; "needed ..." must be refused if missing; for any other key the sample shows an
/// example.
#[test]
fn every_default_that_is_described_is_the_samples_and_the_programs() {
    let described = described_keys();
    for (key, sample) in sample_keys() {
        let said = &described[&key];
        let with_samples_value = loaded(&key, parsed(&sample));
        if let Some(default) = said.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            assert_eq!(default, sample, "{key:?}");
            assert_eq!(with_samples_value, loaded(&key, None), "{key:?} is shown with another value than its default");
        } else if said.starts_with("needed") {
            assert!(loaded(&key, None).is_err(), "{key:?} is not needed");
        } else {
            assert_ne!(with_samples_value, loaded(&key, None), "{key:?} has the default {sample}");
        }
    }
}

#[test]
fn the_installation_names_every_program() {
    for program in program_places() {
        assert!(INSTALLATION.contains(&format!("`{program}`")), "{program}");
    }
}

/// Whether the text has this whole word: `verify` is not in `verify_admin`.
fn names(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c)).any(|found| found == word)
}

/// A new program is missing nowhere that a sysadmin looks: each web server's page, the manual, and what the package says.
#[test]
fn every_hosting_and_the_manual_name_every_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_else(|cause| panic!("{name}: {cause}"));
    let hosts = fs::read_dir(root.join("docs/hosts")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let hosts: Vec<String> = hosts.filter(|name| !["README.md", "hardening.md"].contains(&name.as_str())).collect();
    assert!(hosts.len() >= 8, "{hosts:?}");
    let (pages, internal) = (programs_of("public"), programs_of("internal"));
    let mut expected: Vec<(String, &str)> = Vec::new();
    for host in &hosts {
        expected.extend(pages.iter().chain(&internal).map(|program| (format!("docs/hosts/{host}"), *program)));
    }
    for program in program_places() {
        expected.push(("packaging/man/matrix-register-bot.8".to_owned(), program.rsplit('/').next().unwrap()));
    }
    expected.extend(pages.iter().flat_map(|page| ["packaging/debian/postinst", "public/README.md"].map(|text| (text.to_owned(), *page))));
    expected.extend(internal.iter().map(|program| ("internal/README.md".to_owned(), *program)));
    let missing: Vec<_> = expected.iter().filter(|(text, program)| !names(&read(text), program)).collect();
    assert_eq!(missing, [] as [&(String, &str); 0]);
}

#[test]
fn every_word_of_the_log_is_explained() {
    let mut sources = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut words = BTreeSet::new();
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let calls = ["log::warn(", "log::info("].into_iter().flat_map(|call| text.split(call).skip(1));
            words.extend(calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned)));
        }
    }
    assert!(words.len() > 20, "{words:?}");
    let unexplained: Vec<&String> = words.iter().filter(|word| !TROUBLESHOOTING.contains(&format!("`{word}"))).collect();
    assert_eq!(unexplained, [] as [&String; 0]);
}

/// All tables of the schema but `schema_version`, in quotes, in the order in which they were made.
fn tables() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/outside/store/schema/sqlite");
    let mut steps: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    steps.sort();
    let schema: String = steps.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let made = schema.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split(' ').next());
    made.map(|name| format!("`{name}`")).collect()
}

/// Whoever is asked what is stored about people must find each table.
#[test]
fn the_page_about_privacy_names_every_table() {
    let page = include_str!("../../docs/privacy.md");
    let missing: Vec<String> = tables().into_iter().filter(|table| !page.contains(table)).collect();
    assert_eq!(missing, [""; 0]);
}

/// The list for a return to the PHP program must contain each table, those that refer to others first.
#[test]
fn the_way_back_names_every_table_in_an_order_in_which_they_can_be_dropped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = tables();
    names.reverse();
    let guide = fs::read_to_string(root.join("docs/moving-from-php.md")).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        guide.contains(&format!("{} and `schema_version`", names.join(", "))),
        "docs/moving-from-php.md must have: {}",
        names.join(", ")
    );
}

/// docs/troubleshooting.md quotes what visitors read, so that admins find the row. Two sentences are the web server's.
#[test]
fn what_visitors_may_report_is_what_the_pages_say() {
    let texts = include_str!("../../templates/locales/en.toml");
    let table = TROUBLESHOOTING.split_once("What visitors may report:").expect("the table").1.split("\n## ").next().unwrap_or_default();
    let quoted: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| \"")?.split('"').next()).collect();
    let ours = quoted.iter().filter(|sentence| !["429 Too Many Requests", "Too many requests at the moment"].contains(sentence));
    assert!(quoted.len() > 8, "{quoted:?}");
    assert_eq!(ours.filter(|sentence| !texts.contains(*sentence)).collect::<Vec<_>>(), [] as [&&str; 0]);
}

/// Whoever follows the short way must not meet a key that does not exist.
#[test]
fn the_short_way_of_the_readme_fits_a_screen_and_has_a_configuration_that_can_be_used() {
    assert!(README.lines().count() <= 200, "{} lines", README.lines().count());
    let shown = README.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).expect("a configuration").0;
    Config::parse(shown, PathBuf::new()).unwrap_or_else(|cause| panic!("{cause}"));
}

#[test]
fn every_link_leads_somewhere() {
    assert_eq!(dead_links(Path::new(env!("CARGO_MANIFEST_DIR"))), [] as [String; 0]);
}

#[test]
fn the_documents_that_are_installed_lead_to_each_other() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed-documents");
    let (built, destination) = (root.join("built"), root.join("destination"));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    fs::write(&built, "").unwrap();
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-s", "install", "PREFIX=/usr"]);
    let output = make.arg(format!("DESTDIR={}", destination.display())).arg(format!("BUILT={}", built.display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(dead_links(&destination.join("usr/share/doc/matrix-register-bot")), [] as [String; 0]);
}

/// Broken links in all documents below a folder.
fn dead_links(root: &Path) -> Vec<String> {
    let mut documents: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root.join(name)).into();
    let folders = ["docs", "docs/hosts"].map(|name| fs::read_dir(root.join(name)).unwrap_or_else(|cause| panic!("{name}: {cause}")));
    let docs = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    documents.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let mut dead = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap_or_else(|cause| panic!("{}: {cause}", document.display()));
        for link in links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            if !leads_somewhere(&document, &text, &link) {
                dead.push(format!("{}: {link}", document.strip_prefix(root).unwrap().display()));
            }
        }
    }
    dead
}

fn leads_somewhere(document: &Path, text: &str, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { document.to_owned() } else { document.with_file_name(path) };
    if anchor.is_empty() || target.extension().is_none_or(|extension| extension != "md") {
        return target.exists();
    }
    let read = if path.is_empty() { Ok(text.to_owned()) } else { fs::read_to_string(&target) };
    read.is_ok_and(|text| prose(&text).filter(|line| line.starts_with('#')).any(|line| anchor_of(line) == anchor))
}

/// The targets of links and images in Markdown and HTML.
fn links(text: &str) -> Vec<String> {
    let text: String = prose(text).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (start, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
        found.extend(text.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(link, _)| link.to_owned()));
    }
    found
}

/// The lines outside code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    })
}

/// The anchor that code hosts generate for a heading.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    words.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

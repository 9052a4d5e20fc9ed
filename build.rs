//! Generates constants for the names of the texts, so that a misspelt name does not compile; and links the programs at fixed
//! addresses and with a static libgcc where the platform allows.
//!
//! A position-independent program pays at every start: the loader writes 15,000 relocations into a quarter of a megabyte, which
//! is copied page by page. docs/performance.md weighs that against the value of randomising the addresses of this code; stack,
//! heap and libraries stay at random addresses. To decide otherwise, build with `REGISTER_BOT_PIE=1 make`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The file whose keys are the names of all texts.
const TEXTS: &str = "templates/locales/en.toml";

fn main() {
    link_to_fixed_addresses();
    link_libgcc_into_the_programs();
    println!("cargo:rerun-if-changed={TEXTS}");
    let file = std::fs::read_to_string(TEXTS).unwrap_or_else(|cause| panic!("{TEXTS}: {cause}"));
    let folder = std::env::var("OUT_DIR").unwrap_or_default();
    let keys = Path::new(&folder).join("text_keys.rs");
    std::fs::write(&keys, Section::of(&file).constants("")).unwrap_or_else(|cause| panic!("{}: {cause}", keys.display()));
}

fn link_to_fixed_addresses() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REGISTER_BOT_PIE");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("REGISTER_BOT_PIE", "1") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}

/// Rust's standard library unwinds panics with libgcc. Its shared form, `libgcc_s.so.1`, would be found, mapped and relocated at every
/// start, so a linker script takes its place that names the static form. An executable cannot get it otherwise unless all of it is
/// static, glibc included.
fn link_libgcc_into_the_programs() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        let folder = std::env::var("OUT_DIR").unwrap_or_default();
        let script = Path::new(&folder).join("libgcc_s.so");
        std::fs::write(&script, "GROUP ( -lgcc_eh -lgcc )\n").unwrap_or_else(|cause| panic!("{}: {cause}", script.display()));
        println!("cargo:rustc-link-arg-bins=-L{folder}");
    }
}

/// A section of the file, `[form]` or `[form.error]`: its texts and subsections.
#[derive(Default)]
struct Section {
    texts: BTreeMap<String, String>,
    below: BTreeMap<String, Section>,
}

impl Section {
    /// Parses the file, which has only sections and one plain string per line; the tests of `text` check this.
    fn of(file: &str) -> Section {
        let (mut whole, mut name) = (Section::default(), "");
        for line in file.lines() {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name = section;
            } else if let Some((key, text)) = line.strip_suffix('"').and_then(|line| line.split_once(" = \"")) {
                let place = name.split('.').fold(&mut whole, |place, part| place.below.entry(part.to_owned()).or_default());
                place.texts.insert(key.to_owned(), text.to_owned());
            }
        }
        whole
    }

    /// `pub const USERNAME_MISSING: Key = Key("form.error.username_missing");` in the modules `form::error`.
    fn constants(&self, path: &str) -> String {
        let mut code = String::new();
        for (key, text) in &self.texts {
            let _ = writeln!(code, "#[doc = {text:?}]\npub const {}: Key = Key({:?});", key.to_uppercase(), format!("{path}{key}"));
        }
        for (name, section) in &self.below {
            let inner = section.constants(&format!("{path}{name}."));
            let _ = writeln!(code, "pub mod {name} {{\n#[allow(unused_imports)]\nuse super::Key;\n{inner}}}");
        }
        code
    }
}

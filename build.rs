//! Generates constants for the names of the texts, so that a misspelt name does not compile, and the texts in the order of their
//! names; and links the programs at fixed addresses, with a static libgcc, and in an order that starts fast, where the platform allows.
//!
//! A position-independent program pays at every start: the loader writes 15,000 relocations into a quarter of a megabyte, which
//! is copied page by page. docs/performance.md weighs that against the value of randomising the addresses of this code; stack,
//! heap and libraries stay at random addresses. To decide otherwise, build with `REGISTER_BOT_PIE=1 make`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The languages of the texts; the keys of the first are the names of all texts.
const LANGUAGES: [&str; 2] = ["en", "de"];

fn main() {
    link_to_fixed_addresses();
    link_libgcc_into_the_programs();
    link_first_what_is_used_first();
    let texts = LANGUAGES.map(texts_of);
    write("text_keys.rs", &texts[0].constants(""));
    for (language, texts) in LANGUAGES.iter().zip(&texts) {
        write(&format!("texts_{language}.rs"), &texts.table());
    }
}

fn texts_of(language: &str) -> Section {
    let path = format!("templates/locales/{language}.toml");
    println!("cargo:rerun-if-changed={path}");
    Section::of(&std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{path}: {cause}")))
}

fn write(name: &str, code: &str) {
    let path = Path::new(&std::env::var("OUT_DIR").unwrap_or_default()).join(name);
    std::fs::write(&path, code).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
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

/// See the script. It adds to what Rust's own linker does anyway, and names nothing that has to exist. Other linkers may not understand
/// it (gold), or import every name in it (GNU ld); so it is left out if somebody has chosen one, and where Rust does not bring its own.
fn link_first_what_is_used_first() {
    const SCRIPT: &str = "src/bin/used_first.ld";
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let is_linker_chosen = std::env::var("RUSTC_LINKER").is_ok()
        || std::env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| ["fuse-ld", "linker"].iter().any(|choice| flags.contains(choice)));
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_ARCH", "x86_64") && !is_linker_chosen
    {
        println!("cargo:rerun-if-changed={SCRIPT}");
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{root}/{SCRIPT}");
        // For bench/used-first, which makes the script.
        println!("cargo:rerun-if-env-changed=REGISTER_BOT_MAP");
        if let Ok(map) = std::env::var("REGISTER_BOT_MAP") {
            println!("cargo:rustc-link-arg-bins=-Wl,-Map={map}");
        }
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

    /// `&[("form.error.username_missing", "Please ..."), ...]`, in the order of the names.
    fn table(&self) -> String {
        let mut texts = BTreeMap::new();
        self.collect("", &mut texts);
        let lines: String = texts.iter().map(|(name, text)| format!("({name:?}, {text:?}),\n")).collect();
        format!("&[\n{lines}]")
    }

    fn collect<'a>(&'a self, path: &str, texts: &mut BTreeMap<String, &'a str>) {
        texts.extend(self.texts.iter().map(|(key, text)| (format!("{path}{key}"), text.as_str())));
        for (name, section) in &self.below {
            section.collect(&format!("{path}{name}."), texts);
        }
    }
}

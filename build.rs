//! How the released programs are linked: to fixed addresses, where the platform has both ways.
//!
//! A program that is started for each request pays at each start for being movable: the loader writes 15,000 addresses into a
//! quarter of a megabyte, which is copied page by page for it. docs/performance.md weighs that against what address
//! randomisation is worth here; stack, heap and libraries stay at random addresses. Who weighs it otherwise builds with
//! `REGISTER_BOT_PIE=1 make`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REGISTER_BOT_PIE");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !is("REGISTER_BOT_PIE", "1") && is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}

//! The list of programs, which everything that names them is compared with.

/// Folder and name of each program, such as `public/register`, from the list in `src/bin/main.rs`.
pub fn program_places() -> Vec<&'static str> {
    let lines = include_str!("../../src/bin/main.rs").lines();
    let places: Vec<_> = lines.filter_map(|line| Some(line.strip_prefix("    (\"")?.split_once("\", ")?.0)).collect();
    assert!(places.len() >= 10, "src/bin/main.rs has a list of the programs, one a line: {places:?}");
    places
}

/// The names of the programs in one folder, such as `public`.
pub fn programs_of(folder: &str) -> Vec<&'static str> {
    program_places().iter().filter_map(|place| place.strip_prefix(folder)?.strip_prefix('/')).collect()
}

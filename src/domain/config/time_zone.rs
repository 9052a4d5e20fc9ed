//! The time zone in which pages, mails and room messages give their times.
//!
//! The files of the zones belong to the system (package tzdata). They are read one by one: looking a name up with
//! `jiff::tz::TimeZone::get` searches the whole folder first, and under CGI every page would pay for that.

use std::path::Path;
use std::str::FromStr;

/// Where systems keep the files of the zones (tzset(3)).
const FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];

/// The system's own zone (localtime(5)).
const SYSTEM: &str = "/etc/localtime";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(pub jiff::tz::TimeZone);

impl TimeZone {
    pub const UTC: TimeZone = TimeZone(jiff::tz::TimeZone::UTC);

    /// The zone of `/etc/localtime`; without this file UTC, as in the C library.
    pub fn system() -> TimeZone {
        read(Path::new(SYSTEM), "").unwrap_or(TimeZone::UTC)
    }

    /// `CET` or `CEST`; `UTC-03` in a zone without such names.
    pub fn name_at(&self, moment: jiff::Timestamp) -> String {
        let info = self.0.to_offset_info(moment);
        let name = info.abbreviation();
        if name.starts_with(['+', '-']) { format!("UTC{name}") } else { name.to_owned() }
    }
}

impl FromStr for TimeZone {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/_-+".contains(c);
        let plain = !name.is_empty() && name.chars().all(allowed) && !name.starts_with('/');
        let found = plain.then(|| FOLDERS.iter().find_map(|folder| read(&Path::new(folder).join(name), name))).flatten();
        found.or_else(|| (name == "UTC").then_some(TimeZone::UTC)).ok_or_else(|| {
            format!(
                "expected the name of a time zone, for example \"Europe/Berlin\", got {name:?}; the names are those of the files in {} (install tzdata if there are none)",
                FOLDERS[0]
            )
        })
    }
}

/// The zone of a file in the format of tzfile(5); `None` if there is no such file.
fn read(file: &Path, name: &str) -> Option<TimeZone> {
    let bytes = std::fs::read(file).ok()?;
    jiff::tz::TimeZone::tzif(name, &bytes).ok().map(TimeZone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_time_zone_is_refused_with_an_example() {
        for name in ["", "Europe/Atlantis", "berlin", "../../../etc/localtime", "/etc/localtime", "Europe", "tzdata.zi", "CEST"] {
            let sentence = name.parse::<TimeZone>().unwrap_err();
            assert!(sentence.contains("Europe/Berlin") && sentence.contains(&format!("{name:?}")), "{sentence}");
        }
    }

    #[test]
    fn the_zones_of_the_system_are_known() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(name.parse::<TimeZone>().is_ok(), "{name}");
        }
    }
}
